//! What verdicts teach: the rows that a day's detectors are fitted on, with verdicts, and what that changes.
//!
//! The day's sample without the rows that say what was judged an attack, and with the judged false positives, each several times: once
//! among 65,536 rows is nothing. All copies together are [`SHARE`] of the sample, each request at most [`COPIES`] times, so that
//! one verdict does not bend a model, and a thousand do not drown a day. A copy's key is drawn from its request's hash, so that copies lie
//! among the others by chance: learners that take the rows with the smallest keys (k-means, DBSCAN, one-class SVM, autoencoder) see
//! the same share of them. What was measured of these numbers: `docs/api.md`.
//!
//! What changes is shown on the sample: the detectors are fitted once more without verdicts, and both score its rows and the judged
//! requests. Where nobody judged anything nothing is fitted twice, and the sample is what it was.

use std::borrow::Cow;
use std::collections::BTreeMap;

use gleaner_udfs::detector::Detector;
use gleaner_udfs::learner::LearnerError;
use gleaner_udfs::rng::mix;
use gleaner_udfs::sketch::sample::SampleState;

use super::DayRun;
use super::sql::{Value, fill};
use super::verdicts::{Judged, Verdicts};
use crate::engine::Written;
use crate::error::JobError;
use crate::warehouse::tables::FEEDBACK;

/// The share of the sample that copies of judged false positives make up at the most.
const SHARE: f64 = 0.05;
/// Copies of one request at the most.
const COPIES: usize = 64;
/// Judged requests whose ranks are shown at the most, the latest days' first.
const SHOWN: usize = 500;

/// How much judged false positives weigh.
#[derive(Debug, Clone, Copy)]
struct Weight {
    /// All copies together, as a share of the sample.
    share: f64,
    /// Copies of one request.
    copies: usize,
}

const WEIGHT: Weight = Weight {
    share: SHARE,
    copies: COPIES,
};

/// Rows to fit on.
pub(super) struct Taught<'a> {
    pub(super) keys: Cow<'a, [u64]>,
    pub(super) rows: Cow<'a, [f32]>,
}

/// The rows of the sample as verdicts leave and extend them; `keys` ascend, `rows` are row-major with `d` features.
pub(super) fn taught<'a>(
    keys: &'a [u64],
    rows: &'a [f32],
    d: usize,
    verdicts: &Verdicts,
) -> Taught<'a> {
    weighted(keys, rows, d, verdicts, WEIGHT)
}

fn weighted<'a>(
    keys: &'a [u64],
    rows: &'a [f32],
    d: usize,
    verdicts: &Verdicts,
    weight: Weight,
) -> Taught<'a> {
    let copies = copies(keys.len(), &verdicts.judged, weight);
    if copies.is_empty() && verdicts.attacks.is_empty() {
        return Taught {
            keys: Cow::Borrowed(keys),
            rows: Cow::Borrowed(rows),
        };
    }
    let sampled = keys.iter().copied().zip(rows.chunks_exact(d));
    let mut all: Vec<(u64, &[f32])> = sampled
        .filter(|(key, _)| !verdicts.attacks.contains(key))
        .collect();
    if all.len() < 2 {
        // A day of nothing but attacks has nothing else to learn from.
        all = keys.iter().copied().zip(rows.chunks_exact(d)).collect();
    }
    let fitting = copies.iter().filter(|(_, row)| row.len() == d);
    all.extend(fitting.map(|(key, row)| (*key, *row)));
    all.sort_by_key(|(key, _)| *key);
    Taught {
        keys: all.iter().map(|(key, _)| *key).collect(),
        rows: all.iter().flat_map(|(_, row)| *row).copied().collect(),
    }
}

/// Copies of judged false positives, with keys.
fn copies(sampled: usize, judged: &[Judged], weight: Weight) -> Vec<(u64, &[f32])> {
    if weight.copies == 0 {
        return vec![];
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rows of a sample, far below 2^53"
    )]
    let room = ((sampled as f64 * weight.share) as usize).max(1);
    let mut harmless: Vec<(u64, &Judged)> = judged
        .iter()
        .filter(|j| j.harmless() && !j.features.is_empty())
        .map(|j| (mix(seed(&j.hash)), j))
        .collect();
    // More than there is room for: some of them, whichever hashes say.
    harmless.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.hash.cmp(&b.1.hash)));
    harmless.truncate(room);
    let each = (room / harmless.len().max(1)).clamp(1, weight.copies) as u64;
    let copies = harmless.iter().flat_map(|(key, j)| {
        (0..each).map(|copy| (mix(key.wrapping_add(copy)), j.features.as_slice()))
    });
    copies.collect()
}

fn seed(hash: &str) -> u64 {
    let half = hash.get(16..).unwrap_or_default();
    u64::from_str_radix(half, 16).unwrap_or_default()
}

