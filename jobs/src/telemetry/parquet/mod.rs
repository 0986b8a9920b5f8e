//! Parquet, row group by row group.
//!
//! Each page's checksum is verified. A row group that does not decode is left at the failure: its rows not yet handed on
//! are known from the footer and written off in one quarantine row, and the next row group is read. The parquet crate
//! panics on some corrupt input, so each step runs under `catch_unwind`; a schema deep enough to overflow its stack, which
//! cannot be caught, is refused first.
//!
//! Two changes to a file's schema before it is read: text columns lose their UTF-8 annotation, so that one bad byte costs
//! its row and not its row group; and byte arrays are read as views, so that 8192 references to one long dictionary
//! entry are not 8192 copies of it. The embedded Arrow schema, which may say anything, is ignored. Only the columns that
//! the mapping reads are decoded.

mod depth;
mod footer;
mod rows;
mod source;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::ChunkReader;

use self::rows::Columns;
use self::source::Shared;
use super::output::{At, Output};
use super::reason::Reason;
use super::{FileAccount, Kind, SchemaKind, TelemetryError};

/// Text that a batch of a row group may hold, as far as the footer tells.
const BATCH_BYTES: u64 = 16 << 20;
/// Levels of nesting that are read; deeper values are taken as null.
const MAX_DEPTH: usize = 32;
/// Rows that a footer may claim for one row group: beyond any real one, and too few to overflow a sum.
const MAX_GROUP_ROWS: u64 = 1 << 40;

/// Why a row group, or the file, is not read on.
struct Fault {
    reason: Reason,
    detail: String,
}

pub(super) fn read<R: ChunkReader + 'static>(
    source: R,
    mut output: Output,
) -> Result<FileAccount, TelemetryError> {
    let source = Shared::new(source);
    let loaded = footer::open(&source);
    source.check(&output)?;
    let metadata = match loaded {
        Ok(metadata) => metadata,
        Err(fault) => {
            let at = At {
                position: 0,
                offset: None,
            };
            output.quarantine(at, fault.reason, &fault.detail, None, 1)?;
            let schema = output.options().schema;
            return output.finish(schema);
        }
    };
    let leaves: Vec<String> = metadata
        .parquet_schema()
        .columns()
        .iter()
        .map(|column| column.path().string())
        .collect();
    let kind = output
        .options()
        .schema
        .or_else(|| recognise(output.options().kind, &leaves));
    let wanted: Vec<usize> = (0..leaves.len())
        .filter(|leaf| kind.is_some_and(|kind| kind.wants(&leaves[*leaf])))
        .collect();
    let Some(kind) = kind.filter(|_| !wanted.is_empty()) else {
        let rows = metadata
            .metadata()
            .row_groups()
            .iter()
            .map(group_rows)
            .fold(0, u64::saturating_add);
        if rows > 0 {
            let at = At {
                position: 0,
                offset: None,
            };
            output.quarantine(
                at,
                Reason::UnrecognisedSchema,
                "no column that we know",
                None,
                rows,
            )?;
        }
        return output.finish(kind);
    };
    let mut base = 0;
    for index in 0..metadata.metadata().num_row_groups() {
        let rows = group_rows(metadata.metadata().row_group(index));
        let group = Group {
            index,
            base,
            rows,
            kind,
            wanted: &wanted,
            metadata: &metadata,
        };
        let (read, fault) = group.read(&source, &mut output)?;
        source.check(&output)?;
        let lost = rows.saturating_sub(read);
        let fault = fault.or_else(|| {
            let detail = format!("row group {index} ends {lost} rows early");
            (lost > 0).then_some(Fault {
                reason: Reason::ParquetCorrupt,
                detail,
            })
        });
        if let (Some(fault), 1..) = (fault, lost) {
            let at = At {
                position: base + read,
                offset: None,
            };
            output.quarantine(at, fault.reason, &fault.detail, None, lost)?;
        }
        base += rows.max(read);
    }
    output.finish(Some(kind))
}

