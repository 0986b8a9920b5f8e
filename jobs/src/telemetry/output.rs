//! The one stream that a file is read into: events, quarantined rows and, last, the file's account, in one schema.
//!
//! [`Output`] is the only place where rows are counted, so that `rows_read = kept + quarantined + other_day` holds by
//! construction, whatever a reader meets. Batches are handed on at `batch_rows` rows or [`BATCH_TEXT_BYTES`] of text,
//! whichever comes first.

use std::mem;

use datafusion::arrow::array::RecordBatch;

use super::columns::{Columns, Kept};
use super::kind::Kind;
use super::mapping::api::{self, Request};
use super::mapping::{Essential, Event};
use super::reason::Reason;
use super::value::Node;
use super::{FileAccount, ReadOptions, SchemaKind, TelemetryError, Undated, time};

/// Text bytes at which a batch is handed on before it has all its rows.
const BATCH_TEXT_BYTES: usize = 16 << 20;
/// Bytes kept of a bad row.
pub(super) const RAW_BYTES: usize = 4096;
/// Different details that are counted apart in one file; the rest are counted as one.
const MAX_TALLIES: usize = 64;

/// Where a row stands in its file.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub(super) position: u64,
    pub(super) offset: Option<u64>,
}

/// Rows of one cause that are counted instead of listed, with the first of them.
struct Tally {
    reason: Reason,
    detail: String,
    first: At,
    raw: Vec<u8>,
    rows: u64,
}

pub(super) type Emit<'a> = dyn FnMut(RecordBatch) -> Result<(), TelemetryError> + 'a;

pub(super) struct Output<'a> {
    file: &'a str,
    options: &'a ReadOptions,
    emit: &'a mut Emit<'a>,
    first_micros: i64,
    account: FileAccount,
    tallies: Vec<Tally>,
    columns: Columns,
    batch_rows: usize,
    batch_text_bytes: usize,
}

impl<'a> Output<'a> {
    pub(super) fn new(file: &'a str, options: &'a ReadOptions, emit: &'a mut Emit<'a>) -> Self {
        Self {
            file,
            options,
            emit,
            first_micros: time::start_of(options.day),
            account: FileAccount::default(),
            tallies: Vec::new(),
            columns: Columns::new(options.kind),
            batch_rows: 0,
            batch_text_bytes: 0,
        }
    }

