//! Rows as features, with their part in the evaluation.

use std::collections::BTreeMap;

use gleaner_udfs::api::features::Surroundings;
use gleaner_udfs::api::request::{OwnedRequest, pair_hash, text_hash};
use gleaner_udfs::api::{
    Categorical, CategorySample, Corpus, CorpusState, Encoder, Featurizer, N_API_FEATURES,
    PathSample, Stream, Templates,
};
use gleaner_udfs::rng::mix;

use super::{Label, Labelled, Part, Prepared};

/// Unlabelled rows, with the benign ones, that may stand for what is ordinary; fewer say too little of it.
pub(super) const FEW: usize = 50;
/// Benign rows that are learned from alone. Measured on random parts of recorded files with 12 benign rows and 400 attacks, detectors of six benign rows rank
/// attacks with an AUROC of 0.8 to 1; of all rows, attacks among them, with 0.02 to 0.8.
pub(super) const ENOUGH: usize = 10;
/// Benign rows that are learned from where nothing else is but attacks.
const LEAST: usize = 3;

/// Features and parts of the rows of one kind, categorical values encoded by choice.
#[must_use]
pub fn prepare(rows: &[&Labelled], seed: u64, categorical: Categorical) -> Prepared {
    let benign = rows.iter().filter(|r| r.label == Label::Benign).count();
    let unknown = rows.iter().filter(|r| r.label == Label::Unknown).count();
    // What is ordinary: what is labelled so; else what is not labelled; else all there is.
    let (ordinary, remark): (&[Label], _) = if benign >= FEW {
        (&[Label::Benign], None)
    } else if benign >= ENOUGH || (benign >= LEAST && benign + unknown < FEW) {
        let text = format!("{benign} benign rows: too few to tell a rate of false alarms from");
        (&[Label::Benign], Some(text))
    } else if benign + unknown >= FEW {
        let text = if benign == 0 {
            format!("no benign rows: the {unknown} unlabelled ones stand for them, in fit and test")
        } else {
            format!("{benign} benign rows: fitted on the {unknown} unlabelled ones too")
        };
        (&[Label::Benign, Label::Unknown], Some(text))
    } else {
        let text = format!("{benign} benign and {unknown} unlabelled rows: fitted on attacks too");
        (
            &[Label::Benign, Label::Unknown, Label::Malicious],
            Some(text),
        )
    };
    let (tenths, apart) = tenths(rows, ordinary, seed);
    let part = |(row, tenth): (&&Labelled, u64)| match (row.label, tenth) {
        (label, 0..5) if ordinary.contains(&label) => Part::Fit,
        (label, 5..7) if ordinary.contains(&label) => Part::Validation,
        (Label::Benign, _) => Part::TestBenign,
        (Label::Malicious, _) => Part::TestMalicious,
        (Label::Unknown, _) if benign == 0 => Part::TestBenign,
        (Label::Unknown, _) => Part::History,
    };
    let parts: Vec<Part> = rows.iter().zip(tenths).map(part).collect();
    let more = (!apart)
        .then_some("ordinary rows that say the same are on several sides: nearly all of them do");
    let remarks: Vec<&str> = remark.as_deref().into_iter().chain(more).collect();
    let remark = (!remarks.is_empty()).then(|| remarks.join("; "));
    featured(rows, remark, categorical, &parts)
}

