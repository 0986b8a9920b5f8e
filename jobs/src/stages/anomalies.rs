//! Stage 5: the lines within a detector's quota. Scores are computed once for all lines, and the lines that may be
//! within a quota are staged with their features; then each quota's exact border is found from states that merge, and
//! the staged lines within it are written with ranks and reasons. No sort of the day, and 1–3% of it is written.
//!
//! Which lines *may* be within a quota is guessed from the sample's scores: those above the score that twice the
//! quota's share of the sample reaches. The guess only saves work: when it was too high (fewer lines than the quota
//! were staged), the day is scored again without it.
//!
//! Where scores set a detector's threshold (see [`super::thresholds`]), no line below it is chosen, and the quota is the upper bound.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use gleaner_udfs::detector::Kind;
use gleaner_udfs::quota::{Quota, QuotaState};

use super::categories::CATEGORIES;
use super::detectors::of_detectors;
use super::models::QUANTILES;
use super::sql::{Value, fill};
use super::thresholds::{self, Outcome, Promise};
use super::unit::{Rows, Unit};
use super::{DayRun, StageRecord, held, rows_of, tables};
use crate::engine::{Source, Task, Written, binary_value};
use crate::error::JobError;
use crate::observe::metrics;
use crate::warehouse::model_path;

/// What a detector may choose.
struct Border {
    kind: Kind,
    /// So many lines at the most.
    quota: u64,
    /// Lines of this score and above are staged.
    low: f32,
    /// No line below this is chosen.
    floor: f32,
    promise: Option<Promise>,
}

/// What a detector chose.
struct Highest {
    chosen: Quota,
    /// Staged lines that reach its floor.
    reached: u64,
}

