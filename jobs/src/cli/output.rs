//! Where the command writes: results to standard output, everything else to standard error.

use std::io::Write;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::LineDelimitedWriter;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::arrow::util::pretty::pretty_format_batches;

use crate::error::JobError;
use crate::logging::{self, LogFormat};

/// Characters of a cell in a printed table; `--json` prints all.
const CELL: usize = 120;

fn failed(source: std::io::Error) -> JobError {
    JobError::Io {
        path: "standard output".to_owned(),
        source,
    }
}

/// Writes a line to standard output.
///
/// # Errors
/// When standard output is closed.
pub fn line(text: &str) -> Result<(), JobError> {
    writeln!(std::io::stdout().lock(), "{text}").map_err(failed)
}

/// Writes a remark to standard error.
pub fn note(text: &str) {
    if logging::format() == LogFormat::Json {
        log::info!("{text}");
        return;
    }
    let _ = writeln!(std::io::stderr().lock(), "{}", printable(text));
}

/// Writes an error and the chain of its causes to standard error, in one place.
pub fn error(error: &JobError) {
    let text = format!("gleaner: {}", error.chain());
    let _ = writeln!(std::io::stderr().lock(), "{}", printable(&text));
}

/// Control characters made visible: a command line must not drive the reader's terminal.
#[must_use]
pub fn printable(text: &str) -> String {
    let visible = |c: char| {
        let hidden = c.is_control() && c != '\n' && c != '\t';
        let turns = matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
        if hidden || turns {
            c.escape_unicode().to_string()
        } else {
            c.to_string()
        }
    };
    text.chars().map(visible).collect()
}

/// Prints batches as a table, a row a line: cells cut to a readable length, line breaks and control characters shown.
///
/// # Errors
/// When standard output is closed.
pub fn table(batches: &[RecordBatch]) -> Result<(), JobError> {
    let Some(first) = batches.first() else {
        return Ok(());
    };
    let fields = first
        .schema()
        .fields()
        .iter()
        .map(|f| Field::new(f.name(), DataType::Utf8, false))
        .collect::<Vec<_>>();
    let schema = Arc::new(Schema::new(fields));
    let shown = batches.iter().map(|batch| {
        let columns = batch
            .columns()
            .iter()
            .map(|column| cells(column.as_ref()))
            .collect::<Result<Vec<_>, _>>()?;
        RecordBatch::try_new(Arc::clone(&schema), columns)
    });
    let shown = shown
        .collect::<Result<Vec<_>, ArrowError>>()
        .and_then(|shown| Ok(pretty_format_batches(&shown)?.to_string()));
    line(&shown.map_err(|e| JobError::Query(e.into()))?)
}

/// What is shown of a column's values.
fn cells(column: &dyn Array) -> Result<ArrayRef, ArrowError> {
    let options = FormatOptions::default()
        .with_null("")
        .with_display_error(true);
    let formatter = ArrayFormatter::try_new(column, &options)?;
    let cell = |row: usize| {
        let text = printable(&formatter.value(row).to_string())
            .replace('\n', "\\n")
            .replace('\t', "\\t");
        match text.char_indices().nth(CELL) {
            Some((cut, _)) => format!("{}…", &text[..cut]),
            None => text,
        }
    };
    Ok(Arc::new(
        (0..column.len())
            .map(|row| Some(cell(row)))
            .collect::<StringArray>(),
    ))
}

/// Prints batches as NDJSON.
///
/// # Errors
/// When standard output is closed.
pub fn json(batches: &[RecordBatch]) -> Result<(), JobError> {
    let mut text = vec![];
    for batch in batches {
        let mut writer = LineDelimitedWriter::new(&mut text);
        let written = writer.write(batch).and_then(|()| writer.finish());
        written.map_err(|e| JobError::Query(e.into()))?;
        std::io::stdout().lock().write_all(&text).map_err(failed)?;
        text.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_one_line_and_drives_no_terminal() {
        let column = StringArray::from(vec![Some("a\nb\u{1b}[2J\u{202e}c"), None]);
        let shown = cells(&column).unwrap();
        let shown = shown.as_any().downcast_ref::<StringArray>().unwrap();
        assert_eq!(shown.value(0), "a\\nb\\u{1b}[2J\\u{202e}c");
        assert_eq!(shown.value(1), "");
    }

    #[test]
    fn a_long_cell_is_cut() {
        let shown = cells(&StringArray::from(vec!["é".repeat(500)])).unwrap();
        let shown = shown.as_any().downcast_ref::<StringArray>().unwrap();
        assert_eq!(shown.value(0).chars().count(), CELL + 1);
    }
}
