//! Curves over thresholds, and what one threshold does.

use super::ranking::ordered;

/// What a threshold does to labelled rows: a row is an alert when its score is above the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Confusion {
    /// Alerts that are outliers.
    pub true_positives: u64,
    /// Alerts that are none.
    pub false_positives: u64,
    /// Outliers that are no alerts.
    pub false_negatives: u64,
    /// The rest.
    pub true_negatives: u64,
}

#[expect(clippy::cast_precision_loss, reason = "row counts stay below 2^53")]
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

impl Confusion {
    /// Counts. `None` where a score or the threshold is NaN, or the lengths differ.
    #[must_use]
    pub fn at(scores: &[f32], outlier: &[bool], threshold: f32) -> Option<Self> {
        let unordered = threshold.is_nan() || scores.iter().any(|score| score.is_nan());
        if scores.len() != outlier.len() || unordered {
            return None;
        }
        let mut counts = Self::default();
        for (score, outlier) in scores.iter().zip(outlier) {
            let place = match (*score > threshold, *outlier) {
                (true, true) => &mut counts.true_positives,
                (true, false) => &mut counts.false_positives,
                (false, true) => &mut counts.false_negatives,
                (false, false) => &mut counts.true_negatives,
            };
            *place += 1;
        }
        Some(counts)
    }

    /// The share of alerts that are outliers; `None` without alerts.
    #[must_use]
    pub fn precision(&self) -> Option<f64> {
        let alerts = self.true_positives + self.false_positives;
        share(self.true_positives, alerts)
    }

    /// The share of outliers that are alerts; `None` without outliers.
    #[must_use]
    pub fn recall(&self) -> Option<f64> {
        let outliers = self.true_positives + self.false_negatives;
        share(self.true_positives, outliers)
    }

    /// The share of other rows that are alerts; `None` without other rows.
    #[must_use]
    pub fn false_positive_rate(&self) -> Option<f64> {
        let others = self.false_positives + self.true_negatives;
        share(self.false_positives, others)
    }

    /// The harmonic mean of precision and recall: 0 where no outlier is an alert; `None` without outliers and alerts.
    #[must_use]
    pub fn f1(&self) -> Option<f64> {
        let wrong = self.false_positives + self.false_negatives;
        share(2 * self.true_positives, 2 * self.true_positives + wrong)
    }
}

/// A point of the curves of precision, recall and false-positive rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurvePoint {
    /// Rows with at least this score are alerts.
    pub score: f32,
    /// Of alerts, those that are outliers.
    pub precision: f64,
    /// Of outliers, those that are alerts.
    pub recall: f64,
    /// Of other rows, those that are alerts; 0 where there are none.
    pub false_positive_rate: f64,
}

/// One point a distinct score, the highest first: the precision-recall curve and the ROC curve together (scikit-learn's
/// `precision_recall_curve` and `roc_curve` without its end points and with every threshold). `None` where there is no outlier, a
/// score is NaN, or the lengths differ.
#[must_use]
pub fn curve(scores: &[f32], outlier: &[bool]) -> Option<Vec<CurvePoint>> {
    let groups = ordered(scores, outlier)?;
    let outliers: u64 = groups.iter().map(|(_, outliers, _)| outliers).sum();
    let rows: u64 = groups.iter().map(|(_, _, rows)| rows).sum();
    let (mut found, mut seen) = (0, 0);
    let points = groups.into_iter().map(|(score, of, rows_of)| {
        found += of;
        seen += rows_of;
        Some(CurvePoint {
            score,
            precision: share(found, seen)?,
            recall: share(found, outliers)?,
            false_positive_rate: share(seen - found, rows - outliers).unwrap_or(0.0),
        })
    });
    points.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::average_precision;
    use crate::panel::tests::rough;

    #[test]
    fn the_counts_are_those_made_by_hand() {
        let scores = [0.9, 0.8, 0.7, 0.7, 0.1];
        let outlier = [true, false, true, false, true];
        let at = |threshold| Confusion::at(&scores, &outlier, threshold).unwrap();
        let two = at(0.7);
        assert_eq!((two.true_positives, two.false_positives), (1, 1));
        assert_eq!((two.false_negatives, two.true_negatives), (2, 1));
        let near = |value: Option<f64>, wanted: f64| (value.unwrap() - wanted).abs() < 1e-12;
        assert!(near(two.precision(), 0.5) && near(two.recall(), 1.0 / 3.0));
        assert!(near(two.f1(), 0.4) && near(two.false_positive_rate(), 0.5));
        let none = at(2.0);
        assert_eq!(none.precision(), None);
        assert!(near(none.recall(), 0.0) && near(none.f1(), 0.0));
        assert_eq!(Confusion::at(&scores, &outlier, f32::NAN), None);
        assert_eq!(Confusion::at(&scores, &outlier[1..], 0.5), None);
    }

    #[test]
    fn a_point_of_the_curve_is_what_a_threshold_just_below_its_score_does() {
        let scores: Vec<f32> = rough(300).iter().map(|v| (v * 4.0).round()).collect();
        let outlier: Vec<bool> = rough(600)[300..].iter().map(|v| *v > 0.8).collect();
        let points = curve(&scores, &outlier).unwrap();
        assert!(points.len() > 10 && points.is_sorted_by(|a, b| a.score > b.score));
        for point in &points {
            let counts = Confusion::at(&scores, &outlier, point.score.next_down()).unwrap();
            assert_eq!(counts.precision(), Some(point.precision));
            assert_eq!(counts.recall(), Some(point.recall));
            assert_eq!(
                counts.false_positive_rate(),
                Some(point.false_positive_rate)
            );
        }
        assert!((points.last().unwrap().recall - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_area_under_the_curves_steps_is_the_average_precision() {
        let scores = rough(500);
        let outlier: Vec<bool> = scores
            .iter()
            .zip(rough(1_000)[500..].iter())
            .map(|(a, b)| a + b > 1.0)
            .collect();
        let (mut area, mut before) = (0.0, 0.0);
        for point in curve(&scores, &outlier).unwrap() {
            area += (point.recall - before) * point.precision;
            before = point.recall;
        }
        assert!((area - average_precision(&scores, &outlier).unwrap()).abs() < 1e-12);
        assert_eq!(curve(&scores, &[false; 500]), None);
    }
}
