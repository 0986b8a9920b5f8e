//! What a detector did day by day: a model that is right on the whole may be wrong on some days, and a day is what an analyst sees.

use gleaner_udfs::metrics::{Confusion, auroc, average_precision};

use super::{Outcome, Part, Prepared};

const MICROS_A_DAY: i64 = 86_400_000_000;

/// The test rows of one day (UTC) under one detector.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Day {
    /// Days since 1970-01-01; `None`: the rows of which the time is not known.
    pub day: Option<i64>,
    /// Ordinary test rows.
    pub benign: usize,
    /// Attacks.
    pub malicious: usize,
    /// Alerts and misses; `None` where there is no threshold.
    pub confusion: Option<Confusion>,
    /// Area under the day's ROC curve; `None` on a day of one class.
    pub auroc: Option<f64>,
    /// Average precision, likewise.
    pub average_precision: Option<f64>,
}

/// A line a day that has test rows, in the order of time, rows without a time last. Threshold and scores are those of the whole
/// evaluation: a day does not set its own.
#[must_use]
pub fn by_day(prepared: &Prepared, outcome: &Outcome) -> Vec<Day> {
    let tested =
        |row: &usize| matches!(prepared.parts[*row], Part::TestBenign | Part::TestMalicious);
    let mut rows: Vec<(Option<i64>, usize)> = (0..prepared.parts.len())
        .filter(tested)
        .map(|row| {
            let day = prepared.micros[row].map(|m| m.div_euclid(MICROS_A_DAY));
            (day, row)
        })
        .collect();
    rows.sort_by_key(|&(day, row)| (day.is_none(), day, row));
    let days = rows.chunk_by(|a, b| a.0 == b.0).map(|rows| {
        let scores: Vec<f32> = rows.iter().map(|(_, row)| outcome.scores[*row]).collect();
        let bad: Vec<bool> = rows
            .iter()
            .map(|(_, row)| prepared.parts[*row] == Part::TestMalicious)
            .collect();
        let malicious = bad.iter().filter(|bad| **bad).count();
        let both = malicious > 0 && malicious < bad.len();
        let threshold = outcome.threshold.as_ref().ok();
        Day {
            day: rows[0].0,
            benign: bad.len() - malicious,
            malicious,
            confusion: threshold.and_then(|t| Confusion::at(&scores, &bad, t.threshold)),
            auroc: auroc(&scores, &bad),
            average_precision: both.then(|| average_precision(&scores, &bad)).flatten(),
        }
    });
    days.collect()
}
