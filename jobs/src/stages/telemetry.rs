//! Stage 1: reads the day's files into staged events, accounts for every row, and writes `telemetry` and
//! `quarantine`. The staged events are sorted by bucket and live until the next stage is done.

use std::time::Instant;

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::datatypes::{Date32Type, Int64Type, SchemaRef};
use gleaner_proto::plan::ScanSpec;

use super::inputs::Input;
use super::sql::{Value, fill};
use super::unit::Unit;
use super::{DayRun, StageRecord, tables};
use crate::engine::{Source, Task};
use crate::error::JobError;
use crate::telemetry::{self, Kind, Undated};
use crate::warehouse::tables::{QUARANTINE, TELEMETRY};

/// Files are read together up to this size, so that a day of many small files is not as many tasks.
const TASK_BYTES: u64 = 64 << 20;
/// Longest line.
const MAX_LINE_BYTES: u64 = 1 << 20;
/// Buckets of the staged events: finer than those of the unit's table, whose number follows from what is read here.
pub const STAGED_BUCKETS: u64 = 4096;

/// The staged events of the day, when they were read.
pub struct Events {
    /// As a table.
    pub source: Source,
    /// How many.
    pub rows: u64,
}

/// The stage's fingerprint: of the files (URL, size, time of change, version) and of how they are read.
#[must_use]
pub fn fingerprint(day: &DayRun<'_>, inputs: &[Input]) -> String {
    let file = |i: &Input| format!("{}|{}|{}|{}", i.url, i.bytes, i.modified, i.etag);
    let mut parts: Vec<String> = inputs.iter().map(file).collect();
    parts.push(
        day.options
            .schema
            .map_or_else(String::new, |s| s.to_string()),
    );
    parts.push(format!("{:?}", day.options.undated));
    // Command lines are named by nothing, as they were before there was another kind.
    if day.options.kind != Kind::Command {
        parts.push(day.options.kind.to_string());
    }
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    day.fingerprint("telemetry", &parts)
}

/// # Errors
/// When a file cannot be read at all, the day has no event, the books do not balance, or a commit fails.
pub async fn run(
    day: &DayRun<'_>,
    inputs: &[Input],
    fingerprint: &str,
) -> Result<(StageRecord, Events), JobError> {
    let started = Instant::now();
    let tasks = scan_tasks(day, inputs);
    let staged = day.run_writes("telemetry", "reading", tasks).await?;
    let events = day.staged(&staged, staged_schema(day.options.kind));
    let values = [("day", Value::Date(day.day))];
    let by_file = fill(include_str!("telemetry_files.sql"), &values);
    let task = Task {
        name: format!("{}/telemetry/sums", day.day),
        sql: format!(
            "SELECT sum(rows_read), sum(rows_kept), sum(rows_quarantined), sum(rows_other_day), count(*) FILTER \
             (WHERE rows_read <> rows_kept + rows_quarantined + rows_other_day) FROM ({by_file})"
        ),
        tables: tables([("events", events.clone())]),
        write: None,
    };
    let sums = day.engine.run(vec![task], &|| ()).await?;
    let [read, kept, quarantined, other_day, unbalanced] = counts(&sums[0])?;
    if unbalanced > 0 {
        let what = format!(
            "{unbalanced} files whose rows read are not kept + quarantined + of other days"
        );
        return Err(JobError::Unbalanced {
            stage: "telemetry",
            what,
        });
    }
    if kept == 0 {
        let hint = hint(day, quarantined, other_day, &events).await?;
        return Err(JobError::EmptyDay {
            day: day.day.to_string(),
            rows_read: read,
            files: inputs.len(),
            hint,
        });
    }
    let table = |table, sql| {
        let sources = tables([("events", events.clone())]);
        day.table_task(table, 0, fingerprint, sql, sources)
    };
    let tasks = vec![
        table(&TELEMETRY, by_file),
        table(&QUARANTINE, fill(include_str!("quarantine.sql"), &values)),
    ];
    let written = day.run_writes("telemetry", "accounting", tasks).await?;
    let [account, quarantine] = written.as_slice() else {
        return Err(JobError::Internal("two tasks, two files".into()));
    };
    let record = StageRecord {
        rows_in: read,
        rows_kept: kept,
        rows_quarantined: quarantined,
        rows_dropped: other_day,
        fingerprint: fingerprint.to_owned(),
        ..StageRecord::default()
    };
    let files = [
        (TELEMETRY, std::slice::from_ref(account)),
        (QUARANTINE, std::slice::from_ref(quarantine)),
    ];
    let record = day.finish("telemetry", &files, started, record).await?;
    Ok((
        record,
        Events {
            source: events,
            rows: kept,
        },
    ))
}

