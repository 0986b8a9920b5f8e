//! Thresholds of a day's detectors, where `--threshold` asks for one that scores set.
//!
//! **Validation rows.** Half of the sample (by a bit of a hash of the key, so by content alone) is kept from the fit, and its scores
//! set the threshold. Detectors see at most 16,384 rows but for scaler, PCA and the isolation forest's draws, so that the half costs the fit
//! little, and the interval of a rate narrows with every row of validation.
//!
//! **What a rate is of.** Nobody has labelled a day's requests: the rows are all rows, attacks among them. A rate of 0.001 is so at most the rate
//! of false alarms; where attacks are more than that, the highest of them alone are chosen.
//!
//! **What is expected of a day** is the rate of validation rows times the rows that no detector was fitted on, and those of the fitted rows that
//! reach the threshold, which are known: a detector scores what it was fitted on lower (a one-class SVM by a quarter fewer anomalies on a day that
//! is no larger than its sample), so that the rate alone would promise too many.
//!
//! **Earlier models** (`--models reuse`) bring their threshold along, where it was set in the same way: a day of many attacks then has more
//! alerts than were expected, which is what one wants to see, and the quota is what ends them.
//!
//! **A sample that is too small** for what is asked (see `gleaner_udfs::threshold`) sets no threshold: that detector chooses by its quota, and
//! the run says so. A row is an anomaly when its score is *at or above* [`Promise::threshold`].

use chrono::NaiveDate;
use gleaner_udfs::detector::{Detector, Kind};
use gleaner_udfs::learner::LearnerError;
use gleaner_udfs::rng::mix;
use gleaner_udfs::threshold::{Method, choose};
use serde::{Deserialize, Serialize};

use super::{Progress, StageRecord};
use crate::error::JobError;
use crate::options::ThresholdBy;

/// Rows of a sample below which it is not divided.
const LEAST: usize = 200;

/// A sample in the order of its keys, divided into what detectors are fitted on and what sets their thresholds.
pub(super) struct Parts {
    /// The keys of `fit`.
    pub(super) keys: Vec<u64>,
    /// Row-major.
    pub(super) fit: Vec<f32>,
    /// Row-major; empty where scores set no threshold.
    pub(super) validation: Vec<f32>,
}

/// Divides a sample: `keys`, and rows of `d` features.
pub(super) fn divide(keys: Vec<u64>, rows: Vec<f32>, d: usize, by: ThresholdBy) -> Parts {
    if by == ThresholdBy::Quota || keys.len() < LEAST {
        return Parts {
            keys,
            fit: rows,
            validation: vec![],
        };
    }
    let mut parts = Parts {
        keys: vec![],
        fit: vec![],
        validation: vec![],
    };
    for (key, row) in keys.iter().zip(rows.chunks_exact(d)) {
        if mix(*key) & 1 == 0 {
            parts.keys.push(*key);
            parts.fit.extend_from_slice(row);
        } else {
            parts.validation.extend_from_slice(row);
        }
    }
    parts
}

/// A threshold, where it comes from, and what it promises: kept with its detector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Promise {
    /// As on the command line: `rate:0.001`.
    pub method: String,
    /// A row is an anomaly whose score is this or above it.
    pub threshold: f32,
    /// The day whose rows set it.
    pub set_on: NaiveDate,
    /// So many rows.
    pub rows: u64,
    /// So many of them are anomalies.
    pub reached: u64,
    /// Rows of the day that the detector was fitted on; 0 where that was another day.
    pub fitted: u64,
    /// So many of those are anomalies.
    pub fitted_reached: u64,
    /// The share of rows that is expected to be.
    pub rate: f64,
    /// The 95% interval of that share.
    pub interval: [f64; 2],
    /// Whether the share is less than one of the rows, and so the tail's word alone.
    pub extrapolated: bool,
    /// The tail, where it is by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<TailFit>,
}

/// How well the highest scores follow the distribution that a threshold was extrapolated by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TailFit {
    /// Scores of the tail.
    pub excesses: u64,
    /// Kolmogorov and Smirnov's distance of them from the distribution.
    pub distance: f64,
}

impl TailFit {
    /// Whether they follow it, by the test's 5% level. Where they do not, no interval holds: scores of traffic with attacks in it are of two sorts,
    /// and end where the attacks do.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "row counts stay below 2^53")]
    pub fn follows(&self) -> bool {
        self.distance <= 1.36 / (self.excesses.max(1) as f64).sqrt()
    }
}

impl Promise {
    /// On a day that has no row that the detector was fitted on.
    pub(super) fn of_another_day(self) -> Self {
        Self {
            fitted: 0,
            fitted_reached: 0,
            ..self
        }
    }
}

/// A detector's threshold, where scores are to set it; `Err` says why they set none.
pub(super) type Set = Option<Result<Promise, String>>;

