//! The choice of a threshold, and what it promises.

use super::pareto::Pareto;
use crate::metrics::{Interval, clopper_pearson};

/// Excesses that a tail is fitted to, at least.
const MIN_EXCESSES: usize = 50;
/// The chance that an interval misses.
const MISSED: f64 = 0.05;
/// Half the quantile of chi-squared, of one degree of freedom, that 5% lie above.
const CRITICAL: f64 = 1.920_729_4;
/// The least part of a row of the sample that a tail is extrapolated to.
const FARTHEST: f64 = 0.01;

/// How a threshold is chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Method {
    /// A quantile of all scores, above 0 and below 1: 0.999 leaves one row in a thousand above.
    Quantile(f64),
    /// The share of ordinary rows that may be alerts, above 0 and below 1.
    FalsePositiveRate(f64),
    /// The same share, by the tail of the ordinary rows' scores, also where the sample has no row left.
    Tail {
        /// The share of ordinary rows that may be alerts, above 0 and below `start`.
        rate: f64,
        /// The share of ordinary rows whose scores are the tail, above 0 and at most 0.5; 0.05 is usual.
        start: f64,
    },
}

impl Method {
    /// As in reports: `quantile`, `false_positive_rate`, `tail`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Quantile(_) => "quantile",
            Self::FalsePositiveRate(_) => "false_positive_rate",
            Self::Tail { .. } => "tail",
        }
    }
}

/// The fitted tail.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tail {
    /// The score that it starts at.
    pub start: f32,
    /// Rows above it.
    pub excesses: u64,
    /// What their excesses follow.
    pub pareto: Pareto,
    /// Kolmogorov and Smirnov's distance of the excesses from it. Above `1.36 / √excesses` or so they do not follow it.
    pub distance: f64,
    /// The interval of the threshold.
    pub threshold: [f32; 2],
}

/// A threshold, and what it promises.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// A row whose score is above it is an alert.
    pub threshold: f32,
    /// How it was chosen.
    pub method: Method,
    /// Rows of the sample that it was chosen on.
    pub rows: u64,
    /// Those of them above it.
    pub above: u64,
    /// The share of rows that is expected above it: counted, or the tail's.
    pub rate: f64,
    /// The interval of that share.
    pub interval: [f64; 2],
    /// Whether it lies where the sample has less than one row: then the tail says so, and no row does.
    pub extrapolated: bool,
    /// The tail, where it was chosen by one.
    pub tail: Option<Tail>,
}

/// Alerts that a threshold makes of ordinary rows in a day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Alerts {
    /// Expected.
    pub expected: f64,
    /// In the interval of the rate.
    pub interval: [f64; 2],
}

impl Threshold {
    /// The alerts to expect of so many rows a day, all of them ordinary.
    #[must_use]
    pub fn alerts(&self, rows_a_day: f64) -> Alerts {
        Alerts {
            expected: self.rate * rows_a_day,
            interval: self.interval.map(|rate| rate * rows_a_day),
        }
    }
}

/// Why no threshold was chosen.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum ThresholdError {
    /// A share that is none.
    #[error("threshold: {what} must be {expected}, got {got}")]
    Share {
        /// Which.
        what: &'static str,
        /// The accepted range, in words.
        expected: &'static str,
        /// What was given.
        got: f64,
    },
    /// Scores and labels do not fit, or a score is NaN.
    #[error("threshold: {0}")]
    Scores(&'static str),
    /// The sample is too small for the rate.
    #[error(
        "threshold: {rows} rows cannot resolve a rate of {rate}: give at least {wanted}, or a greater rate{}",
        if *.tail { "" } else { ", or extrapolate by the tail" }
    )]
    Unresolved {
        /// Rows there are.
        rows: u64,
        /// The rate that was asked for.
        rate: f64,
        /// Rows that it would take.
        wanted: u64,
        /// Whether the tail was tried.
        tail: bool,
    },
    /// Too few rows are above the tail's start.
    #[error(
        "threshold: {got} scores are above the tail's start, expected at least {MIN_EXCESSES}: give more rows, or start the tail lower"
    )]
    ShortTail {
        /// Rows above the start.
        got: u64,
    },
}

