//! What analysts' verdicts change: alerts judged, detectors fitted again, both measured on rows that nobody judged.
//!
//! Half of the ordinary test rows (by content), and attacks as a twentieth of that, come by as traffic: the alerts among them are judged, the highest first, up to a number. A
//! false positive is an ordinary row that was not known to be: it joins what detectors are fitted on, and what sets their thresholds.
//! A true positive is a label: with at least [`MIN_TRUE`] of them a forest of benign and judged rows is fitted beside, and an alert is
//! what either says.

use gleaner_udfs::api::request::pair_hash;
use gleaner_udfs::detector::{self, Kind};
use gleaner_udfs::scale::Scale;
use gleaner_udfs::threshold::{self, Method};

use super::{Part, Prepared};
use crate::ClassifierError;
use crate::dense::{Dense, ForestParams, Labels, RandomForest};

/// True positives from which a classifier is fitted on them.
pub const MIN_TRUE: usize = 5;

/// Alerts among rows that nobody judged.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rates {
    /// The share of attacks that are alerts.
    pub recall: f64,
    /// The share of ordinary rows that are.
    pub false_positive_rate: f64,
    /// The share of alerts that are attacks; `None` without alerts.
    pub precision: Option<f64>,
}

/// What verdicts changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The detector.
    pub detector: &'static str,
    /// Alerts judged to be attacks.
    pub true_positives: usize,
    /// Alerts judged to be ordinary.
    pub false_positives: usize,
    /// Before the verdicts.
    pub before: Rates,
    /// With the detector fitted again.
    pub refitted: Rates,
    /// And with a classifier of the verdicts beside it; `None` where there were too few true positives.
    pub with_classifier: Option<Rates>,
}

/// The change that up to `most` verdicts make, by detector.
///
/// # Errors
/// When there is too little to fit on.
pub fn changes(
    prepared: &Prepared,
    method: Method,
    most: usize,
    seed: u64,
) -> Result<Vec<Change>, ClassifierError> {
    let d = prepared.width();
    let judged_half =
        |row: &usize| pair_hash(seed ^ 0xfeed, prepared.contents[*row]).is_multiple_of(2);
    let tests = || {
        prepared
            .of(Part::TestBenign)
            .chain(prepared.of(Part::TestMalicious))
    };
    // Attacks are rare in what comes by: where a file holds more than a twentieth, the rest is left out.
    let ordinary: Vec<usize> = prepared.of(Part::TestBenign).filter(judged_half).collect();
    let mut attacks: Vec<usize> = prepared
        .of(Part::TestMalicious)
        .filter(judged_half)
        .collect();
    attacks.sort_by_key(|&row| pair_hash(seed ^ 0x7a7e, row as u64));
    attacks.truncate((ordinary.len() / 20).max(1));
    let pool: Vec<usize> = ordinary.into_iter().chain(attacks).collect();
    let held: Vec<usize> = tests().filter(|row| !judged_half(row)).collect();
    let is_attack = |row: usize| prepared.parts[row] == Part::TestMalicious;
    let mut changes = vec![];
    for kind in Kind::EVERY {
        let fit = prepared.rows_of(Part::Fit);
        let (scores, border) = fitted(prepared, kind, &fit, &[], method)?;
        let mut alerts: Vec<usize> = pool
            .iter()
            .copied()
            .filter(|&row| scores[row] > border)
            .collect();
        alerts.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
        alerts.truncate(most);
        let (true_positives, false_positives): (Vec<usize>, Vec<usize>) =
            alerts.iter().partition(|&&row| is_attack(row));
        let rows: Vec<f32> = false_positives
            .iter()
            .flat_map(|&row| prepared.row(row))
            .copied()
            .collect();
        let (again, new_border) = fitted(
            prepared,
            kind,
            &[fit.clone(), rows].concat(),
            &false_positives,
            method,
        )?;
        let rates = |alert: &dyn Fn(usize) -> bool| rates(&held, &is_attack, alert);
        let with_classifier = if true_positives.len() < MIN_TRUE {
            None
        } else {
            let bad = true_positives.iter().map(|&row| (row, true));
            let good = prepared
                .of(Part::Fit)
                .chain(false_positives.iter().copied())
                .map(|row| (row, false));
            let (mut rows, mut positive) = (vec![], vec![]);
            for (row, label) in bad.chain(good) {
                rows.extend_from_slice(prepared.row(row));
                positive.push(label);
            }
            let params = ForestParams {
                balanced: true,
                seed,
                ..ForestParams::default()
            };
            let forest = Dense::Forest(RandomForest::fit(
                &Labels {
                    rows: &rows,
                    d,
                    positive: &positive,
                },
                &params,
            )?);
            let mut probability = vec![0.0; prepared.parts.len()];
            forest.score(&prepared.rows, d, &mut probability)?;
            Some(rates(&|row| {
                again[row] > new_border || probability[row] > 0.5
            }))
        };
        changes.push(Change {
            detector: kind.name(),
            true_positives: true_positives.len(),
            false_positives: false_positives.len(),
            before: rates(&|row| scores[row] > border),
            refitted: rates(&|row| again[row] > new_border),
            with_classifier,
        });
    }
    Ok(changes)
}

/// Scores of all rows, and the threshold, of a detector fitted on `rows`; `ordinary` rows count as validation too.
fn fitted(
    prepared: &Prepared,
    kind: Kind,
    rows: &[f32],
    ordinary: &[usize],
    method: Method,
) -> Result<(Vec<f32>, f32), ClassifierError> {
    let d = prepared.width();
    let keys: Vec<u64> = (0..(rows.len() / d) as u64).collect();
    let params = prepared.fit_params(Scale::Standard);
    let detectors = detector::fit_kinds(&[kind], &keys, rows, d, &params)?;
    let mut scores = vec![0.0; prepared.parts.len()];
    for detector in &detectors {
        detector.score(&prepared.rows, d, &mut scores)?;
    }
    let validation = prepared
        .of(Part::Validation)
        .chain(ordinary.iter().copied());
    let validation: Vec<f32> = validation.map(|row| scores[row]).collect();
    let border = threshold::choose(&validation, None, method).map_or_else(
        // Too few rows for the rate: none of them is an alert.
        |_| validation.iter().copied().fold(f32::NEG_INFINITY, f32::max),
        |t| t.threshold,
    );
    Ok((scores, border))
}

fn rates(
    held: &[usize],
    is_attack: &dyn Fn(usize) -> bool,
    alert: &dyn Fn(usize) -> bool,
) -> Rates {
    let count = |f: &dyn Fn(usize) -> bool| held.iter().filter(|&&row| f(row)).count() as f64;
    let (attacks, found) = (count(is_attack), count(&|row| is_attack(row) && alert(row)));
    let (ordinary, wrong) = (
        count(&|row| !is_attack(row)),
        count(&|row| !is_attack(row) && alert(row)),
    );
    Rates {
        recall: found / attacks.max(1.0),
        false_positive_rate: wrong / ordinary.max(1.0),
        precision: (found + wrong > 0.0).then(|| found / (found + wrong)),
    }
}
