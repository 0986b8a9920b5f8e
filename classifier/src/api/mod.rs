//! How well detectors find attacks among API requests, by kind of telemetry.
//!
//! **Protocol.** Detectors learn what is ordinary: rows labelled benign, half of them. A fifth sets the threshold, at a
//! false-positive rate asked for; the rest, and every malicious row, are the test. Rows that say the same (all but time,
//! session and sizes) are on one side. Windows and sequences see all rows of a kind in the order of time, as they came.

pub mod days;
pub mod feedback;
pub mod paradigms;
mod prepare;
pub mod sources;

pub use prepare::prepare;

use gleaner_udfs::api::Categorical;
use gleaner_udfs::api::request::OwnedRequest;
use gleaner_udfs::detector::{self, FitParams, Kind};
use gleaner_udfs::learner::LearnerError;
use gleaner_udfs::metrics::{Confusion, auroc, average_precision, clopper_pearson};
use gleaner_udfs::scale::{Constant, Scale};
use gleaner_udfs::threshold::{self, Method, Threshold, ThresholdError};

/// What is known of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// Ordinary.
    Benign,
    /// An attack.
    Malicious,
    /// Not known: it is history for others, and no part of fit or test.
    Unknown,
}

/// A labelled request.
#[derive(Debug, Clone)]
pub struct Labelled {
    /// The sort of telemetry: rows of one sort are evaluated together.
    pub kind: String,
    /// Where it comes from.
    pub source: String,
    /// What is known of it.
    pub label: Label,
    /// The attack's sort.
    pub attack: Option<String>,
    /// The request.
    pub request: OwnedRequest,
}

/// Rows as features, with their part in the evaluation.
pub struct Prepared {
    /// Row-major.
    pub rows: Vec<f32>,
    /// How categorical values are encoded: it tells the width of a row.
    pub categorical: Categorical,
    /// The part of each row.
    pub parts: Vec<Part>,
    /// The place of each row in the input.
    pub order: Vec<usize>,
    /// The attack of each row, `-` where none is named.
    pub attacks: Vec<String>,
    /// A hash of what each row says: rows that say the same share it.
    pub contents: Vec<u64>,
    /// When each was made, in microseconds of Unix time; `None` where that is not known.
    pub micros: Vec<Option<i64>>,
    /// What the reader of the result should know of how it was made.
    pub remark: Option<String>,
}

impl Prepared {
    /// Rows of the test.
    #[must_use]
    pub fn tested(&self) -> usize {
        self.of(Part::TestBenign).count() + self.of(Part::TestMalicious).count()
    }

    /// The features of a row.
    #[must_use]
    pub fn row(&self, row: usize) -> &[f32] {
        &self.rows[row * self.width()..(row + 1) * self.width()]
    }

    /// What detectors of these rows are fitted with: [`fit_params`], and how their categorical values are encoded.
    #[must_use]
    pub fn fit_params(&self, scale: Scale) -> FitParams {
        FitParams {
            categorical: self.categorical,
            ..fit_params(scale)
        }
    }

    /// Features of a row.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.categorical.width()
    }

    /// The features of the rows of a part, row-major.
    #[must_use]
    pub fn rows_of(&self, part: Part) -> Vec<f32> {
        self.of(part)
            .flat_map(|row| self.row(row))
            .copied()
            .collect()
    }

    /// The places of the rows of a part.
    pub fn of(&self, part: Part) -> impl Iterator<Item = usize> + '_ {
        self.parts
            .iter()
            .enumerate()
            .filter(move |(_, p)| **p == part)
            .map(|(row, _)| row)
    }
}

/// A row's part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Detectors are fitted on it.
    Fit,
    /// The threshold is set by it.
    Validation,
    /// Benign, scored.
    TestBenign,
    /// Malicious, scored.
    TestMalicious,
    /// Neither.
    History,
}

/// How one detector did.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Its name.
    pub detector: &'static str,
    /// Area under the ROC curve; `None` without both classes.
    pub auroc: Option<f64>,
    /// Average precision.
    pub average_precision: Option<f64>,
    /// The score above which a row is an alert; `None` where the validation rows cannot tell.
    pub threshold: Result<Threshold, ThresholdError>,
    /// Alerts and misses among the test rows.
    pub confusion: Option<Confusion>,
    /// Scores, in the order of [`Prepared`].
    pub scores: Vec<f32>,
}