/// What verdicts changed of one detector.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    detector: &'static str,
    /// Rows of the sample that are within the quota with verdicts and were not without, the reverse, and how many
    /// that say what was judged harmless were and are.
    entered: u64,
    left: u64,
    harmless_without: u64,
    harmless_with: u64,
    judged: Vec<Ranked>,
}

#[derive(Debug, Clone, PartialEq)]
struct Ranked {
    hash: String,
    day: String,
    verdict: String,
    scores: [f32; 2],
    ranks: [u64; 2],
    sampled: u64,
    alerts: [bool; 2],
}

/// The changes, by detector: `without` and `with` verdicts, and the share of rows that each detector's quota takes.
///
/// # Errors
/// When a row is not as wide as the models.
pub(super) fn changes(
    sample: &SampleState,
    verdicts: &Verdicts,
    without: &[Detector],
    with: &[Detector],
    shares: &[f64],
) -> Result<Vec<Change>, LearnerError> {
    let (keys, rows) = sample.columns();
    let d = sample.dimension();
    let judged = verdicts.judged.iter().filter(|j| j.features.len() == d);
    let mut judged: Vec<&Judged> = judged.collect();
    judged.sort_by(|a, b| b.day.cmp(&a.day).then_with(|| a.hash.cmp(&b.hash)));
    judged.truncate(SHOWN);
    let told: Vec<f32> = judged.iter().flat_map(|j| &j.features).copied().collect();
    let mut changes = vec![];
    for ((before, after), share) in without.iter().zip(with).zip(shares) {
        let scores = |detector: &Detector, rows: &[f32]| {
            let mut out = vec![0.0; rows.len() / d.max(1)];
            detector.score(rows, d, &mut out).map(|()| out)
        };
        let sampled = [scores(before, &rows)?, scores(after, &rows)?];
        let borders = [&sampled[0], &sampled[1]].map(|all| Border::of(all, *share));
        let of_judged = [scores(before, &told)?, scores(after, &told)?];
        let alerts = |row: usize| [0, 1].map(|i| borders[i].reached(sampled[i][row]));
        let mut change = Change {
            detector: after.kind().name(),
            entered: 0,
            left: 0,
            harmless_without: 0,
            harmless_with: 0,
            judged: vec![],
        };
        for (row, key) in keys.iter().enumerate() {
            let [was, is] = alerts(row);
            change.entered += u64::from(is && !was);
            change.left += u64::from(was && !is);
            let harmless = verdicts.harmless.contains(key);
            change.harmless_without += u64::from(harmless && was);
            change.harmless_with += u64::from(harmless && is);
        }
        for (row, j) in judged.iter().enumerate() {
            let scores = [of_judged[0][row], of_judged[1][row]];
            change.judged.push(Ranked {
                hash: j.hash.clone(),
                day: j.day.to_string(),
                verdict: j.verdict.clone(),
                scores,
                ranks: [0, 1].map(|i| borders[i].rank(scores[i])),
                sampled: keys.len() as u64,
                alerts: [0, 1].map(|i| borders[i].reached(scores[i])),
            });
        }
        changes.push(change);
    }
    Ok(changes)
}

/// Scores of the sample, and from which on one is within the quota's share of it.
struct Border {
    descending: Vec<f32>,
    least: f32,
}

impl Border {
    fn of(scores: &[f32], share: f64) -> Self {
        let mut descending = scores.to_vec();
        descending.sort_by(|a, b| b.total_cmp(a));
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "rows of a sample, far below 2^53"
        )]
        let quota = (share * scores.len() as f64).ceil() as usize;
        let within = quota.checked_sub(1).and_then(|place| descending.get(place));
        let least = within.copied().unwrap_or(f32::INFINITY);
        Self { descending, least }
    }

    fn reached(&self, score: f32) -> bool {
        score >= self.least
    }

    /// 1 for what scores as high as the highest.
    fn rank(&self, score: f32) -> u64 {
        1 + self.descending.partition_point(|s| *s > score) as u64
    }
}

/// For the accounts: the ledger keeps them, and `runs`.
pub(super) fn counts(changes: &[Change]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for c in changes {
        for (what, n) in [
            ("entered", c.entered),
            ("left", c.left),
            ("false_positives_without", c.harmless_without),
            ("false_positives_with", c.harmless_with),
        ] {
            counts.insert(format!("{}_{what}", c.detector), n);
        }
    }
    counts
}