/// Sets a detector's threshold by validation rows; `fit` are the rows of the day that it was fitted on. Both of `d` features.
///
/// # Errors
/// When the detector is of other features.
pub(super) fn set(
    detector: &Detector,
    validation: &[f32],
    fit: &[f32],
    d: usize,
    by: ThresholdBy,
    day: NaiveDate,
) -> Result<Set, JobError> {
    let Some(method) = by.method() else {
        return Ok(None);
    };
    let scores = |rows: &[f32]| {
        let mut scores = vec![0.0; rows.len() / d.max(1)];
        let done = detector.score(rows, d, &mut scores);
        done.map(|()| scores)
    };
    let failed = |e: LearnerError| JobError::Model(e.to_string());
    let (validation, fit) = (
        scores(validation).map_err(failed)?,
        scores(fit).map_err(failed)?,
    );
    Ok(Some(of_scores(&validation, &fit, method, by, day)))
}

fn of_scores(
    scores: &[f32],
    fit: &[f32],
    method: Method,
    by: ThresholdBy,
    day: NaiveDate,
) -> Result<Promise, String> {
    let chosen = choose(scores, None, method).map_err(|e| e.to_string())?;
    let reached = |score: &&f32| **score > chosen.threshold;
    Ok(Promise {
        fitted: fit.len() as u64,
        fitted_reached: fit.iter().filter(reached).count() as u64,
        method: by.to_string(),
        // What is above the one is at or above the next number.
        threshold: chosen.threshold.next_up(),
        set_on: day,
        rows: chosen.rows,
        reached: chosen.above,
        rate: chosen.rate,
        interval: chosen.interval,
        extrapolated: chosen.extrapolated,
        tail: chosen.tail.map(|tail| TailFit {
            excesses: tail.excesses,
            distance: tail.distance,
        }),
    })
}

/// The thresholds that were set; why another one was not is told.
pub(super) fn promises(
    progress: &dyn Progress,
    kinds: &[Kind],
    sets: Vec<Set>,
) -> Vec<Option<Promise>> {
    let of = |(kind, set): (&Kind, Set)| match set? {
        Ok(promise) => Some(promise),
        Err(why) => {
            let kind = kind.name();
            progress.remark(&format!("{kind} has no {why}; it chooses by its quota"));
            None
        }
    };
    kinds.iter().zip(sets).map(of).collect()
}

/// What is kept of a detector's parameters in the table `models`.
#[derive(Serialize, Deserialize)]
struct Kept {
    fit: String,
    threshold: Promise,
}

/// The text of a detector's `params`: how it was fitted, and its threshold where it has one.
pub(super) fn params(fit: &str, promise: Option<&Promise>) -> String {
    match promise {
        None => fit.to_owned(),
        Some(promise) => serde_json::json!({ "fit": fit, "threshold": promise }).to_string(),
    }
}

/// The two parts of that text.
#[must_use]
pub fn of_params(text: &str) -> (String, Option<Promise>) {
    match serde_json::from_str::<Kept>(text) {
        Ok(kept) => (kept.fit, Some(kept.threshold)),
        Err(_) => (text.to_owned(), None),
    }
}

/// The name of a detector's threshold among the notes of the stage `models`.
pub(super) fn note(kind: Kind) -> String {
    format!("{}_threshold", kind.name())
}

/// A detector's threshold, where the stage `models` has set one.
pub(super) fn promised(models: &StageRecord, kind: Kind) -> Option<Promise> {
    serde_json::from_str(models.notes.get(&note(kind))?).ok()
}

/// Something of this file as it is kept in notes.
///
/// # Errors
/// When it cannot be written, which is a fault of the program.
pub(super) fn json(value: &impl Serialize) -> Result<String, JobError> {
    serde_json::to_string(value).map_err(|e| JobError::Internal(e.to_string()))
}

/// What came of a threshold on a day: kept in the notes of the stage `anomalies` and in `runs.counts`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// What was promised.
    #[serde(flatten)]
    pub promise: Promise,
    /// Anomalies expected of a day of so many rows.
    pub expected: f64,
    /// The 95% interval.
    pub expected_interval: [f64; 2],
    /// Anomalies of the detector.
    pub anomalies: u64,
    /// Rows at or above the threshold, at least: more than `anomalies` where the quota cut.
    pub at_least: u64,
}

impl Outcome {
    /// Of a day of `rows` rows.
    #[expect(clippy::cast_precision_loss, reason = "row counts stay below 2^53")]
    pub(super) fn of(promise: Promise, rows: u64, anomalies: u64, at_least: u64) -> Self {
        let known = promise.fitted_reached as f64;
        let others = rows.saturating_sub(promise.fitted) as f64;
        Self {
            expected: known + promise.rate * others,
            expected_interval: promise.interval.map(|rate| known + rate * others),
            promise,
            anomalies,
            at_least,
        }
    }

