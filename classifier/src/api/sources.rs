//! Whole sources held out: what detectors and classifiers are worth on traffic of which they saw nothing, not one server, client or site.
//!
//! **Why.** Where both classes come from one recording, or each class from a recording of its own, a split of the rows measures how
//! well recordings are told apart as much as attacks. Here everything is learned elsewhere: templates, what is usual, models and thresholds.
//!
//! **Protocol.** A source is a repository or recording: what its name says before a colon (behind it come the files of one recording).
//! Each source in turn is held out; where all rows are of one recording in ten files or more, a fifth of its files. Of the others the rows labelled benign are fitted on (five of seven) and set the threshold
//! (two of seven); where none is, the unlabelled ones stand for them. The test is every labelled row of the held-out source. What it
//! lacks comes from elsewhere, and is said: a source of attacks alone is tested beside benign rows of the others that no model saw,
//! and of a source without labels only the share of alerts is told. Models that learn from labels get the attacks of the other
//! sources. Rows of the others that say what a row of the held-out source says are left out.

use std::collections::{BTreeMap, BTreeSet};

use gleaner_udfs::api::Categorical;
use gleaner_udfs::api::request::{pair_hash, text_hash};
use gleaner_udfs::rng::mix;
use gleaner_udfs::scale::Scale;
use gleaner_udfs::threshold::Method;

use super::prepare::{ENOUGH, FEW, content, featured};
use super::{Label, Labelled, Outcome, Part, Prepared, evaluate, limit, outcome};
use crate::ClassifierError;
use crate::dense::{Dense, ForestParams, Labels, RandomForest, Svm, SvmParams, Tuned, TunedParams};

/// Attacks of other sources from which a model can learn from labels.
const MIN_KNOWN: usize = 10;
/// Rows a model with labels is given, at most, of each class.
const MAX_LABELS: usize = 4_096;

/// A source that is held out.
pub struct Held {
    /// Its name.
    pub source: String,
    /// All rows of the kind: fitted on are other sources' rows, tested are its own, unless [`Held::remarks`] says otherwise.
    pub prepared: Prepared,
    /// Attacks of other sources, which models with labels may learn from.
    pub known: Vec<usize>,
    /// Whether [`Part::TestBenign`] rows are its unlabelled rows.
    pub unlabelled: bool,
    /// Whether they are other sources' benign rows, as it has none itself.
    pub borrowed: bool,
    /// What the reader of the result should know.
    pub remarks: Vec<String>,
}

/// How one model did on a held-out source.
#[derive(Debug)]
pub struct Trial {
    /// The detector's or classifier's name.
    pub model: &'static str,
    /// Labels that it used.
    pub labels: usize,
    /// What it did; an error where it cannot be fitted.
    pub outcome: Result<Outcome, ClassifierError>,
    /// Recall, were the threshold set by the source's own ordinary rows: what is lost because a threshold does not travel. It is
    /// counted on the rows that set it. `None` where the source lacks a class.
    pub recall_at_own_threshold: Option<f64>,
}

impl Trial {
    fn of(
        held: &Held,
        model: &'static str,
        labels: usize,
        method: Method,
        outcome: Result<Outcome, ClassifierError>,
    ) -> Self {
        let own = outcome.as_ref().ok().and_then(|o| own(held, o, method));
        Self {
            model,
            labels,
            outcome,
            recall_at_own_threshold: own,
        }
    }
}

/// The recall at the threshold of the source's own ordinary rows.
fn own(held: &Held, outcome: &Outcome, method: Method) -> Option<f64> {
    let of = |part: Part| -> Vec<f32> {
        let rows = held.prepared.of(part);
        rows.map(|row| outcome.scores[row]).collect()
    };
    let (benign, malicious) = (of(Part::TestBenign), of(Part::TestMalicious));
    if held.borrowed || malicious.is_empty() {
        return None;
    }
    let border = limit(&benign, method).ok()?.threshold;
    let found = malicious.iter().filter(|score| **score > border).count();
    Some(found as f64 / malicious.len() as f64)
}

