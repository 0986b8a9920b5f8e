//! Physical lines of a text file with their byte offsets, in bounded memory.

use std::io::{self, BufRead, BufReader, Read};

use super::format::{BYTE_ORDER_MARK, Format};
use super::output::RAW_BYTES;
use super::reason::Reason;
use super::unpack::Unpacked;

const LINE_BUFFER_BYTES: usize = 64 << 10;

/// One step through a file. Offsets are of the unpacked text.
pub(super) enum Step<'b> {
    /// A line with its terminator, if it has one.
    Line {
        offset: u64,
        bytes: &'b [u8],
    },
    /// A line over the limit: its first bytes and its whole length.
    Long {
        offset: u64,
        head: &'b [u8],
        bytes: u64,
    },
    /// The archive broke off; nothing follows. `partial` is the unfinished line's text.
    Broken {
        offset: u64,
        reason: Reason,
        detail: String,
        partial: &'b [u8],
    },
    End,
}

pub(super) struct Lines<'a> {
    reader: BufReader<Unpacked<'a>>,
    line: Vec<u8>,
    offset: u64,
    max_bytes: usize,
    is_over: bool,
    /// An error met while looking ahead.
    ahead: Option<io::Error>,
}

impl<'a> Lines<'a> {
    pub(super) fn open(
        source: impl Read + 'a,
        format: Format,
        max_bytes: usize,
    ) -> io::Result<Self> {
        let unpacked = Unpacked::open(source, format.packing())?;
        let reader = BufReader::with_capacity(LINE_BUFFER_BYTES, unpacked);
        Ok(Self {
            reader,
            line: Vec::new(),
            offset: 0,
            max_bytes,
            is_over: false,
            ahead: None,
        })
    }

    /// The next bytes, not taken; some at least, unless the file is over. An error comes with the next line.
    pub(super) fn peek(&mut self) -> &[u8] {
        if self.ahead.is_some() {
            return &[];
        }
        match self.reader.fill_buf() {
            Ok(_) => self.reader.buffer(),
            Err(error) => {
                self.ahead = Some(error);
                &[]
            }
        }
    }

    /// Takes some more bytes, whatever lines they form; 0 at the end. Not to be mixed with [`Lines::step`].
    pub(super) fn take_some(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        if let Some(error) = self.ahead.take() {
            return Err(error);
        }
        let bytes = self.reader.fill_buf()?;
        let taken = bytes.len();
        into.extend_from_slice(bytes);
        self.reader.consume(taken);
        Ok(taken)
    }

    /// What an error of [`Lines::take_some`] means: the reason to write off what follows, or `None` for one of the source.
    pub(super) fn blame(&self, error: &io::Error) -> Option<Reason> {
        self.reader.get_ref().blame(error)
    }

    /// The longest line that is read, in bytes.
    pub(super) const fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// The next line, blank ones included. A byte order mark at the start of the file is passed over.
    pub(super) fn step(&mut self) -> io::Result<Step<'_>> {
        if self.is_over {
            return Ok(Step::End);
        }
        self.line.clear();
        if let Some(error) = self.ahead.take() {
            return self.broken(error);
        }
        let mut start = self.offset;
        // Room for the terminator: a line of exactly the limit is not too long.
        let limit = self.max_bytes.saturating_add(2);
        let read = self
            .reader
            .by_ref()
            .take(limit as u64)
            .read_until(b'\n', &mut self.line);
        if let Err(error) = read {
            return self.broken(error);
        }
        if self.line.is_empty() {
            self.is_over = true;
            return Ok(Step::End);
        }
        self.offset += self.line.len() as u64;
        let mut mark = 0;
        if start == 0 && self.line.starts_with(BYTE_ORDER_MARK) {
            mark = BYTE_ORDER_MARK.len();
            start = mark as u64;
        }
        if content(&self.line[mark..]).len() <= self.max_bytes {
            return Ok(Step::Line {
                offset: start,
                bytes: &self.line[mark..],
            });
        }
        let mut bytes = content(&self.line[mark..]).len() as u64;
        if self.line.last() != Some(&b'\n') {
            match self.reader.skip_until(b'\n') {
                Ok(skipped) => {
                    self.offset += skipped as u64;
                    bytes = self.offset - start;
                }
                Err(error) => return self.broken(error),
            }
        }
        let head = &self.line[mark..];
        Ok(Step::Long {
            offset: start,
            head: &head[..head.len().min(RAW_BYTES)],
            bytes,
        })
    }

    fn broken(&mut self, error: io::Error) -> io::Result<Step<'_>> {
        self.is_over = true;
        match self.reader.get_ref().blame(&error) {
            Some(reason) => Ok(Step::Broken {
                offset: self.offset,
                reason,
                detail: error.to_string(),
                partial: &self.line[..self.line.len().min(RAW_BYTES)],
            }),
            None => Err(error),
        }
    }
}

/// A line without its terminator, LF or CR LF.
pub(super) fn content(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Whether a line holds nothing: such a line is no row.
pub(super) fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}
