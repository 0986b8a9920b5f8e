//! The detectors: a sample of a day's features, and the scores and reasons of lines by fitted models.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float32Array, ListBuilder, StringBuilder};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;

use super::arguments::{Args, Vectors, int_column, text_column, vector_column};
use super::function::Kind::{Int, Text, Vector};
use super::function::{Aggregate, Doc, Scalar, State, failed, texts_type};
use crate::api::categories::words;
use crate::api::{API_CATALOG, Categorical};
use crate::detector::{Detector, Kind};
use crate::learner::LearnerError;
use crate::model_cache;
use crate::sketch::sample::SampleState;
use crate::text::catalog::{CATALOG, N_FEATURES};

const SAMPLE: &str = "features_sample";
/// Features named as the reason of an anomaly.
const REASONS: usize = 3;

/// The aggregates of this file.
pub static AGGREGATES: &[Aggregate] = &[Aggregate {
    name: SAMPLE,
    forms: &[&[("hash", Text), ("features", Vector), ("rows", Int)]],
    returns: || DataType::Binary,
    state: || {
        Box::new(Sample {
            state: None,
            rows: 0,
        })
    },
    doc: Doc {
        what: "The feature rows of the `rows` lines with the smallest keys (a key follows from the hash): a state that \
               merges, so that the sample is the same for any cut of the day.",
        example: "SELECT features_sample(cmd_hash(l), cmd_features(l), 10) IS NOT NULL FROM (VALUES ('a')) AS t (l)",
        result: "true",
    },
}];

const SCORE_FORM: &[&[super::function::Argument]] = &[&[("features", Vector), ("model", Text)]];

/// The scalars of this file.
pub static SCALARS: &[Scalar] = &[
    Scalar {
        name: "iforest_score",
        forms: SCORE_FORM,
        returns: || DataType::Float32,
        call: |args| score(args, Kind::IsolationForest, "iforest_score"),
        doc: Doc {
            what: "Isolation forest score, in (0, 1): higher is more anomalous. `model` is the URI of an `iforest` model.",
            example: "SELECT arrow_typeof(iforest_score(cmd_features(NULL), 'none'))",
            result: "Float32",
        },
    },
    Scalar {
        name: "pca_error",
        forms: SCORE_FORM,
        returns: || DataType::Float32,
        call: |args| score(args, Kind::Pca, "pca_error"),
        doc: Doc {
            what: "PCA reconstruction error: the squared distance, in standard deviations, to the principal subspace.",
            example: "SELECT arrow_typeof(pca_error(cmd_features(NULL), 'none'))",
            result: "Float32",
        },
    },
    Scalar {
        name: "kmeans_distance",
        forms: SCORE_FORM,
        returns: || DataType::Float32,
        call: |args| score(args, Kind::KMeans, "kmeans_distance"),
        doc: Doc {
            what: "Distance, in standard deviations, to the nearest centroid of a large cluster.",
            example: "SELECT arrow_typeof(kmeans_distance(cmd_features(NULL), 'none'))",
            result: "Float32",
        },
    },
    Scalar {
        name: "dbscan_distance",
        forms: SCORE_FORM,
        returns: || DataType::Float32,
        call: |args| score(args, Kind::Dbscan, "dbscan_distance"),
        doc: Doc {
            what: "Distance to the nearest core row of DBSCAN, divided by its radius: above 1 is noise. `model` is the URI of a `dbscan` model.",
            example: "SELECT arrow_typeof(dbscan_distance(cmd_features(NULL), 'none'))",
            result: "Float32",
        },
    },
    Scalar {
        name: "ocsvm_score",
        forms: SCORE_FORM,
        returns: || DataType::Float32,
        call: |args| score(args, Kind::OneClassSvm, "ocsvm_score"),
        doc: Doc {
            what: "Negative decision of a one-class SVM: above 0 lies outside of what is ordinary. `model` is the URI of an `ocsvm` model.",
            example: "SELECT arrow_typeof(ocsvm_score(cmd_features(NULL), 'none'))",
            result: "Float32",
        },
    },
    Scalar {
        name: "autoencoder_error",
        forms: SCORE_FORM,
        returns: || DataType::Float32,
        call: |args| score(args, Kind::Autoencoder, "autoencoder_error"),
        doc: Doc {
            what: "Mean squared error, in standard deviations, with which an autoencoder rebuilds the features. `model` is the URI of an `autoencoder` model.",
            example: "SELECT arrow_typeof(autoencoder_error(cmd_features(NULL), 'none'))",
            result: "Float32",
        },
    },
    Scalar {
        name: "iforest_reasons",
        forms: SCORE_FORM,
        returns: texts_type,
        call: |args| reasons(args, Kind::IsolationForest, "iforest_reasons"),
        doc: Doc {
            what: "The features that shortened a line's paths in the isolation forest most, with their values.",
            example: "SELECT iforest_reasons(cmd_features(NULL), 'none') IS NULL",
            result: "true",
        },
    },
    Scalar {
        name: "pca_reasons",
        forms: SCORE_FORM,
        returns: texts_type,
        call: |args| reasons(args, Kind::Pca, "pca_reasons"),
        doc: Doc {
            what: "The features with a line's largest residuals, with their values.",
            example: "SELECT pca_reasons(cmd_features(NULL), 'none') IS NULL",
            result: "true",
        },
    },
    Scalar {
        name: "kmeans_reasons",
        forms: SCORE_FORM,
        returns: texts_type,
        call: |args| reasons(args, Kind::KMeans, "kmeans_reasons"),
        doc: Doc {
            what: "The features that put a line farthest from its nearest centroid, with their values.",
            example: "SELECT kmeans_reasons(cmd_features(NULL), 'none') IS NULL",
            result: "true",
        },
    },
    Scalar {
        name: "dbscan_reasons",
        forms: SCORE_FORM,
        returns: texts_type,
        call: |args| reasons(args, Kind::Dbscan, "dbscan_reasons"),
        doc: Doc {
            what: "The features that put a row farthest from its nearest core row, with their values.",
            example: "SELECT dbscan_reasons(cmd_features(NULL), 'none') IS NULL",
            result: "true",
        },
    },
    Scalar {
        name: "ocsvm_reasons",
        forms: SCORE_FORM,
        returns: texts_type,
        call: |args| reasons(args, Kind::OneClassSvm, "ocsvm_reasons"),
        doc: Doc {
            what: "The features that put a row farthest from the support vectors near it, with their values.",
            example: "SELECT ocsvm_reasons(cmd_features(NULL), 'none') IS NULL",
            result: "true",
        },
    },
    Scalar {
        name: "autoencoder_reasons",
        forms: SCORE_FORM,
        returns: texts_type,
        call: |args| reasons(args, Kind::Autoencoder, "autoencoder_reasons"),
        doc: Doc {
            what: "The features that the autoencoder rebuilds worst, with their values.",
            example: "SELECT autoencoder_reasons(cmd_features(NULL), 'none') IS NULL",
            result: "true",
        },
    },
];

