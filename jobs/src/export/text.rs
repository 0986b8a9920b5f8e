//! CSV (RFC 4180), and `LibSVM`'s sparse rows.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use datafusion::arrow::array::{Array, AsArray, Float32Array, RecordBatch};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use gleaner_classifier::space::{Column, Space};
use gleaner_classifier::text::Reader;
use gleaner_udfs::text::catalog::CATALOG;

use super::place::{Output, Place};
use super::{Split, table};
use crate::error::JobError;
use crate::labels::rows::inert;

/// CSV: a header, lines that end in CR LF, texts in quotes; what is missing is empty without quotes. Lists are JSON.
pub(super) struct Csv {
    spreadsheet: bool,
    directory: std::path::PathBuf,
    open: BTreeMap<Split, Output>,
    text: String,
}

impl Csv {
    pub(super) fn new(place: &Place, spreadsheet: bool) -> Self {
        Self {
            spreadsheet,
            directory: place.directory("."),
            open: BTreeMap::new(),
            text: String::new(),
        }
    }

    pub(super) fn write(&mut self, split: Split, batch: &RecordBatch) -> Result<(), JobError> {
        let failed = |e: datafusion::arrow::error::ArrowError| JobError::Query(e.into());
        self.text.clear();
        if !self.open.contains_key(&split) {
            let path = self.directory.join(format!("{}.csv", split.name()));
            self.open.insert(split, Output::create(path)?);
            let names: Vec<String> = batch
                .schema()
                .fields()
                .iter()
                .map(|field| quoted(field.name()))
                .collect();
            self.text.push_str(&names.join(","));
            self.text.push_str("\r\n");
        }
        let options = FormatOptions::default();
        let columns = batch.columns().iter();
        let columns: Vec<(&dyn Array, ArrayFormatter<'_>)> = columns
            .map(|column| {
                let column = column.as_ref();
                Ok((column, ArrayFormatter::try_new(column, &options)?))
            })
            .collect::<Result<_, _>>()
            .map_err(failed)?;
        for row in 0..batch.num_rows() {
            for (n, (column, formatter)) in columns.iter().enumerate() {
                if n > 0 {
                    self.text.push(',');
                }
                if column.is_null(row) {
                    continue;
                }
                let text = match column.data_type() {
                    DataType::Utf8 => Some(column.as_string::<i32>().value(row).to_owned()),
                    DataType::List(_) => {
                        let items = column.as_list::<i32>().value(row);
                        let items: Vec<Option<&str>> = items.as_string::<i32>().iter().collect();
                        Some(serde_json::json!(items).to_string())
                    }
                    _ => None,
                };
                match text {
                    Some(text) if self.spreadsheet => self.text.push_str(&quoted(&inert(&text))),
                    Some(text) => self.text.push_str(&quoted(&text)),
                    // Numbers and times hold nothing that would want quotes.
                    None => {
                        let _ = write!(self.text, "{}", formatter.value(row));
                    }
                }
            }
            self.text.push_str("\r\n");
        }
        match self.open.get_mut(&split) {
            Some(file) => file.write(self.text.as_bytes()),
            None => Ok(()),
        }
    }

    pub(super) fn finish(self) -> Result<(), JobError> {
        self.open.into_values().try_for_each(Output::finish)
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// `LibSVM`: `0 1:0.5 7:2`, 0 for benign and 1 for malicious, columns from 1 on. What they are is in `features.csv`; weights, where a row's is not 1, in
/// a file beside, a number a row, as `XGBoost` looks for it.
pub(super) struct Libsvm {
    space: Space,
    reader: Reader,
    directory: std::path::PathBuf,
    open: BTreeMap<Split, Rows>,
    text: String,
    row: Vec<(u32, f32)>,
}

struct Rows {
    lines: Output,
    /// One a row; written as a file when one is not 1.
    weights: Output,
    weighted: bool,
}

impl Libsvm {
    pub(super) fn new(place: &Place, space: Space, reader: Reader) -> Result<Self, JobError> {
        let mut features = place.create("features.csv")?;
        features.write(b"index,kind,name,formula\r\n")?;
        for (n, column) in space.columns().enumerate() {
            let (kind, formula) = match column {
                Column::Feature(place) => ("feature", CATALOG.get(place).map_or("", |f| f.formula)),
                Column::Gram(_) => ("ngram", "hashed words and character n-grams of this bucket"),
            };
            let cells = [kind, &column.name(), formula].map(quoted).join(",");
            features.write(format!("{},{cells}\r\n", n + 1).as_bytes())?;
        }
        features.finish()?;
        Ok(Self {
            space,
            reader,
            directory: place.directory("."),
            open: BTreeMap::new(),
            text: String::new(),
            row: vec![],
        })
    }

    pub(super) fn write(&mut self, split: Split, batch: &RecordBatch) -> Result<(), JobError> {
        let (Some(lines), Some(labels)) = (
            table::texts(batch, "command_line"),
            table::texts(batch, "label"),
        ) else {
            return Err(JobError::Internal("an exported row has no line".to_owned()));
        };
        let weights = batch
            .column_by_name("weight")
            .and_then(|w| w.as_any().downcast_ref::<Float32Array>());
        if !self.open.contains_key(&split) {
            let create = |name: String| Output::create(self.directory.join(name));
            let rows = Rows {
                lines: create(format!("{}.libsvm", split.name()))?,
                weights: create(format!("{}.libsvm.weight", split.name()))?,
                weighted: false,
            };
            self.open.insert(split, rows);
        }
        let Some(open) = self.open.get_mut(&split) else {
            return Ok(());
        };
        for n in 0..batch.num_rows() {
            self.text.clear();
            self.text.push(if labels.value(n) == "malicious" {
                '1'
            } else {
                '0'
            });
            self.space
                .row(&mut self.reader, lines.value(n), &mut self.row);
            for (column, value) in &self.row {
                let _ = write!(self.text, " {}:{value}", column + 1);
            }
            self.text.push('\n');
            open.lines.write(self.text.as_bytes())?;
            let weight = weights.map_or(1.0, |w| w.value(n));
            open.weighted |= (weight - 1.0).abs() > f32::EPSILON;
            open.weights.write(format!("{weight}\n").as_bytes())?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<(), JobError> {
        for (split, open) in self.open {
            open.lines.finish()?;
            open.weights.finish()?;
            if !open.weighted {
                let path = self
                    .directory
                    .join(format!("{}.libsvm.weight", split.name()));
                std::fs::remove_file(&path).map_err(|e| JobError::io(&path, e))?;
            }
        }
        Ok(())
    }
}
