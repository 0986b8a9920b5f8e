//! Stage 5: the lines within a detector's quota. Scores are computed once for all lines, and the lines that may be
//! within a quota are staged with their features; then each quota's exact border is found from states that merge, and
//! the staged lines within it are written with ranks and reasons. No sort of the day, and 1–3% of it is written.
//!
//! Which lines *may* be within a quota is guessed from the sample's scores: those above the score that twice the
//! quota's share of the sample reaches. The guess only saves work: when it was too high (fewer lines than the quota
//! were staged), the day is scored again without it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use gleaner_udfs::detector::Kind;
use gleaner_udfs::quota::QuotaState;

use super::categories::CATEGORIES;
use super::models::QUANTILES;
use super::sql::{Value, fill};
use super::unit::{Rows, Unit};
use super::{DayRun, StageRecord, rows_of, tables};
use crate::engine::{Source, Task, Written, binary_value};
use crate::error::JobError;
use crate::observe::metrics;
use crate::warehouse::model_path;

/// # Errors
/// When a task or its accounts cannot be kept.
pub async fn run(
    day: &DayRun<'_>,
    units: &Rows<'_>,
    models: &StageRecord,
) -> Result<StageRecord, JobError> {
    let started = Instant::now();
    let unit = Unit::of(day.options.kind);
    let lines = units.count();
    let quotas = day.options.quotas.of(lines);
    let digest = units.digest();
    let parts = [
        digest.as_str(),
        models.digest.as_str(),
        &format!("{quotas:?}"),
    ];
    let fingerprint = day.fingerprint("anomalies", &parts);
    if let Some(record) = day.up_to_date("anomalies", &fingerprint).await? {
        return Ok(record);
    }
    let buckets = units.buckets(day);
    let schema = scores_schema(day, units);
    let low = [0, 1, 2].map(|i| guess(models, Kind::ALL[i], quotas[i], lines));
    let mut staged = score(day, &buckets, models, low).await?;
    let mut highest = border(day, &staged, &schema, quotas).await?;
    let reached = |highest: &[QuotaState; 3]| {
        highest
            .iter()
            .zip(quotas)
            .all(|(state, quota)| state.finish().len() as u64 == quota)
    };
    if !reached(&highest) {
        staged = score(day, &buckets, models, [f32::NEG_INFINITY; 3]).await?;
        highest = border(day, &staged, &schema, quotas).await?;
    }
    if !reached(&highest) {
        let what = format!("a quota of {quotas:?} lines is not filled by {lines} lines");
        return Err(JobError::Unbalanced {
            stage: "anomalies",
            what,
        });
    }
    let mut values = vec![];
    for (kind, state) in Kind::ALL.into_iter().zip(&highest) {
        let quota = day.warehouse.put_model(state.finish().to_bytes()).await?;
        let uri = day.warehouse.url(&model_path(&quota));
        values.push((format!("{}_ranks", kind.name()), Value::Text(uri)));
        values.push((kind.name().to_owned(), model(day, models, kind.name())?));
    }
    let values: Vec<_> = values
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    let sql = fill(unit.anomalies, &values);
    let tasks = staged.iter().enumerate().map(|(part, file)| {
        let sources = tables([(
            "scores",
            day.staged(std::slice::from_ref(file), Arc::clone(&schema)),
        )]);
        day.table_task(
            &unit.anomalies_table,
            part,
            &fingerprint,
            sql.clone(),
            sources,
        )
    });
    let written = day
        .run_writes("anomalies", "ranks and reasons", tasks.collect())
        .await?;
    for (kind, quota) in Kind::ALL.into_iter().zip(quotas) {
        metrics::driver().chosen(kind.name(), quota);
    }
    let kept = rows_of(&written);
    let record = StageRecord {
        rows_in: lines,
        rows_kept: kept,
        rows_dropped: lines.saturating_sub(kept),
        fingerprint,
        ..StageRecord::default()
    };
    day.finish(
        "anomalies",
        &[(unit.anomalies_table, &written)],
        started,
        record,
    )
    .await
}

