//! The schema of the stream that a file is read into, and the builders of its columns.

use std::mem;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::builder::{
    BinaryBuilder, BooleanBuilder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::mapping::Event;
use super::output::At;
use super::reason::Reason;
use super::{FileAccount, TelemetryError};

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

/// A batch being built.
#[derive(Default)]
pub(super) struct Columns {
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
    pub(super) fn event(
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
        self.text.iter_mut().for_each(StringBuilder::append_null);
        self.flags.iter_mut().for_each(BooleanBuilder::append_null);
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