    pub(super) fn file(&self) -> &'a str {
        self.file
    }

    pub(super) fn options(&self) -> &'a ReadOptions {
        self.options
    }

    /// Maps and judges one record. `raw` gives the bytes to keep should it be bad.
    ///
    /// The day comes first: a bad row of another day is that day's to quarantine, not every day's.
    pub(super) fn record(
        &mut self,
        at: At,
        schema: SchemaKind,
        record: &Node,
        raw: &dyn Fn() -> Vec<u8>,
    ) -> Result<(), TelemetryError> {
        match schema.kind() {
            Kind::Command => {
                let mapped = schema.map(record);
                let other = mapped.other_activity;
                let other = other.map(|activity| (Reason::NotProcessCreation, activity));
                let Some(micros) = self.dated(at, mapped.time, other, raw)? else {
                    return Ok(());
                };
                self.command(at, micros, &mapped.event, raw)
            }
            Kind::Api => {
                let mapped = api::map(schema, record);
                let other = mapped.other_activity;
                let other = other.map(|activity| (Reason::NotApiRequest, activity));
                let Some(micros) = self.dated(at, mapped.time, other, raw)? else {
                    return Ok(());
                };
                self.request(at, micros, &mapped.request, raw)
            }
        }
    }

    /// The time of a record of the day; `None` where the record is dealt with.
    fn dated(
        &mut self,
        at: At,
        time: Option<&Node>,
        other_activity: Option<(Reason, String)>,
        raw: &dyn Fn() -> Vec<u8>,
    ) -> Result<Option<i64>, TelemetryError> {
        // An empty text is no time rather than a bad one.
        let stated = time.filter(|value| !matches!(value, Node::Text(text) if text.is_empty()));
        let parsed = stated.map(time::parse);
        if let Some(Ok(micros)) = parsed
            && !self.in_day(micros)
        {
            self.other_day();
            return Ok(None);
        }
        if let Some((reason, activity)) = other_activity {
            self.tally(at, reason, &activity, raw);
            return Ok(None);
        }
        match (parsed, self.options.undated) {
            (Some(Ok(micros)), _) => return Ok(Some(micros)),
            (None, Undated::AsDay) => return Ok(Some(self.first_micros)),
            (Some(Err(detail)), _) => {
                self.quarantine(at, Reason::BadEventTime, &detail, Some(&raw()), 1)?;
            }
            (None, Undated::Quarantine) => {
                self.quarantine(at, Reason::MissingEventTime, "", Some(&raw()), 1)?;
            }
        }
        Ok(None)
    }

    fn command(
        &mut self,
        at: At,
        micros: i64,
        event: &Event,
        raw: &dyn Fn() -> Vec<u8>,
    ) -> Result<(), TelemetryError> {
        let line = match &event.command_line {
            Essential::Text(text) if !text.trim().is_empty() => text,
            other => {
                return self.without(at, other, "command line", Reason::MissingCommandLine, raw);
            }
        };
        if line.contains('\0') {
            let detail = format!("command line of {} bytes", line.len());
            return self.quarantine(at, Reason::NulByte, &detail, Some(&raw()), 1);
        }
        if line.len() > self.options.max_line_bytes {
            let detail = format!("command line of {} bytes", line.len());
            return self.quarantine(at, Reason::LineTooLong, &detail, Some(&raw()), 1);
        }
        self.keep(at, micros, &Kept::Command(line, event))
    }

    fn request(
        &mut self,
        at: At,
        micros: i64,
        request: &Request,
        raw: &dyn Fn() -> Vec<u8>,
    ) -> Result<(), TelemetryError> {
        if let Some((reason, detail)) = &request.fault {
            return self.quarantine(at, *reason, detail, Some(&raw()), 1);
        }
        let path = match &request.path {
            Essential::Text(text) if !text.trim().is_empty() => text,
            other => return self.without(at, other, "path", Reason::MissingPath, raw),
        };
        let texts = || request.texts().chain([path.as_ref()]);
        let bytes: usize = texts().map(str::len).sum();
        if texts().any(|text| text.contains('\0')) {
            let detail = format!("request of {bytes} bytes");
            return self.quarantine(at, Reason::NulByte, &detail, Some(&raw()), 1);
        }
        if bytes > self.options.max_line_bytes {
            let detail = format!("request of {bytes} bytes");
            return self.quarantine(at, Reason::LineTooLong, &detail, Some(&raw()), 1);
        }
        self.keep(at, micros, &Kept::Api(path, request))
    }

    /// Writes off a record without what it is nothing without.
    fn without(
        &mut self,
        at: At,
        found: &Essential,
        what: &str,
        missing: Reason,
        raw: &dyn Fn() -> Vec<u8>,
    ) -> Result<(), TelemetryError> {
        match found {
            Essential::Text(_) | Essential::Missing => {
                self.quarantine(at, missing, "", Some(&raw()), 1)
            }
            Essential::WrongType => {
                let detail = format!("{what} is not text");
                self.quarantine(at, Reason::WrongType, &detail, Some(&raw()), 1)
            }
            Essential::NotUtf8(bytes) => {
                let detail = format!("{what} of {} bytes", bytes.len());
                self.quarantine(at, Reason::InvalidUtf8, &detail, Some(bytes), 1)
            }
        }
    }

    fn keep(&mut self, at: At, micros: i64, kept: &Kept) -> Result<(), TelemetryError> {
        self.account.rows_read += 1;
        self.account.kept += 1;
        self.batch_text_bytes += self.columns.event(self.file, at, micros, kept);
        self.row_done()
    }

    fn in_day(&self, micros: i64) -> bool {
        (self.first_micros..self.first_micros.saturating_add(time::MICROS_PER_DAY))
            .contains(&micros)
    }

    fn other_day(&mut self) {
        self.account.rows_read += 1;
        self.account.other_day += 1;
    }

    /// Writes rows off, now.
    pub(super) fn quarantine(
        &mut self,
        at: At,
        reason: Reason,
        detail: &str,
        raw: Option<&[u8]>,
        rows: u64,
    ) -> Result<(), TelemetryError> {
        self.account.rows_read = self.account.rows_read.saturating_add(rows);
        self.account.quarantined = self.account.quarantined.saturating_add(rows);
        let raw = raw.map(|raw| &raw[..raw.len().min(RAW_BYTES)]);
        self.batch_text_bytes += self
            .columns
            .quarantine(self.file, at, reason, detail, raw, rows);
        self.row_done()
    }

    /// Writes one row off that may be one of millions of its kind: one quarantine row for all of them, at the end.
    pub(super) fn tally(
        &mut self,
        at: At,
        reason: Reason,
        detail: &str,
        raw: &dyn Fn() -> Vec<u8>,
    ) {
        self.account.rows_read += 1;
        self.account.quarantined += 1;
        let same = |tally: &&mut Tally| tally.reason == reason && tally.detail == detail;
        if let Some(tally) = self.tallies.iter_mut().find(same) {
            tally.rows += 1;
        } else if self.tallies.len() < MAX_TALLIES {
            let mut raw = raw();
            raw.truncate(RAW_BYTES);
            self.tallies.push(Tally {
                reason,
                detail: detail.to_owned(),
                first: at,
                raw,
                rows: 1,
            });
        } else if let Some(last) = self.tallies.last_mut() {
            "others".clone_into(&mut last.detail);
            last.rows += 1;
        }
    }

    /// Ends the file: its tallies, its `file` row, its last batch.
    pub(super) fn finish(
        mut self,
        schema: Option<SchemaKind>,
    ) -> Result<FileAccount, TelemetryError> {
        for tally in mem::take(&mut self.tallies) {
            let Tally {
                reason,
                detail,
                first,
                raw,
                rows,
            } = tally;
            self.columns
                .quarantine(self.file, first, reason, &detail, Some(&raw), rows);
            self.row_done()?;
        }
        self.columns.file(self.file, &self.account);
        self.batch_rows += 1;
        self.flush()?;
        Ok(FileAccount {
            schema,
            ..self.account
        })
    }

    fn row_done(&mut self) -> Result<(), TelemetryError> {
        self.batch_rows += 1;
        if self.batch_rows >= self.options.batch_rows.max(1)
            || self.batch_text_bytes >= BATCH_TEXT_BYTES
        {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), TelemetryError> {
        self.batch_rows = 0;
        self.batch_text_bytes = 0;
        (self.emit)(self.columns.finish()?)
    }
}
