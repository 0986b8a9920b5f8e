//! Three ways to find attacks among requests, compared: without labels, with many, with few.
//!
//! **Protocol.** Each attack type in turn is the *novel* one: no model sees a row of it. Of the other types half of the rows (by
//! content) are labels, the rest are the *known* attacks of the test. Thresholds come from the validation rows as always, so
//! that all are compared at one rate of false alarms. What a model costs is measured: labels, seconds of the fit,
//! microseconds a row.

use std::collections::BTreeSet;
use std::time::Instant;

use gleaner_udfs::api::request::{pair_hash, text_hash};
use gleaner_udfs::detector::{self, Kind};
use gleaner_udfs::metrics::auroc;
use gleaner_udfs::rng::mix;
use gleaner_udfs::scale::Scale;
use gleaner_udfs::threshold::Method;

use super::{Part, Prepared, outcome};
use crate::ClassifierError;
use crate::dense::{Dense, ForestParams, Labels, RandomForest, Svm, SvmParams, Tuned, TunedParams};

/// Rows of an attack type that is held out, at least.
const MIN_ROWS: usize = 20;
/// Rows a fit is given, at most: a forest of ten thousand requests knows what there is to know.
const MAX_LABELS: usize = 8_192;

/// How one model did with one attack type held out.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// `unsupervised`, `supervised`, `semi_supervised`.
    pub paradigm: &'static str,
    /// The model.
    pub model: &'static str,
    /// The attack type that it never saw.
    pub novel: String,
    /// Labels that it used.
    pub labels: usize,
    /// AUROC of the attacks of known types; `None` where there are none.
    pub auroc_known: Option<f64>,
    /// AUROC of the novel ones.
    pub auroc_novel: Option<f64>,
    /// Their share above the threshold.
    pub recall_known: Option<f64>,
    /// The novel ones'.
    pub recall_novel: Option<f64>,
    /// Ordinary test rows above it.
    pub false_positive_rate: Option<f64>,
    /// Seconds of the fit.
    pub fit_secs: f64,
    /// Microseconds to score a row, a thousand at a time.
    pub micros_a_row: f64,
    /// What an alert can be explained by.
    pub explained_by: &'static str,
}

/// All trials. `few` labels, half of them attacks, are what the semi-supervised model gets.
///
/// # Errors
/// When there are fewer than two attack types of 20 rows, or too few ordinary rows to fit on.
pub fn compare(
    prepared: &Prepared,
    method: Method,
    few: usize,
    seed: u64,
) -> Result<Vec<Trial>, ClassifierError> {
    let d = prepared.width();
    let types: BTreeSet<&str> = prepared
        .of(Part::TestMalicious)
        .map(|row| prepared.attacks[row].as_str())
        .collect();
    let rows_of = |attack: &str| {
        prepared
            .of(Part::TestMalicious)
            .filter(|&row| prepared.attacks[row] == attack)
            .count()
    };
    let novel: Vec<&str> = types
        .into_iter()
        .filter(|attack| rows_of(attack) >= MIN_ROWS)
        .collect();
    if novel.len() < 2 {
        return Err(ClassifierError::TooFew {
            benign: prepared.of(Part::Fit).count(),
            malicious: prepared.of(Part::TestMalicious).count(),
        });
    }
    let mut trials = vec![];
    // Detectors without labels see no attack: one fit serves every trial.
    let fit = prepared.rows_of(Part::Fit);
    let keys: Vec<u64> = (0..(fit.len() / d) as u64).collect();
    for kind in Kind::EVERY {
        let started = Instant::now();
        let params = prepared.fit_params(Scale::Standard);
        let fitted = detector::fit_kinds(&[kind], &keys, &fit, d, &params)?;
        let secs = started.elapsed().as_secs_f64();
        let Some(detector) = fitted.first() else {
            continue;
        };
        let (scores, micros) = timed(prepared, |rows, out| Ok(detector.score(rows, d, out)?))?;
        for attack in &novel {
            let known = |row: usize| prepared.attacks[row] != *attack;
            let mut trial = judged(prepared, &scores, method, attack, &known);
            trial.paradigm = "unsupervised";
            trial.model = kind.name();
            trial.fit_secs = secs;
            trial.micros_a_row = micros;
            trial.explained_by = "features with shares";
            trials.push(trial);
        }
    }
    for attack in &novel {
        trials.extend(labelled(prepared, attack, method, few, seed)?);
    }
    Ok(trials)
}