/// Writes the day's part of the table; without changes, a file without rows.
///
/// # Errors
/// When it cannot be written.
pub(super) async fn write(
    day: &DayRun<'_>,
    fingerprint: &str,
    changes: &[Change],
) -> Result<Vec<Written>, JobError> {
    let row = |detector: &str, r: &Ranked| {
        vec![
            Value::Text(detector.to_owned()),
            Value::Text(r.hash.clone()),
            Value::Text(r.day.clone()),
            Value::Text(r.verdict.clone()),
            Value::Float(r.scores[0]),
            Value::Float(r.scores[1]),
            Value::Int(r.ranks[0]),
            Value::Int(r.ranks[1]),
            Value::Int(r.sampled),
            Value::Bool(r.alerts[0]),
            Value::Bool(r.alerts[1]),
        ]
    };
    let mut rows: Vec<Vec<Value>> = changes
        .iter()
        .flat_map(|c| c.judged.iter().map(|r| row(c.detector, r)))
        .collect();
    if rows.is_empty() {
        let nothing = Ranked {
            hash: String::new(),
            day: day.day.to_string(),
            verdict: String::new(),
            scores: [0.0; 2],
            ranks: [0; 2],
            sampled: 0,
            alerts: [false; 2],
        };
        rows.push(row("", &nothing));
    }
    let values = [("day", Value::Date(day.day)), ("rows", Value::Rows(rows))];
    let sql = fill(include_str!("verdicts_feedback.sql"), &values);
    let task = day.table_task(&FEEDBACK, 0, fingerprint, sql, BTreeMap::new());
    day.engine.run_writes(vec![task], &|| ()).await
}

#[cfg(test)]
mod weights;

#[cfg(test)]
mod tests {
    use super::super::verdicts::tests::judged;
    use super::super::verdicts::{FALSE_POSITIVE, TRUE_POSITIVE};
    use super::*;

    fn verdicts(judged: Vec<Judged>, attacks: &[u64]) -> Verdicts {
        Verdicts {
            judged,
            attacks: attacks.iter().copied().collect(),
            ..Verdicts::default()
        }
    }

    fn with_features(hash: u64, verdict: &str, features: &[f32]) -> Judged {
        Judged {
            features: features.to_vec(),
            ..judged(&format!("{hash:032x}"), "ana", verdict, 1, 1)
        }
    }

    fn sample(n: u64) -> (Vec<u64>, Vec<f32>) {
        let keys: Vec<u64> = (0..n).map(|i| i * (u64::MAX / n)).collect();
        (keys, vec![0.0; usize::try_from(n).unwrap()])
    }

    #[test]
    fn without_verdicts_the_sample_is_what_it_was() {
        let (keys, rows) = sample(100);
        let same = taught(&keys, &rows, 1, &Verdicts::default());
        assert!(matches!(same.rows, Cow::Borrowed(_)));
        assert_eq!(
            (same.keys.as_ref(), same.rows.as_ref()),
            (&keys[..], &rows[..])
        );
    }

    #[test]
    fn false_positives_are_a_share_of_the_sample_in_every_part_of_it_and_attacks_none() {
        let (keys, rows) = sample(10_000);
        let all = (0..100).map(|i| with_features(i, FALSE_POSITIVE, &[1.0]));
        let all: Vec<_> = all
            .chain([with_features(1000, TRUE_POSITIVE, &[9.0])])
            .collect();
        let taught = taught(&keys, &rows, 1, &verdicts(all, &keys[..50]));
        let learned = |rows: &[f32]| rows.iter().filter(|x| (**x - 1.0).abs() < 1e-6).count();
        // A twentieth of 10,000 rows, five copies a request; 50 rows were attacks.
        assert_eq!(learned(&taught.rows), 500);
        assert_eq!(taught.rows.len(), 10_000 - 50 + 500);
        assert!(taught.keys.is_sorted());
        assert!(taught.rows.iter().all(|x| *x < 2.0));
        assert!((60..140).contains(&learned(&taught.rows[..2090])));
    }

    #[test]
    fn one_verdict_is_not_a_twentieth_of_a_day_and_a_thousand_are_no_more() {
        let (keys, rows) = sample(10_000);
        let one = vec![with_features(7, FALSE_POSITIVE, &[1.0])];
        let few = taught(&keys, &rows, 1, &verdicts(one, &[]));
        assert_eq!(few.rows.len(), 10_000 + COPIES);
        let many = (0..1000).map(|i| with_features(i, FALSE_POSITIVE, &[1.0]));
        let many = taught(&keys, &rows, 1, &verdicts(many.collect(), &[]));
        assert_eq!(many.rows.len(), 10_500);
    }

    #[test]
    fn ranks_and_borders_are_those_of_the_sample() {
        let border = Border::of(&[0.1, 0.9, 0.5, 0.5], 0.5);
        assert_eq!([0.9, 0.5, 0.3].map(|s| border.rank(s)), [1, 2, 4]);
        assert_eq!(
            [0.9, 0.5, 0.3].map(|s| border.reached(s)),
            [true, true, false]
        );
        assert!(!Border::of(&[0.1], 0.0).reached(1.0));
    }
}
