//! Stage 6: near-dedup of the day's anomalies among themselves and against all earlier days' kept candidates. A
//! task takes the guard keys of one part: lines of different guard keys never cover each other.

use std::collections::BTreeSet;
use std::time::Instant;

use chrono::NaiveDate;
use datafusion::arrow::datatypes::SchemaRef;

use super::sql::{Value, fill};
use super::telemetry::counts;
use super::{DayRun, StageRecord, rows_of, tables};
use crate::engine::{Source, Task, Written};
use crate::error::JobError;
use crate::warehouse::tables::{ANOMALIES, CANDIDATES};

/// Anomalies a task, about.
const PART_LINES: u64 = 16_384;

/// # Errors
/// When a task fails, a line is lost or doubled, or its accounts cannot be kept.
pub async fn run(day: &DayRun<'_>, anomalies: &StageRecord) -> Result<StageRecord, JobError> {
    let started = Instant::now();
    let all = day.warehouse.snapshot(&[CANDIDATES]).await?;
    let all = all.files(&CANDIDATES);
    let later: BTreeSet<_> = all.iter().map(|f| f.day).filter(|d| *d > day.day).collect();
    let earlier: Vec<_> = all.iter().filter(|f| f.day < day.day).collect();
    let mut parts: Vec<String> = earlier
        .iter()
        .map(|f| format!("{}|{}", f.day, f.fingerprint().unwrap_or_default()))
        .collect();
    parts.dedup();
    parts.extend([anomalies.digest.clone(), day.options.cosine.to_string()]);
    let fingerprint = day.fingerprint(
        "candidates",
        &parts.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    if let Some(record) = day.up_to_date("candidates", &fingerprint).await? {
        return Ok(record);
    }
    let schema: SchemaRef = CANDIDATES.schema();
    let mut urls: Vec<_> = earlier
        .iter()
        .map(|f| {
            day.warehouse
                .url(&format!("{}/{}", CANDIDATES.name, f.path))
        })
        .collect();
    if urls.is_empty() {
        urls.push(empty(day, &schema).await?);
    }
    let history = Source::Parquet { urls, schema };
    let whole = day.whole(&ANOMALIES, anomalies);
    let n_parts = anomalies
        .rows_kept
        .div_ceil(PART_LINES)
        .max(1)
        .next_power_of_two();
    let tasks = (0..n_parts).map(|part| {
        let values = [
            ("part", Value::Int(part)),
            ("parts", Value::Int(n_parts)),
            ("cosine", Value::Float(day.options.cosine)),
        ];
        let sql = fill(include_str!("candidates.sql"), &values);
        let sources = tables([("anomalies", whole.clone()), ("history", history.clone())]);
        day.table_task(
            &CANDIDATES,
            usize::try_from(part).unwrap_or(usize::MAX),
            &fingerprint,
            sql,
            sources,
        )
    });
    let written = day
        .run_writes("candidates", "near-dedup", tasks.collect())
        .await?;
    let kept = count_kept(day, &written).await?;
    let rows = rows_of(&written);
    if rows != anomalies.rows_kept {
        let what = format!("{} anomalies in, {rows} decisions out", anomalies.rows_kept);
        return Err(JobError::Unbalanced {
            stage: "candidates",
            what,
        });
    }
    let record = StageRecord {
        rows_in: rows,
        rows_kept: kept,
        rows_dropped: rows - kept,
        fingerprint,
        ..StageRecord::default()
    };
    let files = [(CANDIDATES, written.as_slice())];
    let record = day.finish("candidates", &files, started, record).await?;
    remark_later_days(day, &later);
    Ok(record)
}

async fn count_kept(day: &DayRun<'_>, written: &[Written]) -> Result<u64, JobError> {
    let task = Task {
        name: format!("{}/candidates/check", day.day),
        sql: "SELECT count(*) FILTER (WHERE kept) FROM candidates".to_owned(),
        tables: tables([("candidates", day.written(&CANDIDATES, written))]),
        write: None,
    };
    let [kept] = counts(&day.engine.run(vec![task], &|| ()).await?[0])?;
    Ok(kept)
}

/// Later days were held against what this day was: their user must know.
fn remark_later_days(day: &DayRun<'_>, later: &BTreeSet<NaiveDate>) {
    if let (Some(first), Some(last)) = (later.first(), later.last()) {
        day.progress.remark(&format!(
            "changed: {} later days ({first} to {last}) were held against what it was; run them again",
            later.len()
        ));
    }
}

/// A file without rows, for the first day's history.
async fn empty(day: &DayRun<'_>, schema: &SchemaRef) -> Result<String, JobError> {
    let path = format!("_staging/{}/empty.parquet", day.run);
    let mut bytes = vec![];
    let failed = |e: parquet::errors::ParquetError| JobError::Internal(e.to_string());
    let writer = parquet::arrow::ArrowWriter::try_new(&mut bytes, SchemaRef::clone(schema), None)
        .map_err(failed)?;
    writer.close().map_err(failed)?;
    day.warehouse.put(&path, bytes).await?;
    Ok(day.warehouse.url(&path))
}