/// The score from which a line is staged.
fn guess(models: &StageRecord, kind: Kind, quota: u64, lines: u64) -> f32 {
    let quantiles = models.notes.get(&format!("{}_sample", kind.name()));
    let quantiles: Vec<f32> = quantiles
        .and_then(|json| serde_json::from_str(json).ok())
        .unwrap_or_default();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a quantile's index, between 0 and 1000"
    )]
    let index = {
        let above = 2.0 * quota as f64 / lines.max(1) as f64 + 2.0 / QUANTILES as f64;
        ((1.0 - above).max(0.0) * QUANTILES as f64) as usize
    };
    if index == 0 {
        f32::NEG_INFINITY
    } else {
        quantiles.get(index).copied().unwrap_or(f32::NEG_INFINITY)
    }
}

fn model(day: &DayRun<'_>, models: &StageRecord, name: &str) -> Result<Value, JobError> {
    let path = models
        .notes
        .get(name)
        .ok_or_else(|| JobError::Internal(format!("no {name} among the models")))?;
    Ok(Value::Text(day.warehouse.url(path)))
}

async fn score(
    day: &DayRun<'_>,
    buckets: &[BTreeMap<String, Source>],
    models: &StageRecord,
    low: [f32; 3],
) -> Result<Vec<Written>, JobError> {
    let categorical = day.options.categorical.choice();
    let mut values = vec![
        ("frequencies", model(day, models, "frequencies")?),
        ("iforest", model(day, models, "iforest")?),
        ("pca", model(day, models, "pca")?),
        ("kmeans", model(day, models, "kmeans")?),
        ("iforest_low", Value::Float(low[0])),
        ("pca_low", Value::Float(low[1])),
        ("kmeans_low", Value::Float(low[2])),
    ];
    if categorical.encodes() {
        values.push((CATEGORIES, model(day, models, CATEGORIES)?));
    }
    let sql = fill(
        &Unit::with_features(Unit::of(day.options.kind).scores, categorical),
        &values,
    );
    let tasks = buckets
        .iter()
        .enumerate()
        .map(|(part, bucket)| day.staging_task("scores", part, "", sql.clone(), bucket.clone()));
    day.run_writes("anomalies", "scoring", tasks.collect())
        .await
}

async fn border(
    day: &DayRun<'_>,
    staged: &[Written],
    schema: &SchemaRef,
    quotas: [u64; 3],
) -> Result<[QuotaState; 3], JobError> {
    let values = [
        ("iforest_quota", Value::Int(quotas[0])),
        ("pca_quota", Value::Int(quotas[1])),
        ("kmeans_quota", Value::Int(quotas[2])),
    ];
    let sql = fill(include_str!("quotas.sql"), &values);
    let tasks = staged.iter().enumerate().map(|(part, file)| Task {
        name: format!("{}/quotas/{part}", day.day),
        sql: sql.clone(),
        tables: tables([(
            "scores",
            day.staged(std::slice::from_ref(file), Arc::clone(schema)),
        )]),
        write: None,
    });
    let results = day.run("anomalies", "quotas", tasks.collect()).await?;
    let failed = |e: gleaner_udfs::learner::LearnerError| JobError::Model(e.to_string());
    let mut highest = vec![];
    for (i, quota) in quotas.into_iter().enumerate() {
        let mut state =
            QuotaState::new(usize::try_from(quota).unwrap_or(usize::MAX)).map_err(failed)?;
        for batches in &results {
            if let Some(bytes) = binary_value(batches, i)? {
                state
                    .merge(&QuotaState::from_bytes(&bytes).map_err(failed)?)
                    .map_err(failed)?;
            }
        }
        highest.push(state);
    }
    highest
        .try_into()
        .map_err(|_| JobError::Internal("three detectors".into()))
}

/// The columns of staged scores: those of the rows but for the states of distinct counts, the features, the scores.
fn scores_schema(day: &DayRun<'_>, units: &Rows<'_>) -> SchemaRef {
    let columns = units.columns(day).into_iter();
    let mut fields: Vec<_> = columns
        .map(|(name, kind)| Field::new(name, kind, true))
        .collect();
    let item = Arc::new(Field::new("item", DataType::Float32, true));
    let width = Unit::of(day.options.kind).width(day.options.categorical.choice());
    let width = i32::try_from(width).unwrap_or(i32::MAX);
    fields.push(Field::new(
        "features",
        DataType::FixedSizeList(item, width),
        true,
    ));
    for name in ["iforest_score", "pca_error", "kmeans_distance"] {
        fields.push(Field::new(name, DataType::Float32, true));
    }
    Arc::new(Schema::new(fields))
}
