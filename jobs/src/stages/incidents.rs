//! Stage 6 of a day of requests: anomalies as incidents that a person can read. Three steps of one task each: 1–3% of a day are anomalies.

use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::datatypes::DataType::{Int64, Utf8};
use datafusion::arrow::datatypes::{DataType, Field, Schema};

use super::sql::{Value, fill};
use super::{DayRun, StageRecord, rows_of, tables};
use crate::engine::Source;
use crate::error::JobError;
use crate::warehouse::tables::{INCIDENTS, REQUEST_ANOMALIES};

/// # Errors
/// When a task fails or its accounts cannot be kept.
pub async fn run(day: &DayRun<'_>, anomalies: &StageRecord) -> Result<StageRecord, JobError> {
    let started = Instant::now();
    let fingerprint = day.fingerprint("incidents", &[&anomalies.digest]);
    if let Some(record) = day.up_to_date("incidents", &fingerprint).await? {
        return Ok(record);
    }
    let all = || ("anomalies", day.whole(&REQUEST_ANOMALIES, anomalies));
    let columns = [("hash", Utf8), ("who", Utf8), ("n", Int64), ("lead", Utf8)];
    let sql = include_str!("incident_leads.sql");
    let leads = step(day, "incident_leads", sql, [all()], &columns).await?;
    let columns = [("hash", Utf8), ("who", Utf8), ("key", Utf8)];
    let sql = include_str!("incident_keys.sql");
    let keys = step(
        day,
        "incident_keys",
        sql,
        [all(), ("leads", leads)],
        &columns,
    )
    .await?;
    let sql = fill(
        include_str!("incidents.sql"),
        &[("day", Value::Date(day.day))],
    );
    let sources = tables([all(), ("keys", keys)]);
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

/// What a query says, staged.
async fn step<const N: usize>(
    day: &DayRun<'_>,
    name: &str,
    sql: &str,
    sources: [(&str, Source); N],
    columns: &[(&str, DataType)],
) -> Result<Source, JobError> {
    let task = day.staging_task(name, 0, "", sql.to_owned(), tables(sources));
    let written = day.run_writes("incidents", name, vec![task]).await?;
    let fields = columns.iter().cloned();
    let fields = fields.map(|(name, kind)| Field::new(name, kind, true));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    Ok(day.staged(&written, Arc::new(schema)))
}