    /// Whether the quota left rows out that reach the threshold.
    #[must_use]
    pub const fn cut(&self) -> bool {
        self.at_least > self.anomalies
    }

    /// One line for people.
    #[must_use]
    pub fn shown(&self, detector: &str) -> String {
        let (promise, [low, high]) = (&self.promise, self.expected_interval);
        let cut = if self.cut() {
            format!(
                " of {} or more that reach it: the quota is the upper bound",
                self.at_least
            )
        } else {
            String::new()
        };
        let extrapolated = if promise.extrapolated {
            ", extrapolated"
        } else {
            ""
        };
        let misfit = match &promise.tail {
            Some(tail) if !tail.follows() => {
                ", from a tail that its scores do not follow: expect other numbers"
            }
            _ => "",
        };
        format!(
            "{detector:<11} {} anomalies{cut}; {:.1} expected ({low:.1} to {high:.1}) at or above {}, set by {} of {} rows of {}{extrapolated}{misfit}",
            self.anomalies,
            self.expected,
            promise.threshold,
            promise.method,
            promise.rows,
            promise.set_on,
        )
    }
}

/// What came of each detector's threshold, where a record of the stage `anomalies` tells.
#[must_use]
pub fn outcomes(record: &StageRecord) -> Vec<(&'static str, Outcome)> {
    let of = |kind: Kind| {
        let text = record.notes.get(kind.name())?;
        Some((kind.name(), serde_json::from_str(text).ok()?))
    };
    Kind::EVERY.into_iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day() -> NaiveDate {
        NaiveDate::from_ymd_opt(2025, 1, 1).unwrap()
    }

    #[test]
    fn no_row_is_both_fitted_on_and_validated_with() {
        let keys: Vec<u64> = (0..5000).map(|i| mix(i + 1)).collect();
        #[expect(clippy::cast_precision_loss, reason = "small test numbers")]
        let rows: Vec<f32> = (0..5000).flat_map(|i| [i as f32, -1.0]).collect();
        let rate = "rate:0.01".parse().unwrap();
        let parts = divide(keys.clone(), rows.clone(), 2, rate);
        assert_eq!(parts.fit.len(), parts.keys.len() * 2);
        assert_eq!(parts.fit.len() + parts.validation.len(), rows.len());
        assert!(
            (4500..5500).contains(&parts.validation.len()),
            "{}",
            parts.validation.len()
        );
        let fitted: std::collections::BTreeSet<u32> =
            parts.fit.chunks(2).map(|row| row[0].to_bits()).collect();
        assert!(
            parts
                .validation
                .chunks(2)
                .all(|row| !fitted.contains(&row[0].to_bits()))
        );
        // By quota, or of few rows, all are fitted on.
        let whole = divide(keys.clone(), rows.clone(), 2, ThresholdBy::Quota);
        assert_eq!((whole.fit.len(), whole.validation.len()), (rows.len(), 0));
        let few = divide(keys[..150].to_vec(), rows[..300].to_vec(), 2, rate);
        assert_eq!(few.validation.len(), 0);
    }

    #[test]
    fn as_many_rows_reach_a_threshold_as_it_says_and_ties_stay_together() {
        #[expect(clippy::cast_precision_loss, reason = "small test numbers")]
        let scores: Vec<f32> = (0..1000).map(|i| (i / 3) as f32).collect();
        let by: ThresholdBy = "rate:0.01".parse().unwrap();
        let promise = of_scores(&scores, &scores[980..], by.method().unwrap(), by, day()).unwrap();
        let reached = scores.iter().filter(|score| **score >= promise.threshold);
        assert_eq!(reached.count() as u64, promise.reached);
        assert_eq!((promise.rows, promise.reached), (1000, 10));
        assert_eq!((promise.fitted, promise.fitted_reached), (20, 10));
        let text = params("how", Some(&promise));
        assert_eq!(of_params(&text), ("how".to_owned(), Some(promise.clone())));
        assert_eq!(of_params("how"), ("how".to_owned(), None));
        let outcome = Outcome::of(promise, 50_000, 400, 600);
        assert!(
            (outcome.expected - 509.8).abs() < 1e-9 && outcome.cut(),
            "{outcome:?}"
        );
        assert!(outcome.expected_interval[0] < 500.0 && outcome.expected_interval[1] > 500.0);
        let shown = outcome.shown("pca");
        assert!(shown.contains("400 anomalies of 600 or more"), "{shown}");
        // A tail of two values is none that the distribution has.
        let tail = TailFit {
            excesses: 100,
            distance: 0.2,
        };
        assert!(!tail.follows());
        let outcome = Outcome {
            promise: Promise {
                tail: Some(tail),
                ..outcome.promise
            },
            ..outcome
        };
        assert!(outcome.shown("pca").contains("do not follow"));
        let error = of_scores(&scores[..50], &[], by.method().unwrap(), by, day()).unwrap_err();
        assert!(error.contains("give at least 100"), "{error}");
    }
}
