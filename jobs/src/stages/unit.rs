//! What a day of a kind of telemetry is made of, and stage 2, which makes it: one row a unit (a unique command line, a request), exact
//! duplicates counted, one task a bucket. The number of buckets follows from the number of events alone, so that memory is that of
//! one bucket a slot however large the day, and the same day is cut alike everywhere.

use std::time::Instant;

use super::sql::{Value, fill};
use super::telemetry::{Events, STAGED_BUCKETS, counts};
use super::{DayRun, StageRecord, rows_of, tables};
use crate::engine::Task;
use crate::error::JobError;
use crate::telemetry::Kind;
use crate::warehouse::tables::{COMMANDS, REQUESTS, Table};

/// Events a bucket, about.
const BUCKET_EVENTS: u64 = 262_144;

/// What differs between kinds of telemetry in the first two stages.
pub struct Unit {
    /// Its table, and the name of the stage that writes it. It has a column `events`: how many events a row stands for.
    pub table: Table,
    /// The stages of a day, by name and in order.
    pub stages: &'static [&'static str],
    /// What stage 1 stages: all columns of the events, and `bucket`.
    pub staged: &'static str,
    /// What stage 2 makes of the staged events of buckets `{low}` to `{high}`.
    pub sql: &'static str,
}

static COMMAND: Unit = Unit {
    table: COMMANDS,
    stages: &[
        "telemetry",
        "commands",
        "models",
        "anomalies",
        "candidates",
        "labels",
        "benign",
    ],
    staged: include_str!("telemetry.sql"),
    sql: include_str!("commands.sql"),
};

static API: Unit = Unit {
    table: REQUESTS,
    stages: &["telemetry", "requests"],
    staged: include_str!("telemetry_requests.sql"),
    sql: include_str!("requests.sql"),
};

impl Unit {
    /// That of a kind.
    #[must_use]
    pub fn of(kind: Kind) -> &'static Self {
        match kind {
            Kind::Command => &COMMAND,
            Kind::Api => &API,
        }
    }

    /// The last stage.
    #[must_use]
    pub fn last_stage(&self) -> &'static str {
        self.stages.last().copied().unwrap_or_default()
    }
}

/// The number of buckets for so many events: a power of two, from 1 to [`STAGED_BUCKETS`].
#[must_use]
pub fn buckets(events: u64) -> u64 {
    events
        .div_ceil(BUCKET_EVENTS)
        .max(1)
        .next_power_of_two()
        .min(STAGED_BUCKETS)
}

/// # Errors
/// When a task fails, the rows' events do not sum to the events read, or its accounts cannot be kept.
pub async fn run(
    day: &DayRun<'_>,
    events: &Events,
    fingerprint: &str,
) -> Result<StageRecord, JobError> {
    let started = Instant::now();
    let unit = Unit::of(day.options.kind);
    let stage = unit.table.name;
    let buckets = buckets(events.rows);
    let width = STAGED_BUCKETS / buckets;
    let tasks = (0..buckets).map(|bucket| {
        let values = [
            ("day", Value::Date(day.day)),
            ("low", Value::Int(bucket * width)),
            ("high", Value::Int((bucket + 1) * width)),
        ];
        let sql = fill(unit.sql, &values);
        let part = usize::try_from(bucket).unwrap_or(usize::MAX);
        day.table_task(
            &unit.table,
            part,
            fingerprint,
            sql,
            tables([("events", events.source.clone())]),
        )
    });
    let written = day
        .run_writes(stage, "exact dedup", tasks.collect())
        .await?;
    let rows = rows_of(&written);
    let check = Task {
        name: format!("{}/{stage}/check", day.day),
        sql: include_str!("unit_check.sql").to_owned(),
        tables: tables([("unit", day.written(&unit.table, &written))]),
        write: None,
    };
    let checked = day.engine.run(vec![check], &|| ()).await?;
    let [summed, counted] = counts(&checked[0])?;
    if (summed, counted) != (events.rows, rows) {
        let what = format!(
            "{} events read, {summed} in {counted} rows written (manifest: {rows})",
            events.rows
        );
        return Err(JobError::Unbalanced { stage, what });
    }
    let record = StageRecord {
        rows_in: events.rows,
        rows_kept: rows,
        rows_dropped: events.rows - rows,
        fingerprint: fingerprint.to_owned(),
        ..StageRecord::default()
    };
    day.finish(stage, &[(unit.table, &written)], started, record)
        .await
}

#[cfg(test)]
mod tests {
    use super::buckets;

    #[test]
    fn buckets_grow_in_number_with_the_day() {
        assert_eq!(buckets(0), 1);
        assert_eq!(buckets(262_144), 1);
        assert_eq!(buckets(262_145), 2);
        assert_eq!(buckets(50_000_000), 256);
        assert_eq!(buckets(u64::MAX / 2), 4096);
    }
}