fn scan_tasks(day: &DayRun<'_>, inputs: &[Input]) -> Vec<Task> {
    let mut groups: Vec<Vec<&Input>> = vec![];
    let mut bytes = TASK_BYTES;
    for input in inputs {
        if bytes + input.bytes > TASK_BYTES {
            groups.push(vec![]);
            bytes = 0;
        }
        bytes += input.bytes;
        if let Some(group) = groups.last_mut() {
            group.push(input);
        }
    }
    let days = Date32Type::from_naive_date(day.day);
    let task = |(part, group): (usize, Vec<&Input>)| {
        let spec = ScanSpec {
            files: group.into_iter().map(Input::file).collect(),
            schema: day
                .options
                .schema
                .map_or_else(String::new, |s| s.to_string()),
            day: days,
            max_line_bytes: MAX_LINE_BYTES,
            undated_as_day: day.options.undated == Undated::AsDay,
            projection: vec![],
            kind: day.options.kind.to_string(),
        };
        let sql = Unit::of(day.options.kind).staged.to_owned();
        let sources = tables([("telemetry", Source::Telemetry(spec))]);
        day.staging_task("events", part, "bucket", sql, sources)
    };
    groups.into_iter().enumerate().map(task).collect()
}

/// The staged files' columns: the bucket, and the events' own.
fn staged_schema(kind: Kind) -> SchemaRef {
    let mut fields = vec![std::sync::Arc::new(Field::new(
        "bucket",
        DataType::Int64,
        true,
    ))];
    fields.extend(telemetry::events_schema(kind).fields().iter().cloned());
    std::sync::Arc::new(Schema::new(fields))
}

/// The one row of a query of counts; a null is 0.
///
/// # Errors
/// When the result has another shape.
pub fn counts<const N: usize>(batches: &[RecordBatch]) -> Result<[u64; N], JobError> {
    let bad = || JobError::Internal("expected one row of counts".into());
    let batch = batches.iter().find(|b| b.num_rows() == 1).ok_or_else(bad)?;
    let mut out = [0; N];
    for (i, slot) in out.iter_mut().enumerate() {
        let column = batch
            .columns()
            .get(i)
            .and_then(|c| c.as_primitive_opt::<Int64Type>())
            .ok_or_else(bad)?;
        *slot =
            u64::try_from(column.iter().next().flatten().unwrap_or_default()).map_err(|_| bad())?;
    }
    Ok(out)
}

/// Why a day is empty, in words that say what to do.
async fn hint(
    day: &DayRun<'_>,
    quarantined: u64,
    other_day: u64,
    events: &Source,
) -> Result<String, JobError> {
    if quarantined > 0 {
        let task = Task {
            name: format!("{}/telemetry/reasons", day.day),
            sql: "SELECT reason FROM events WHERE kind = 'quarantine' \
                  GROUP BY reason ORDER BY sum(rows) DESC, reason LIMIT 1"
                .to_owned(),
            tables: tables([("events", events.clone())]),
            write: None,
        };
        let found = day.engine.run(vec![task], &|| ()).await?;
        let reason = found[0].iter().find(|b| b.num_rows() > 0);
        let reason = reason
            .and_then(|b| b.column(0).as_string_opt::<i32>())
            .map_or("?", |c| c.value(0))
            .to_owned();
        let what = match reason.as_str() {
            "missing_event_time" => " (`--undated day` takes rows without a time as of the day)",
            "unrecognised_schema" => " (`--schema` names it)",
            _ => "",
        };
        return Ok(format!(
            ": {quarantined} could not be read, most for {reason}{what}; {other_day} are of other days"
        ));
    }
    Ok(format!(
        ": {other_day} are of other days; does --date name the events' day in UTC?"
    ))
}
