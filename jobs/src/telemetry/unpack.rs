//! Unpacking, and telling a broken archive from a broken source: the first is quarantined, the second is an error.

use std::cell::Cell;
use std::io::{self, BufReader, Cursor, ErrorKind, Read};
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;

use super::format::{Packing, looks_like_json, packing_of};
use super::reason::Reason;

const SOURCE_BUFFER_BYTES: usize = 256 << 10;

/// The first bytes of a stream: fewer than asked for only where it ends.
pub(super) fn head(source: &mut impl Read, bytes: usize) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(bytes);
    source.by_ref().take(bytes as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// A stream of unpacked bytes.
pub(super) struct Unpacked<'a> {
    reader: Box<dyn Read + 'a>,
    packing: Packing,
    source_failed: Rc<Cell<bool>>,
}

impl<'a> Unpacked<'a> {
    /// `named` is the packing that the file's name claims. Magic bytes beat it: an object may have been compressed, or
    /// unpacked, on its way without its name telling.
    pub(super) fn open(source: impl Read + 'a, named: Packing) -> io::Result<Self> {
        let source_failed = Rc::new(Cell::new(false));
        let mut source = Watched {
            source,
            failed: Rc::clone(&source_failed),
        };
        let head = head(&mut source, super::MAGIC_BYTES)?;
        let packing = match packing_of(&head) {
            Packing::Plain if head.is_empty() && named != Packing::Plain => named,
            Packing::Plain if looks_like_json(&head) => Packing::Plain,
            Packing::Plain => named,
            shown => shown,
        };
        let is_empty = head.is_empty();
        let source = BufReader::with_capacity(SOURCE_BUFFER_BYTES, Cursor::new(head).chain(source));
        let reader: Box<dyn Read + 'a> = match packing {
            Packing::Plain => Box::new(source),
            // An empty archive is 20 bytes (gzip) or 9 (zstd); no bytes at all is one cut off at the start.
            Packing::Gzip | Packing::Zstd if is_empty => Box::new(CutOff),
            Packing::Gzip => Box::new(MultiGzDecoder::new(source)),
            Packing::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(source)?),
        };
        Ok(Self {
            reader,
            packing,
            source_failed,
        })
    }

    /// What a read error means: the reason to write off what follows, or `None` for an error of the source itself.
    pub(super) fn blame(&self, error: &io::Error) -> Option<Reason> {
        if self.source_failed.get() {
            return None;
        }
        match (self.packing, error.kind()) {
            (Packing::Plain, _) => None,
            (Packing::Gzip, ErrorKind::UnexpectedEof) => Some(Reason::TruncatedGzip),
            (Packing::Gzip, _) => Some(Reason::CorruptGzip),
            (Packing::Zstd, ErrorKind::UnexpectedEof) => Some(Reason::TruncatedZstd),
            (Packing::Zstd, _) => Some(Reason::CorruptZstd),
        }
    }
}

impl Read for Unpacked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

/// Notes that an error came from the source, not from the decoder above it.
struct Watched<R> {
    source: R,
    failed: Rc<Cell<bool>>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = self.source.read(buffer);
        if matches!(&result, Err(error) if error.kind() != ErrorKind::Interrupted) {
            self.failed.set(true);
        }
        result
    }
}

struct CutOff;

impl Read for CutOff {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::new(ErrorKind::UnexpectedEof, "zero bytes long"))
    }
}
