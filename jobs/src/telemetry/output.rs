//! The one stream that a file is read into: events, quarantined rows and, last, the file's account, in one schema.
//!
//! [`Output`] is the only place where rows are counted, so that `rows_read = kept + quarantined + other_day` holds by
//! construction, whatever a reader meets. Batches are handed on at `batch_rows` rows or [`BATCH_TEXT_BYTES`] of text,
//! whichever comes first.

use std::mem;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::builder::{
    BinaryBuilder, BooleanBuilder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::mapping::{Command, Event};
use super::reason::Reason;
use super::value::Node;
use super::{FileAccount, ReadOptions, SchemaKind, TelemetryError, Undated, time};

/// Text bytes at which a batch is handed on before it has all its rows.
const BATCH_TEXT_BYTES: usize = 16 << 20;
/// Bytes kept of a bad row.
pub(super) const RAW_BYTES: usize = 4096;
/// Different details that are counted apart in one file; the rest are counted as one.
const MAX_TALLIES: usize = 64;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("kind", DataType::Utf8, false),
        Field::new("file", DataType::Utf8, false),
        Field::new("position", DataType::Int64, true),
        Field::new("offset", DataType::Int64, true),
        Field::new("event_time", utc, true),
        text("command_line"),
        text("host"),
        text("user"),
        text("os"),
        text("image"),
        text("parent_image"),
        text("parent_command_line"),
        text("integrity_level"),
        text("user_sid"),
        text("original_file_name"),
        Field::new("signed", DataType::Boolean, true),
        Field::new("signer_trusted", DataType::Boolean, true),
        text("reason"),
        text("detail"),
        Field::new("raw", DataType::Binary, true),
        Field::new("rows", DataType::Int64, false),
        Field::new("rows_other_day", DataType::Int64, true),
    ]))
});