impl Outcome {
    /// Whether a score is an alert.
    #[must_use]
    pub fn alert(&self, score: f32) -> bool {
        self.threshold.as_ref().is_ok_and(|t| score > t.threshold)
    }
}

/// What detectors of ordinary requests alone are fitted with: what never varies among them is looked at, and the isolation forest scores a row as
/// if it had been among them (docs/detectors.md has what either changes).
#[must_use]
pub fn fit_params(scale: Scale) -> FitParams {
    let mut params = FitParams::default();
    params.scaler.scale = scale;
    params.scaler.constant = Constant::Unit;
    params.iforest.insertion = true;
    params
}

/// Fits each detector on prepared rows, and tests it. One that cannot be fitted (there are too few rows) is named with the reason.
pub fn evaluate(
    prepared: &Prepared,
    method: Method,
    scale: Scale,
) -> impl Iterator<Item = (&'static str, Result<Outcome, LearnerError>)> {
    let d = prepared.width();
    let fit = prepared.rows_of(Part::Fit);
    let keys: Vec<u64> = (0..(fit.len() / d) as u64).collect();
    let params = prepared.fit_params(scale);
    Kind::EVERY.into_iter().map(move |kind| {
        let tested = || {
            let mut scores = vec![0.0; prepared.parts.len()];
            for detector in detector::fit_kinds(&[kind], &keys, &fit, d, &params)? {
                detector.score(&prepared.rows, d, &mut scores)?;
            }
            Ok(outcome(kind.name(), prepared, scores, method))
        };
        (kind.name(), tested())
    })
}

/// What scores of all rows (in the order of [`Prepared`]) are worth: the threshold from the validation rows, the rest from the test.
#[must_use]
pub fn outcome(
    detector: &'static str,
    prepared: &Prepared,
    scores: Vec<f32>,
    method: Method,
) -> Outcome {
    let of = |part: Part| -> Vec<f32> { prepared.of(part).map(|row| scores[row]).collect() };
    let validation = of(Part::Validation);
    let threshold = limit(&validation, method);
    let (benign, malicious) = (of(Part::TestBenign), of(Part::TestMalicious));
    let all: Vec<f32> = benign.iter().chain(&malicious).copied().collect();
    let bad: Vec<bool> = benign
        .iter()
        .map(|_| false)
        .chain(malicious.iter().map(|_| true))
        .collect();
    Outcome {
        detector,
        auroc: auroc(&all, &bad),
        average_precision: average_precision(&all, &bad),
        confusion: threshold
            .as_ref()
            .ok()
            .and_then(|t| Confusion::at(&all, &bad, t.threshold)),
        threshold,
        scores,
    }
}

/// The threshold from the scores of ordinary rows, or the nearest to it that so few rows can tell.
fn limit(validation: &[f32], method: Method) -> Result<Threshold, ThresholdError> {
    let ordinary = vec![false; validation.len()];
    let choose = |method| threshold::choose(validation, Some(&ordinary), method);
    match (choose(method), method) {
        // Too few rows for the rate: the least rate that they tell, which the threshold itself then says.
        (
            Err(ThresholdError::Unresolved {
                rows, tail: false, ..
            }),
            Method::FalsePositiveRate(_),
        ) if rows > 1 => choose(Method::FalsePositiveRate(1.0 / rows as f64)),
        // A tail of few rows starts lower.
        (Err(ThresholdError::ShortTail { .. }), Method::Tail { rate, .. }) => {
            choose(Method::Tail {
                rate,
                start: (60.0 / validation.len().max(1) as f64).min(0.5),
            })
        }
        (threshold, _) => threshold,
    }
    .or_else(|why| match why {
        ThresholdError::Unresolved { .. } | ThresholdError::ShortTail { .. } => {
            highest(validation, method).ok_or(why)
        }
        _ => Err(why),
    })
}

/// The highest score of rows that are too few for what was asked: none of them is an alert, which is the nearest that they can tell, and
/// the interval of the rate says how near that is. `None` without rows.
fn highest(validation: &[f32], method: Method) -> Option<Threshold> {
    let rows = validation.len() as u64;
    let interval = clopper_pearson(0, rows, 0.95);
    Some(Threshold {
        threshold: validation.iter().copied().reduce(f32::max)?,
        method,
        rows,
        above: 0,
        rate: 0.0,
        interval: [interval.low, interval.high],
        extrapolated: false,
        tail: None,
    })
}

#[cfg(test)]
mod peers;
#[cfg(test)]
mod tests;
