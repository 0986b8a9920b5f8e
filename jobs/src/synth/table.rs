//! Columns that rows are pushed into, and Parquet files made of them.
//!
//! Arrow's own builders take several calls a value, which a build without optimisation pays for; these take one.

use std::io::Write;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, StringArray};
use datafusion::arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::file::properties::WriterProperties;

use super::output::Whole;
use super::{SynthError, SynthFile};

/// Bytes of text after which a batch is handed to the writer, whatever its rows: offsets are 32 bits wide.
const BATCH_BYTES: usize = 256 << 20;

/// A growing column of nullable texts.
#[derive(Debug)]
pub(super) struct TextColumn {
    offsets: Vec<i32>,
    bytes: Vec<u8>,
    valid: Vec<bool>,
    nulls: usize,
}

impl TextColumn {
    pub(super) fn new() -> Self {
        Self {
            offsets: vec![0],
            bytes: Vec::new(),
            valid: Vec::new(),
            nulls: 0,
        }
    }

    /// Adds a value.
    pub(super) fn push(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        self.end(true);
    }

    /// Adds a value, or a null for an empty one.
    pub(super) fn push_known(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        self.end(!text.is_empty());
    }

    /// Adds a null.
    pub(super) fn push_null(&mut self) {
        self.end(false);
    }

    /// Adds a value that `write` appends to an empty text. The buffer is the caller's.
    pub(super) fn push_with(&mut self, buffer: &mut String, write: impl FnOnce(&mut String)) {
        buffer.clear();
        write(buffer);
        self.push(buffer);
    }

    fn end(&mut self, valid: bool) {
        // `flush_above` keeps the bytes far below 2^31; past it an offset out of order is an Arrow error.
        self.offsets
            .push(i32::try_from(self.bytes.len()).unwrap_or(-1));
        self.valid.push(valid);
        self.nulls += usize::from(!valid);
    }

    pub(super) fn rows(&self) -> usize {
        self.valid.len()
    }

    /// The column so far; it is empty afterwards and keeps its room.
    pub(super) fn take(&mut self) -> Result<ArrayRef, ArrowError> {
        let (rows, bytes) = (self.valid.len(), self.bytes.len());
        let offsets = std::mem::replace(&mut self.offsets, Vec::with_capacity(rows + 1));
        self.offsets.push(0);
        if offsets.last() == Some(&-1) {
            return Err(ArrowError::ComputeError(
                "a column of more than 2 GiB".to_owned(),
            ));
        }
        let values = std::mem::replace(&mut self.bytes, Vec::with_capacity(bytes));
        let nulls = (self.nulls > 0).then(|| NullBuffer::from(self.valid.as_slice()));
        self.valid.clear();
        self.nulls = 0;
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        Ok(Arc::new(StringArray::try_new(
            offsets,
            Buffer::from_vec(values),
            nulls,
        )?))
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// A Parquet file that appears under its name when it is whole.
pub(super) struct ParquetFile {
    writer: ArrowWriter<Whole>,
    schema: Arc<Schema>,
    rows: u64,
}

impl ParquetFile {
    pub(super) fn new(
        file: Whole,
        schema: Arc<Schema>,
        properties: WriterProperties,
    ) -> Result<Self, SynthError> {
        let options = ArrowWriterOptions::new().with_properties(properties);
        let writer = ArrowWriter::try_new_with_options(file, Arc::clone(&schema), options)?;
        Ok(Self {
            writer,
            schema,
            rows: 0,
        })
    }

    /// Writes columns of one length.
    pub(super) fn write(&mut self, columns: Vec<ArrayRef>) -> Result<(), SynthError> {
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        self.rows += batch.num_rows() as u64;
        Ok(self.writer.write(&batch)?)
    }

    pub(super) fn finish(self) -> Result<SynthFile, SynthError> {
        let rows = self.rows;
        let mut file = self.writer.into_inner()?;
        file.flush().map_err(|source| SynthError::Io {
            path: file.path().to_owned(),
            source,
        })?;
        file.commit(rows)
    }
}

/// A Parquet file of `N` text columns.
pub(super) struct ParquetTable<const N: usize> {
    pub(super) columns: [TextColumn; N],
    file: ParquetFile,
}

impl<const N: usize> ParquetTable<N> {
    pub(super) fn new(
        file: Whole,
        names: [&str; N],
        properties: WriterProperties,
    ) -> Result<Self, SynthError> {
        let fields: Vec<Field> = names
            .iter()
            .map(|name| Field::new(*name, DataType::Utf8, true))
            .collect();
        let file = ParquetFile::new(file, Arc::new(Schema::new(fields)), properties)?;
        Ok(Self {
            columns: std::array::from_fn(|_| TextColumn::new()),
            file,
        })
    }

    /// Hands the rows to the writer when there are `rows` of them.
    pub(super) fn flush_above(&mut self, rows: usize) -> Result<(), SynthError> {
        let full = self
            .columns
            .first()
            .is_some_and(|c| c.rows() >= rows || c.bytes() >= BATCH_BYTES);
        if full { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), SynthError> {
        let arrays: Vec<ArrayRef> = self
            .columns
            .iter_mut()
            .map(TextColumn::take)
            .collect::<Result<_, _>>()?;
        self.file.write(arrays)
    }

    pub(super) fn finish(mut self) -> Result<SynthFile, SynthError> {
        self.flush()?;
        self.file.finish()
    }
}