impl Highest {
    fn lines(&self) -> u64 {
        self.chosen.len() as u64
    }
}

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
    let kinds = day.options.detectors.kinds();
    // What is held back takes no place of a quota.
    let open = lines.saturating_sub(held::held_back(models));
    let quota = |kind: &Kind| day.options.quotas.of(*kind, lines).min(open);
    let quotas: Vec<u64> = kinds.iter().map(quota).collect();
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
    let scored = scores_schema(day, units);
    let of = kinds.iter().zip(quotas);
    let borders: Vec<Border> = of
        .map(|(kind, quota)| border(models, *kind, quota, lines))
        .collect();
    let (all, highest) = highest(day, units, models, &scored, borders.as_slice()).await?;
    let (staged, schema) = (all.kept, all.schema);
    let mut values = vec![];
    for (border, found) in borders.iter().zip(&highest) {
        let name = border.kind.name();
        let quota = day.warehouse.put_model(found.chosen.to_bytes()).await?;
        let uri = day.warehouse.url(&model_path(&quota));
        values.push((format!("{name}_ranks"), Value::Text(uri)));
        values.push((name.to_owned(), model(day, models, name)?));
    }
    let sql = of_detectors(unit.anomalies, kinds, &unit.anomalies_table);
    let sql = held::marked(&filled(&sql, &values), &schema);
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
    let mut notes = BTreeMap::new();
    let least: Vec<(&str, f32)> = borders
        .iter()
        .zip(&highest)
        .filter_map(|(border, found)| Some((border.kind.score_column(), found.chosen.threshold()?)))
        .collect();
    for (border, found) in borders.into_iter().zip(&highest) {
        let kind = border.kind.name();
        metrics::driver().chosen(kind, found.lines());
        if let Some(promise) = border.promise {
            let outcome = Outcome::of(promise, lines, found.lines(), found.reached);
            if outcome.cut() {
                day.progress.remark(outcome.shown(kind).trim_end());
            }
            notes.insert(kind.to_owned(), thresholds::json(&outcome)?);
        }
    }
    let back = held::would_be_anomalies(day, models, &all.scored, &scored, &least).await?;
    notes.extend(back.map(|n| ("held_back".to_owned(), n.to_string())));
    let kept = rows_of(&written);
    let record = StageRecord {
        rows_in: lines,
        rows_kept: kept,
        rows_dropped: lines.saturating_sub(kept),
        fingerprint,
        notes,
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

/// Lines that may be chosen.
struct Staged {
    /// As scored.
    scored: Vec<Written>,
    /// Without what verdicts hold back.
    kept: Vec<Written>,
    /// The schema of those.
    schema: SchemaRef,
}

/// The staged lines, and what each detector chooses of them.
async fn highest(
    day: &DayRun<'_>,
    units: &Rows<'_>,
    models: &StageRecord,
    schema: &SchemaRef,
    borders: &[Border],
) -> Result<(Staged, Vec<Highest>), JobError> {
    let buckets = units.buckets(day);
    let full = |(border, found): (&Border, &Highest)| found.lines() == border.quota;
    let lows: Vec<f32> = borders.iter().map(|border| border.low).collect();
    let staged = async |lows: &[f32]| {
        let scored = score(day, &buckets, models, lows).await?;
        let (kept, schema) = held::hold_back(day, models, scored.clone(), schema).await?;
        let found = choose(day, &kept, &schema, borders).await?;
        let staged = Staged {
            scored,
            kept,
            schema,
        };
        Ok::<_, JobError>((staged, found))
    };
    let (mut all, mut found) = staged(&lows).await?;
    let guessed_too_high = borders
        .iter()
        .zip(&found)
        .any(|both| !full(both) && both.0.low > both.0.floor);
    if guessed_too_high {
        let floors: Vec<f32> = borders.iter().map(|border| border.floor).collect();
        (all, found) = staged(&floors).await?;
    }
    let mut by_quota = borders.iter().zip(&found);
    if let Some((border, _)) =
        by_quota.find(|both| both.0.promise.is_none() && !full((both.0, both.1)))
    {
        let (quota, lines) = (border.quota, units.count());
        let what = format!("a quota of {quota} lines is not filled by {lines} lines");
        return Err(JobError::Unbalanced {
            stage: "anomalies",
            what,
        });
    }
    Ok((all, found))
}

fn border(models: &StageRecord, kind: Kind, quota: u64, lines: u64) -> Border {
    let promise = thresholds::promised(models, kind);
    let floor = promise
        .as_ref()
        .map_or(f32::NEG_INFINITY, |promise| promise.threshold);
    Border {
        kind,
        quota,
        low: guess(models, kind, quota, lines).max(floor),
        floor,
        promise,
    }
}

fn filled(sql: &str, values: &[(String, Value)]) -> String {
    let values: Vec<_> = values
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    fill(sql, &values)
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
    lows: &[f32],
) -> Result<Vec<Written>, JobError> {
    let (unit, kinds) = (Unit::of(day.options.kind), day.options.detectors.kinds());
    let categorical = day.options.categorical.choice();
    let mut values = vec![("frequencies".to_owned(), model(day, models, "frequencies")?)];
    for (kind, low) in kinds.iter().zip(lows) {
        let name = kind.name();
        values.push((name.to_owned(), model(day, models, name)?));
        values.push((format!("{name}_low"), Value::Float(*low)));
    }
    if categorical.encodes() {
        values.push((CATEGORIES.to_owned(), model(day, models, CATEGORIES)?));
    }
    let sql = of_detectors(unit.scores, kinds, &unit.anomalies_table);
    let sql = filled(&Unit::with_features(&sql, categorical), &values);
    let tasks = buckets
        .iter()
        .enumerate()
        .map(|(part, bucket)| day.staging_task("scores", part, "", sql.clone(), bucket.clone()));
    day.run_writes("anomalies", "scoring", tasks.collect())
        .await
}

/// What each detector chooses of staged lines.
async fn choose(
    day: &DayRun<'_>,
    staged: &[Written],
    schema: &SchemaRef,
    borders: &[Border],
) -> Result<Vec<Highest>, JobError> {
    let (unit, kinds) = (Unit::of(day.options.kind), day.options.detectors.kinds());
    let mut values = vec![];
    for border in borders {
        let name = border.kind.name();
        values.push((format!("{name}_quota"), Value::Int(border.quota)));
        values.push((format!("{name}_floor"), Value::Float(border.floor)));
    }
    let sql = of_detectors(include_str!("quotas.sql"), kinds, &unit.anomalies_table);
    let sql = filled(&sql, &values);
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
    for (i, border) in borders.iter().enumerate() {
        let size = usize::try_from(border.quota).unwrap_or(usize::MAX);
        let mut state = QuotaState::new(size).map_err(failed)?;
        let mut reached = 0;
        for batches in &results {
            if let Some(bytes) = binary_value(batches, i)? {
                state
                    .merge(&QuotaState::from_bytes(&bytes).map_err(failed)?)
                    .map_err(failed)?;
            }
            reached += count(batches, borders.len() + i);
        }
        highest.push(Highest {
            chosen: state.finish(),
            reached,
        });
    }
    Ok(highest)
}

/// The number in a column of the one row.
fn count(batches: &[RecordBatch], column: usize) -> u64 {
    let row = batches.iter().find(|batch| batch.num_rows() > 0);
    let values = row.and_then(|row| row.column(column).as_primitive_opt::<Int64Type>());
    values.map_or(0, |v| u64::try_from(v.value(0)).unwrap_or_default())
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
    for kind in day.options.detectors.kinds() {
        fields.push(Field::new(kind.score_column(), DataType::Float32, true));
    }
    Arc::new(Schema::new(fields))
}
