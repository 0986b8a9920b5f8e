//! `gleaner status`.

use std::collections::BTreeMap;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{Float64Type, Int64Type};
use serde_json::{Value, json};

use super::{output, progress};
use crate::engine::{Engine, Task};
use crate::error::JobError;
use crate::labels::precision::{self, SetPrecision};
use crate::plan::write::Digest;
use crate::stages::{STAGES, StageRecord, thresholds};
use crate::warehouse::Warehouse;
use crate::warehouse::tables::RUNS;

/// Flags of `gleaner status`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory of the warehouse.
    #[arg(long, value_name = "DIR", env = "GLEANER_WAREHOUSE")]
    warehouse: String,
    /// One JSON object a day.
    #[arg(long)]
    json: bool,
}

/// # Errors
/// When there is no warehouse, or it cannot be read.
pub async fn main(args: Args) -> Result<(), JobError> {
    let warehouse = Warehouse::open(&args.warehouse).await?;
    let sets = precision::report(&warehouse, true).await?;
    for (day, records) in days(&warehouse).await? {
        let sets: Vec<&SetPrecision> = sets
            .iter()
            .filter(|set| set.day.as_deref() == Some(day.as_str()))
            .collect();
        if args.json {
            output::line(&object(&day, &records, &sets).to_string())?;
            continue;
        }
        for record in &records {
            output::line(&progress::stage_line(&day, record))?;
            for (detector, outcome) in thresholds::outcomes(record) {
                output::line(&format!("{day} {}", outcome.shown(detector)))?;
            }
        }
        for line in sets.iter().flat_map(|set| set.shown()) {
            output::line(&output::printable(&line))?;
        }
        output::line(&format!("{day} digest {}", digest(&records)))?;
    }
    Ok(())
}

/// The accounts of every day, stages in order.
///
/// # Errors
/// When the table cannot be read.
pub async fn days(warehouse: &Warehouse) -> Result<Vec<(String, Vec<StageRecord>)>, JobError> {
    let snapshot = warehouse.snapshot(&[RUNS]).await?;
    let Some(source) = warehouse.source(&RUNS, snapshot.files(&RUNS)) else {
        return Ok(vec![]);
    };
    let task = Task {
        name: "status".to_owned(),
        sql: "SELECT CAST(day AS VARCHAR) AS date, stage, rows_in, rows_kept, rows_quarantined, rows_dropped, secs, bytes, \
              fingerprint, digest, counts FROM runs ORDER BY date"
            .to_owned(),
        tables: BTreeMap::from([("runs".to_owned(), source)]),
        write: None,
    };
    let batches = Engine::embedded(1, 1 << 28)?
        .run(vec![task], &|| ())
        .await?;
    let mut days: BTreeMap<String, Vec<StageRecord>> = BTreeMap::new();
    for batch in batches.iter().flatten() {
        for row in 0..batch.num_rows() {
            let day = text(batch, 0, row);
            days.entry(day).or_default().push(StageRecord {
                stage: text(batch, 1, row),
                rows_in: count(batch, 2, row),
                rows_kept: count(batch, 3, row),
                rows_quarantined: count(batch, 4, row),
                rows_dropped: count(batch, 5, row),
                secs: batch
                    .column(6)
                    .as_primitive_opt::<Float64Type>()
                    .map_or(0.0, |c| c.value(row)),
                bytes: count(batch, 7, row),
                fingerprint: text(batch, 8, row),
                digest: text(batch, 9, row),
                notes: counted(&text(batch, 10, row)),
                ..StageRecord::default()
            });
        }
    }
    let place = |r: &StageRecord| STAGES.iter().position(|s| *s == r.stage);
    for records in days.values_mut() {
        records.sort_by_key(place);
    }
    Ok(days.into_iter().collect())
}

/// A stage's own counts, as notes.
fn counted(json: &str) -> BTreeMap<String, String> {
    let counts: BTreeMap<String, Value> = serde_json::from_str(json).unwrap_or_default();
    let counts = counts.into_iter();
    counts.map(|(name, n)| (name, n.to_string())).collect()
}

fn text(batch: &RecordBatch, column: usize, row: usize) -> String {
    let values = batch.column(column).as_string_opt::<i32>();
    values
        .filter(|v| v.is_valid(row))
        .map_or_else(String::new, |v| v.value(row).to_owned())
}

fn count(batch: &RecordBatch, column: usize, row: usize) -> u64 {
    let values = batch.column(column).as_primitive_opt::<Int64Type>();
    values.map_or(0, |v| u64::try_from(v.value(row)).unwrap_or_default())
}

/// The digest of a day: of all its tables but `runs`.
#[must_use]
pub fn digest(records: &[StageRecord]) -> String {
    let mut digest = Digest::default();
    for record in records {
        if let Some(other) = Digest::from_hex(&record.digest) {
            digest.merge(&other);
        }
    }
    digest.to_hex()
}

fn object(day: &str, records: &[StageRecord], sets: &[&SetPrecision]) -> Value {
    let stages: Vec<Value> = records
        .iter()
        .map(|r| {
            let mut stage = json!({
                "stage": r.stage,
                "rows_in": r.rows_in,
                "rows_kept": r.rows_kept,
                "rows_quarantined": r.rows_quarantined,
                "rows_dropped": r.rows_dropped,
                "secs": r.secs,
                "bytes": r.bytes,
            });
            let outcomes: BTreeMap<_, _> = thresholds::outcomes(r).into_iter().collect();
            if !outcomes.is_empty() {
                stage["thresholds"] = json!(outcomes);
            }
            stage
        })
        .collect();
    json!({ "date": day, "scale": "full", "stages": stages, "precision": sets, "digest": digest(records) })
}
