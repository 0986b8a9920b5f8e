//! One large JSON document that holds records: `{"Records": […]}`, the form in which `CloudTrail` delivers its files, or a bare list.
//!
//! The document is cut into records by their braces, so that memory is that of one record, however large the file; documents may
//! follow one another. A record that does not parse costs itself. Where its text broke the count of braces or quotes (a record cut
//! off in the middle of a string), reading resumes at the next text that begins as `CloudTrail`'s records do,
//! `{"eventVersion":`.

use super::format::BYTE_ORDER_MARK;
use super::lines::Lines;
use super::ndjson::{Schema, io_error};
use super::output::{At, Output, RAW_BYTES};
use super::reason::Reason;
use super::value::Node;
use super::{FileAccount, TelemetryError};

const MARK: &[u8] = b"\"eventVersion\"";

/// Whether text begins as such a document.
pub(super) fn begins(head: &[u8]) -> bool {
    let head = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head);
    prefix(head).is_some_and(|rest| {
        // A list of anything but objects is no document of records.
        let rest = rest.trim_ascii_start();
        rest.is_empty() || matches!(rest[0], b'{' | b']')
    })
}

/// What follows `{"Records":[` or `[`.
fn prefix(text: &[u8]) -> Option<&[u8]> {
    let text = text.trim_ascii_start();
    if let Some(rest) = text.strip_prefix(b"[") {
        return Some(rest);
    }
    let text = text.strip_prefix(b"{")?.trim_ascii_start();
    let text = text.strip_prefix(b"\"Records\"")?.trim_ascii_start();
    let text = text.strip_prefix(b":")?.trim_ascii_start();
    text.strip_prefix(b"[")
}

/// Where an element ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// Behind its last byte.
    At(usize),
    /// It does not, within the longest record.
    TooLong,
    /// The file ends before.
    Never,
}

/// A stretch of the unpacked text.
struct Window<'a> {
    lines: Lines<'a>,
    bytes: Vec<u8>,
    /// Offset of its first byte in the unpacked text.
    offset: u64,
    is_over: bool,
    /// Why the archive broke off.
    broken: Option<(Reason, String)>,
    /// The file's end in the middle of a record has been told.
    is_told: bool,
}

impl Window<'_> {
    /// Reads on; false at the end.
    fn more(&mut self) -> std::io::Result<bool> {
        if self.is_over {
            return Ok(false);
        }
        match self.lines.take_some(&mut self.bytes) {
            Ok(0) => self.is_over = true,
            Ok(_) => {}
            Err(error) => {
                self.is_over = true;
                match self.lines.blame(&error) {
                    Some(reason) => self.broken = Some((reason, error.to_string())),
                    None => return Err(error),
                }
            }
        }
        Ok(!self.is_over)
    }

    fn pass(&mut self, count: usize) {
        self.bytes.drain(..count);
        self.offset += count as u64;
    }

    /// The first byte that is none of `skipped`; `None` at the end.
    fn next_of(&mut self, skipped: &[u8]) -> std::io::Result<Option<u8>> {
        loop {
            let blank = |b: &u8| b.is_ascii_whitespace() || skipped.contains(b);
            let count = self.bytes.iter().take_while(|b| blank(b)).count();
            self.pass(count);
            if let Some(first) = self.bytes.first() {
                return Ok(Some(*first));
            }
            if !self.more()? {
                return Ok(None);
            }
        }
    }

    /// Passes `{"Records":[` or `[`; false when something else stands there.
    fn enter(&mut self) -> std::io::Result<bool> {
        while self.bytes.len() < 4096 && self.more()? {}
        if self.offset == 0 && self.bytes.starts_with(BYTE_ORDER_MARK) {
            self.pass(BYTE_ORDER_MARK.len());
        }
        let Some(rest) = prefix(&self.bytes).map(<[u8]>::len) else {
            return Ok(false);
        };
        self.pass(self.bytes.len() - rest);
        Ok(true)
    }

    /// Where the element that begins here ends: an object or list behind its last brace, anything else before a comma or bracket.
    fn element(&mut self, max_bytes: usize) -> std::io::Result<End> {
        let mut walk = Walk::default();
        let mut at = 0;
        loop {
            while let Some(byte) = self.bytes.get(at) {
                if let Some(end) = walk.step(*byte, at) {
                    return Ok(End::At(end));
                }
                at += 1;
            }
            if self.bytes.len() > max_bytes {
                return Ok(End::TooLong);
            }
            if !self.more()? {
                return Ok(End::Never);
            }
        }
    }

    /// Passes the rest of an element that is too long; gives its length. It ends where its braces say, or where another record begins.
    fn pass_long(&mut self) -> std::io::Result<u64> {
        let begin = self.offset;
        let mut walk = Walk::default();
        let mut at = 0;
        loop {
            while let Some(byte) = self.bytes.get(at) {
                if let Some(end) = walk.step(*byte, at) {
                    self.pass(end);
                    return Ok(self.offset - begin);
                }
                at += 1;
            }
            // A mark may lie across two stretches: its length is kept.
            if let Some(mark) = next_record(&self.bytes) {
                self.pass(mark);
                return Ok(self.offset - begin);
            }
            let passed = self.bytes.len().saturating_sub(2 * MARK.len());
            self.pass(passed);
            at -= passed;
            if !self.more()? {
                let rest = self.bytes.len();
                self.pass(rest);
                return Ok(self.offset - begin);
            }
        }
    }
}

