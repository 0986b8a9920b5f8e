//! CSV with a header line, quoted as in RFC 4180: a quoted field may hold delimiters, doubled quotes and newlines.
//!
//! One missing quote must not swallow the file. A line that leaves a quote open is tried together with the lines after
//! it; when that comes to nothing (a quote is closed in the middle of a word, the record has not the header's number of
//! fields, it outgrows `max_line_bytes`, or the file ends) only the first line is written off, and reading resumes at
//! the line after it. This is why the quotes are ours to read and not csv-core's: it takes text after a closing quote
//! for a part of the field, and that text is the surest sign that the quote was another row's opening one.
//!
//! The trial is linear over a file: a stretch of lines is tried only from a line that opens a quote, and the next such
//! line ends the trial.

mod fields;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io;

use self::fields::{Fields, Shape};
use super::lines::{Lines, Step, content, is_blank};
use super::ndjson::io_error;
use super::output::{At, Output};
use super::reason::Reason;
use super::value::Node;
use super::{FileAccount, Kind, SchemaKind, TelemetryError};

pub(super) fn read(lines: Lines, mut output: Output) -> Result<FileAccount, TelemetryError> {
    let mut records = Records::new(lines, output.options().max_line_bytes);
    let mut schema = output.options().schema;
    let mut header: Option<Header> = None;
    let mut position = 0;
    loop {
        let taken = records.next(header.as_ref().map(|header| header.fields));
        let Some(taken) = taken.map_err(|source| io_error(&output, source))? else {
            break;
        };
        let at = At {
            position,
            offset: Some(taken.offset),
        };
        let raw = records.raw.as_slice();
        if let Some((reason, detail)) = taken.fault {
            output.quarantine(at, reason, &detail, Some(raw), 1)?;
        } else if let Err(error) = std::str::from_utf8(raw) {
            output.quarantine(
                at,
                Reason::InvalidUtf8,
                &format!("byte {}", error.valid_up_to()),
                Some(raw),
                1,
            )?;
        } else if let Some(header) = &header {
            header.row(at, raw, schema, &records.fields, &mut output)?;
        } else {
            let read = Header::new(&records.fields, output.options().kind, schema);
            schema = read.schema;
            header = Some(read);
            continue;
        }
        position += 1;
    }
    output.finish(schema)
}

/// The header's columns that the schema reads.
struct Header {
    fields: usize,
    schema: Option<SchemaKind>,
    wanted: Vec<(usize, String)>,
}

impl Header {
    fn new(fields: &Fields, kind: Kind, given: Option<SchemaKind>) -> Self {
        let names: Vec<String> = fields.iter().map(|name| name.trim().to_owned()).collect();
        let has = |path: &str| {
            names.iter().any(|name| {
                name.strip_prefix(path)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
        };
        let schema = given.or_else(|| SchemaKind::recognise(kind, &has));
        let wanted: Vec<_> = match schema {
            Some(kind) => names
                .iter()
                .cloned()
                .enumerate()
                .filter(|(_, name)| kind.wants(name))
                .collect(),
            None => Vec::new(),
        };
        Self {
            fields: names.len(),
            schema,
            wanted,
        }
    }

    fn row(
        &self,
        at: At,
        raw: &[u8],
        schema: Option<SchemaKind>,
        fields: &Fields,
        output: &mut Output,
    ) -> Result<(), TelemetryError> {
        let Some(kind) = schema.filter(|_| !self.wanted.is_empty()) else {
            output.tally(
                at,
                Reason::UnrecognisedSchema,
                "the header has no column we know",
                &|| raw.to_vec(),
            );
            return Ok(());
        };
        if fields.len() != self.fields {
            let detail = format!("{} fields, the header has {}", fields.len(), self.fields);
            return output.quarantine(at, Reason::WrongFieldCount, &detail, Some(raw), 1);
        }
        let cell = |(index, name): &'_ (usize, String)| {
            let text = fields.get(*index)?;
            (!text.is_empty()).then(|| (Cow::Owned(name.clone()), Node::Text(Cow::Borrowed(text))))
        };
        let record = Node::Map(self.wanted.iter().filter_map(cell).collect());
        output.record(at, kind, &record, &|| raw.to_vec())
    }
}

/// A physical line that may have to be read again.
enum Held {
    Line {
        offset: u64,
        bytes: Vec<u8>,
    },
    Fault {
        offset: u64,
        reason: Reason,
        detail: String,
        head: Vec<u8>,
    },
    End,
}

/// A record taken, or what stands in its place. Its bytes are in [`Records::raw`], its fields in [`Records::fields`].
struct Taken {
    offset: u64,
    fault: Option<(Reason, String)>,
}

struct Records<'a> {
    lines: Lines<'a>,
    /// Lines that a failed trial gave back.
    waiting: VecDeque<Held>,
    max_bytes: usize,
    delimiter: Option<u8>,
    fields: Fields,
    raw: Vec<u8>,
}