fn group_rows(group: &RowGroupMetaData) -> u64 {
    u64::try_from(group.num_rows())
        .unwrap_or(0)
        .min(MAX_GROUP_ROWS)
}

fn recognise(kind: Kind, leaves: &[String]) -> Option<SchemaKind> {
    let below = |leaf: &str, path: &str| {
        leaf.strip_prefix(path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    SchemaKind::recognise(kind, &|path| leaves.iter().any(|leaf| below(leaf, path)))
}

struct Group<'m> {
    index: usize,
    /// Position of its first row in the file.
    base: u64,
    rows: u64,
    kind: SchemaKind,
    wanted: &'m [usize],
    metadata: &'m ArrowReaderMetadata,
}

impl Group<'_> {
    /// Hands its rows on; gives how many there were before the end or the fault.
    fn read<R: ChunkReader + 'static>(
        &self,
        source: &Shared<R>,
        output: &mut Output,
    ) -> Result<(u64, Option<Fault>), TelemetryError> {
        let mut read = 0;
        let mut reader = match guarded(|| self.reader(source, output.options().batch_rows)) {
            Ok(reader) => reader,
            Err(fault) => return Ok((read, Some(self.named(&fault)))),
        };
        loop {
            match guarded(|| reader.next().transpose().map_err(ParquetError::from)) {
                Ok(None) => return Ok((read, None)),
                Err(fault) => return Ok((read, Some(self.named(&fault)))),
                Ok(Some(batch)) => {
                    let columns = Columns::of(&batch);
                    for row in 0..batch.num_rows() {
                        let record = columns.row(row, MAX_DEPTH);
                        let at = At {
                            position: self.base + read,
                            offset: None,
                        };
                        // A row of Parquet has no bytes of its own: it is kept as JSON.
                        output.record(at, self.kind, &record, &|| {
                            serde_json::to_vec(&record).unwrap_or_default()
                        })?;
                        read += 1;
                    }
                }
            }
        }
    }

    fn reader<R: ChunkReader + 'static>(
        &self,
        source: &Shared<R>,
        batch_rows: usize,
    ) -> Result<ParquetRecordBatchReader, ParquetError> {
        let group = self.metadata.metadata().row_group(self.index);
        let mask =
            ProjectionMask::leaves(self.metadata.parquet_schema(), self.wanted.iter().copied());
        ParquetRecordBatchReaderBuilder::new_with_metadata(source.clone(), self.metadata.clone())
            .with_row_groups(vec![self.index])
            .with_projection(mask)
            .with_batch_size(self.batch_rows(group, batch_rows))
            .build()
    }

    fn batch_rows(&self, group: &RowGroupMetaData, most: usize) -> usize {
        let size =
            |leaf: &usize| u64::try_from(group.column(*leaf).uncompressed_size()).unwrap_or(0);
        let bytes = self.wanted.iter().map(size).fold(0, u64::saturating_add);
        let row_bytes = bytes / self.rows.max(1) + 1;
        usize::try_from(BATCH_BYTES / row_bytes)
            .unwrap_or(most)
            .clamp(1, most.max(1))
    }

    fn named(&self, fault: &Fault) -> Fault {
        let detail = format!("row group {}: {}", self.index, fault.detail);
        Fault {
            reason: fault.reason,
            detail,
        }
    }
}

/// Runs a step of the parquet crate, a panic of which is the file's fault too.
fn guarded<T>(step: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, Fault> {
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            let detail = error.to_string();
            let reason = if detail.contains("CRC") {
                Reason::ParquetPageChecksum
            } else {
                Reason::ParquetCorrupt
            };
            Err(Fault {
                reason,
                detail: shortened(&detail),
            })
        }
        Err(panic) => {
            let message = message(panic.as_ref());
            Err(Fault {
                reason: Reason::ParquetCorrupt,
                detail: shortened(&format!("reader panicked: {message}")),
            })
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("?")
}

/// An error's text may quote what it met, between backticks or on later lines: only the words before that are kept.
fn shortened(text: &str) -> String {
    text.split(['\n', '`'])
        .next()
        .unwrap_or_default()
        .chars()
        .take(120)
        .collect()
}
