//! Stage 7: verdicts on the kept candidates. How widely a line's template was seen (events, hosts, users, days) is
//! counted over the warehouse's last days of `commands`: a line with volatile parts is unique, its template is not.

use std::time::Instant;

use chrono::Days;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use std::sync::Arc;

use super::sql::{Value, fill};
use super::{DayRun, StageRecord, rows_of, tables};
use crate::engine::Source;
use crate::error::JobError;
use crate::warehouse::tables::{CANDIDATES, COMMANDS, LABELS};

/// # Errors
/// When a task fails, a candidate gets no label, or its accounts cannot be kept.
pub async fn run(
    day: &DayRun<'_>,
    commands: &StageRecord,
    candidates: &StageRecord,
) -> Result<StageRecord, JobError> {
    let started = Instant::now();
    let window = day.options.prevalence;
    let first = day
        .day
        .checked_sub_days(Days::new(u64::from(window.window_days - 1)))
        .unwrap_or(day.day);
    let earlier = day.warehouse.snapshot(&[COMMANDS]).await?;
    let earlier = earlier.files(&COMMANDS).iter();
    let seen: Vec<_> = earlier
        .filter(|f| (first..day.day).contains(&f.day))
        .chain(commands.files_of(&COMMANDS))
        .collect();
    let mut parts: Vec<String> = seen
        .iter()
        .filter(|f| f.day != day.day)
        .map(|f| format!("{}|{}", f.day, f.fingerprint().unwrap_or_default()))
        .collect();
    parts.dedup();
    parts.extend([
        commands.digest.clone(),
        candidates.digest.clone(),
        format!("{window:?}"),
    ]);
    let fingerprint = day.fingerprint(
        "labels",
        &parts.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    if let Some(record) = day.up_to_date("labels", &fingerprint).await? {
        return Ok(record);
    }
    let whole = day.whole(&CANDIDATES, candidates);
    let tasks = seen.iter().enumerate().map(|(part, file)| {
        let bucket = Source::Parquet {
            urls: vec![
                day.warehouse
                    .url(&format!("{}/{}", COMMANDS.name, file.path)),
            ],
            schema: COMMANDS.schema(),
        };
        let sources = tables([("commands", bucket), ("candidates", whole.clone())]);
        day.staging_task(
            "prevalence",
            part,
            "",
            include_str!("prevalence.sql").to_owned(),
            sources,
        )
    });
    let prevalence = day
        .run_writes("labels", "prevalence of templates", tasks.collect())
        .await?;
    let prevalence = day.staged(&prevalence, prevalence_schema());
    let values = [
        ("min_hosts", Value::Int(window.min_hosts.into())),
        ("min_users", Value::Int(window.min_users.into())),
        ("min_days", Value::Int(window.min_days.into())),
    ];
    let tasks = day
        .buckets(&CANDIDATES, candidates)
        .into_iter()
        .enumerate()
        .map(|(part, bucket)| {
            let sql = fill(include_str!("labels.sql"), &values);
            let sources = tables([("candidates", bucket), ("prevalence", prevalence.clone())]);
            day.table_task(&LABELS, part, &fingerprint, sql, sources)
        });
    let written = day
        .run_writes("labels", "rule labeller", tasks.collect())
        .await?;
    let rows = rows_of(&written);
    if rows != candidates.rows_kept {
        let what = format!("{} candidates in, {rows} labels out", candidates.rows_kept);
        return Err(JobError::Unbalanced {
            stage: "labels",
            what,
        });
    }
    let record = StageRecord {
        rows_in: rows,
        rows_kept: rows,
        fingerprint,
        ..StageRecord::default()
    };
    day.finish("labels", &[(LABELS, &written)], started, record)
        .await
}

fn prevalence_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("template", DataType::Utf8, true),
        Field::new("events", DataType::Int64, true),
        Field::new("host_state", DataType::Binary, true),
        Field::new("user_state", DataType::Binary, true),
        Field::new("day", DataType::Date32, true),
    ]))
}