/// Braces, brackets and quotes on the way through an element.
#[derive(Default)]
struct Walk {
    depth: usize,
    in_text: bool,
    is_escaped: bool,
}

impl Walk {
    /// Takes a byte; gives the element's end when it is reached.
    fn step(&mut self, byte: u8, at: usize) -> Option<usize> {
        if self.in_text {
            if self.is_escaped {
                self.is_escaped = false;
            } else if byte == b'\\' {
                self.is_escaped = true;
            } else if byte == b'"' {
                self.in_text = false;
            }
            return None;
        }
        match byte {
            b'"' => self.in_text = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' if self.depth > 1 => self.depth -= 1,
            b'}' | b']' if self.depth == 1 => return Some(at + 1),
            // Of the list, not of an element that is a number, a text or a word.
            b',' | b'}' | b']' if self.depth == 0 => return Some(at),
            _ => {}
        }
        None
    }
}

/// Where the next record begins, behind the first byte.
fn next_record(bytes: &[u8]) -> Option<usize> {
    let mut from = 1;
    loop {
        let rest = bytes.get(from..)?;
        let found = rest.windows(MARK.len()).position(|window| window == MARK)?;
        let before = &bytes[..from + found];
        let trimmed = before.trim_ascii_end();
        if trimmed.len() > 1 && trimmed.ends_with(b"{") {
            return Some(trimmed.len() - 1);
        }
        from += found + MARK.len();
    }
}

pub(super) fn read(lines: Lines, mut output: Output) -> Result<FileAccount, TelemetryError> {
    let max_bytes = lines.max_bytes();
    let mut window = Window {
        lines,
        bytes: Vec::new(),
        offset: 0,
        is_over: false,
        broken: None,
        is_told: false,
    };
    let mut schema = Schema::of(&output);
    let mut position = 0;
    let mut is_inside = false;
    loop {
        let skipped: &[u8] = if is_inside { b"," } else { b"}" };
        let next = window
            .next_of(skipped)
            .map_err(|source| io_error(&output, source))?;
        let at = At {
            position,
            offset: Some(window.offset),
        };
        match next {
            None => break,
            Some(b']') if is_inside => {
                is_inside = false;
                window.pass(1);
                continue;
            }
            Some(_) if !is_inside => {
                is_inside = window.enter().map_err(|source| io_error(&output, source))?;
                if is_inside {
                    continue;
                }
                let detail = "text behind the list of records";
                output.quarantine(at, Reason::BrokenJson, detail, Some(&window.bytes), 1)?;
                // To its end all the same: what is behind it is not known to be records.
                while window.more().map_err(|source| io_error(&output, source))? {
                    window.bytes.clear();
                }
                window.bytes.clear();
                position += 1;
                continue;
            }
            // A brace that closes nothing: the end of a document whose list was cut.
            Some(b'}') => {
                is_inside = false;
                continue;
            }
            Some(_) => {}
        }
        record(&mut window, at, max_bytes, &mut schema, &mut output)?;
        position += 1;
    }
    if let Some((reason, detail)) = window.broken.take() {
        let at = At {
            position,
            offset: Some(window.offset),
        };
        output.quarantine(at, reason, &detail, None, 1)?;
    } else if is_inside && !window.is_told {
        let at = At {
            position,
            offset: Some(window.offset),
        };
        output.quarantine(at, Reason::BrokenJson, "the list is never closed", None, 1)?;
    }
    schema.finish(output)
}

/// Deals with the element at the window's begin, and passes it.
fn record(
    window: &mut Window,
    at: At,
    max_bytes: usize,
    schema: &mut Schema,
    output: &mut Output,
) -> Result<(), TelemetryError> {
    let end = window
        .element(max_bytes)
        .map_err(|source| io_error(output, source))?;
    let length = match end {
        End::At(length) => length,
        End::TooLong | End::Never => window.bytes.len(),
    };
    let fits = matches!(end, End::At(_)) && length <= max_bytes;
    let next = next_record(&window.bytes[..length]);
    if fits && (next.is_none() || parses(&window.bytes[..length])) {
        schema.line(at, &window.bytes[..length], output)?;
        window.pass(length.max(1));
        return Ok(());
    }
    let never_closed = "a record that is never closed";
    if let Some(next) = next {
        let raw = window.bytes[..next].trim_ascii_end();
        let raw = raw.strip_suffix(b",").unwrap_or(raw);
        output.quarantine(at, Reason::BrokenJson, never_closed, Some(raw), 1)?;
        window.pass(next);
        return Ok(());
    }
    if end == End::Never {
        // What cut the record cut the list too: told once, and by the archive's name where it broke off.
        window.is_told = true;
        let (reason, detail) = window
            .broken
            .take()
            .unwrap_or((Reason::BrokenJson, never_closed.to_owned()));
        output.quarantine(at, reason, &detail, Some(&window.bytes), 1)?;
        window.pass(length);
        return Ok(());
    }
    let head = window.bytes[..length.min(RAW_BYTES)].to_vec();
    let bytes = window
        .pass_long()
        .map_err(|source| io_error(output, source))?;
    let detail = format!("record of {bytes} bytes");
    output.quarantine(at, Reason::LineTooLong, &detail, Some(&head), 1)
}

fn parses(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| serde_json::from_str::<Node>(text).is_ok())
}