fn detector(args: &Args<'_>, kind: Kind, name: &str) -> Result<Arc<Detector>> {
    let uri = args.literal_text(1)?;
    model_cache::load(uri, |bytes| Detector::from_bytes(kind, bytes)).map_err(|e| failed(name, e))
}

fn all_null(features: &Vectors<'_>, rows: usize) -> bool {
    (0..rows).all(|row| features.is_null(row))
}

fn score(args: &Args<'_>, kind: Kind, name: &str) -> Result<ArrayRef> {
    let features = args.vector(0)?;
    if all_null(&features, args.rows()) {
        return Ok(Arc::new(Float32Array::new_null(args.rows())));
    }
    let detector = detector(args, kind, name)?;
    let mut scores = vec![0.0; args.rows()];
    detector
        .score(&features.dense(), features.width(), &mut scores)
        .map_err(|e| failed(name, e))?;
    let scores = scores
        .into_iter()
        .enumerate()
        .map(|(row, score)| (!features.is_null(row)).then_some(score));
    Ok(Arc::new(scores.collect::<Float32Array>()))
}

fn reasons(args: &Args<'_>, kind: Kind, name: &str) -> Result<ArrayRef> {
    let features = args.vector(0)?;
    let mut builder = ListBuilder::new(StringBuilder::new());
    let detector = if all_null(&features, args.rows()) {
        None
    } else {
        Some(detector(args, kind, name)?)
    };
    let mut row = vec![0.0; features.width()];
    for i in 0..args.rows() {
        let Some(detector) = detector.as_ref().filter(|_| !features.is_null(i)) else {
            builder.append(false);
            continue;
        };
        features.copy(i, &mut row);
        for reason in reasons_of(detector, &row).map_err(|e| failed(name, e))? {
            builder.values().append_value(reason);
        }
        builder.append(true);
    }
    Ok(Arc::new(builder.finish()))
}

