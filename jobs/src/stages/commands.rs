//! Stage 2: exact dedup, one task a bucket. The number of buckets follows from the number of events alone, so that
//! memory is that of one bucket a slot however large the day, and the same day is cut alike everywhere.

use std::time::Instant;

use super::sql::{Value, fill};
use super::telemetry::{Events, STAGED_BUCKETS, counts};
use super::{DayRun, StageRecord, rows_of, tables};
use crate::engine::Task;
use crate::error::JobError;
use crate::warehouse::tables::COMMANDS;

/// Events a bucket, about.
const BUCKET_EVENTS: u64 = 262_144;

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
/// When a task fails, the lines' events do not sum to the events read, or its accounts cannot be kept.
pub async fn run(
    day: &DayRun<'_>,
    events: &Events,
    fingerprint: &str,
) -> Result<StageRecord, JobError> {
    let started = Instant::now();
    let buckets = buckets(events.rows);
    let width = STAGED_BUCKETS / buckets;
    let tasks = (0..buckets).map(|bucket| {
        let values = [
            ("day", Value::Date(day.day)),
            ("low", Value::Int(bucket * width)),
            ("high", Value::Int((bucket + 1) * width)),
        ];
        let sql = fill(include_str!("commands.sql"), &values);
        let part = usize::try_from(bucket).unwrap_or(usize::MAX);
        day.table_task(
            &COMMANDS,
            part,
            fingerprint,
            sql,
            tables([("events", events.source.clone())]),
        )
    });
    let written = day
        .run_writes("commands", "exact dedup", tasks.collect())
        .await?;
    let lines = rows_of(&written);
    let check = Task {
        name: format!("{}/commands/check", day.day),
        sql: include_str!("commands_check.sql").to_owned(),
        tables: tables([("commands", day.written(&COMMANDS, &written))]),
        write: None,
    };
    let checked = day.engine.run(vec![check], &|| ()).await?;
    let [summed, counted] = counts(&checked[0])?;
    if (summed, counted) != (events.rows, lines) {
        let what = format!(
            "{} events read, {summed} in {counted} lines written (manifest: {lines})",
            events.rows
        );
        return Err(JobError::Unbalanced {
            stage: "commands",
            what,
        });
    }
    let record = StageRecord {
        rows_in: events.rows,
        rows_kept: lines,
        rows_dropped: events.rows - lines,
        fingerprint: fingerprint.to_owned(),
        ..StageRecord::default()
    };
    day.finish("commands", &[(COMMANDS, &written)], started, record)
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
