//! Stage 6: near-dedup of the day's anomalies among themselves and against all earlier days' candidates. A task takes the
//! guard keys of one part (lines of different guard keys never cover each other), reads no more of the lines than it needs, and
//! stages its decisions by hash; then tasks by hash write the candidates, and tasks by part what was similar to what.

use std::collections::BTreeSet;
use std::time::Instant;

use std::sync::Arc;

use chrono::NaiveDate;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::sql::{Value, fill};
use super::telemetry::counts;
use super::{DayRun, StageRecord, embeddings, rows_of, selection, tables};
use crate::engine::{Source, Task, Written};
use crate::error::JobError;
use crate::stages::selection::Selection;
use crate::warehouse::delta::DataFile;
use crate::warehouse::tables::{ANOMALIES, CANDIDATES, EMBEDDINGS, SIMILARITIES, Table};

/// Anomalies a task, about. Every task looks at all of their guard keys: few and large ones read less.
const PART_LINES: u64 = 131_072;

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
    parts.extend([
        anomalies.digest.clone(),
        day.options.cosine.to_string(),
        day.options.embedder.name.clone(),
    ]);
    parts.extend(day.options.selection.as_ref().map(Selection::fingerprint));
    let fingerprint = day.fingerprint(
        "candidates",
        &parts.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    if let Some(record) = day.up_to_date("candidates", &fingerprint).await? {
        return Ok(record);
    }
    let history = match day.warehouse.source(&CANDIDATES, earlier) {
        Some(history) => history,
        None => empty(day, &CANDIDATES).await?,
    };
    let vectors = if day.options.embedder.is_lexical() {
        None
    } else {
        embeddings::ensure(day, &day.whole(&ANOMALIES, anomalies), &history).await?
    };
    let vectors = match vectors {
        Some(vectors) => vectors,
        None => empty(day, &EMBEDDINGS).await?,
    };
    let parts = anomalies
        .rows_kept
        .div_ceil(PART_LINES)
        .max(1)
        .next_power_of_two();
    let decisions = decide(day, anomalies, [history, vectors], parts).await?;
    let written = write_candidates(day, anomalies, &decisions, &fingerprint).await?;
    let similar = write_similarities(day, &decisions, &fingerprint).await?;
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
    let files = [
        (CANDIDATES, written.as_slice()),
        (SIMILARITIES, similar.as_slice()),
    ];
    let record = day.finish("candidates", &files, started, record).await?;
    remark_later_days(day, &later);
    Ok(record)
}

/// What becomes of each anomaly: a staged file a part of the guard keys, sorted by hash.
async fn decide(
    day: &DayRun<'_>,
    anomalies: &StageRecord,
    [history, vectors]: [Source; 2],
    parts: u64,
) -> Result<Vec<Written>, JobError> {
    let whole = day.whole(&ANOMALIES, anomalies);
    let tasks = (0..parts).map(|part| {
        let values = [
            ("part", Value::Int(part)),
            ("parts", Value::Int(parts)),
            ("cosine", Value::Float(day.options.cosine)),
            ("embedder", Value::Text(day.options.embedder.name.clone())),
        ];
        let sql = fill(include_str!("near.sql"), &values);
        let sources = tables([
            ("anomalies", whole.clone()),
            ("history", history.clone()),
            ("embeddings", vectors.clone()),
        ]);
        let part = usize::try_from(part).unwrap_or(usize::MAX);
        day.staging_task("decisions", part, "hash", sql, sources)
    });
    day.run_writes("candidates", "near-dedup", tasks.collect())
        .await
}

/// The table, in about as many tasks as there were parts: each takes some of the anomalies' buckets by hash.
async fn write_candidates(
    day: &DayRun<'_>,
    anomalies: &StageRecord,
    decisions: &[Written],
    fingerprint: &str,
) -> Result<Vec<Written>, JobError> {
    let staged = day.staged(decisions, decisions_schema());
    let ranges = ranges(anomalies, decisions.len());
    let fill_range = |sql: &str, low: &str, high: &str| {
        let values = [
            ("low", Value::Text(low.to_owned())),
            ("high", Value::Text(high.to_owned())),
            ("budgeted", Value::Bool(day.options.selection.is_some())),
        ];
        fill(sql, &values)
    };
    let tasks = ranges.iter().map(|(buckets, low, high)| Task {
        name: format!("{}/candidates/choice", day.day),
        sql: fill_range(include_str!("selection.sql"), low, high),
        tables: tables([
            ("anomalies", day.source(&ANOMALIES, *buckets)),
            ("decisions", staged.clone()),
        ]),
        write: None,
    });
    let choice = selection::run(day, tasks.collect()).await?;
    let tasks = ranges
        .iter()
        .enumerate()
        .map(|(part, (buckets, low, high))| {
            let sql = fill_range(include_str!("candidates.sql"), low, high);
            let sources = tables([
                ("anomalies", day.source(&ANOMALIES, *buckets)),
                ("decisions", staged.clone()),
                ("choice", choice.clone()),
            ]);
            day.table_task(&CANDIDATES, part, fingerprint, sql, sources)
        });
    day.run_writes("candidates", "write", tasks.collect()).await
}

