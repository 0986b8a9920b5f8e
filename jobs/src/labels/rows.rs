//! Small tables that people hand over or take: CSV and Parquet, read as texts, written as texts. JSON rows into Arrow, for what the driver writes.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::{cast, concat_batches};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::json::ReaderBuilder;
use datafusion::prelude::{CsvReadOptions, ParquetReadOptions};
use serde::Serialize;

use crate::error::JobError;
use crate::session;

/// The memory that reading such a file may take.
const MEMORY_BYTES: usize = 1 << 30;

/// Reads columns of a CSV (with a header) or Parquet file as texts: those of `wanted` must be there, those of `perhaps` may be.
///
/// # Errors
/// When the file is neither, or lacks a column.
pub async fn read(
    path: &str,
    wanted: &[&str],
    perhaps: &[&str],
) -> Result<Vec<Vec<Option<String>>>, JobError> {
    if !Path::new(path).is_file() {
        return Err(JobError::Usage(format!("{path}: no such file")));
    }
    let ctx = session::embedded(MEMORY_BYTES)?;
    let extension = Path::new(path).extension();
    let is = |name: &str| extension.is_some_and(|e| e.eq_ignore_ascii_case(name));
    let frame = if is("parquet") {
        ctx.read_parquet(path, ParquetReadOptions::default())
            .await?
    } else if is("csv") {
        // Everything is text: a hash of digits is no number.
        let options = CsvReadOptions::new()
            .schema_infer_max_records(0)
            .newlines_in_values(true);
        ctx.read_csv(path, options).await?
    } else {
        return Err(JobError::Usage(format!(
            "{path}: expected a .csv file with a header, or a .parquet file"
        )));
    };
    let has = |name: &str| frame.schema().fields().iter().any(|f| f.name() == name);
    if let Some(missing) = wanted.iter().find(|name| !has(name)) {
        return Err(JobError::Usage(format!(
            "{path}: no column {missing}; expected {}",
            wanted.join(", ")
        )));
    }
    let names: Vec<Option<&str>> = wanted
        .iter()
        .map(|name| Some(*name))
        .chain(perhaps.iter().map(|name| has(name).then_some(*name)))
        .collect();
    let mut rows = vec![];
    for batch in frame.collect().await? {
        let mut columns = vec![];
        for name in &names {
            let column = name.and_then(|name| batch.column_by_name(name));
            let text = column
                .map(|column| cast(column, &DataType::Utf8))
                .transpose();
            columns.push(text.map_err(|e| JobError::Query(e.into()))?);
        }
        for row in 0..batch.num_rows() {
            rows.push(
                columns
                    .iter()
                    .map(|column| {
                        let texts = column.as_ref()?.as_string::<i32>();
                        texts.is_valid(row).then(|| texts.value(row).to_owned())
                    })
                    .collect(),
            );
        }
    }
    Ok(rows)
}

/// Serialisable rows as one batch of `schema`, columns by name; what a row lacks is NULL.
///
/// # Errors
/// When a row does not fit the schema.
pub fn batch<T: Serialize>(schema: &SchemaRef, rows: &[T]) -> Result<RecordBatch, JobError> {
    let failed = |e: datafusion::arrow::error::ArrowError| JobError::Query(e.into());
    let mut decoder = ReaderBuilder::new(Arc::clone(schema))
        .with_batch_size(rows.len().max(1))
        .build_decoder()
        .map_err(failed)?;
    decoder.serialize(rows).map_err(failed)?;
    let batches: Vec<_> = decoder.flush().map_err(failed)?.into_iter().collect();
    concat_batches(schema, &batches).map_err(failed)
}

/// A batch as the bytes of a Parquet file.
///
/// # Errors
/// When it cannot be encoded.
pub fn parquet(batch: &RecordBatch) -> Result<Vec<u8>, JobError> {
    let failed = |e: ::parquet::errors::ParquetError| JobError::Internal(e.to_string());
    let mut bytes = vec![];
    let mut writer =
        ::parquet::arrow::ArrowWriter::try_new(&mut bytes, batch.schema(), None).map_err(failed)?;
    writer.write(batch).map_err(failed)?;
    writer.close().map_err(failed)?;
    Ok(bytes)
}

/// A text that neither a spreadsheet runs as a formula nor a terminal as a command: controls and turning characters are shown as
/// escapes, and a leading `=`, `+`, `-` or `@` gets an apostrophe.
#[must_use]
pub fn inert(text: &str) -> String {
    let shown = crate::cli::output::printable(text)
        .replace('\n', "\\n")
        .replace('\t', "\\t");
    let opens = shown
        .trim_start()
        .starts_with(['=', '+', '-', '@', '|', '%', '＝', '＋', '－', '＠']);
    if opens { format!("'{shown}") } else { shown }
}

/// Rows as CSV (RFC 4180), every cell quoted.
#[must_use]
pub fn csv(header: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let quoted: Vec<String> = cells
            .map(|c| format!("\"{}\"", c.replace('"', "\"\"")))
            .collect();
        quoted.join(",") + "\r\n"
    };
    let mut out = line(&mut header.iter().copied());
    for row in rows {
        out += &line(&mut row.iter().map(String::as_str));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{csv, inert};

    #[test]
    fn a_cell_is_no_formula_and_drives_no_terminal() {
        for (text, shown) in [
            ("=cmd|'/c calc'!A0", "'=cmd|'/c calc'!A0"),
            ("  @SUM(A1)", "'  @SUM(A1)"),
            ("-enc x", "'-enc x"),
            ("a\u{1b}[2J\nb", "a\\u{1b}[2J\\nb"),
            ("\t=1", "\\t=1"),
            ("whoami", "whoami"),
        ] {
            assert_eq!(inert(text), shown);
        }
        assert_eq!(
            csv(&["a"], &[vec!["x\"y,z".into()]]),
            "\"a\"\r\n\"x\"\"y,z\"\r\n"
        );
    }
}
