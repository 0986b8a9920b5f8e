//! The columns of an exported row, and rows from the warehouse and from labelled files.

use std::sync::Arc;

use chrono::NaiveDate;
use datafusion::arrow::array::{ArrayRef, Float32Array, RecordBatch, StringArray, new_null_array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;

use crate::engine::register;
use crate::error::JobError;
use crate::lift::sets::Labelled;
use crate::session;
use crate::stages::sql::{Value, fill};
use crate::warehouse::Warehouse;
use crate::warehouse::publish::Snapshot;
use crate::warehouse::tables::BENIGN;

/// Rows that pass through at a time.
pub(super) const BATCH_ROWS: usize = 4096;
/// Beyond it the sort of a day spills to disk.
const MEMORY_BYTES: usize = 512 << 20;

/// Where a row's label comes from, what it is, and what of the table `benign` is exported with it. A column that names or identifies (`private`) is not in a
/// redacted export.
pub(super) const COLUMNS: &[(&str, bool, &str)] = &[
    ("command_line", false, "the line"),
    ("label", false, "benign or malicious"),
    (
        "weight",
        false,
        "rows that it stands for in training: 1, or what the baseline says",
    ),
    (
        "label_source",
        false,
        "who called it so: rules, model, analyst, list, baseline or test",
    ),
    ("day", false, "the day that emitted it"),
    ("hash", true, "of the line's content"),
    (
        "template",
        true,
        "of the line with its volatile parts replaced",
    ),
    ("os", false, "windows, linux or macos, where known"),
    ("image", false, "the program"),
    ("parent_image", false, "the program that started it"),
    ("parent_command_line", false, "that program's line"),
    ("user", true, "who ran it"),
    ("events", false, "how often it ran on that day"),
    ("hosts", false, "on how many hosts"),
    ("users", false, "by how many users"),
    ("first_seen", false, "on that day, UTC"),
    ("last_seen", false, "on that day, UTC"),
    ("detectors", false, "which took it for an anomaly"),
    ("reasons", false, "why: the features that stood out"),
    ("iforest_score", false, "isolation forest, higher is rarer"),
    ("pca_error", false, "PCA's reconstruction error"),
    ("kmeans_distance", false, "to the nearest large cluster"),
    ("covers", false, "near-duplicates that it stands for"),
    ("reason", true, "of the label"),
    ("confidence", false, "of the labeller, 0 to 1"),
    ("labeller", false, "rules, llm, or another"),
    ("model", false, "the model, where one labelled"),
    ("prompt", false, "hash of its prompt"),
    ("analyst", true, "whose verdict holds, where one looked"),
    (
        "template_hosts",
        false,
        "hosts with its template, over the window of prevalence",
    ),
    ("template_users", false, "users with it"),
    ("template_days", false, "days with it"),
    ("chosen_by", false, "how it was chosen for a label"),
    (
        "inclusion_probability",
        false,
        "with which chance; its inverse is a weight for estimates of the day",
    ),
];

/// The columns, with their types.
pub(super) fn schema(redacted: bool) -> SchemaRef {
    let table = BENIGN.schema();
    let fields = COLUMNS
        .iter()
        .filter(|(_, private, _)| !(redacted && *private))
        .map(|(name, ..)| {
            let kind = match *name {
                "weight" => DataType::Float32,
                _ => table
                    .field_with_name(name)
                    .map_or(DataType::Utf8, |f| f.data_type().clone()),
            };
            Field::new(
                *name,
                kind,
                !matches!(*name, "command_line" | "label" | "weight"),
            )
        });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Rows of a labelled file: what is known of a process is null.
///
/// # Errors
/// When a batch cannot be made.
pub(super) fn of_labelled(rows: &[Labelled], source: &str) -> Result<RecordBatch, JobError> {
    let schema = schema(false);
    let label = |row: &Labelled| if row.malicious { "malicious" } else { "benign" };
    let columns: Vec<ArrayRef> = schema
        .fields()
        .iter()
        .map(|field| -> ArrayRef {
            match field.name().as_str() {
                "command_line" => Arc::new(StringArray::from_iter_values(
                    rows.iter().map(|row| &row.command_line),
                )),
                "label" => Arc::new(StringArray::from_iter_values(rows.iter().map(label))),
                "weight" => Arc::new(Float32Array::from_iter_values(
                    rows.iter().map(|row| row.weight),
                )),
                "label_source" => {
                    Arc::new(StringArray::from_iter_values(rows.iter().map(|_| source)))
                }
                _ => new_null_array(field.data_type(), rows.len()),
            }
        })
        .collect();
    RecordBatch::try_new(schema, columns).map_err(|e| JobError::Query(e.into()))
}

/// The benign rows of a day, by hash.
pub(super) struct Rows {
    stream: Option<SendableRecordBatchStream>,
    schema: SchemaRef,
}

/// The benign rows of a day, by hash.
///
/// # Errors
/// When the table cannot be read.
pub(super) async fn benign(
    warehouse: &Warehouse,
    snapshot: Option<&Snapshot>,
    day: NaiveDate,
) -> Result<Rows, JobError> {
    let schema = schema(false);
    let files = snapshot.map_or(&[][..], |snapshot| snapshot.files(&BENIGN));
    let files = files.iter().filter(|f| f.day == day);
    let Some(source) = warehouse.source(&BENIGN, files) else {
        return Ok(Rows {
            stream: None,
            schema,
        });
    };
    let ctx = session::embedded(MEMORY_BYTES)?;
    register(&ctx, "benign", &source)?;
    let columns: Vec<String> = COLUMNS
        .iter()
        .map(|(name, ..)| match *name {
            "label" => "'benign' AS label".to_owned(),
            "weight" => "1.0 AS weight".to_owned(),
            "label_source" => {
                "CASE WHEN analyst IS NOT NULL THEN 'analyst' WHEN labeller = 'llm' THEN 'model' \
                 WHEN labeller = 'allow-list' THEN 'list' ELSE 'rules' END AS label_source"
                    .to_owned()
            }
            name => format!("\"{name}\""),
        })
        .collect();
    let sql = format!(
        "SELECT {} FROM benign WHERE day = {{day}} ORDER BY hash",
        columns.join(", ")
    );
    let sql = fill(&sql, &[("day", Value::Date(day))]);
    let stream = ctx.sql(&sql).await?.execute_stream().await?;
    Ok(Rows {
        stream: Some(stream),
        schema,
    })
}

impl Rows {
    /// The next rows, as [`schema`] has them.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>, JobError> {
        let Some(stream) = &mut self.stream else {
            return Ok(None);
        };
        let Some(batch) = stream.next().await else {
            return Ok(None);
        };
        let batch = batch?;
        let columns = self.schema.fields().iter().zip(batch.columns());
        let columns = columns.map(|(field, column)| cast(column, field.data_type()));
        let columns = columns.collect::<Result<Vec<_>, _>>();
        columns
            .and_then(|columns| RecordBatch::try_new(Arc::clone(&self.schema), columns))
            .map(Some)
            .map_err(|e| JobError::Query(e.into()))
    }
}

/// A column of texts.
pub(super) fn texts<'b>(batch: &'b RecordBatch, name: &str) -> Option<&'b StringArray> {
    batch.column_by_name(name)?.as_any().downcast_ref()
}