/// The trials of models that learn from labels, with one attack type held out.
fn labelled(
    prepared: &Prepared,
    attack: &str,
    method: Method,
    few: usize,
    seed: u64,
) -> Result<Vec<Trial>, ClassifierError> {
    let d = prepared.width();
    let mut trials = vec![];
    let split = Split::of(prepared, attack, seed);
    for (paradigm, model) in [
        ("supervised", "random_forest"),
        ("supervised", "svm"),
        ("semi_supervised", "encoder"),
    ] {
        let few_only = paradigm == "semi_supervised";
        let (rows, positive) = split.labelled(prepared, few_only.then_some(few));
        let labels = Labels {
            rows: &rows,
            d,
            positive: &positive,
        };
        let started = Instant::now();
        let (dense, explained_by) = match model {
            "random_forest" => {
                let params = ForestParams {
                    balanced: true,
                    seed,
                    ..ForestParams::default()
                };
                (
                    Dense::Forest(RandomForest::fit(&labels, &params)?),
                    "features with shares",
                )
            }
            "svm" => {
                let params = SvmParams {
                    balanced: true,
                    ..SvmParams::default()
                };
                (
                    Dense::Svm(Svm::fit(&labels, &params)?),
                    "nothing but the score",
                )
            }
            _ => {
                // All traffic of the past without its labels: attacks of known types are in it.
                let traffic = split.traffic(prepared);
                let params = TunedParams {
                    balanced: true,
                    ..TunedParams::default()
                };
                (
                    Dense::Tuned(Tuned::fit(&traffic, &labels, &params)?),
                    "nothing but the score",
                )
            }
        };
        let secs = started.elapsed().as_secs_f64();
        let (scores, micros) = timed(prepared, |rows, out| dense.score(rows, d, out))?;
        let mut trial = judged(prepared, &scores, method, attack, &|row| {
            split.known_test.contains(&row)
        });
        trial.paradigm = paradigm;
        trial.model = model;
        trial.labels = positive.len();
        trial.fit_secs = secs;
        trial.micros_a_row = micros;
        trial.explained_by = explained_by;
        trials.push(trial);
    }
    Ok(trials)
}

/// The rows of a trial.
struct Split {
    known_train: Vec<usize>,
    known_test: BTreeSet<usize>,
    ordinary: Vec<usize>,
}

impl Split {
    fn of(prepared: &Prepared, novel: &str, seed: u64) -> Self {
        let (mut known_train, mut known_test) = (vec![], BTreeSet::new());
        for row in prepared
            .of(Part::TestMalicious)
            .filter(|&row| prepared.attacks[row] != novel)
        {
            // Rows of one content are on one side.
            if pair_hash(seed, prepared.contents[row]).is_multiple_of(2) {
                known_train.push(row);
            } else {
                known_test.insert(row);
            }
        }
        let draw = |row: &usize| mix(pair_hash(seed ^ text_hash(novel), *row as u64));
        known_train.sort_by_key(draw);
        let mut ordinary: Vec<usize> = prepared.of(Part::Fit).collect();
        ordinary.sort_by_key(draw);
        Self {
            known_train,
            known_test,
            ordinary,
        }
    }

    /// Rows and labels, so many of them at the most, half of each.
    fn labelled(&self, prepared: &Prepared, most: Option<usize>) -> (Vec<f32>, Vec<bool>) {
        let half = most.unwrap_or(MAX_LABELS) / 2;
        let bad = self.known_train.iter().take(half);
        let good = self.ordinary.iter().take(half);
        let mut rows = vec![];
        let mut positive = vec![];
        for (row, label) in bad.map(|r| (r, true)).chain(good.map(|r| (r, false))) {
            rows.extend_from_slice(prepared.row(*row));
            positive.push(label);
        }
        (rows, positive)
    }

    fn traffic(&self, prepared: &Prepared) -> Vec<f32> {
        let rows = self
            .ordinary
            .iter()
            .take(MAX_LABELS)
            .chain(self.known_train.iter().take(MAX_LABELS / 8));
        rows.flat_map(|row| prepared.row(*row)).copied().collect()
    }
}

/// Scores of all rows, and microseconds a row.
fn timed(
    prepared: &Prepared,
    mut score: impl FnMut(&[f32], &mut [f32]) -> Result<(), ClassifierError>,
) -> Result<(Vec<f32>, f64), ClassifierError> {
    let mut scores = vec![0.0; prepared.parts.len()];
    let started = Instant::now();
    for (rows, out) in prepared
        .rows
        .chunks(1000 * prepared.width())
        .zip(scores.chunks_mut(1000))
    {
        score(rows, out)?;
    }
    let micros = started.elapsed().as_secs_f64() * 1e6 / prepared.parts.len().max(1) as f64;
    Ok((scores, micros))
}

/// What scores say of the known attacks' test rows and of the novel ones.
fn judged(
    prepared: &Prepared,
    scores: &[f32],
    method: Method,
    novel: &str,
    known: &dyn Fn(usize) -> bool,
) -> Trial {
    let all = outcome("", prepared, scores.to_vec(), method);
    let benign: Vec<f32> = prepared
        .of(Part::TestBenign)
        .map(|row| scores[row])
        .collect();
    let attacks = |wanted: &dyn Fn(usize) -> bool| -> Vec<f32> {
        let rows = prepared.of(Part::TestMalicious).filter(|&row| wanted(row));
        rows.map(|row| scores[row]).collect()
    };
    let area = |attacks: &[f32]| {
        let joined: Vec<f32> = benign.iter().chain(attacks).copied().collect();
        let bad: Vec<bool> = (0..joined.len()).map(|i| i >= benign.len()).collect();
        auroc(&joined, &bad)
    };
    let above = |scores: &[f32]| {
        let above = scores.iter().filter(|s| all.alert(**s)).count();
        (!scores.is_empty()).then(|| above as f64 / scores.len() as f64)
    };
    let (known, unseen) = (
        attacks(known),
        attacks(&|row| prepared.attacks[row] == novel),
    );
    Trial {
        paradigm: "",
        model: "",
        novel: novel.to_owned(),
        labels: 0,
        auroc_known: area(&known),
        auroc_novel: area(&unseen),
        recall_known: above(&known),
        recall_novel: above(&unseen),
        false_positive_rate: above(&benign),
        fit_secs: 0.0,
        micros_a_row: 0.0,
        explained_by: "",
    }
}
