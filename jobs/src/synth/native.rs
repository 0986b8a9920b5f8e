//! Gleaner's own columns, as Parquet.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, Int64Array, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};

use super::generate::Event;
use super::output::{Whole, parquet_properties};
use super::table::{ParquetFile, TextColumn};
use super::{SynthError, SynthFile};

/// Rows of a batch handed to the writer: texts of a batch stay far below 2 GiB, and in the cache's reach.
const BATCH_ROWS: usize = 8_192;
/// Rows of a Parquet row group.
const GROUP_ROWS: usize = 262_144;

/// The text columns, in the order in which `push` fills them.
const TEXTS: [&str; 10] = [
    "host",
    "user",
    "os",
    "image",
    "command_line",
    "parent_image",
    "parent_command_line",
    "integrity_level",
    "user_sid",
    "original_file_name",
];

/// One Parquet file of native rows.
pub(super) struct NativeParquet {
    times: Vec<i64>,
    texts: [TextColumn; TEXTS.len()],
    signed: Vec<Option<bool>>,
    trusted: Vec<Option<bool>>,
    pids: Vec<i64>,
    parent_pids: Vec<i64>,
    user: String,
    file: ParquetFile,
}

impl NativeParquet {
    pub(super) fn new(file: Whole) -> Result<Self, SynthError> {
        let mut fields = vec![Field::new(
            "event_time",
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            false,
        )];
        fields.extend(
            TEXTS
                .iter()
                .map(|name| Field::new(*name, DataType::Utf8, true)),
        );
        fields.extend(
            ["signed", "signer_trusted"].map(|name| Field::new(name, DataType::Boolean, true)),
        );
        fields.extend(["pid", "parent_pid"].map(|name| Field::new(name, DataType::Int64, true)));
        let properties = parquet_properties(&["command_line", "pid", "parent_pid"], GROUP_ROWS);
        Ok(Self {
            times: Vec::new(),
            texts: std::array::from_fn(|_| TextColumn::new()),
            signed: Vec::new(),
            trusted: Vec::new(),
            pids: Vec::new(),
            parent_pids: Vec::new(),
            user: String::new(),
            file: ParquetFile::new(file, Arc::new(Schema::new(fields)), properties)?,
        })
    }

    pub(super) fn push(&mut self, event: &Event) -> Result<(), SynthError> {
        self.times.push(event.time_us);
        let [
            host,
            user,
            os,
            image,
            line,
            parent_image,
            parent_line,
            integrity,
            sid,
            original,
        ] = &mut self.texts;
        host.push(&event.host);
        user.push_with(&mut self.user, |out| event.write_user(out));
        os.push(event.os);
        image.push(&event.image);
        line.push(&event.command_line);
        parent_image.push(&event.parent_image);
        parent_line.push_option(
            event
                .parent_line_known
                .then_some(event.parent_command_line.as_str()),
        );
        integrity.push_option(event.integrity_level);
        sid.push_known(&event.user_sid);
        original.push_known(&event.original_file_name);
        self.signed.push(event.signed);
        self.trusted.push(event.signer_trusted);
        self.pids.push(event.pid);
        self.parent_pids.push(event.parent_pid);
        if self.times.len() >= BATCH_ROWS {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), SynthError> {
        let times =
            TimestampMicrosecondArray::from(std::mem::take(&mut self.times)).with_timezone("UTC");
        let mut columns: Vec<ArrayRef> = vec![Arc::new(times)];
        for text in &mut self.texts {
            columns.push(text.take()?);
        }
        columns.push(Arc::new(BooleanArray::from(std::mem::take(
            &mut self.signed,
        ))));
        columns.push(Arc::new(BooleanArray::from(std::mem::take(
            &mut self.trusted,
        ))));
        columns.push(Arc::new(Int64Array::from(std::mem::take(&mut self.pids))));
        columns.push(Arc::new(Int64Array::from(std::mem::take(
            &mut self.parent_pids,
        ))));
        self.file.write(columns)
    }

    pub(super) fn finish(mut self) -> Result<SynthFile, SynthError> {
        self.flush()?;
        self.file.finish()
    }
}