/// The recording that a source is a part of: what stands before the first colon.
#[must_use]
pub fn recording(source: &str) -> &str {
    source.split_once(':').map_or(source, |(before, _)| before)
}

/// Parts that the files of one recording are dealt to.
const PARTS: u64 = 5;

/// The group of each source's name: its recording; of files of a single recording a fifth of them.
fn groups<'a>(rows: &[&'a Labelled]) -> BTreeMap<&'a str, String> {
    let names: BTreeSet<&str> = rows.iter().map(|row| row.source.as_str()).collect();
    let recordings: BTreeSet<&str> = names.iter().map(|name| recording(name)).collect();
    let parts = recordings.len() == 1 && names.len() as u64 >= 2 * PARTS;
    let group = |name: &str| {
        let recording = recording(name);
        if parts {
            let part = 1 + mix(text_hash(name)) % PARTS;
            format!("{recording}, files {part} of {PARTS}")
        } else {
            recording.to_owned()
        }
    };
    names.into_iter().map(|name| (name, group(name))).collect()
}

/// Each source of rows of one kind in turn, in the order of names, with why where it cannot be tested.
#[must_use]
pub fn held_out(
    rows: &[&Labelled],
    seed: u64,
    categorical: Categorical,
) -> Vec<(String, Result<Held, String>)> {
    let groups = groups(rows);
    let mut counts: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for row in rows {
        let group = groups.get(row.source.as_str()).map_or("", String::as_str);
        counts.entry(group).or_default()[row.label as usize] += 1;
    }
    counts
        .keys()
        .map(|source| {
            let held = hold(rows, &groups, &counts, source, seed, categorical);
            ((*source).to_owned(), held)
        })
        .collect()
}

/// Rows of the others, with one source held out.
fn hold(
    rows: &[&Labelled],
    groups: &BTreeMap<&str, String>,
    counts: &BTreeMap<&str, [usize; 3]>,
    source: &str,
    seed: u64,
    categorical: Categorical,
) -> Result<Held, String> {
    let group = |row: &Labelled| groups.get(row.source.as_str()).map(String::as_str);
    let is_held = |row: &Labelled| group(row) == Some(source);
    let [benign, malicious, _] = counts.get(source).copied().unwrap_or_default();
    if counts.len() < 2 {
        return Err("all rows are of this one source: nothing is left to learn from".to_owned());
    }
    let elsewhere = |label: Label| -> usize {
        let others = counts.iter().filter(|(name, _)| **name != source);
        others.map(|(_, counts)| counts[label as usize]).sum()
    };
    let mut remarks = vec![];
    if groups.keys().all(|name| recording(name) != source) {
        remarks.push(
            "files of one recording: what is held out is of the same place and time as what is not"
                .to_owned(),
        );
    }
    let ordinary = if elsewhere(Label::Benign) >= ENOUGH {
        Label::Benign
    } else if elsewhere(Label::Unknown) >= FEW {
        remarks.push(format!(
            "fitted on {} unlabelled rows: other sources have {} benign ones",
            elsewhere(Label::Unknown),
            elsewhere(Label::Benign)
        ));
        Label::Unknown
    } else {
        return Err(format!(
            "other sources have {} benign and {} unlabelled rows: too few to learn from",
            elsewhere(Label::Benign),
            elsewhere(Label::Unknown)
        ));
    };
    let unlabelled = benign + malicious == 0;
    if unlabelled {
        remarks.push("no row of it is labelled: its false alarms are the share of all its rows that are alerts".to_owned());
    } else if benign == 0 {
        remarks.push(
            "it has no benign rows: those of the test are other sources' (not fitted on), so that AUROC and precision tell sources apart too"
                .to_owned(),
        );
    } else if malicious == 0 {
        remarks.push("it has no attacks: only false alarms are told".to_owned());
    }
    let own: BTreeSet<u64> = rows
        .iter()
        .filter(|row| is_held(row))
        .map(|row| content(&row.request))
        .collect();
    let lacks_benign = benign == 0 && !unlabelled;
    let part = |row: &Labelled| {
        let said = content(&row.request);
        let tenth = pair_hash(seed, said) % 10;
        if is_held(row) {
            return match row.label {
                Label::Benign => Part::TestBenign,
                Label::Malicious => Part::TestMalicious,
                Label::Unknown if unlabelled => Part::TestBenign,
                Label::Unknown => Part::History,
            };
        }
        if row.label != ordinary || own.contains(&said) {
            return Part::History;
        }
        match tenth {
            0..5 => Part::Fit,
            5..7 => Part::Validation,
            _ if lacks_benign => Part::TestBenign,
            7..9 => Part::Fit,
            _ => Part::Validation,
        }
    };
    let parts: Vec<Part> = rows.iter().map(|row| part(row)).collect();
    let prepared = featured(rows, None, categorical, &parts);
    let known = (0..prepared.order.len()).filter(|&row| {
        let labelled = rows[prepared.order[row]];
        labelled.label == Label::Malicious
            && prepared.parts[row] == Part::History
            && !own.contains(&prepared.contents[row])
    });
    Ok(Held {
        source: source.to_owned(),
        known: known.collect(),
        unlabelled,
        borrowed: lacks_benign,
        remarks,
        prepared,
    })
}