/// Features of rows of one kind, each in its part (one a row, in the order of `rows`). Templates and what is usual are learned from the rows that are
/// fitted on; windows and sequences see all rows in the order of time.
pub(super) fn featured(
    rows: &[&Labelled],
    remark: Option<String>,
    categorical: Categorical,
    parts: &[Part],
) -> Prepared {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&i| (rows[i].request.micros, content(&rows[i].request), i));
    let parts: Vec<Part> = order.iter().map(|&i| parts[i]).collect();
    let mut paths = PathSample::new();
    for (&i, _) in order.iter().zip(&parts).filter(|(_, p)| **p == Part::Fit) {
        let request = rows[i].request.as_request();
        if !request.failed() {
            paths.add(
                request.host.unwrap_or_default(),
                request.path.unwrap_or_default(),
            );
        }
    }
    let templates = Templates::learn(&paths);
    let names: Vec<String> = order
        .iter()
        .map(|&i| {
            let request = rows[i].request.as_request();
            templates.template(
                request.host.unwrap_or_default(),
                request.path.unwrap_or_default(),
            )
        })
        .collect();
    let mut stream = Stream::new();
    let around: Vec<Surroundings<'_>> = order
        .iter()
        .zip(&names)
        .map(|(&i, name)| stream.push(&rows[i].request.as_request(), name))
        .collect();
    let mut corpus = CorpusState::new();
    let mut sample = CategorySample::new();
    for ((&i, around), _) in order
        .iter()
        .zip(&around)
        .zip(&parts)
        .filter(|(_, p)| **p == Part::Fit)
    {
        let previous = around.actor.and_then(|a| a.previous);
        let request = rows[i].request.as_request();
        corpus.add(&request, around.template, previous);
        if categorical.learns() {
            sample.add(mix(i as u64), &request, around.template, previous);
        }
    }
    let corpus = Corpus::from(corpus);
    let encoder = Encoder::learn(categorical, &sample);
    let mut featurizer = Featurizer::new();
    let mut features = Vec::with_capacity(order.len() * encoder.width());
    let mut row = [0.0; N_API_FEATURES];
    for (&i, around) in order.iter().zip(&around) {
        let request = rows[i].request.as_request();
        featurizer.compute(&request, around, &corpus, &mut row);
        features.extend_from_slice(&row);
        let start = features.len() - N_API_FEATURES;
        features.resize(start + encoder.width(), 0.0);
        encoder.encode(&request, around, &mut features[start..]);
    }
    let attacks = order
        .iter()
        .map(|&i| rows[i].attack.clone().unwrap_or_else(|| "-".to_owned()));
    Prepared {
        rows: features,
        categorical,
        attacks: attacks.collect(),
        contents: order.iter().map(|&i| content(&rows[i].request)).collect(),
        micros: order.iter().map(|&i| rows[i].request.micros).collect(),
        parts,
        order,
        remark,
    }
}

/// The tenth of each row, by a hash of what it says; and whether rows that say the same are in one.
///
/// Where ordinary rows say few things these are dealt out in the order of their hashes, each to where the middle of its rows lies, so that no
/// part is empty by chance. Where even so one is (nearly all say the same), rows are dealt out by themselves.
fn tenths(rows: &[&Labelled], ordinary: &[Label], seed: u64) -> (Vec<u64>, bool) {
    let hash = |row: &Labelled| pair_hash(seed, content(&row.request));
    let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
    for row in rows.iter().filter(|row| ordinary.contains(&row.label)) {
        *counts.entry(hash(row)).or_default() += 1;
    }
    let by_content = |row: &&Labelled| hash(row) % 10;
    if counts.len() >= FEW || counts.is_empty() {
        return (rows.iter().map(by_content).collect(), true);
    }
    let all: u64 = counts.values().sum();
    let mut before = 0;
    for count in counts.values_mut() {
        let middle = 2 * before + *count;
        before += *count;
        *count = 5 * middle / all;
    }
    let dealt = |tenths: std::ops::Range<u64>| counts.values().any(|tenth| tenths.contains(tenth));
    if dealt(0..5) && dealt(5..7) && dealt(7..10) {
        let tenth = |row: &&Labelled| counts.get(&hash(row)).copied();
        let tenths = rows
            .iter()
            .map(|row| tenth(row).unwrap_or_else(|| by_content(row)));
        return (tenths.collect(), true);
    }
    let mut order: Vec<usize> = (0..rows.len())
        .filter(|&row| ordinary.contains(&rows[row].label))
        .collect();
    order.sort_by_key(|&row| mix(pair_hash(seed, row as u64)));
    let mut tenths: Vec<u64> = rows.iter().map(by_content).collect();
    for (place, row) in order.into_iter().enumerate() {
        tenths[row] = 5 * (2 * place as u64 + 1) / all;
    }
    (tenths, false)
}

/// What two requests that say the same share.
pub(super) fn content(request: &OwnedRequest) -> u64 {
    // User, client, method, host, path, query, agent, body: not the session.
    [0, 2, 3, 4, 5, 6, 8, 10].iter().fold(0, |hash, &i| {
        pair_hash(hash, request.texts[i].as_deref().map_or(0, text_hash))
    })
}