/// The features that make a row stand out for a detector, the strongest first, as `detector: name = value`.
///
/// # Errors
/// When the row is not as wide as the model.
pub fn reasons_of(
    detector: &Detector,
    row: &[f32],
) -> std::result::Result<Vec<String>, LearnerError> {
    let kind = detector.kind().name();
    let reasons = strongest(detector.explain(row, row.len())?, row);
    Ok(reasons
        .into_iter()
        .map(|what| format!("{kind}: {what}"))
        .collect())
}

/// The strongest features in words. The columns that encode one categorical value are one reason: their shares add up.
fn strongest(shares: Vec<(usize, f32)>, row: &[f32]) -> Vec<String> {
    let choice = Categorical::of_width(row.len()).unwrap_or_default();
    // By the first column of its block, a column is told from others, and stands for them.
    let mut whole: Vec<(usize, f32)> = vec![];
    for (feature, share) in shares {
        let first = choice.block_of(feature).map_or(feature, |b| b.first);
        match whole.iter_mut().find(|(of, _)| *of == first) {
            Some((_, sum)) => *sum += share,
            None => whole.push((first, share)),
        }
    }
    whole.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    whole.truncate(REASONS);
    whole
        .into_iter()
        .map(|(feature, _)| named(feature, row))
        .collect()
}

/// `name = value`, of the catalog where the row is as wide.
fn named(feature: usize, row: &[f32]) -> String {
    // The catalogs and the choices differ in length; a test holds that.
    let choice = Categorical::of_width(row.len());
    if let Some(block) = choice.and_then(|choice| choice.block_of(feature)) {
        let last = row.get(block.first + block.columns - 1).copied();
        return words::told(block, last.unwrap_or(f32::NAN));
    }
    let name = match (row.len(), choice) {
        (N_FEATURES, _) => CATALOG.get(feature).map_or("?", |f| f.name).to_owned(),
        (_, Some(_)) => API_CATALOG.get(feature).map_or("?", |f| f.name).to_owned(),
        _ => format!("feature {feature}"),
    };
    let value = row.get(feature).copied().unwrap_or(f32::NAN);
    if !value.is_finite() {
        return format!("{name} is missing");
    }
    let text = format!("{value:.3}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    format!("{name} = {text}")
}

#[derive(Debug)]
struct Sample {
    state: Option<SampleState>,
    /// Rows held at the most.
    rows: usize,
}

impl State for Sample {
    fn update(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (hashes, features) = (
            text_column(SAMPLE, values, 0)?,
            vector_column(SAMPLE, values, 1)?,
        );
        let sizes = int_column(SAMPLE, values, 2)?;
        let mut row = vec![0.0; features.width()];
        for (i, hash) in hashes.iter().enumerate() {
            let Some(hash) = hash.filter(|_| !features.is_null(i)) else {
                continue;
            };
            let k = usize::try_from(sizes.value(i))
                .map_err(|_| failed(SAMPLE, "rows must be positive"))?;
            let state = match &mut self.state {
                Some(state) => state,
                None => self
                    .state
                    .insert(SampleState::new(k, features.width()).map_err(|e| failed(SAMPLE, e))?),
            };
            features.copy(i, &mut row);
            state
                .add(key(SAMPLE, hash)?, &row)
                .map_err(|e| failed(SAMPLE, e))?;
            self.rows = (self.rows + 1).min(2 * k);
        }
        Ok(())
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<()> {
        let other = SampleState::from_bytes(bytes).map_err(|e| failed(SAMPLE, e))?;
        if let Some(state) = &mut self.state {
            state.merge(&other).map_err(|e| failed(SAMPLE, e))
        } else {
            self.state = Some(other);
            Ok(())
        }
    }

    fn bytes(&self) -> Result<Option<Vec<u8>>> {
        Ok(self.state.as_ref().map(SampleState::to_bytes))
    }

    fn size(&self) -> usize {
        self.rows * self.state.as_ref().map_or(0, |s| 8 + 4 * s.dimension())
    }
}

/// The sample's key: the hash's second half, which buckets do not depend on.
pub(super) fn key(function: &str, hash: &str) -> Result<u64> {
    let half = hash
        .get(16..32)
        .and_then(|half| u64::from_str_radix(half, 16).ok());
    half.ok_or_else(|| failed(function, "a hash is 32 hex digits, as of cmd_hash"))
}