/// The schema of every batch that a file is read into.
///
/// | `kind` | meaning | `position`, `offset` | `rows` |
/// |---|---|---|---|
/// | `event` | a process creation of the day | record number from 0; its byte offset in the unpacked text, null for Parquet | 1 |
/// | `quarantine` | rows that were lost, with `reason`, `detail` and up to 4 KiB of the first in `raw` | of the first one | how many |
/// | `file` | the end of the file | null | rows read in total; `rows_other_day` of them outside the day |
#[must_use]
pub fn events_schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

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
            columns: Columns::default(),
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
        kind: SchemaKind,
        record: &Node,
        raw: &dyn Fn() -> Vec<u8>,
    ) -> Result<(), TelemetryError> {
        let mapped = kind.map(record);
        // An empty text is no time rather than a bad one.
        let stated = mapped
            .time
            .filter(|value| !matches!(value, Node::Text(text) if text.is_empty()));
        let parsed = stated.map(time::parse);
        if let Some(Ok(micros)) = parsed
            && !self.in_day(micros)
        {
            self.other_day();
            return Ok(());
        }
        if let Some(activity) = mapped.other_activity {
            self.tally(at, Reason::NotProcessCreation, &activity, raw);
            return Ok(());
        }
        let micros = match (parsed, self.options.undated) {
            (Some(Ok(micros)), _) => micros,
            (Some(Err(detail)), _) => {
                return self.quarantine(at, Reason::BadEventTime, &detail, Some(&raw()), 1);
            }
            (None, Undated::AsDay) => self.first_micros,
            (None, Undated::Quarantine) => {
                return self.quarantine(at, Reason::MissingEventTime, "", Some(&raw()), 1);
            }
        };
        let line = match &mapped.event.command_line {
            Command::Text(text) if !text.trim().is_empty() => text,
            Command::Text(_) | Command::Missing => {
                return self.quarantine(at, Reason::MissingCommandLine, "", Some(&raw()), 1);
            }
            Command::WrongType => {
                return self.quarantine(
                    at,
                    Reason::WrongType,
                    "command line is not text",
                    Some(&raw()),
                    1,
                );
            }
            Command::NotUtf8(bytes) => {
                let detail = format!("command line of {} bytes", bytes.len());
                return self.quarantine(at, Reason::InvalidUtf8, &detail, Some(bytes), 1);
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
        self.account.rows_read += 1;
        self.account.kept += 1;
        self.batch_text_bytes += self
            .columns
            .event(self.file, at, micros, line, &mapped.event);
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

#[derive(Default)]
struct Columns {
    kind: StringBuilder,
    file: StringBuilder,
    position: Int64Builder,
    offset: Int64Builder,
    event_time: TimestampMicrosecondBuilder,
    /// `command_line` to `original_file_name`, in the schema's order.
    text: [StringBuilder; 10],
    /// `signed` and `signer_trusted`.
    flags: [BooleanBuilder; 2],
    reason: StringBuilder,
    detail: StringBuilder,
    raw: BinaryBuilder,
    rows: Int64Builder,
    rows_other_day: Int64Builder,
}

impl Columns {
    /// Appends an event; gives its text's size in bytes.
    fn event(
        &mut self,
        file: &str,
        at: At,
        micros: i64,
        command_line: &str,
        event: &Event,
    ) -> usize {
        self.place("event", file, Some(at));
        self.event_time.append_value(micros);
        let text = [
            Some(command_line),
            event.host.as_deref(),
            event.user.as_deref(),
            event.os.as_deref(),
            event.image.as_deref(),
            event.parent_image.as_deref(),
            event.parent_command_line.as_deref(),
            event.integrity_level.as_deref(),
            event.user_sid.as_deref(),
            event.original_file_name.as_deref(),
        ];
        let mut bytes = 0;
        for (builder, value) in self.text.iter_mut().zip(text) {
            bytes += value.map_or(0, str::len);
            builder.append_option(value);
        }
        self.flags[0].append_option(event.signed);
        self.flags[1].append_option(event.signer_trusted);
        self.reason.append_null();
        self.detail.append_null();
        self.raw.append_null();
        self.rows.append_value(1);
        self.rows_other_day.append_null();
        bytes
    }

    fn quarantine(
        &mut self,
        file: &str,
        at: At,
        reason: Reason,
        detail: &str,
        raw: Option<&[u8]>,
        rows: u64,
    ) -> usize {
        self.place("quarantine", file, Some(at));
        self.no_event();
        self.reason.append_value(reason.name());
        self.detail
            .append_option((!detail.is_empty()).then_some(detail));
        self.raw.append_option(raw);
        self.rows.append_value(signed(rows));
        self.rows_other_day.append_null();
        detail.len() + raw.map_or(0, <[u8]>::len)
    }

    fn file(&mut self, file: &str, account: &FileAccount) {
        self.place("file", file, None);
        self.no_event();
        self.reason.append_null();
        self.detail.append_null();
        self.raw.append_null();
        self.rows.append_value(signed(account.rows_read));
        self.rows_other_day.append_value(signed(account.other_day));
    }

    fn place(&mut self, kind: &str, file: &str, at: Option<At>) {
        self.kind.append_value(kind);
        self.file.append_value(file);
        self.position
            .append_option(at.map(|at| signed(at.position)));
        self.offset
            .append_option(at.and_then(|at| at.offset).map(signed));
    }

    fn no_event(&mut self) {
        self.event_time.append_null();
        self.text.iter_mut().for_each(StringBuilder::append_null);
        self.flags.iter_mut().for_each(BooleanBuilder::append_null);
    }

    fn finish(&mut self) -> Result<RecordBatch, TelemetryError> {
        let event_time = mem::take(&mut self.event_time)
            .finish()
            .with_timezone("UTC");
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(self.kind.finish()),
            Arc::new(self.file.finish()),
            Arc::new(self.position.finish()),
            Arc::new(self.offset.finish()),
            Arc::new(event_time),
        ];
        arrays.extend(
            self.text
                .iter_mut()
                .map(|builder| Arc::new(builder.finish()) as ArrayRef),
        );
        arrays.extend(
            self.flags
                .iter_mut()
                .map(|builder| Arc::new(builder.finish()) as ArrayRef),
        );
        arrays.extend([
            Arc::new(self.reason.finish()) as ArrayRef,
            Arc::new(self.detail.finish()),
            Arc::new(self.raw.finish()),
            Arc::new(self.rows.finish()),
            Arc::new(self.rows_other_day.finish()),
        ]);
        Ok(RecordBatch::try_new(events_schema(), arrays)?)
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
