//! Labelled lines, as people bring them: a file with the columns `command_line` and `label` (and perhaps `weight`), or a query that gives them.

use std::path::Path;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};

use crate::engine::register;
use crate::error::JobError;
use crate::labels::rows;
use crate::session;
use crate::warehouse::Warehouse;
use crate::warehouse::tables::BENIGN;

/// Memory of a query beyond which it spills.
const MEMORY_BYTES: usize = 2 << 30;

/// A line of a training or test set.
#[derive(Debug, Clone, PartialEq)]
pub struct Labelled {
    /// The line.
    pub command_line: String,
    /// Its label.
    pub malicious: bool,
    /// Rows it stands for, above 0; 1 where nothing is said.
    pub weight: f32,
}

/// A set, and what was left out of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Set {
    /// The rows, in their order.
    pub rows: Vec<Labelled>,
    /// Rows that are labelled neither benign nor malicious (unknown, suspicious, uncertain or nothing), or that have no line.
    pub unlabelled: usize,
}

impl Set {
    /// Rows of a class.
    #[must_use]
    pub fn count(&self, malicious: bool) -> usize {
        self.rows
            .iter()
            .filter(|row| row.malicious == malicious)
            .count()
    }

    /// Adds another set's rows.
    pub fn extend(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.unlabelled += other.unlabelled;
    }
}

/// Reads a CSV (with a header) or Parquet file.
///
/// # Errors
/// When the file is neither, lacks a column, or has a label or weight that means nothing; the message names file and row, never a line.
pub async fn read(path: &str) -> Result<Set, JobError> {
    let cells = rows::read(path, &["command_line", "label"], &["weight"]).await?;
    set(path, cells)
}

/// Runs a query whose result has the columns of such a file; a file's path in quotes is a table.
///
/// # Errors
/// When the query is wrong, or as [`read`].
pub async fn query(sql: &str) -> Result<Set, JobError> {
    let ctx = session::embedded(MEMORY_BYTES)?.enable_url_table();
    let batches = ctx.sql(sql).await?.collect().await?;
    let mut cells = vec![];
    for batch in &batches {
        let column = |name: &str| {
            let column = batch.column_by_name(name)?;
            Some(cast(column, &DataType::Utf8).map_err(|e| JobError::Query(e.into())))
        };
        let needed = |name: &str| {
            column(name).unwrap_or_else(|| {
                Err(JobError::Usage(format!(
                    "the query gives no column {name}; expected command_line, label and perhaps weight"
                )))
            })
        };
        let columns = [Some(needed("command_line")?), Some(needed("label")?)]
            .into_iter()
            .chain([column("weight").transpose()?])
            .collect::<Vec<_>>();
        for row in 0..batch.num_rows() {
            let cell = |column: &Option<datafusion::arrow::array::ArrayRef>| {
                let texts = column.as_ref()?.as_string::<i32>();
                texts.is_valid(row).then(|| texts.value(row).to_owned())
            };
            cells.push(columns.iter().map(cell).collect());
        }
    }
    set("the query", cells)
}

fn set(name: &str, cells: Vec<Vec<Option<String>>>) -> Result<Set, JobError> {
    let mut set = Set::default();
    for (n, mut row) in cells.into_iter().enumerate() {
        let line = row[0].take().filter(|line| !line.trim().is_empty());
        let label = row[1].as_deref().unwrap_or_default().trim().to_lowercase();
        let malicious = match label.as_str() {
            "benign" | "0" | "false" => Some(false),
            "malicious" | "1" | "true" => Some(true),
            "unknown" | "suspicious" | "uncertain" | "" => None,
            _ => {
                return Err(JobError::Usage(format!(
                    "{name}: row {}: column label: expected benign or malicious (0 or 1); unknown, suspicious and uncertain rows are left out",
                    n + 1
                )));
            }
        };
        let weight = match row[2].as_deref().map(str::trim) {
            None | Some("") => 1.0,
            Some(text) => text
                .parse::<f32>()
                .ok()
                .filter(|weight| weight.is_finite() && *weight > 0.0)
                .ok_or_else(|| {
                    JobError::Usage(format!(
                        "{name}: row {}: column weight: expected a number above 0",
                        n + 1
                    ))
                })?,
        };
        match line.zip(malicious) {
            Some((command_line, malicious)) => set.rows.push(Labelled {
                command_line,
                malicious,
                weight,
            }),
            None => set.unlabelled += 1,
        }
    }
    Ok(set)
}

/// The lines to add: the table `benign` of a warehouse, or the benign rows of a file.
///
/// # Errors
/// When it is neither.
pub async fn benign(path: &str) -> Result<Vec<String>, JobError> {
    if Path::new(path).is_file() {
        let set = read(path).await?;
        let rows = set.rows.into_iter().filter(|row| !row.malicious);
        return Ok(rows.map(|row| row.command_line).collect());
    }
    let warehouse = Warehouse::open(path).await?;
    let snapshot = warehouse.snapshot(&[BENIGN]).await?;
    let Some(source) = warehouse.source(&BENIGN, snapshot.files(&BENIGN)) else {
        return Ok(vec![]);
    };
    let ctx = session::embedded(MEMORY_BYTES)?;
    register(&ctx, "benign", &source)?;
    let sql = "SELECT command_line FROM benign ORDER BY day, hash";
    let batches = ctx.sql(sql).await?.collect().await?;
    Ok(texts(&batches))
}

fn texts(batches: &[RecordBatch]) -> Vec<String> {
    let columns = batches
        .iter()
        .filter_map(|batch| batch.column(0).as_string_opt::<i32>());
    columns
        .flat_map(|column| column.iter().flatten().map(str::to_owned))
        .collect()
}

/// Writes a set as Parquet: `command_line`, `label`, `weight`.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, rows: &[Labelled]) -> Result<(), JobError> {
    use datafusion::arrow::array::{Float64Array, StringArray};
    use datafusion::arrow::datatypes::{Field, Schema};
    use std::sync::Arc;

    let schema = Arc::new(Schema::new(vec![
        Field::new("command_line", DataType::Utf8, false),
        Field::new("label", DataType::Utf8, false),
        Field::new("weight", DataType::Float64, false),
    ]));
    let lines: StringArray = rows.iter().map(|r| Some(&*r.command_line)).collect();
    let label = |row: &Labelled| Some(if row.malicious { "malicious" } else { "benign" });
    let labels: StringArray = rows.iter().map(label).collect();
    let weights: Float64Array =
        datafusion::arrow::array::PrimitiveArray::<Float64Type>::from_iter_values(
            rows.iter().map(|row| f64::from(row.weight)),
        );
    let columns: Vec<datafusion::arrow::array::ArrayRef> =
        vec![Arc::new(lines), Arc::new(labels), Arc::new(weights)];
    let batch = RecordBatch::try_new(schema, columns).map_err(|e| JobError::Query(e.into()))?;
    std::fs::write(path, rows::parquet(&batch)?).map_err(|e| JobError::io(path, e))
}
