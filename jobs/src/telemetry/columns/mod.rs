//! The schema of the stream that a file is read into, and the builders of its columns: those of every row, and those
//! of the kind of telemetry.

mod command;
mod request;

use std::mem;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::builder::{
    BinaryBuilder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use self::command::CommandColumns;
use self::request::RequestColumns;
use super::kind::Kind;
use super::mapping::Event;
use super::mapping::api::Request;
use super::output::At;
use super::reason::Reason;
use super::{FileAccount, TelemetryError};

static COMMAND: LazyLock<SchemaRef> = LazyLock::new(|| schema(command::fields()));
static API: LazyLock<SchemaRef> = LazyLock::new(|| schema(request::fields()));

fn schema(of_kind: Vec<Field>) -> SchemaRef {
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields = vec![
        Field::new("kind", DataType::Utf8, false),
        Field::new("file", DataType::Utf8, false),
        Field::new("position", DataType::Int64, true),
        Field::new("offset", DataType::Int64, true),
        Field::new("event_time", utc, true),
    ];
    fields.extend(of_kind);
    fields.extend([
        Field::new("reason", DataType::Utf8, true),
        Field::new("detail", DataType::Utf8, true),
        Field::new("raw", DataType::Binary, true),
        Field::new("rows", DataType::Int64, false),
        Field::new("rows_other_day", DataType::Int64, true),
    ]);
    Arc::new(Schema::new(fields))
}

/// The schema of every batch that a file of this kind of telemetry is read into.
///
/// | `kind` | meaning | `position`, `offset` | `rows` |
/// |---|---|---|---|
/// | `event` | a process creation or request of the day | record number from 0; its byte offset in the unpacked text, null for Parquet | 1 |
/// | `quarantine` | rows that were lost, with `reason`, `detail` and up to 4 KiB of the first in `raw` | of the first one | how many |
/// | `file` | the end of the file | null | rows read in total; `rows_other_day` of them outside the day |
#[must_use]
pub fn events_schema(kind: Kind) -> SchemaRef {
    Arc::clone(match kind {
        Kind::Command => &COMMAND,
        Kind::Api => &API,
    })
}

/// The columns of one kind of telemetry.
enum OfKind {
    Command(Box<CommandColumns>),
    Api(Box<RequestColumns>),
}

impl OfKind {
    fn append_null(&mut self) {
        match self {
            Self::Command(columns) => columns.append_null(),
            Self::Api(columns) => columns.append_null(),
        }
    }

    fn finish(&mut self) -> Vec<ArrayRef> {
        match self {
            Self::Command(columns) => columns.finish(),
            Self::Api(columns) => columns.finish(),
        }
    }
}

/// A record that is kept, of either kind, with what identifies it judged to be there.
pub(super) enum Kept<'r> {
    Command(&'r str, &'r Event<'r>),
    Api(&'r str, &'r Request<'r>),
}

/// A batch being built.
pub(super) struct Columns {
    schema: SchemaRef,
    kind: StringBuilder,
    file: StringBuilder,
    position: Int64Builder,
    offset: Int64Builder,
    event_time: TimestampMicrosecondBuilder,
    of_kind: OfKind,
    reason: StringBuilder,
    detail: StringBuilder,
    raw: BinaryBuilder,
    rows: Int64Builder,
    rows_other_day: Int64Builder,
}

impl Columns {
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            schema: events_schema(kind),
            kind: StringBuilder::default(),
            file: StringBuilder::default(),
            position: Int64Builder::default(),
            offset: Int64Builder::default(),
            event_time: TimestampMicrosecondBuilder::default(),
            of_kind: match kind {
                Kind::Command => OfKind::Command(Box::default()),
                Kind::Api => OfKind::Api(Box::default()),
            },
            reason: StringBuilder::default(),
            detail: StringBuilder::default(),
            raw: BinaryBuilder::default(),
            rows: Int64Builder::default(),
            rows_other_day: Int64Builder::default(),
        }
    }

    /// Appends an event; gives its text's size in bytes. A record of another kind than the batch's has no columns of its own.
    pub(super) fn event(&mut self, file: &str, at: At, micros: i64, kept: &Kept) -> usize {
        self.place("event", file, Some(at));
        self.event_time.append_value(micros);
        let bytes = match (&mut self.of_kind, kept) {
            (OfKind::Command(columns), Kept::Command(line, event)) => columns.append(line, event),
            (OfKind::Api(columns), Kept::Api(path, request)) => columns.append(path, request),
            (columns, _) => {
                columns.append_null();
                0
            }
        };
        self.reason.append_null();
        self.detail.append_null();
        self.raw.append_null();
        self.rows.append_value(1);
        self.rows_other_day.append_null();
        bytes
    }

    pub(super) fn quarantine(
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

    pub(super) fn file(&mut self, file: &str, account: &FileAccount) {
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
        self.of_kind.append_null();
    }

    pub(super) fn finish(&mut self) -> Result<RecordBatch, TelemetryError> {
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
        arrays.extend(self.of_kind.finish());
        arrays.extend([
            Arc::new(self.reason.finish()) as ArrayRef,
            Arc::new(self.detail.finish()),
            Arc::new(self.raw.finish()),
            Arc::new(self.rows.finish()),
            Arc::new(self.rows_other_day.finish()),
        ]);
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), arrays)?)
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