/// Chooses a threshold from the scores of validation data. `outlier`, where given (one entry a score), marks rows that are known to be
/// no ordinary ones: a quantile is of all rows, the other methods are of the others.
///
/// # Errors
/// [`ThresholdError`]: the sample is refused where it cannot tell what is asked for.
pub fn choose(
    scores: &[f32],
    outlier: Option<&[bool]>,
    method: Method,
) -> Result<Threshold, ThresholdError> {
    if outlier.is_some_and(|outlier| outlier.len() != scores.len()) {
        return Err(ThresholdError::Scores("labels must be as many as scores"));
    }
    if !scores.iter().all(|score| score.is_finite()) {
        return Err(ThresholdError::Scores("a score is not finite"));
    }
    let marked = |row: usize| outlier.is_some_and(|outlier| outlier[row]);
    let all = matches!(method, Method::Quantile(_));
    let mut sorted: Vec<f32> = scores
        .iter()
        .enumerate()
        .filter(|(row, _)| all || !marked(*row))
        .map(|(_, score)| *score)
        .collect();
    sorted.sort_unstable_by(f32::total_cmp);
    let share = |what, share: f64| {
        if share > 0.0 && share < 1.0 {
            Ok(share)
        } else {
            Err(ThresholdError::Share {
                what,
                expected: "above 0 and below 1",
                got: share,
            })
        }
    };
    match method {
        Method::Quantile(quantile) => counted(&sorted, 1.0 - share("quantile", quantile)?, method),
        Method::FalsePositiveRate(rate) => {
            counted(&sorted, share("false-positive rate", rate)?, method)
        }
        Method::Tail { rate, start } => {
            if !(start > 0.0 && start <= 0.5) {
                return Err(ThresholdError::Share {
                    what: "tail's start",
                    expected: "above 0 and at most 0.5",
                    got: start,
                });
            }
            if share("rate", rate)? >= start {
                return Err(ThresholdError::Share {
                    what: "rate",
                    expected: "below the tail's start: a quantile will do",
                    got: rate,
                });
            }
            tail(&sorted, rate, start, method)
        }
    }
}

/// The least score that at most a share of the rows is above of; `None` where that share is less than a row.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "row counts stay below 2^53"
)]
fn border(ascending: &[f32], rate: f64) -> Option<f32> {
    // A little more, so that 0.01 of 100 rows is one.
    let allowed = (rate * ascending.len() as f64 * (1.0 + 1e-12) + 1e-9).floor() as usize;
    let place = ascending.len().checked_sub(allowed + 1)?;
    (allowed > 0).then(|| ascending[place])
}

fn above(ascending: &[f32], threshold: f32) -> usize {
    ascending.len() - ascending.partition_point(|score| *score <= threshold)
}

fn interval(above: usize, rows: usize) -> [f64; 2] {
    let Interval { low, high } = clopper_pearson(above as u64, rows as u64, 1.0 - MISSED);
    [low, high]
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "row counts stay below 2^53"
)]
fn unresolved(rows: usize, rate: f64, part: f64, tail: bool) -> ThresholdError {
    ThresholdError::Unresolved {
        rows: rows as u64,
        rate,
        wanted: (part / rate).ceil() as u64,
        tail,
    }
}

#[expect(clippy::cast_precision_loss, reason = "row counts stay below 2^53")]
fn counted(ascending: &[f32], rate: f64, method: Method) -> Result<Threshold, ThresholdError> {
    let rows = ascending.len();
    let threshold = border(ascending, rate).ok_or_else(|| unresolved(rows, rate, 1.0, false))?;
    let above = above(ascending, threshold);
    Ok(Threshold {
        threshold,
        method,
        rows: rows as u64,
        above: above as u64,
        rate: above as f64 / rows as f64,
        interval: interval(above, rows),
        extrapolated: false,
        tail: None,
    })
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "row counts stay below 2^53; a threshold is an f32 as scores are"
)]
fn tail(
    ascending: &[f32],
    rate: f64,
    share: f64,
    method: Method,
) -> Result<Threshold, ThresholdError> {
    let rows = ascending.len();
    let short = |got: usize| ThresholdError::ShortTail { got: got as u64 };
    let start = border(ascending, share).ok_or_else(|| short(0))?;
    let excesses: Vec<f64> = ascending
        .iter()
        .filter(|score| **score > start)
        .map(|score| f64::from(*score) - f64::from(start))
        .collect();
    if excesses.len() < MIN_EXCESSES {
        return Err(short(excesses.len()));
    }
    if rate * (rows as f64) < FARTHEST {
        return Err(unresolved(rows, rate, FARTHEST, true));
    }
    let beyond = excesses.len() as f64 / rows as f64;
    if rate >= beyond {
        return Err(ThresholdError::Share {
            what: "rate",
            expected: "below the share of scores above the tail's start (many are equal): a quantile will do",
            got: rate,
        });
    }
    let pareto = Pareto::fit(&excesses).ok_or_else(|| short(excesses.len()))?;
    let threshold = (f64::from(start) + pareto.quantile(rate / beyond)) as f32;
    let over = f64::from(threshold) - f64::from(start);
    let chance = rate / beyond;
    let first = f64::from(start);
    let excess_of = pareto.quantile_interval(&excesses, chance, CRITICAL);
    let chance_of = pareto.survival_interval(&excesses, over, CRITICAL);
    Ok(Threshold {
        threshold,
        method,
        rows: rows as u64,
        above: above(ascending, threshold) as u64,
        rate,
        interval: chance_of.map(|chance| chance * beyond),
        extrapolated: rate * (rows as f64) < 1.0,
        tail: Some(Tail {
            start,
            excesses: excesses.len() as u64,
            pareto,
            distance: pareto.distance(&excesses),
            threshold: excess_of.map(|excess| (first + excess) as f32),
        }),
    })
}
