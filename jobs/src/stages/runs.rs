//! The accounts of a day, committed last: a day that has them is finished.

use super::sql::{Value, fill};
use super::{DayRun, StageRecord};
use crate::error::JobError;
use crate::warehouse::tables::RUNS;
use std::collections::BTreeMap;

/// Replaces the day's accounts, unless they stand there already.
///
/// # Errors
/// When the task or the commit fails.
pub async fn run(day: &DayRun<'_>, records: &[StageRecord]) -> Result<(), JobError> {
    let parts: Vec<_> = records
        .iter()
        .flat_map(|r| [r.fingerprint.as_str(), r.digest.as_str()])
        .collect();
    let fingerprint = day.fingerprint("runs", &parts);
    if day.warehouse.fingerprint(&RUNS, day.day).await?.as_deref() == Some(fingerprint.as_str()) {
        return Ok(());
    }
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
        &fingerprint,
        fill(include_str!("runs.sql"), &values),
        BTreeMap::new(),
    );
    let written = day.engine.run_writes(vec![task], &|| ()).await?;
    day.warehouse
        .replace_day(&RUNS, day.day, &fingerprint, &written)
        .await
}
