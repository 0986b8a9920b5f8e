//! Models of an earlier day: found in the warehouse, compared with the day, and used for it or not.
//!
//! The latest earlier day counts whose models the warehouse holds, published, whichever day those were fitted on. Their
//! names are part of the stage's fingerprint: a day run again finds the same models, or is computed anew when the
//! earlier day has changed.
//!
//! Token frequencies are the day's own with every choice: they describe a day, and features like the rarity of a line's
//! words are relative to it. With those of another day every word that is new today would count as a drift.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::NaiveDate;
use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::Int64Type;
use gleaner_udfs::detector::{Detector, Kind};
use gleaner_udfs::drift::{Baseline, Drift};
use gleaner_udfs::metrics::Stability;
use gleaner_udfs::model_cache::sha256;
use gleaner_udfs::sketch::sample::SampleState;

use super::categories::{self, CATEGORIES};
use super::models::{BASELINE, Fitted, quantiled, some_rows};
use super::sql::{Value, fill};
use super::thresholds::{self, Promise, Set};
use super::unit::Unit;
use super::{DayRun, tables};
use crate::engine::{Task, Written};
use crate::error::JobError;
use crate::options::ThresholdBy;
use crate::warehouse::tables::{DRIFT, MODELS};

/// Features named in a remark.
const NAMED: usize = 5;

/// An earlier day's models.
pub(super) struct Earlier {
    pub(super) fitted: Vec<Fitted>,
    trained_on: NaiveDate,
    kinds: Vec<Kind>,
    detectors: Arc<Vec<Detector>>,
    baseline: Arc<Baseline>,
    names: Vec<String>,
}

/// What came of comparing a day with earlier models.
pub(super) struct Measured {
    pub(super) drift: Drift,
    /// Quantiles of today's scores, as of a fit.
    pub(super) scores: Vec<Vec<f32>>,
    /// The detectors' thresholds.
    pub(super) thresholds: Vec<Set>,
}

/// What the warehouse has of models to reuse.
pub(super) enum Found {
    /// Those of the latest earlier day.
    Models(Box<Earlier>),
    /// None that serve, and why.
    None(String),
}

impl Found {
    fn nothing() -> Self {
        Self::None("no earlier day of the warehouse has models to reuse".to_owned())
    }
}

/// The models of the latest earlier day; none where there is no such day, an older gleaner made its models, or it was scored by other
/// detectors.
///
/// # Errors
/// When the table cannot be read, or a model is not there or damaged.
pub(super) async fn earlier(day: &DayRun<'_>) -> Result<Found, JobError> {
    let snapshot = day.warehouse.snapshot(&[MODELS]).await?;
    let files = snapshot
        .files(&MODELS)
        .iter()
        .filter(|file| file.day < day.day);
    let Some(latest) = files.clone().map(|file| file.day).max() else {
        return Ok(Found::nothing());
    };
    let task = Task {
        name: format!("{}/models/earlier", day.day),
        sql: "SELECT kind, sha256, rows, bytes, trained_on, params FROM models ORDER BY kind"
            .to_owned(),
        tables: tables([(
            "models",
            day.source(&MODELS, files.filter(|file| file.day == latest)),
        )]),
        write: None,
    };
    let batches = day.engine.run(vec![task], &|| ()).await?;
    let mut known: BTreeMap<String, Fitted> = BTreeMap::new();
    for batch in batches.iter().flatten() {
        for row in 0..batch.num_rows() {
            let model = fitted(batch, row);
            known.insert(model.kind.clone(), model);
        }
    }
    let kinds = day.options.detectors.kinds().to_vec();
    let held: Vec<Kind> = Kind::EVERY
        .into_iter()
        .filter(|kind| known.contains_key(kind.name()))
        .collect();
    if !held.is_empty() && held != kinds {
        let names: Vec<_> = held.iter().map(|kind| kind.name()).collect();
        return Ok(Found::None(format!(
            "{latest} was scored by {}, and --detectors is {}",
            names.join(","),
            day.options.detectors
        )));
    }
    let wanted = kinds.iter().map(|kind| kind.name()).chain([BASELINE]);
    let found: Option<Vec<Fitted>> = wanted.map(|kind| known.remove(kind)).collect();
    let Some(mut fitted) = found else {
        return Ok(Found::nothing());
    };
    let wanted = day.options.categorical.choice();
    let encoder = known.remove(CATEGORIES);
    let read = match &encoder {
        Some(model) => Some(load(day, model, latest).await?),
        None => None,
    };
    let choice = categories::choice_of(read.as_deref())?;
    if choice != wanted {
        return Ok(Found::None(categories::other_choice(choice, wanted)));
    }
    let mut bytes = vec![];
    for model in &fitted {
        bytes.push(load(day, model, latest).await?);
    }
    let mut detectors = vec![];
    for ((kind, model), bytes) in kinds.iter().zip(&fitted).zip(&bytes) {
        let read = Detector::from_bytes(*kind, bytes);
        detectors.push(read.map_err(|e| JobError::Model(format!("{}: {e}", model.path())))?);
    }
    let baseline = Baseline::from_bytes(&bytes[kinds.len()]);
    fitted.extend(encoder);
    let trained_on = trained_on(&fitted[0].trained_on)
        .ok_or_else(|| JobError::Model(format!("{latest}: trained_on names no day")))?;
    Ok(Found::Models(Box::new(Earlier {
        trained_on,
        names: Unit::of(day.options.kind).names(wanted),
        kinds,
        detectors: Arc::new(detectors),
        baseline: Arc::new(baseline.map_err(|e| JobError::Model(e.to_string()))?),
        fitted,
    })))
}

