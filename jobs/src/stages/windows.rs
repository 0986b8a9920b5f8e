//! Stage 3 of a day of requests: what their actors and endpoints did in the minutes before, exactly.
//!
//! Two exchanges, both through staged files, as everywhere here: by endpoint (all calls of an endpoint lie in one range of
//! buckets, whoever made them), and back by actor, whose buckets are those of `requests`. Endpoints' templates are learned
//! first, from states that merge. The last half hour of the day before goes in front, where the warehouse has it, and is
//! answered for by no row.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use gleaner_udfs::api::PathSample;
use gleaner_udfs::api::window::SESSION_GAP;

use super::models::TEMPLATES;
use super::sql::{Value, fill};
use super::telemetry::STAGED_BUCKETS;
use super::{DayRun, StageRecord, carried, rows_of, tables};
use crate::engine::{Source, Task, Written, binary_value};
use crate::error::JobError;
use crate::warehouse::delta::DataFile;
use crate::warehouse::model_path;
use crate::warehouse::tables::{REQUESTS, WINDOWS};

/// How the files of `requests` are ordered.
const ORDER: &[&str] = &["actor", "event_time", "hash"];

/// # Errors
/// When a task fails, a request has no row of windows or two, or the accounts cannot be kept.
pub async fn run(day: &DayRun<'_>, requests: &StageRecord) -> Result<StageRecord, JobError> {
    let started = Instant::now();
    let (before, carried) = yesterday(day).await?;
    let fingerprint = day.fingerprint("windows", &[&requests.digest, &carried]);
    if let Some(record) = day.up_to_date("windows", &fingerprint).await? {
        let path = record.notes.get(TEMPLATES).cloned().unwrap_or_default();
        if day.warehouse.has_model(&path).await? {
            return Ok(record);
        }
    }
    let path = model_path(
        &day.warehouse
            .put_model(templates(day, requests).await?)
            .await?,
    );
    let templates = Value::Text(day.warehouse.url(&path));
    let carry = carry(day, &before).await?;
    let endpoints = endpoints(day, requests, carry.as_ref(), &templates).await?;
    let written = actors(
        day,
        requests,
        carry.as_ref(),
        &endpoints,
        &templates,
        &fingerprint,
    )
    .await?;
    let rows = rows_of(&written);
    if rows != requests.rows_kept {
        let what = format!("{} requests, {rows} rows of windows", requests.rows_kept);
        return Err(JobError::Unbalanced {
            stage: "windows",
            what,
        });
    }
    let record = StageRecord {
        rows_in: rows,
        rows_kept: rows,
        fingerprint,
        notes: BTreeMap::from([(TEMPLATES.to_owned(), path)]),
        ..StageRecord::default()
    };
    day.finish("windows", &[(WINDOWS, &written)], started, record)
        .await
}

/// The files of the day before, and their fingerprint.
async fn yesterday(day: &DayRun<'_>) -> Result<(Vec<DataFile>, String), JobError> {
    let Some(before) = day.day.pred_opt() else {
        return Ok((vec![], String::new()));
    };
    let snapshot = day.warehouse.snapshot(&[REQUESTS]).await?;
    let mut files: Vec<DataFile> = snapshot
        .files(&REQUESTS)
        .iter()
        .filter(|f| f.day == before)
        .cloned()
        .collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let fingerprint = snapshot.fingerprint(&REQUESTS, before).unwrap_or_default();
    Ok((files, fingerprint.to_owned()))
}

async fn templates(day: &DayRun<'_>, requests: &StageRecord) -> Result<Vec<u8>, JobError> {
    let buckets = day.buckets(&REQUESTS, requests).into_iter().enumerate();
    let tasks = buckets.map(|(part, bucket)| Task {
        name: format!("{}/paths/{part}", day.day),
        sql: include_str!("windows_paths.sql").to_owned(),
        tables: tables([("requests", bucket)]),
        write: None,
    });
    let mut merged = PathSample::new();
    day.fold("windows", "paths", tasks.collect(), |batches| {
        if let Some(bytes) = binary_value(&batches, 0)? {
            merged
                .merge(PathSample::from_bytes(&bytes).map_err(|e| JobError::Model(e.to_string()))?);
        }
        Ok(())
    })
    .await?;
    Ok(merged.to_bytes())
}

