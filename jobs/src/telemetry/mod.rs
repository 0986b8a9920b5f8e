//! Stage 1, `telemetry`: reading a day's files, whatever is wrong with them.
//!
//! A file becomes one stream of batches in one schema ([`events_schema`]): the day's process creations or requests to APIs
//! ([`Kind`]), the rows that
//! were lost and why, and a last row with the file's account. What is wrong with a file costs the bad row or, where
//! nothing after it can be trusted, the rest of the file or row group: never the job. Only an I/O error of the source
//! (permission, network) is an error, so that the engine retries it. For every file
//! `rows_read = kept + quarantined + other_day`.
//!
//! Why readers of our own: measured, `DataFusion`'s fail a whole query on one bad JSON line, swallow the rest of a CSV
//! after an open quote, and accept a flipped bit in a Parquet page.
//!
//! ```text
//! format    which reader, from the name and the first bytes; which partitions of a listing cannot hold the day
//! unpack    gzip and zstd, telling a broken archive from a broken disk
//! lines     physical lines with offsets; an overlong one is skipped, not buffered
//! ndjson    a line → a value             ┐
//! document  one large JSON → its records │  mapping (native, OCSF, ECS, Windows event log,
//! log       a line of a log → a value    ├→ for requests mapping::api: CloudTrail, gateways, proxies …) → output
//! csv       lines → a record → a value   │
//! parquet   row groups → rows → values   ┘
//! ```
//!
//! Memory: a batch (8192 rows or 16 MiB of text), one record of at most `max_line_bytes` (CSV: twice that), up to
//! 4 MiB of first lines while the schema is recognised; for Parquet also the decoded pages of the wanted columns. A zstd
//! frame may ask for a window of up to 128 MiB.
//! Cost, rows a second on one core (`tests/speed.rs`, release, memory to memory): native NDJSON of 430 bytes a line 790,000
//! (gzip 510,000, zstd 620,000), native CSV 1,330,000, native Parquet 2,350,000, nested ECS 340,000.

mod columns;
mod csv;
mod document;
mod format;
mod kind;
mod lines;
mod log;
mod mapping;
mod ndjson;
mod output;
mod parquet;
mod reason;
pub mod single;
mod time;
mod unpack;
mod value;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;

use ::parquet::file::reader::ChunkReader;
use bytes::Bytes;
use chrono::NaiveDate;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::error::ArrowError;

pub use columns::events_schema;
pub use format::{Format, MAGIC_BYTES, skip_by_path};
pub use kind::Kind;
pub use mapping::SchemaKind;
pub use reason::Reason;

use output::{At, Output};

/// What stops the reading of a file. What is merely wrong with a file is in quarantine instead.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The source could not be read: worth a retry.
    #[error("cannot read {file}")]
    Io {
        /// The file's name as the caller gave it.
        file: String,
        /// What the source said.
        #[source]
        source: io::Error,
    },
    /// A batch could not be built.
    #[error("cannot build a batch of events")]
    Arrow(#[from] ArrowError),
    /// The receiver of the batches gave up.
    #[error("the receiver of the events stopped")]
    Receiver(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A schema's name that is none of ours.
    #[error("schema: expected one of {expected}, got `{name}`")]
    UnknownSchema {
        /// The name given.
        name: String,
        /// Those of the kind of telemetry.
        expected: String,
    },
}

/// What becomes of a row without an event time. (A time that cannot be read is always quarantined.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Undated {
    /// It is quarantined as `missing_event_time`.
    #[default]
    Quarantine,
    /// It is taken to be of the day, at midnight UTC.
    AsDay,
}

/// How a file is read.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// What the telemetry is about.
    pub kind: Kind,
    /// The UTC day whose events are kept.
    pub day: NaiveDate,
    /// The schema of the records; `None` recognises it from the first 100 readable ones.
    pub schema: Option<SchemaKind>,
    /// Bytes of the longest line (NDJSON), record (CSV) or command line (Parquet) that is read; default 1 MiB.
    pub max_line_bytes: usize,
    /// Most rows of a batch; default 8192.
    pub batch_rows: usize,
    /// What becomes of rows without an event time.
    pub undated: Undated,
}