/// The trials of all detectors, then of the models that learn from labels where other sources have attacks: a random forest and
/// an SVM of all labels, an encoder pre-trained without labels and tuned on `few`.
#[must_use]
pub fn trials(held: &Held, method: Method, scale: Scale, few: usize, seed: u64) -> Vec<Trial> {
    let mut trials: Vec<Trial> = evaluate(&held.prepared, method, scale)
        .map(|(model, outcome)| {
            let outcome = outcome.map_err(ClassifierError::from);
            Trial::of(held, model, 0, method, outcome)
        })
        .collect();
    if held.known.len() < MIN_KNOWN {
        return trials;
    }
    let draw = |row: &usize| mix(pair_hash(seed, *row as u64));
    let mut known = held.known.clone();
    known.sort_by_key(draw);
    let mut ordinary: Vec<usize> = held.prepared.of(Part::Fit).collect();
    ordinary.sort_by_key(draw);
    for (model, most) in [
        ("random_forest", MAX_LABELS),
        ("svm", MAX_LABELS),
        ("encoder", few / 2),
    ] {
        let bad = known.iter().take(most).map(|row| (*row, true));
        let good = ordinary.iter().take(most).map(|row| (*row, false));
        let (mut rows, mut positive) = (vec![], vec![]);
        for (row, label) in bad.chain(good) {
            rows.extend_from_slice(held.prepared.row(row));
            positive.push(label);
        }
        let traffic: Vec<f32> = ordinary
            .iter()
            .take(2 * MAX_LABELS)
            .chain(known.iter().take(MAX_LABELS / 4))
            .flat_map(|row| held.prepared.row(*row))
            .copied()
            .collect();
        let labels = Labels {
            rows: &rows,
            d: held.prepared.width(),
            positive: &positive,
        };
        let outcome = fitted(model, &labels, &traffic, seed).and_then(|dense| {
            let mut scores = vec![0.0; held.prepared.parts.len()];
            dense.score(&held.prepared.rows, held.prepared.width(), &mut scores)?;
            Ok(outcome(model, &held.prepared, scores, method))
        });
        trials.push(Trial::of(held, model, positive.len(), method, outcome));
    }
    trials
}

/// A model that learns from labels, by name.
fn fitted(
    model: &str,
    labels: &Labels<'_>,
    traffic: &[f32],
    seed: u64,
) -> Result<Dense, ClassifierError> {
    match model {
        "random_forest" => {
            let params = ForestParams {
                balanced: true,
                seed,
                ..ForestParams::default()
            };
            Ok(Dense::Forest(RandomForest::fit(labels, &params)?))
        }
        "svm" => {
            let params = SvmParams {
                balanced: true,
                ..SvmParams::default()
            };
            Ok(Dense::Svm(Svm::fit(labels, &params)?))
        }
        _ => {
            let params = TunedParams {
                balanced: true,
                ..TunedParams::default()
            };
            Ok(Dense::Tuned(Tuned::fit(traffic, labels, &params)?))
        }
    }
}