/// The last half hour before the day, staged by actor; `None` where there is none.
async fn carry(day: &DayRun<'_>, before: &[DataFile]) -> Result<Option<Source>, JobError> {
    if before.is_empty() {
        return Ok(None);
    }
    carried::check(day, before).await?;
    let midnight = day
        .day
        .and_time(chrono::NaiveTime::MIN)
        .and_utc()
        .timestamp_micros();
    let since = u64::try_from(midnight - SESSION_GAP).unwrap_or_default();
    let sql = fill(
        include_str!("windows_carry.sql"),
        &[("since", Value::Int(since))],
    );
    let tasks = before.iter().enumerate().map(|(part, file)| {
        let sources = tables([("requests", day.source(&REQUESTS, [file]))]);
        day.staging_task("carry", part, "bucket", sql.clone(), sources)
    });
    let written = day
        .run_writes("windows", "day before", tasks.collect())
        .await
        .map_err(|error| carried::failed(day.day, before, error))?;
    let mut fields = vec![Field::new("bucket", DataType::Int64, true)];
    fields.extend(
        REQUESTS
            .schema()
            .fields()
            .iter()
            .map(|f| f.as_ref().clone()),
    );
    Ok(Some(day.staged(&written, Arc::new(Schema::new(fields)))))
}

/// The windows of endpoints, staged by actor.
async fn endpoints(
    day: &DayRun<'_>,
    requests: &StageRecord,
    carry: Option<&Source>,
    templates: &Value,
) -> Result<Source, JobError> {
    let sql = |carried| {
        let values = [
            ("templates", templates.clone()),
            ("carried", Value::Bool(carried)),
        ];
        fill(include_str!("windows_calls.sql"), &values)
    };
    let buckets = day.buckets(&REQUESTS, requests);
    let parts = buckets.len();
    let sources = buckets
        .into_iter()
        .map(|bucket| (bucket, false))
        .chain(carry.cloned().map(|c| (c, true)));
    let tasks = sources.enumerate().map(|(part, (source, carried))| {
        day.staging_task(
            "calls",
            part,
            "bucket",
            sql(carried),
            tables([("requests", source)]),
        )
    });
    let staged = day.run_writes("windows", "calls", tasks.collect()).await?;
    let calls = day.staged(&staged, calls_schema());
    let tasks = ranges(parts).enumerate().map(|(part, (low, high))| {
        let sql = fill(
            include_str!("windows_endpoints.sql"),
            &[("low", low), ("high", high)],
        );
        day.staging_task(
            "endpoints",
            part,
            "bucket",
            sql,
            tables([("calls", calls.clone())]),
        )
    });
    let staged = day
        .run_writes("windows", "endpoints", tasks.collect())
        .await?;
    Ok(day.staged(&staged, endpoints_schema()))
}

/// The table's files, one a bucket of actors.
async fn actors(
    day: &DayRun<'_>,
    requests: &StageRecord,
    carry: Option<&Source>,
    endpoints: &Source,
    templates: &Value,
    fingerprint: &str,
) -> Result<Vec<Written>, JobError> {
    let buckets = day.buckets(&REQUESTS, requests);
    let parts = buckets.len();
    let sql = actors_sql(carry.is_some());
    let tasks =
        buckets
            .into_iter()
            .zip(ranges(parts))
            .enumerate()
            .map(|(part, (bucket, (low, high)))| {
                let values = [
                    ("day", Value::Date(day.day)),
                    ("templates", templates.clone()),
                    ("low", low),
                    ("high", high),
                ];
                let mut sources = tables([
                    ("requests", bucket.ascending(ORDER)),
                    ("endpoints", endpoints.clone()),
                ]);
                if let Some(carry) = carry {
                    sources.insert("carry".to_owned(), carry.clone());
                }
                day.table_task(&WINDOWS, part, fingerprint, fill(&sql, &values), sources)
            });
    day.run_writes("windows", "actors", tasks.collect()).await
}

