//! How well detectors find attacks among API requests, by kind of telemetry.
//!
//! **Protocol.** Detectors learn what is ordinary: rows labelled benign, half of them. A fifth sets the threshold, at a
//! false-positive rate asked for; the rest, and every malicious row, are the test. Rows that say the same (all but time,
//! session and sizes) are on one side. Windows and sequences see all rows of a kind in the order of time, as they came.

pub mod feedback;
pub mod paradigms;

use gleaner_udfs::api::features::Surroundings;
use gleaner_udfs::api::request::{OwnedRequest, pair_hash, text_hash};
use gleaner_udfs::api::{
    Categorical, CategorySample, Corpus, CorpusState, Encoder, Featurizer, N_API_FEATURES,
    PathSample, Stream, Templates,
};
use gleaner_udfs::detector::{self, FitParams, Kind};
use gleaner_udfs::learner::LearnerError;
use gleaner_udfs::metrics::{Confusion, auroc, average_precision};
use gleaner_udfs::rng::mix;
use gleaner_udfs::scale::Scale;
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

    /// What detectors of these rows are fitted with.
    #[must_use]
    pub fn fit_params(&self) -> FitParams {
        FitParams {
            categorical: self.categorical,
            ..FitParams::default()
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

/// Fewer ordinary rows than this say too little of what is ordinary.
const FEW: usize = 50;

/// Features and parts of the rows of one kind, categorical values encoded by choice.
#[must_use]
pub fn prepare(rows: &[&Labelled], seed: u64, categorical: Categorical) -> Prepared {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&i| (rows[i].request.micros, content(&rows[i].request), i));
    let benign = rows.iter().filter(|r| r.label == Label::Benign).count();
    let unknown = rows.iter().filter(|r| r.label == Label::Unknown).count();
    // What is ordinary: what is labelled so; else what is not labelled; else all there is.
    let (ordinary, remark): (&[Label], _) = if benign >= FEW {
        (&[Label::Benign], None)
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
    let part = |row: &Labelled| {
        let third = pair_hash(seed, content(&row.request)) % 10;
        match (row.label, third) {
            (label, 0..5) if ordinary.contains(&label) => Part::Fit,
            (label, 5..7) if ordinary.contains(&label) => Part::Validation,
            (Label::Benign, _) => Part::TestBenign,
            (Label::Malicious, _) => Part::TestMalicious,
            (Label::Unknown, _) if benign == 0 => Part::TestBenign,
            (Label::Unknown, _) => Part::History,
        }
    };
    let parts: Vec<Part> = order.iter().map(|&i| part(rows[i])).collect();
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
        parts,
        order,
        remark,
    }
}

/// What two requests that say the same share.
fn content(request: &OwnedRequest) -> u64 {
    // User, client, method, host, path, query, agent, body: not the session.
    [0, 2, 3, 4, 5, 6, 8, 10].iter().fold(0, |hash, &i| {
        pair_hash(hash, request.texts[i].as_deref().map_or(0, text_hash))
    })
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

/// Fits each detector on prepared rows, and tests it. One that cannot be fitted (there are too few rows) is named with the reason.
pub fn evaluate(
    prepared: &Prepared,
    method: Method,
    scale: Scale,
) -> impl Iterator<Item = (&'static str, Result<Outcome, LearnerError>)> {
    let d = prepared.width();
    let fit = prepared.rows_of(Part::Fit);
    let keys: Vec<u64> = (0..(fit.len() / d) as u64).collect();
    let mut params = prepared.fit_params();
    params.scaler.scale = scale;
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
    let ordinary = vec![false; validation.len()];
    let choose = |method| threshold::choose(&validation, Some(&ordinary), method);
    let threshold = match (choose(method), method) {
        // Too few rows for the rate: the least rate that they tell, which the threshold itself then says.
        (
            Err(ThresholdError::Unresolved {
                rows, tail: false, ..
            }),
            Method::FalsePositiveRate(_),
        ) if rows > 0 => choose(Method::FalsePositiveRate(1.0 / rows as f64)),
        // A tail of few rows starts lower.
        (Err(ThresholdError::ShortTail { .. }), Method::Tail { rate, .. }) => {
            choose(Method::Tail {
                rate,
                start: (60.0 / validation.len().max(1) as f64).min(0.5),
            })
        }
        (threshold, _) => threshold,
    };
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

#[cfg(test)]
mod tests;
