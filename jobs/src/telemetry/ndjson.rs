//! NDJSON: a JSON object a line.
//!
//! The line is checked to be UTF-8 as a whole (which is faster than string by string), then parsed into a borrowed
//! tree. Until the schema is known, lines wait: the one that most of the first 100 readable lines show is the file's.

use std::io;

use super::lines::{Lines, Step, content, is_blank};
use super::output::{At, Output};
use super::reason::Reason;
use super::value::Node;
use super::{FileAccount, SchemaKind, TelemetryError};

/// Readable lines that are looked at before a schema is settled on.
const WINDOW_LINES: usize = 100;
/// Bytes of them at which the look ends early.
const WINDOW_BYTES: usize = 4 << 20;

/// Lines that wait for the schema.
#[derive(Default)]
struct Window {
    lines: Vec<(At, Vec<u8>)>,
    bytes: usize,
    votes: [usize; SchemaKind::ALL.len()],
}

impl Window {
    fn push(&mut self, at: At, line: &[u8], record: &Node) {
        if let Some(kind) = SchemaKind::recognise(&|path| record.has(path)) {
            self.votes[kind as usize] += 1;
        }
        self.bytes += line.len();
        self.lines.push((at, line.to_vec()));
    }

    fn is_full(&self) -> bool {
        self.lines.len() >= WINDOW_LINES || self.bytes >= WINDOW_BYTES
    }

    /// The schema with most votes; the first of [`SchemaKind::ALL`] when several have.
    fn winner(&self) -> Option<SchemaKind> {
        let most = *self.votes.iter().max()?;
        SchemaKind::ALL
            .into_iter()
            .find(|kind| most > 0 && self.votes[*kind as usize] == most)
    }
}

enum Schema {
    Sought(Window),
    Known(SchemaKind),
    Unknown,
}

pub(super) fn read(mut lines: Lines, mut output: Output) -> Result<FileAccount, TelemetryError> {
    let mut schema = output
        .options()
        .schema
        .map_or_else(|| Schema::Sought(Window::default()), Schema::Known);
    let mut position = 0;
    loop {
        let step = lines.step().map_err(|source| io_error(&output, source))?;
        match step {
            Step::End => break,
            Step::Line { bytes, .. } if is_blank(bytes) => continue,
            Step::Line { offset, bytes } => {
                let at = At {
                    position,
                    offset: Some(offset),
                };
                line(at, content(bytes), &mut schema, &mut output)?;
            }
            Step::Long {
                offset,
                head,
                bytes,
            } => {
                let at = At {
                    position,
                    offset: Some(offset),
                };
                output.quarantine(
                    at,
                    Reason::LineTooLong,
                    &format!("line of {bytes} bytes"),
                    Some(head),
                    1,
                )?;
            }
            Step::Broken {
                offset,
                reason,
                detail,
                partial,
            } => {
                output.quarantine(
                    At {
                        position,
                        offset: Some(offset),
                    },
                    reason,
                    &detail,
                    Some(partial),
                    1,
                )?;
            }
        }
        position += 1;
    }
    if let Schema::Sought(window) = schema {
        schema = settle(&window, &mut output)?;
    }
    let known = if let Schema::Known(kind) = schema {
        Some(kind)
    } else {
        None
    };
    output.finish(known)
}

pub(super) fn io_error(output: &Output, source: io::Error) -> TelemetryError {
    TelemetryError::Io {
        file: output.file().to_owned(),
        source,
    }
}

fn line(
    at: At,
    bytes: &[u8],
    schema: &mut Schema,
    output: &mut Output,
) -> Result<(), TelemetryError> {
    if let Schema::Unknown = schema {
        unknown(at, bytes, output);
        return Ok(());
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let detail = format!("byte {}", error.valid_up_to());
            return output.quarantine(at, Reason::InvalidUtf8, &detail, Some(bytes), 1);
        }
    };
    let record = match serde_json::from_str::<Node>(text) {
        Ok(record @ Node::Map(_)) => record,
        Ok(_) => return output.quarantine(at, Reason::BrokenJson, "not an object", Some(bytes), 1),
        // Syntax errors have fixed messages; they never quote the input.
        Err(error) => {
            return output.quarantine(at, Reason::BrokenJson, &error.to_string(), Some(bytes), 1);
        }
    };
    match schema {
        Schema::Known(kind) => output.record(at, *kind, &record, &|| bytes.to_vec())?,
        Schema::Unknown => {}
        Schema::Sought(window) => {
            window.push(at, bytes, &record);
            if window.is_full() {
                *schema = settle(&std::mem::take(window), output)?;
            }
        }
    }
    Ok(())
}

/// Ends the search for a schema and deals with the lines that waited.
fn settle(window: &Window, output: &mut Output) -> Result<Schema, TelemetryError> {
    let mut schema = window.winner().map_or(Schema::Unknown, Schema::Known);
    for (at, bytes) in &window.lines {
        line(*at, bytes, &mut schema, output)?;
    }
    Ok(schema)
}

fn unknown(at: At, bytes: &[u8], output: &mut Output) {
    output.tally(
        at,
        Reason::UnrecognisedSchema,
        "no command line under any name we know",
        &|| bytes.to_vec(),
    );
}