/// A model's bytes, verified by their name.
async fn load(day: &DayRun<'_>, model: &Fitted, of: NaiveDate) -> Result<Vec<u8>, JobError> {
    let bytes = day.warehouse.get(&model.path()).await?;
    bytes
        .filter(|bytes| sha256(bytes) == model.sha256)
        .ok_or_else(|| {
            JobError::Model(format!(
                "{} of {of}, {}, is missing or damaged: run {of} again, or this day with --models refit",
                model.kind,
                model.path()
            ))
        })
}

fn trained_on(json: &str) -> Option<NaiveDate> {
    let value: serde_json::Value = serde_json::from_str(json).ok()?;
    value["day"].as_str()?.parse().ok()
}

fn fitted(batch: &RecordBatch, row: usize) -> Fitted {
    let text = |column: usize| {
        let values = batch.column(column).as_string_opt::<i32>();
        let value = values.filter(|v| v.is_valid(row)).map(|v| v.value(row));
        value.unwrap_or_default().to_owned()
    };
    let count = |column: usize| {
        let values = batch.column(column).as_primitive_opt::<Int64Type>();
        values.map_or(0, |v| u64::try_from(v.value(row)).unwrap_or_default())
    };
    Fitted {
        kind: text(0),
        sha256: text(1),
        rows: count(2),
        bytes: count(3),
        trained_on: text(4),
        params: text(5),
    }
}

impl Earlier {
    /// Where the encoder of the models is, where they have one.
    pub(super) fn encoder(&self) -> Option<String> {
        let encoder = self.fitted.iter().find(|f| f.kind == CATEGORIES);
        encoder.map(Fitted::path)
    }

    /// The names of the models, and their thresholds, for a fingerprint.
    pub(super) fn names(&self) -> String {
        let names = self
            .fitted
            .iter()
            .map(|f| match thresholds::of_params(&f.params) {
                // A threshold may be another one of the same model.
                (_, Some(promise)) => format!("{} {promise:?}", f.sha256),
                _ => f.sha256.clone(),
            });
        names.collect::<Vec<_>>().join(" ")
    }