impl ReadOptions {
    /// The defaults for command lines of a UTC day.
    #[must_use]
    pub fn new(day: NaiveDate) -> Self {
        Self::of(Kind::Command, day)
    }

    /// The defaults for a kind of telemetry and a UTC day.
    #[must_use]
    pub fn of(kind: Kind, day: NaiveDate) -> Self {
        Self {
            kind,
            day,
            schema: None,
            max_line_bytes: 1 << 20,
            batch_rows: 8192,
            undated: Undated::default(),
        }
    }
}

/// What became of a file's rows: `rows_read = kept + quarantined + other_day`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileAccount {
    /// Rows read, or known to be in the file and lost.
    pub rows_read: u64,
    /// Events of the day, handed on.
    pub kept: u64,
    /// Rows written off, each with a reason.
    pub quarantined: u64,
    /// Events of other days, counted only.
    pub other_day: u64,
    /// The schema given or recognised; `None` when no row showed one.
    pub schema: Option<SchemaKind>,
}

impl FileAccount {
    /// Whether every row read is accounted for.
    #[must_use]
    pub const fn balances(&self) -> bool {
        self.rows_read
            == self
                .kept
                .saturating_add(self.quarantined)
                .saturating_add(self.other_day)
    }
}

/// Reads a local file in the format that its name and first bytes show. `file` is the name that rows carry.
///
/// # Errors
/// When the file cannot be opened or read, or `emit` fails.
pub fn read_file(
    file: &str,
    path: &Path,
    options: &ReadOptions,
    emit: &mut dyn FnMut(RecordBatch) -> Result<(), TelemetryError>,
) -> Result<FileAccount, TelemetryError> {
    let io_error = |source| TelemetryError::Io {
        file: file.to_owned(),
        source,
    };
    let mut source = File::open(path).map_err(io_error)?;
    let head = unpack::head(&mut source, MAGIC_BYTES).map_err(io_error)?;
    source.rewind().map_err(io_error)?;
    match Format::detect(options.kind, &path.to_string_lossy(), &head) {
        Some(Format::Parquet) => read_parquet(file, source, options, emit),
        Some(format) => read_text(file, format, source, options, emit),
        None => unrecognised(file, &head, options, emit),
    }
}

/// Reads a file that can only be read from its beginning, in the format that its name and first bytes show. Parquet, which
/// needs its end first, is copied to a temporary file.
///
/// # Errors
/// When `source` cannot be read, the temporary file cannot be written, or `emit` fails.
pub fn read_stream(
    file: &str,
    mut source: impl Read,
    options: &ReadOptions,
    emit: &mut dyn FnMut(RecordBatch) -> Result<(), TelemetryError>,
) -> Result<FileAccount, TelemetryError> {
    let io_error = |source| TelemetryError::Io {
        file: file.to_owned(),
        source,
    };
    let head = unpack::head(&mut source, MAGIC_BYTES).map_err(io_error)?;
    let format = Format::detect(options.kind, file, &head);
    let mut whole = io::Cursor::new(head.clone()).chain(source);
    match format {
        Some(Format::Parquet) => {
            let mut spooled = tempfile::tempfile().map_err(io_error)?;
            io::copy(&mut whole, &mut spooled).map_err(|e| {
                let place = std::env::temp_dir();
                let why = format!("copying it to {} (TMPDIR): {e}", place.display());
                io_error(io::Error::new(e.kind(), why))
            })?;
            spooled.rewind().map_err(io_error)?;
            read_parquet(file, spooled, options, emit)
        }
        Some(format) => {
            let account = read_text(file, format, &mut whole, options, emit)?;
            // A reader that gives a file up (a broken archive) leaves the rest: whether it is the file that is broken, or
            // the way it arrived, shows at the end.
            io::copy(&mut whole, &mut io::sink()).map_err(io_error)?;
            Ok(account)
        }
        None => {
            // To its end all the same: a damaged object is found out there.
            io::copy(&mut whole, &mut io::sink()).map_err(io_error)?;
            unrecognised(file, &head, options, emit)
        }
    }
}

