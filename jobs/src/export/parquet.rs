//! Parquet, in one file a split or in parts of as many rows as wished.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::place::Place;
use super::{Format, Plan, Split};
use crate::error::JobError;

/// Rows of a row group: what a reader holds of a column at a time, and we of all of them.
const GROUP_ROWS: usize = 65_536;
/// Parts of a Hugging Face data set where nothing is said.
const SHARD_ROWS: u64 = 1_000_000;
const ZSTD: i32 = 3;

/// The files of an export.
pub(super) struct Files {
    directory: PathBuf,
    /// Names always say which part of how many.
    numbered: bool,
    shard_rows: u64,
    open: BTreeMap<Split, Open>,
    /// Parts that are written but for their names, which say how many there are.
    parts: Vec<(Split, PathBuf, ArrowWriter<File>)>,
    /// In the schema of every file: who wrote it, from what.
    metadata: HashMap<String, String>,
}

struct Open {
    writer: ArrowWriter<File>,
    path: PathBuf,
    rows: u64,
    parts: u64,
}

fn failed(e: &ParquetError) -> JobError {
    JobError::Internal(format!("writing Parquet: {e}"))
}

impl Files {
    pub(super) fn new(plan: &Plan, place: &Place, lineage: String) -> Self {
        let hf = plan.format == Format::Hf;
        let none = if hf { SHARD_ROWS } else { u64::MAX };
        let name = if hf { "data" } else { "." };
        Self {
            directory: place.directory(name),
            numbered: hf || plan.shard_rows.is_some(),
            shard_rows: plan.shard_rows.unwrap_or(none).max(1),
            open: BTreeMap::new(),
            parts: vec![],
            metadata: HashMap::from([
                ("gleaner.lineage".to_owned(), lineage),
                (
                    "gleaner.version".to_owned(),
                    env!("CARGO_PKG_VERSION").to_owned(),
                ),
            ]),
        }
    }

    fn open(&self, split: Split, batch: &RecordBatch, parts: u64) -> Result<Open, JobError> {
        fs::create_dir_all(&self.directory).map_err(|e| JobError::io(&self.directory, e))?;
        let path = self
            .directory
            .join(format!("{}-{parts}.part", split.name()));
        let file = File::create_new(&path).map_err(|e| JobError::io(&path, e))?;
        let level = ZstdLevel::try_new(ZSTD).map_err(|e| failed(&e))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_created_by(concat!("gleaner ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let schema = batch.schema().as_ref().clone();
        let schema = Arc::new(schema.with_metadata(self.metadata.clone()));
        let writer = ArrowWriter::try_new(file, schema, Some(properties));
        Ok(Open {
            writer: writer.map_err(|e| failed(&e))?,
            path,
            rows: 0,
            parts,
        })
    }

    pub(super) fn write(&mut self, split: Split, batch: &RecordBatch) -> Result<(), JobError> {
        let mut at = 0;
        while at < batch.num_rows() {
            let open = match self.open.remove(&split) {
                Some(open) if open.rows < self.shard_rows => Some(open),
                Some(mut full) => {
                    let parts = full.parts + 1;
                    full.writer.flush().map_err(|e| failed(&e))?;
                    self.parts.push((split, full.path, full.writer));
                    Some(self.open(split, batch, parts)?)
                }
                None => None,
            };
            let mut open = match open {
                Some(open) => open,
                None => self.open(split, batch, 0)?,
            };
            let room = usize::try_from(self.shard_rows - open.rows).unwrap_or(usize::MAX);
            let rows = room.min(batch.num_rows() - at);
            let some = batch.slice(at, rows);
            open.writer.write(&some).map_err(|e| failed(&e))?;
            open.rows += rows as u64;
            at += rows;
            self.open.insert(split, open);
        }
        Ok(())
    }

    /// Ends all parts, and gives them their names.
    pub(super) fn finish(mut self) -> Result<(), JobError> {
        for (split, open) in self.open {
            self.parts.push((split, open.path, open.writer));
        }
        for split in Split::ALL {
            let (ours, rest): (Vec<_>, Vec<_>) =
                self.parts.into_iter().partition(|(of, ..)| *of == split);
            self.parts = rest;
            let parts = ours.len();
            for (part, (_, path, writer)) in ours.into_iter().enumerate() {
                let file = writer.into_inner().map_err(|e| failed(&e))?;
                file.sync_all().map_err(|e| JobError::io(&path, e))?;
                let name = if self.numbered {
                    format!("{}-{part:05}-of-{parts:05}.parquet", split.name())
                } else {
                    format!("{}.parquet", split.name())
                };
                let named = self.directory.join(name);
                fs::rename(&path, &named).map_err(|e| JobError::io(&named, e))?;
            }
        }
        Ok(())
    }
}