/// Some buckets of the anomalies next to each other, with the first hash and that after the last: about as many as there are parts.
fn ranges(anomalies: &StageRecord, parts: usize) -> Vec<(&[DataFile], String, String)> {
    let buckets = anomalies.files_of(&ANOMALIES);
    // Buckets are cut by the leading bits of the hash: powers of two. Some of them next to each other are a range of hashes.
    let groups = if buckets.len().is_power_of_two() {
        buckets.len().min(parts)
    } else {
        1
    };
    buckets
        .chunks(buckets.len().div_ceil(groups).max(1))
        .enumerate()
        .map(|(part, some)| (some, first_hash(part, groups), first_hash(part + 1, groups)))
        .collect()
}

/// The first hash, in hexadecimal, of a part of all hashes (of a power of two of them); after the last part, what no hash reaches.
fn first_hash(part: usize, parts: usize) -> String {
    if part >= parts {
        return "g".to_owned();
    }
    let bits = parts.trailing_zeros();
    let first = (part as u64).checked_shl(64 - bits).unwrap_or(0);
    format!("{first:016x}")
}

/// The table of similarities, a task a part.
async fn write_similarities(
    day: &DayRun<'_>,
    decisions: &[Written],
    fingerprint: &str,
) -> Result<Vec<Written>, JobError> {
    let tasks = decisions.iter().enumerate().map(|(part, file)| {
        let sql = fill(
            include_str!("similarities.sql"),
            &[
                ("day", Value::Date(day.day)),
                ("embedder", Value::Text(day.options.embedder.name.clone())),
            ],
        );
        let staged = day.staged(std::slice::from_ref(file), decisions_schema());
        day.table_task(
            &SIMILARITIES,
            part,
            fingerprint,
            sql,
            tables([("decisions", staged)]),
        )
    });
    day.run_writes("candidates", "similarities", tasks.collect())
        .await
}

fn decisions_schema() -> SchemaRef {
    let near = [
        ("hash", DataType::Utf8),
        ("day", DataType::Date32),
        ("cosine", DataType::Float32),
    ];
    let near = near.map(|(name, kind)| Field::new(name, kind, true));
    let near = Field::new("item", DataType::Struct(near.to_vec().into()), true);
    let columns = [
        ("hash", DataType::Utf8),
        ("covered_by", DataType::Utf8),
        ("covered_day", DataType::Date32),
        ("covered_how", DataType::Utf8),
        ("cosine", DataType::Float32),
        ("covers", DataType::Int64),
        ("near", DataType::List(Arc::new(near))),
    ];
    let columns = columns.map(|(name, kind)| Field::new(name, kind, true));
    Arc::new(Schema::new(columns.to_vec()))
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
            "changed: {} later days ({first} to {last}) were held against what it was; run them again, or this day with --later",
            later.len()
        ));
    }
}

/// A file without rows, for a table that has none yet.
pub(super) async fn empty(day: &DayRun<'_>, table: &Table) -> Result<Source, JobError> {
    let path = format!("_staging/{}/empty-{}.parquet", day.run, table.name);
    let schema = table.schema();
    let mut bytes = vec![];
    let failed = |e: parquet::errors::ParquetError| JobError::Internal(e.to_string());
    let writer = parquet::arrow::ArrowWriter::try_new(&mut bytes, SchemaRef::clone(&schema), None)
        .map_err(failed)?;
    writer.close().map_err(failed)?;
    day.warehouse.put(&path, bytes).await?;
    let urls = vec![day.warehouse.url(&path)];
    Ok(Source::Parquet {
        urls,
        schema,
        sorted_by: &[],
    })
}

#[cfg(test)]
mod tests {
    use super::first_hash;

    #[test]
    fn parts_of_the_hashes_follow_each_other_without_a_gap() {
        assert_eq!(first_hash(0, 1), "0000000000000000");
        assert_eq!(first_hash(1, 1), "g");
        assert_eq!(first_hash(1, 2), "8000000000000000");
        assert_eq!(first_hash(3, 16), "3000000000000000");
        assert!("ffffffffffffffffffffffffffffffff" < first_hash(16, 16).as_str());
    }
}
