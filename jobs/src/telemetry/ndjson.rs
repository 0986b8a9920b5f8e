//! NDJSON: a JSON object a line.
//!
//! The line is checked to be UTF-8 as a whole (which is faster than string by string), then parsed into a borrowed
//! tree. Until the schema is known, lines wait: the one that most of the first 100 readable lines show is the file's.

use std::io;

use super::lines::{Lines, Step, content, is_blank};
use super::output::{At, Output};
use super::reason::Reason;
use super::value::Node;
use super::{FileAccount, Kind, SchemaKind, TelemetryError};

/// Readable lines that are looked at before a schema is settled on.
const WINDOW_LINES: usize = 100;
/// Bytes of them at which the look ends early.
const WINDOW_BYTES: usize = 4 << 20;

/// Lines that wait for the schema.
#[derive(Default)]
pub(super) struct Window {
    lines: Vec<(At, Vec<u8>)>,
    bytes: usize,
    votes: [usize; SchemaKind::ALL.len()],
}

impl Window {
    fn push(&mut self, kind: Kind, at: At, line: &[u8], record: &Node) {
        if let Some(schema) = SchemaKind::recognise(kind, &|path| record.has(path)) {
            self.votes[schema as usize] += 1;
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

/// The schema of a file, while it is read.
pub(super) enum Schema {
    Sought(Window),
    Known(SchemaKind),
    Unknown,
}

impl Schema {
    /// The schema given, or one to be found.
    pub(super) fn of(output: &Output) -> Self {
        output
            .options()
            .schema
            .map_or_else(|| Self::Sought(Window::default()), Self::Known)
    }

    /// Deals with the text of one record.
    pub(super) fn line(
        &mut self,
        at: At,
        bytes: &[u8],
        output: &mut Output,
    ) -> Result<(), TelemetryError> {
        if let Self::Unknown = self {
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
            Ok(_) => {
                return output.quarantine(at, Reason::BrokenJson, "not an object", Some(bytes), 1);
            }
            // Syntax errors have fixed messages; they never quote the input.
            Err(error) => {
                let detail = error.to_string();
                return output.quarantine(at, Reason::BrokenJson, &detail, Some(bytes), 1);
            }
        };
        match self {
            Self::Known(kind) => output.record(at, *kind, &record, &|| bytes.to_vec())?,
            Self::Unknown => {}
            Self::Sought(window) => {
                window.push(output.options().kind, at, bytes, &record);
                if window.is_full() {
                    *self = settle(&std::mem::take(window), output)?;
                }
            }
        }
        Ok(())
    }

    /// Ends the file.
    pub(super) fn finish(self, mut output: Output) -> Result<FileAccount, TelemetryError> {
        let settled = match self {
            Self::Sought(window) => settle(&window, &mut output)?,
            settled => settled,
        };
        output.finish(match settled {
            Self::Known(kind) => Some(kind),
            _ => None,
        })
    }
}

pub(super) fn read(mut lines: Lines, mut output: Output) -> Result<FileAccount, TelemetryError> {
    let mut schema = Schema::of(&output);
    let mut position = 0;
    loop {
        let step = lines.step().map_err(|source| io_error(&output, source))?;
        let at = |offset| At {
            position,
            offset: Some(offset),
        };
        match step {
            Step::End => break,
            Step::Line { bytes, .. } if is_blank(bytes) => continue,
            Step::Line { offset, bytes } => {
                schema.line(at(offset), content(bytes), &mut output)?;
            }
            fault => lost(fault, position, &mut output)?,
        }
        position += 1;
    }
    schema.finish(output)
}

/// Writes off what stands where a line should: one that is too long, or the rest of a broken archive.
pub(super) fn lost(step: Step, position: u64, output: &mut Output) -> Result<(), TelemetryError> {
    let at = |offset| At {
        position,
        offset: Some(offset),
    };
    match step {
        Step::Long {
            offset,
            head,
            bytes,
        } => {
            let detail = format!("line of {bytes} bytes");
            output.quarantine(at(offset), Reason::LineTooLong, &detail, Some(head), 1)
        }
        Step::Broken {
            offset,
            reason,
            detail,
            partial,
        } => output.quarantine(at(offset), reason, &detail, Some(partial), 1),
        Step::Line { .. } | Step::End => Ok(()),
    }
}

pub(super) fn io_error(output: &Output, source: io::Error) -> TelemetryError {
    TelemetryError::Io {
        file: output.file().to_owned(),
        source,
    }
}

/// Ends the search for a schema and deals with the lines that waited.
fn settle(window: &Window, output: &mut Output) -> Result<Schema, TelemetryError> {
    let mut schema = window.winner().map_or(Schema::Unknown, Schema::Known);
    for (at, bytes) in &window.lines {
        schema.line(*at, bytes, output)?;
    }
    Ok(schema)
}

fn unknown(at: At, bytes: &[u8], output: &mut Output) {
    let detail = match output.options().kind {
        Kind::Command => "no command line under any name we know",
        Kind::Api => "no path or operation under any name we know",
    };
    output.tally(at, Reason::UnrecognisedSchema, detail, &|| bytes.to_vec());
}
