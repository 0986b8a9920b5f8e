//! The truth: one row for each unique command line of a day.
//!
//! Lines are told apart by a 64-bit hash (two of 25 million collide once in 50,000 days), so a day costs some 9 bytes for
//! each unique line and the rows stream out as they first appear.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::path::Path;

use super::calendar::Day;
use super::catalog::Template;
use super::output::{Whole, parquet_properties};
use super::prng::hash_bytes;
use super::table::{ParquetTable, TextColumn};
use super::{SynthError, SynthFile};

/// Rows of a Parquet row group.
const GROUP_ROWS: usize = 262_144;
/// Rows of a batch handed to the writer.
const BATCH_ROWS: usize = 8_192;

/// Passes a hash through: the keys are mixed already.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0 = hash_bytes(bytes);
    }
    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

/// Collects a day's unique lines.
pub(super) struct Truth {
    seen: HashSet<u64, BuildHasherDefault<Identity>>,
    table: ParquetTable<4>,
}

impl Truth {
    /// Opens `out/_truth/day=….parquet`. `lines` is the day's number of rows.
    pub(super) fn new(out: &Path, day: &Day, lines: u64) -> Result<Self, SynthError> {
        let path = out
            .join("_truth")
            .join(format!("day={}.parquet", day.dashed));
        let names = ["command_line", "label", "technique", "template"];
        let properties = parquet_properties(&["command_line"], GROUP_ROWS);
        // Half of the lines are unique: no rehash on the way, and little to spare.
        let expected = usize::try_from(lines / 2).unwrap_or(0);
        Ok(Self {
            seen: HashSet::with_capacity_and_hasher(expected, BuildHasherDefault::default()),
            table: ParquetTable::new(Whole::create(path)?, names, properties)?,
        })
    }

    /// Adds a line when it is new.
    pub(super) fn push(
        &mut self,
        command_line: &str,
        template: &Template,
    ) -> Result<(), SynthError> {
        if !self.seen.insert(hash_bytes(command_line.as_bytes())) {
            return Ok(());
        }
        let technique = template.technique.as_deref();
        let [line, label, tech, name] = &mut self.table.columns;
        line.push(command_line);
        label.push(if technique.is_some() {
            "malicious"
        } else {
            "benign"
        });
        tech.push_option(technique.filter(|t| !t.is_empty()));
        name.push(&template.name);
        self.table.flush_above(BATCH_ROWS)
    }

    pub(super) fn finish(self) -> Result<SynthFile, SynthError> {
        self.table.finish()
    }
}

impl TextColumn {
    /// Adds a value or a null.
    pub(super) fn push_option(&mut self, value: Option<&str>) {
        match value {
            Some(text) => self.push(text),
            None => self.push_null(),
        }
    }
}