    /// Compares the day's sample, and sets the thresholds that the models do not bring along.
    ///
    /// # Errors
    /// When the models are of other features.
    pub(super) async fn measure(
        &self,
        sample: Arc<SampleState>,
        by: ThresholdBy,
        day: NaiveDate,
    ) -> Result<Measured, JobError> {
        let (detectors, baseline) = (Arc::clone(&self.detectors), Arc::clone(&self.baseline));
        let kept = self
            .fitted
            .iter()
            .map(|f| thresholds::of_params(&f.params).1);
        let kept: Vec<Option<Promise>> = kept
            .map(|promise| promise.filter(|promise| promise.method == by.to_string()))
            .map(|promise| promise.map(Promise::of_another_day))
            .collect();
        let measured = tokio::task::spawn_blocking(move || {
            let failed = |e: gleaner_udfs::learner::LearnerError| JobError::Model(e.to_string());
            let (keys, rows) = sample.columns();
            let d = sample.dimension();
            let some = some_rows(&rows, d);
            let drift = baseline.compare(some, d, &detectors).map_err(failed)?;
            let scores = quantiled(&detectors, some, d)?;
            let validation = thresholds::divide(keys, rows, d, by).validation;
            let set = |(detector, kept): (&Detector, Option<Promise>)| match kept {
                Some(promise) => Ok(Some(Ok(promise))),
                None => thresholds::set(detector, &validation, &[], d, by, day),
            };
            let thresholds = detectors.iter().zip(kept).map(set);
            Ok(Measured {
                drift,
                scores,
                thresholds: thresholds.collect::<Result<_, JobError>>()?,
            })
        });
        measured.await.map_err(|e| JobError::Model(e.to_string()))?
    }

    /// The models, with the thresholds of the day.
    pub(super) fn with(self, promises: &[Option<Promise>]) -> Vec<Fitted> {
        let mut fitted = self.fitted;
        for (model, promise) in fitted.iter_mut().zip(promises) {
            let (fit, _) = thresholds::of_params(&model.params);
            model.params = thresholds::params(&fit, promise.as_ref());
        }
        fitted
    }

    /// What a person should know of a drift; nothing where there is none.
    pub(super) fn remark(&self, drift: &Drift, reused: bool) -> Option<String> {
        if !drift.drifted() {
            return None;
        }
        let mut worst: Vec<_> = self.named(drift).filter(|(_, _, s)| s.drifted()).collect();
        worst.sort_by(|a, b| b.2.psi.total_cmp(&a.2.psi));
        let more = worst.len().saturating_sub(NAMED);
        let mut text: Vec<_> = worst
            .iter()
            .take(NAMED)
            .map(|(kind, name, s)| format!("{kind} {name} {:.2}", s.psi))
            .collect();
        if more > 0 {
            text.push(format!("{more} more in table drift"));
        }
        let done = if reused {
            "its models are used all the same"
        } else {
            "models are fitted anew"
        };
        Some(format!(
            "drifted from {} (population stability index: {}): {done}",
            self.trained_on,
            text.join(", ")
        ))
    }

    /// The rows of the table.
    pub(super) fn rows(&self, drift: &Drift, reused: bool) -> Vec<Vec<Value>> {
        let row = |(kind, name, s): (&str, &str, Stability)| {
            vec![
                Value::Text(self.trained_on.to_string()),
                Value::Text(kind.to_owned()),
                Value::Text(name.to_owned()),
                Value::Double(s.psi),
                Value::Double(s.limit),
                Value::Bool(s.drifted()),
                Value::Text(if reused { "reused" } else { "refitted" }.to_owned()),
            ]
        };
        self.named(drift).map(row).collect()
    }

    /// Each score and feature with its kind and name.
    fn named(&self, drift: &Drift) -> impl Iterator<Item = (&'static str, &str, Stability)> {
        let scores = self.kinds.iter().zip(&drift.scores);
        let features = self.names.iter().zip(&drift.features);
        scores
            .map(|(kind, s)| ("score", kind.name(), *s))
            .chain(features.map(|(feature, s)| ("feature", feature.as_str(), *s)))
    }
}

/// Writes the day's part of the table; without rows, a file without rows.
///
/// # Errors
/// When it cannot be written.
pub(super) async fn write(
    day: &DayRun<'_>,
    fingerprint: &str,
    rows: Vec<Vec<Value>>,
) -> Result<Vec<Written>, JobError> {
    let none = || {
        let text = || Value::Text(String::new());
        vec![
            text(),
            text(),
            text(),
            Value::Double(0.0),
            Value::Double(0.0),
            Value::Bool(false),
            text(),
        ]
    };
    let rows = if rows.is_empty() { vec![none()] } else { rows };
    let values = [("day", Value::Date(day.day)), ("rows", Value::Rows(rows))];
    let sql = fill(include_str!("drift.sql"), &values);
    let task = day.table_task(&DRIFT, 0, fingerprint, sql, BTreeMap::new());
    day.engine.run_writes(vec![task], &|| ()).await
}
