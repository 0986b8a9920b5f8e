//! Stage 6 of a day of requests: anomalies as incidents that a person can read. One task: 1–3% of a day are anomalies.

use std::time::Instant;

use super::sql::{Value, fill};
use super::{DayRun, StageRecord, rows_of, tables};
use crate::error::JobError;
use crate::warehouse::tables::{INCIDENTS, REQUEST_ANOMALIES};

/// # Errors
/// When the task fails or its accounts cannot be kept.
pub async fn run(day: &DayRun<'_>, anomalies: &StageRecord) -> Result<StageRecord, JobError> {
    let started = Instant::now();
    let fingerprint = day.fingerprint("incidents", &[&anomalies.digest]);
    if let Some(record) = day.up_to_date("incidents", &fingerprint).await? {
        return Ok(record);
    }
    let sql = fill(
        include_str!("incidents.sql"),
        &[("day", Value::Date(day.day))],
    );
    let sources = tables([("anomalies", day.whole(&REQUEST_ANOMALIES, anomalies))]);
    let task = day.table_task(&INCIDENTS, 0, &fingerprint, sql, sources);
    let written = day.run_writes("incidents", "grouping", vec![task]).await?;
    let incidents = rows_of(&written);
    let record = StageRecord {
        rows_in: anomalies.rows_kept,
        rows_kept: incidents,
        rows_dropped: anomalies.rows_kept.saturating_sub(incidents),
        fingerprint,
        ..StageRecord::default()
    };
    day.finish("incidents", &[(INCIDENTS, &written)], started, record)
        .await
}
