//! Part of stage 6: the vectors of canonical texts by an embedder other than the built-in one, from the warehouse's cache. What is
//! not there yet is embedded by tasks, and kept for every later day: nothing is embedded twice.
//!
//! The cache (table `embeddings`) is no part of a day's answer: a text's vector is what it is, whoever asked for it first. So it is
//! not published with the day but appended to while the tasks run, and a run that dies leaves what it has embedded.

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::sql::{Value, fill};
use super::{DayRun, tables};
use crate::engine::Source;
use crate::error::JobError;
use crate::faults;
use crate::warehouse::delta::DataFile;
use crate::warehouse::tables::EMBEDDINGS;

/// Texts a task, about: as many as leave [`COMMIT_TASKS`] tasks, by which the time left is told, but no fewer than fill batches of one
/// length, and no more than an encoder that does ten a second embeds within a task's deadline.
const TASK_TEXTS: std::ops::RangeInclusive<u64> = 512..=4096;
/// Buckets of the staged texts.
const BUCKETS: u64 = 4096;
/// Tasks after which what they wrote is committed.
const COMMIT_TASKS: usize = 64;

/// The cache's files of every day, after it holds a vector for the template of each line of `anomalies` and each kept line of
/// `history`.
///
/// # Errors
/// When the embedder fails, or the cache cannot be read or written.
pub async fn ensure(
    day: &DayRun<'_>,
    anomalies: &Source,
    history: &Source,
) -> Result<Option<Source>, JobError> {
    let embedder = &day.options.embedder;
    let cached = day.warehouse.snapshot(&[EMBEDDINGS]).await?;
    let mut files = cached.files(&EMBEDDINGS).to_vec();
    let known = match day.warehouse.source(&EMBEDDINGS, &files) {
        Some(known) => known,
        None => super::candidates::empty(day, &EMBEDDINGS).await?,
    };
    let name = Value::Text(embedder.name.clone());
    let sql = fill(
        include_str!("embeddings_missing.sql"),
        &[("embedder", name.clone())],
    );
    let sources = tables([
        ("anomalies", anomalies.clone()),
        ("history", history.clone()),
        ("embeddings", known),
    ]);
    let task = day.staging_task("texts", 0, "bucket", sql, sources);
    let staged = day
        .run_writes("candidates", "texts without a vector", vec![task])
        .await?;
    let texts = super::rows_of(&staged);
    if texts == 0 {
        return Ok(day.warehouse.source(&EMBEDDINGS, &files));
    }
    day.progress.remark(&format!(
        "embedding {texts} texts that no day had yet, with {}",
        embedder.name
    ));
    let task_texts = (texts / COMMIT_TASKS as u64).clamp(*TASK_TEXTS.start(), *TASK_TEXTS.end());
    let parts = texts.div_ceil(task_texts).next_power_of_two().min(BUCKETS);
    let width = BUCKETS / parts;
    let missing = day.staged(&staged, texts_schema());
    let fingerprint = day.fingerprint("embeddings", &[&embedder.name]);
    let tasks: Vec<_> = (0..parts)
        .map(|part| {
            let values = [
                ("day", Value::Date(day.day)),
                ("embedder", name.clone()),
                ("address", Value::Text(embedder.address.clone())),
                ("low", Value::Int(part * width)),
                ("high", Value::Int((part + 1) * width)),
            ];
            day.table_task(
                &EMBEDDINGS,
                usize::try_from(part).unwrap_or(usize::MAX),
                &fingerprint,
                fill(include_str!("embeddings.sql"), &values),
                tables([("missing", missing.clone())]),
            )
        })
        .collect();
    day.progress.step("candidates", "embedding", tasks.len());
    for tasks in tasks.chunks(COMMIT_TASKS) {
        let done = || day.progress.task_done();
        let written = day.engine.run_writes(tasks.to_vec(), &done).await?;
        let new: Vec<_> = written
            .iter()
            .filter(|file| file.rows > 0)
            .map(|file| DataFile::written(day.day, file))
            .collect();
        faults::reach("embeddings.written", &day.run);
        if !new.is_empty() {
            day.warehouse.append(&EMBEDDINGS, &new).await?;
        }
        faults::reach("embeddings.appended", &day.run);
        files.extend(new);
    }
    Ok(day.warehouse.source(&EMBEDDINGS, &files))
}

/// The columns of the staged texts.
fn texts_schema() -> SchemaRef {
    let column = |name: &str, kind| Field::new(name, kind, true);
    std::sync::Arc::new(Schema::new(vec![
        column("bucket", DataType::Int64),
        column("text_hash", DataType::Utf8),
        column("text", DataType::Utf8),
    ]))
}