/// What an actors' bucket is asked, with what of the day before belongs to it, or without.
fn actors_sql(carried: bool) -> String {
    // Not a value but a relation.
    let relation = if carried {
        "(SELECT *, false AS carried FROM requests UNION ALL SELECT * EXCEPT (bucket), true AS carried FROM carry \
         WHERE bucket >= {low} AND bucket < {high})"
    } else {
        "(SELECT *, false AS carried FROM requests)"
    };
    include_str!("windows.sql").replace("bucket_requests", relation)
}

/// The ranges of staged buckets, one a bucket of `requests`: a power of two of them.
fn ranges(parts: usize) -> impl Iterator<Item = (Value, Value)> {
    let parts = u64::try_from(parts).unwrap_or(1).max(1);
    let width = STAGED_BUCKETS / parts;
    (0..parts).map(move |part| (Value::Int(part * width), Value::Int((part + 1) * width)))
}

fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    let fields = columns
        .iter()
        .map(|(name, kind)| Field::new(*name, kind.clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn calls_schema() -> SchemaRef {
    use DataType::{Boolean, Int64, Utf8};
    schema(&[
        ("bucket", Int64),
        ("actor_bucket", Int64),
        ("hash", Utf8),
        ("actor", Utf8),
        ("micros", Int64),
        ("endpoint", Int64),
        ("failed", Boolean),
        ("carried", Boolean),
    ])
}

fn endpoints_schema() -> SchemaRef {
    use DataType::{Int64, Utf8};
    schema(&[
        ("bucket", Int64),
        ("hash", Utf8),
        ("endpoint_requests_1min", Int64),
        ("endpoint_requests_5min", Int64),
        ("endpoint_failed_5min", Int64),
        ("endpoint_actors_10min", Int64),
    ])
}

#[cfg(test)]
mod tests {
    use datafusion::physical_plan::displayable;
    use parquet::arrow::ArrowWriter;

    use super::*;
    use crate::engine::register;

    /// The plan of an actors' bucket.
    async fn plan(order: &'static [&'static str]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let source = |name: &str, schema: SchemaRef| {
            let path = folder.path().join(format!("{name}.parquet"));
            let file = std::fs::File::create(&path).unwrap();
            let writer = ArrowWriter::try_new(file, Arc::clone(&schema), None).unwrap();
            writer.close().unwrap();
            Source::Parquet {
                urls: vec![url::Url::from_file_path(path).unwrap().to_string()],
                schema,
                sorted_by: &[],
            }
        };
        let ctx = crate::session::embedded(1 << 28).unwrap();
        let requests = source("requests", REQUESTS.schema()).ascending(order);
        register(&ctx, "requests", &requests).unwrap();
        let endpoints = source("endpoints", endpoints_schema());
        register(&ctx, "endpoints", &endpoints).unwrap();
        let values = [
            ("day", Value::Date(chrono::NaiveDate::MIN)),
            ("templates", Value::Text("file:///none".into())),
            ("low", Value::Int(0)),
            ("high", Value::Int(1)),
        ];
        let sql = actors_sql(false);
        let query = ctx.sql(&fill(&sql, &values)).await.unwrap();
        let plan = query.create_physical_plan().await.unwrap();
        displayable(plan.as_ref()).indent(false).to_string()
    }

    #[tokio::test]
    async fn requests_that_lie_in_order_are_not_sorted_again_and_others_once() {
        assert_eq!(plan(ORDER).await.matches("SortExec").count(), 0);
        assert_eq!(plan(&[]).await.matches("SortExec").count(), 1);
    }
}