/// Reads a file held in memory, in the format that its name and first bytes show.
///
/// # Errors
/// When `emit` fails.
pub fn read_bytes(
    file: &str,
    bytes: &Bytes,
    options: &ReadOptions,
    emit: &mut dyn FnMut(RecordBatch) -> Result<(), TelemetryError>,
) -> Result<FileAccount, TelemetryError> {
    let head = &bytes[..bytes.len().min(MAGIC_BYTES)];
    match Format::detect(options.kind, file, head) {
        Some(Format::Parquet) => read_parquet(file, bytes.clone(), options, emit),
        Some(format) => read_text(file, format, bytes.as_ref(), options, emit),
        None => unrecognised(file, head, options, emit),
    }
}

/// Reads NDJSON, CSV or, of requests, a log from a stream, packed or not; the magic bytes decide how it is packed. [`Format::Parquet`], which
/// cannot be streamed, is quarantined as `unrecognised_format`.
///
/// # Errors
/// When `source` or `emit` fails.
pub fn read_text(
    file: &str,
    format: Format,
    source: impl Read,
    options: &ReadOptions,
    emit: &mut dyn FnMut(RecordBatch) -> Result<(), TelemetryError>,
) -> Result<FileAccount, TelemetryError> {
    if format == Format::Parquet {
        let mut output = Output::new(file, options, emit);
        let at = At {
            position: 0,
            offset: Some(0),
        };
        output.quarantine(
            at,
            Reason::UnrecognisedFormat,
            "Parquet cannot be read as a stream",
            None,
            1,
        )?;
        return output.finish(options.schema);
    }
    let output = Output::new(file, options, emit);
    let mut lines =
        lines::Lines::open(source, format, options.max_line_bytes).map_err(|source| {
            TelemetryError::Io {
                file: file.to_owned(),
                source,
            }
        })?;
    if format.is_csv() {
        return csv::read(lines, output);
    }
    if options.kind == Kind::Api {
        let is_log = match options.schema {
            Some(schema) => schema.is_log(),
            None => format.is_log() && !format::looks_like_json(lines.peek()),
        };
        if is_log {
            return log::read(lines, output);
        }
        if document::begins(lines.peek()) {
            return document::read(lines, output);
        }
    }
    ndjson::read(lines, output)
}

/// Reads Parquet from anything with random access: a [`File`], [`Bytes`], or an object store behind a [`ChunkReader`].
///
/// An I/O error of the source must come as [`ParquetError::External`](::parquet::errors::ParquetError::External), or be one of the reader's; every other error is
/// taken to be the file's fault.
///
/// # Errors
/// When `source` or `emit` fails.
pub fn read_parquet<R: ChunkReader + 'static>(
    file: &str,
    source: R,
    options: &ReadOptions,
    emit: &mut dyn FnMut(RecordBatch) -> Result<(), TelemetryError>,
) -> Result<FileAccount, TelemetryError> {
    parquet::read(source, Output::new(file, options, emit))
}

fn unrecognised(
    file: &str,
    head: &[u8],
    options: &ReadOptions,
    emit: &mut dyn FnMut(RecordBatch) -> Result<(), TelemetryError>,
) -> Result<FileAccount, TelemetryError> {
    let mut output = Output::new(file, options, emit);
    if !head.is_empty() {
        let at = At {
            position: 0,
            offset: Some(0),
        };
        output.quarantine(
            at,
            Reason::UnrecognisedFormat,
            "neither name nor first bytes",
            Some(head),
            1,
        )?;
    }
    output.finish(options.schema)
}
