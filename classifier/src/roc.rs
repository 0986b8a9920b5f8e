//! ROC curves: false-positive and true-positive rates over all thresholds, in as many points as a plot has use for.

/// The curve of scores (higher is more malicious), from (0, 0) to (1, 1), rising; empty when a class is missing or the lists differ in length. Scores that are equal
/// are one step. Of a curve of more than `most` points those stay that differ from the one before by 1/`most` in a rate, or by a tenth of a decade in the false-positive rate: so that
/// its beginning is whole on a logarithmic axis too.
///
/// # Examples
/// ```
/// use gleaner_classifier::roc::curve;
/// assert_eq!(curve(&[0.9, 0.1], &[true, false], 100), [(0.0, 0.0), (0.0, 1.0), (1.0, 1.0)]);
/// ```
#[must_use]
pub fn curve(scores: &[f64], malicious: &[bool], most: usize) -> Vec<(f64, f64)> {
    let positive = malicious.iter().filter(|m| **m).count();
    let negative = malicious.len() - positive;
    if positive == 0 || negative == 0 || scores.len() != malicious.len() {
        return vec![];
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_unstable_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    let mut whole = vec![(0.0, 0.0)];
    let (mut fp, mut tp) = (0_usize, 0_usize);
    for group in order.chunk_by(|a, b| scores[*a].total_cmp(&scores[*b]).is_eq()) {
        let hits = group.iter().filter(|row| malicious[**row]).count();
        tp += hits;
        fp += group.len() - hits;
        whole.push((fp as f64 / negative as f64, tp as f64 / positive as f64));
    }
    if whole.len() <= most {
        return whole;
    }
    let step = 1.0 / most.max(1) as f64;
    let mut kept = vec![whole[0]];
    let mut last = whole[0];
    for pair in whole[1..].windows(2) {
        let [point, next] = pair else { continue };
        // A corner, before the curve turns right, is where it is highest.
        let corner = next.0 > point.0;
        let decade = point.0 > last.0 && point.0 >= 1.26 * last.0;
        if point.1 - last.1 >= step || point.0 - last.0 >= step || (decade && corner) {
            kept.push(*point);
            last = *point;
        }
    }
    kept.push((1.0, 1.0));
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The area under a curve of straight pieces.
    fn area(curve: &[(f64, f64)]) -> f64 {
        let piece =
            |pair: &[(f64, f64)]| (pair[1].0 - pair[0].0) * f64::midpoint(pair[0].1, pair[1].1);
        curve.windows(2).map(piece).sum()
    }

    #[test]
    fn the_area_under_it_is_the_auc_and_equal_scores_are_one_step() {
        // Pairs: (0.8 against 0.5, 0.3, 0.3), (0.5 against the same): 3 + 0.5 + 2 of 6.
        let curve_of = curve(
            &[0.8, 0.5, 0.5, 0.3, 0.3],
            &[true, true, false, false, false],
            100,
        );
        assert_eq!(curve_of.len(), 4);
        assert!((area(&curve_of) - 5.5 / 6.0).abs() < 1e-12);
        assert!(curve(&[0.1], &[true], 10).is_empty() && curve(&[], &[], 10).is_empty());
    }

    #[test]
    fn a_long_curve_keeps_its_shape_and_its_beginning() {
        let n = 50_000;
        let malicious: Vec<bool> = (0..n).map(|k| (k * 7919) % 10 < 3).collect();
        let score = |(k, malicious): (usize, &bool)| {
            (k * 7919 % 10_007) as f64 / 10_007.0 + if *malicious { 0.3 } else { 0.0 }
        };
        let scores: Vec<f64> = malicious.iter().enumerate().map(score).collect();
        let whole = curve(&scores, &malicious, usize::MAX);
        let thin = curve(&scores, &malicious, 200);
        assert!(
            whole.len() > 10_000 && thin.len() < 700,
            "{} {}",
            whole.len(),
            thin.len()
        );
        assert!((area(&whole) - area(&thin)).abs() < 0.01);
        assert!(
            thin.windows(2)
                .all(|p| p[0].0 <= p[1].0 && p[0].1 <= p[1].1)
        );
        let first = thin.iter().find(|(fpr, _)| *fpr > 0.0).unwrap();
        assert!(first.0 < 1e-3, "{first:?}");
        assert_eq!((thin[0], *thin.last().unwrap()), ((0.0, 0.0), (1.0, 1.0)));
    }
}
