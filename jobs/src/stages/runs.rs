//! The accounts of a day. Their commit publishes the day: see [`crate::warehouse::publish`].

use std::collections::BTreeMap;

use super::sql::{Value, fill};
use super::{DayRun, StageRecord};
use crate::error::JobError;
use crate::warehouse::delta::DataFile;
use crate::warehouse::publish::{Made, Publication, Published, Snapshot};
use crate::warehouse::tables::{RUNS, table, tables_of};

const SAME_ANSWER: &str = "another run has published the same answer meanwhile: nothing to add";

const REPLACED: &str =
    "files of the day were lost or damaged; the same answer, computed again, is in their place";

/// Publishes the day's tables, unless they are published already; returns whether that changed anything.
///
/// # Errors
/// When the accounts cannot be written, or a commit fails.
pub async fn publish(
    day: &DayRun<'_>,
    records: &[StageRecord],
    whole: bool,
) -> Result<bool, JobError> {
    let parts: Vec<_> = records
        .iter()
        .flat_map(|r| [r.fingerprint.as_str(), r.digest.as_str()])
        .collect();
    let fingerprint = day.fingerprint("runs", &parts);
    let before = day.warehouse.snapshot(tables_of(day.options.kind)).await?;
    let accounts = before.fingerprint(&RUNS, day.day);
    // A run up to an earlier stage that changed nothing leaves the accounts of the later ones.
    let lost = lost(day, &before, records).await?;
    if is_published(day, &before, records)
        && !lost
        && (accounts == Some(&fingerprint) || !whole && accounts.is_some())
    {
        if !records.iter().all(|r| r.reused) {
            day.progress.remark(SAME_ANSWER);
        }
        return Ok(false);
    }
    let runs = Made {
        files: vec![write(day, records, &fingerprint).await?],
        fingerprint,
    };
    let tables = records.iter().flat_map(|record| {
        record.files.iter().map(|(name, files)| {
            let made = Made {
                fingerprint: record.fingerprint.clone(),
                files: files.clone(),
            };
            (name.clone(), made)
        })
    });
    let publication = Publication {
        day: day.day,
        runs,
        tables: tables.collect(),
    };
    match day.warehouse.publish(&day.run, &publication).await? {
        Published::Now => {}
        Published::Already if lost => day.progress.remark(REPLACED),
        Published::Already => day.progress.remark(SAME_ANSWER),
        Published::Superseded => day.progress.remark(
            "published, and replaced since by another run with other input or flags: that one's answer stands",
        ),
    }
    Ok(true)
}

/// Whether a stage was computed again although its answer was published, because files of that are gone or cut short.
async fn lost(
    day: &DayRun<'_>,
    published: &Snapshot,
    records: &[StageRecord],
) -> Result<bool, JobError> {
    for record in records.iter().filter(|record| !record.reused) {
        for table in record
            .files
            .keys()
            .filter_map(|name| table(day.options.kind, name))
        {
            let held = published.files(&table).iter().filter(|f| f.day == day.day);
            let held: Vec<DataFile> = held.cloned().collect();
            if day.warehouse.damaged(&table, &held).await?.is_some() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Whether all tables hold what the records say.
fn is_published(day: &DayRun<'_>, published: &Snapshot, records: &[StageRecord]) -> bool {
    records.iter().all(|record| {
        record.files.keys().all(|name| {
            let held =
                table(day.options.kind, name).and_then(|t| published.fingerprint(&t, day.day));
            held == Some(record.fingerprint.as_str())
        })
    })
}

/// A stage's own counts as JSON; empty braces for stages that have none.
fn counts(record: &StageRecord) -> String {
    let notes = record.notes.iter();
    let counts: BTreeMap<&str, serde_json::Value> = match record.stage.as_str() {
        "labels" | "models" => notes
            .filter_map(|(name, n)| Some((name.as_str(), n.parse::<u64>().ok()?.into())))
            .collect(),
        "anomalies" => notes
            .filter_map(|(name, outcome)| {
                Some((name.as_str(), serde_json::from_str(outcome).ok()?))
            })
            .collect(),
        _ => BTreeMap::new(),
    };
    serde_json::json!(counts).to_string()
}

async fn write(
    day: &DayRun<'_>,
    records: &[StageRecord],
    fingerprint: &str,
) -> Result<DataFile, JobError> {
    let row = |r: &StageRecord| {
        vec![
            Value::Text(r.stage.clone()),
            Value::Int(r.rows_in),
            Value::Int(r.rows_kept),
            Value::Int(r.rows_quarantined),
            Value::Int(r.rows_dropped),
            Value::Text(format!("{:.3}", r.secs)),
            Value::Int(r.bytes),
            Value::Text(r.fingerprint.clone()),
            Value::Text(r.digest.clone()),
            Value::Text(
                r.notes
                    .get("cost_usd")
                    .map_or("0", String::as_str)
                    .to_owned(),
            ),
            // What the labels stage counted: rows by list, labeller or reason; what came of the anomalies' thresholds.
            Value::Text(counts(r)),
        ]
    };
    let values = [
        ("day", Value::Date(day.day)),
        ("gleaner", Value::Text(env!("CARGO_PKG_VERSION").to_owned())),
        ("rows", Value::Rows(records.iter().map(row).collect())),
    ];
    let task = day.table_task(
        &RUNS,
        0,
        fingerprint,
        fill(include_str!("runs.sql"), &values),
        BTreeMap::new(),
    );
    let written = day.engine.run_writes(vec![task], &|| ()).await?;
    match written.as_slice() {
        [file] => Ok(DataFile::written(day.day, file)),
        _ => Err(JobError::Internal("one task, one file".into())),
    }
}