impl<'a> Records<'a> {
    fn new(lines: Lines<'a>, max_bytes: usize) -> Self {
        Self {
            lines,
            waiting: VecDeque::new(),
            max_bytes,
            delimiter: None,
            fields: Fields::default(),
            raw: Vec::new(),
        }
    }

    fn take(&mut self) -> io::Result<Held> {
        if let Some(held) = self.waiting.pop_front() {
            return Ok(held);
        }
        Ok(match self.lines.step()? {
            Step::Line { offset, bytes } => Held::Line {
                offset,
                bytes: bytes.to_vec(),
            },
            Step::Long {
                offset,
                head,
                bytes,
            } => {
                let detail = format!("line of {bytes} bytes");
                Held::Fault {
                    offset,
                    reason: Reason::LineTooLong,
                    detail,
                    head: head.to_vec(),
                }
            }
            Step::Broken {
                offset,
                reason,
                detail,
                partial,
            } => Held::Fault {
                offset,
                reason,
                detail,
                head: partial.to_vec(),
            },
            Step::End => Held::End,
        })
    }

    /// The next record; `expected` is the header's number of fields, once known.
    fn next(&mut self, expected: Option<usize>) -> io::Result<Option<Taken>> {
        loop {
            match self.take()? {
                Held::End => return Ok(None),
                Held::Fault {
                    offset,
                    reason,
                    detail,
                    head,
                } => {
                    self.raw = head;
                    return Ok(Some(Taken {
                        offset,
                        fault: Some((reason, detail)),
                    }));
                }
                Held::Line { bytes, .. } if is_blank(&bytes) => {}
                Held::Line { offset, bytes } => {
                    return self.record(offset, bytes, expected).map(Some);
                }
            }
        }
    }

    fn record(
        &mut self,
        offset: u64,
        first: Vec<u8>,
        expected: Option<usize>,
    ) -> io::Result<Taken> {
        let delimiter = *self.delimiter.get_or_insert_with(|| sniff(&first));
        self.fields.clear();
        let shape = self.fields.feed(&first, delimiter);
        let first_bytes = content(&first).len();
        self.raw = first;
        let fault = match shape {
            Shape::Whole => None,
            Shape::Stray => Some((Reason::StrayQuote, "text after a closing quote".to_owned())),
            Shape::Open => self.continued(delimiter, expected)?.map(|detail| {
                self.raw.truncate(first_bytes);
                (Reason::UnclosedQuote, detail.to_owned())
            }),
        };
        let end = content(&self.raw).len();
        self.raw.truncate(end);
        Ok(Taken { offset, fault })
    }

    /// Tries the lines that follow an open quote; gives them back and says why when they do not complete a record.
    fn continued(
        &mut self,
        delimiter: u8,
        expected: Option<usize>,
    ) -> io::Result<Option<&'static str>> {
        let mut followers = Vec::new();
        let why = loop {
            match self.take()? {
                Held::Line { offset, bytes } if self.raw.len() + bytes.len() <= self.max_bytes => {
                    let shape = self.fields.feed(&bytes, delimiter);
                    self.raw.extend_from_slice(&bytes);
                    followers.push(Held::Line { offset, bytes });
                    match shape {
                        Shape::Open => {}
                        Shape::Whole if Some(self.fields.len()) == expected => return Ok(None),
                        Shape::Whole => {
                            break "closed by a later line, with a wrong number of fields";
                        }
                        Shape::Stray => break "closed in the middle of a later line's word",
                    }
                }
                Held::End => break "never closed",
                other @ Held::Fault { .. } => {
                    followers.push(other);
                    break "not closed before an unreadable line";
                }
                other @ Held::Line { .. } => {
                    followers.push(other);
                    break "not closed within the longest record";
                }
            }
        };
        for held in followers.into_iter().rev() {
            self.waiting.push_front(held);
        }
        Ok(Some(why))
    }
}

/// Comma, unless the header has none and has tabs or semicolons.
fn sniff(header: &[u8]) -> u8 {
    [b',', b'\t', b';']
        .into_iter()
        .find(|delimiter| header.contains(delimiter))
        .unwrap_or(b',')
}
