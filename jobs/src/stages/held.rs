//! Scored requests that verdicts hold back or mark, part of stage 5: see [`super::verdicts`].

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::sql::{Value, fill};
use super::{DayRun, StageRecord, tables};
use crate::engine::{Task, Written};
use crate::error::JobError;
use crate::warehouse::tables::ALIKE;

/// How many of the day's requests are held back.
pub(super) fn held_back(models: &StageRecord) -> u64 {
    let held = models.notes.get("held_back");
    held.and_then(|n| n.parse().ok()).unwrap_or_default()
}

/// Scored rows without those that are held back, the others marked, and their schema; as they are where nobody judged anything.
///
/// # Errors
/// When a task fails.
pub(super) async fn hold_back(
    day: &DayRun<'_>,
    models: &StageRecord,
    staged: Vec<Written>,
    schema: &SchemaRef,
) -> Result<(Vec<Written>, SchemaRef), JobError> {
    let alike = day.buckets(&ALIKE, models);
    if alike.is_empty() {
        return Ok((staged, Arc::clone(schema)));
    }
    let tasks = staged
        .iter()
        .zip(alike)
        .enumerate()
        .map(|(part, (file, alike))| {
            let scores = day.staged(std::slice::from_ref(file), Arc::clone(schema));
            let sources = tables([("scores", scores), ("alike", alike)]);
            let sql = include_str!("verdicts_held.sql").to_owned();
            day.staging_task("held", part, "", sql, sources)
        });
    let kept = day
        .run_writes("anomalies", "verdicts", tasks.collect())
        .await?;
    let mut fields: Vec<_> = schema.fields().iter().map(|f| f.as_ref().clone()).collect();
    fields.push(Field::new("verdict", DataType::Utf8, true));
    Ok((kept, Arc::new(Schema::new(fields))))
}

/// The last column of anomalies: the mark, where scored rows have one.
#[must_use]
pub(super) fn marked(sql: &str, schema: &SchemaRef) -> String {
    let has = schema.column_with_name("verdict").is_some();
    let mark = if has {
        "verdict"
    } else {
        "CAST(NULL AS VARCHAR)"
    };
    sql.replace("judged_as", mark)
}

/// How many of the scored rows that were held back reach one of `borders` (column, least score within the quota): they would have
/// been anomalies.
///
/// # Errors
/// When the task fails.
pub(super) async fn would_be_anomalies(
    day: &DayRun<'_>,
    models: &StageRecord,
    staged: &[Written],
    schema: &SchemaRef,
    borders: &[(&'static str, f32)],
) -> Result<Option<u64>, JobError> {
    let alike = day.whole(&ALIKE, models);
    if models.files_of(&ALIKE).is_empty() || borders.is_empty() {
        return Ok(None);
    }
    let mut sql = include_str!("verdicts_would_be.sql").to_owned();
    let reached: Vec<String> = borders
        .iter()
        .map(|(column, least)| {
            fill(
                &format!("{column} >= {{least}}"),
                &[("least", Value::Float(*least))],
            )
        })
        .collect();
    sql = sql.replace("{reached}", &reached.join(" OR "));
    let task = Task {
        name: format!("{}/would-be", day.day),
        sql,
        tables: tables([
            ("scores", day.staged(staged, Arc::clone(schema))),
            ("alike", alike),
        ]),
        write: None,
    };
    let batches = day.engine.run(vec![task], &|| ()).await?.concat();
    let [n] = super::telemetry::counts(&batches)?;
    Ok(Some(n))
}
