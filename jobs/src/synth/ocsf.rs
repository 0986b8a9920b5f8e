//! OCSF 1007 as Parquet with nested columns, as Amazon Security Lake keeps it.
//!
//! Times are milliseconds in a 64-bit integer. A struct column is built from flat text columns, so that a row costs the same as a native one. Nested fields that a
//! row does not know are null; the structs themselves never are.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int32Array, Int64Array, StructArray};
use datafusion::arrow::datatypes::{Field, Schema};

use super::generate::Event;
use super::output::{Whole, parquet_properties};
use super::table::{ParquetFile, TextColumn};
use super::{SynthError, SynthFile};

/// Rows of a batch handed to the writer.
const BATCH_ROWS: usize = 8_192;
/// Rows of a Parquet row group.
const GROUP_ROWS: usize = 262_144;

/// OCSF's name and number of a system.
pub(super) fn os(name: &str) -> (&'static str, i64) {
    match name {
        "windows" => ("Windows", 100),
        "linux" => ("Linux", 200),
        "macos" => ("macOS", 300),
        _ => ("Unknown", 0),
    }
}

/// The flat columns that the structs are made of, in the order in which `push` fills them.
const HOST: usize = 0;
const OS_NAME: usize = 1;
const LOGIN: usize = 2;
const DOMAIN: usize = 3;
const SID: usize = 4;
const LINE: usize = 5;
const IMAGE: usize = 6;
const INTEGRITY: usize = 7;
const PARENT_LINE: usize = 8;
const PARENT_IMAGE: usize = 9;
const TEXTS: usize = 10;

/// One Parquet file of OCSF rows.
pub(super) struct OcsfParquet {
    times: Vec<i64>,
    os_ids: Vec<i32>,
    pids: Vec<i64>,
    parent_pids: Vec<i64>,
    texts: [TextColumn; TEXTS],
    file: ParquetFile,
}

impl OcsfParquet {
    pub(super) fn new(file: Whole) -> Result<Self, SynthError> {
        let empty = columns(Vec::new(), Vec::new(), Vec::new(), Vec::new(), &mut texts())?;
        let fields: Vec<Field> = empty
            .iter()
            .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
            .collect();
        let plain = [
            "time",
            "process.cmd_line",
            "process.pid",
            "process.parent_process.pid",
        ];
        let properties = parquet_properties(&plain, GROUP_ROWS);
        Ok(Self {
            times: Vec::new(),
            os_ids: Vec::new(),
            pids: Vec::new(),
            parent_pids: Vec::new(),
            texts: texts(),
            file: ParquetFile::new(file, Arc::new(Schema::new(fields)), properties)?,
        })
    }

    pub(super) fn push(&mut self, event: &Event) -> Result<(), SynthError> {
        let (os_name, os_id) = os(event.os);
        self.times.push(event.time_us / 1_000);
        self.os_ids.push(i32::try_from(os_id).unwrap_or(0));
        self.pids.push(event.pid);
        self.parent_pids.push(event.parent_pid);
        let t = &mut self.texts;
        t[HOST].push(&event.host);
        t[OS_NAME].push(os_name);
        t[LOGIN].push(&event.login);
        t[DOMAIN].push_known(&event.domain);
        t[SID].push_known(&event.user_sid);
        t[LINE].push(&event.command_line);
        t[IMAGE].push(&event.image);
        t[INTEGRITY].push_option(event.integrity_level);
        t[PARENT_LINE].push_option(
            event
                .parent_line_known
                .then_some(event.parent_command_line.as_str()),
        );
        t[PARENT_IMAGE].push(&event.parent_image);
        if self.times.len() >= BATCH_ROWS {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), SynthError> {
        let take = std::mem::take::<Vec<i64>>;
        let (times, pids, parents) = (
            take(&mut self.times),
            take(&mut self.pids),
            take(&mut self.parent_pids),
        );
        let columns = columns(
            times,
            std::mem::take(&mut self.os_ids),
            pids,
            parents,
            &mut self.texts,
        )?;
        self.file
            .write(columns.into_iter().map(|(_, array)| array).collect())
    }

    pub(super) fn finish(mut self) -> Result<SynthFile, SynthError> {
        self.flush()?;
        self.file.finish()
    }
}

fn texts() -> [TextColumn; TEXTS] {
    std::array::from_fn(|_| TextColumn::new())
}

/// A struct column of the given fields.
fn nest(parts: Vec<(&str, ArrayRef)>) -> Result<ArrayRef, SynthError> {
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = parts
        .into_iter()
        .map(|(name, a)| (Field::new(name, a.data_type().clone(), true), a))
        .unzip();
    Ok(Arc::new(StructArray::try_new(fields.into(), arrays, None)?))
}

/// The top-level columns of a batch. The schema is read off an empty batch, so it is said once.
fn columns(
    times: Vec<i64>,
    os_ids: Vec<i32>,
    pids: Vec<i64>,
    parent_pids: Vec<i64>,
    texts: &mut [TextColumn; TEXTS],
) -> Result<Vec<(&'static str, ArrayRef)>, SynthError> {
    let rows = times.len();
    let constant = |n: i32| -> ArrayRef { Arc::new(Int32Array::from(vec![n; rows])) };
    let mut t: Vec<ArrayRef> = Vec::with_capacity(TEXTS);
    for column in texts {
        t.push(column.take()?);
    }
    let text = |at: usize| Arc::clone(&t[at]);
    let user = || {
        nest(vec![
            ("name", text(LOGIN)),
            ("domain", text(DOMAIN)),
            ("uid", text(SID)),
        ])
    };
    let parent_pids: ArrayRef = Arc::new(Int64Array::from(parent_pids));
    let parent = || {
        let file = nest(vec![("path", text(PARENT_IMAGE))])?;
        nest(vec![
            ("pid", Arc::clone(&parent_pids)),
            ("cmd_line", text(PARENT_LINE)),
            ("file", file),
        ])
    };
    let os = nest(vec![
        ("name", text(OS_NAME)),
        ("type", text(OS_NAME)),
        ("type_id", Arc::new(Int32Array::from(os_ids))),
    ])?;
    let process = nest(vec![
        ("pid", Arc::new(Int64Array::from(pids))),
        ("cmd_line", text(LINE)),
        ("file", nest(vec![("path", text(IMAGE))])?),
        ("integrity", text(INTEGRITY)),
        ("user", user()?),
        ("parent_process", parent()?),
    ])?;
    Ok(vec![
        ("class_uid", constant(1007)),
        ("category_uid", constant(1)),
        ("activity_id", constant(1)),
        ("type_uid", constant(100_701)),
        ("severity_id", constant(1)),
        ("time", Arc::new(Int64Array::from(times))),
        ("device", nest(vec![("hostname", text(HOST)), ("os", os)])?),
        (
            "actor",
            nest(vec![("user", user()?), ("process", parent()?)])?,
        ),
        ("process", process),
    ])
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::DataType;

    use super::*;

    #[test]
    fn the_schema_is_nested_as_ocsf_says() -> Result<(), SynthError> {
        let columns = columns(Vec::new(), Vec::new(), Vec::new(), Vec::new(), &mut texts())?;
        let process = columns
            .iter()
            .find(|(name, _)| *name == "process")
            .map(|(_, a)| a.data_type().clone());
        let Some(DataType::Struct(fields)) = process else {
            return Err(SynthError::NotEmpty("no struct".into()));
        };
        assert!(fields.find("cmd_line").is_some() && fields.find("parent_process").is_some());
        Ok(())
    }
}
