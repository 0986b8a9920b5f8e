//! Where the command writes: results to standard output, everything else to standard error.

use std::io::Write;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::json::LineDelimitedWriter;
use datafusion::arrow::util::display::FormatOptions;
use datafusion::arrow::util::pretty::pretty_format_batches_with_options;

use crate::error::JobError;

/// Characters of a cell in a printed table; `--json` prints all.
const CELL: usize = 120;

fn failed(source: std::io::Error) -> JobError {
    JobError::Io { path: "standard output".to_owned(), source }
}

/// Writes a line to standard output.
///
/// # Errors
/// When standard output is closed.
pub fn line(text: &str) -> Result<(), JobError> {
    writeln!(std::io::stdout().lock(), "{text}").map_err(failed)
}

/// Writes an error and the chain of its causes to standard error, in one place.
pub fn error(error: &JobError) {
    let mut text = format!("gleaner: {error}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    let _ = writeln!(std::io::stderr().lock(), "{}", printable(&text));
}

/// Control characters made visible: a command line must not drive the reader's terminal.
#[must_use]
pub fn printable(text: &str) -> String {
    let visible = |c: char| {
        let hidden = c.is_control() && c != '\n' && c != '\t';
        let turns = matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
        if hidden || turns { c.escape_unicode().to_string() } else { c.to_string() }
    };
    text.chars().map(visible).collect()
}

/// Prints batches as a table, cells cut to a readable length.
///
/// # Errors
/// When standard output is closed.
pub fn table(batches: &[RecordBatch]) -> Result<(), JobError> {
    let options = FormatOptions::default().with_null("").with_display_error(true);
    let shown = pretty_format_batches_with_options(batches, &options)
        .map_err(|e| JobError::Query(e.into()))?
        .to_string();
    line(&printable(&narrow(&shown)))
}

/// Cuts the columns of a printed table whose cells are longer than [`CELL`].
fn narrow(table: &str) -> String {
    let Some(rule) = table.lines().next() else { return String::new() };
    let widths: Vec<usize> = rule.trim_matches('+').split('+').map(str::len).collect();
    if widths.iter().all(|w| *w <= CELL + 2) {
        return table.to_owned();
    }
    let cut = |row: &str| {
        let cells: Vec<char> = row.chars().collect();
        let (mut out, mut at) = (String::new(), 0);
        for width in &widths {
            let edge: String = cells.iter().skip(at).take(1).collect();
            let cell: Vec<char> = cells.iter().skip(at + 1).take(*width).copied().collect();
            out.push_str(&edge);
            if *width > CELL + 2 {
                let long = cell.iter().rev().skip_while(|c| **c == ' ').count() > CELL + 1;
                out.extend(cell.iter().take(CELL + 1));
                out.push(if long && !row.starts_with('+') { '…' } else { cell.get(CELL + 1).copied().unwrap_or(' ') });
            } else {
                out.extend(cell);
            }
            at += width + 1;
        }
        out.extend(cells.iter().skip(at));
        out
    };
    table.lines().map(cut).collect::<Vec<_>>().join("\n")
}

/// Prints batches as NDJSON.
///
/// # Errors
/// When standard output is closed.
pub fn json(batches: &[RecordBatch]) -> Result<(), JobError> {
    let mut writer = LineDelimitedWriter::new(std::io::stdout().lock());
    for batch in batches {
        writer.write(batch).map_err(|e| JobError::Query(e.into()))?;
    }
    writer.finish().map_err(|e| JobError::Query(e.into()))
}
