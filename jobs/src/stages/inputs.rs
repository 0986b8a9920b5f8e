//! Finds the telemetry files of a day.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use chrono::NaiveDate;
use gleaner_proto::plan::TelemetryFile;
use url::Url;

use crate::error::JobError;
use crate::telemetry;
use crate::warehouse;

/// A file, with what tells that it has not changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Input {
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// When it was modified, in nanoseconds since 1970.
    pub modified: u128,
}

impl Input {
    /// As the scan node takes it.
    ///
    /// # Errors
    /// When the path is not absolute, which does not happen.
    pub fn file(&self) -> Result<TelemetryFile, JobError> {
        let url = Url::from_file_path(&self.path)
            .map_err(|()| JobError::Internal(format!("{} is not absolute", self.path.display())))?;
        Ok(TelemetryFile {
            url: url.to_string(),
            size_bytes: self.bytes,
        })
    }
}

/// All files below `paths` that may hold rows of `day`, sorted by path. Names that begin with `_` or `.` are left
/// out, and directories that name another day.
///
/// # Errors
/// When a path does not exist, cannot be read, or nothing readable is below any of them.
pub fn list(paths: &[String], day: NaiveDate) -> Result<Vec<Input>, JobError> {
    let mut inputs = vec![];
    for given in paths {
        let path = warehouse::local(given)?;
        let path = path.canonicalize().map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => JobError::NoTelemetry {
                path: given.clone(),
                why: "no such file or directory".into(),
            },
            _ => JobError::io(&path, e),
        })?;
        if path.is_file() {
            inputs.push(input(&path)?);
        } else {
            let mut walk = Walk {
                root: path.clone(),
                day,
                seen: BTreeSet::new(),
            };
            walk.directory(&path, &mut inputs)?;
        }
    }
    if inputs.is_empty() {
        return Err(JobError::NoTelemetry {
            path: paths.join(", "),
            why: format!(
                "no .parquet, .ndjson, .jsonl, .json or .csv file (plain, .gz or .zst) for {day} below it"
            ),
        });
    }
    inputs.sort();
    inputs.dedup();
    Ok(inputs)
}

fn input(path: &Path) -> Result<Input, JobError> {
    let failed = |e| JobError::io(path, e);
    let meta = std::fs::metadata(path).map_err(failed)?;
    let modified = meta
        .modified()
        .map_err(failed)?
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos();
    Ok(Input {
        path: path.to_owned(),
        bytes: meta.len(),
        modified,
    })
}

struct Walk {
    root: PathBuf,
    day: NaiveDate,
    /// Directories, so that a link back up is not followed for ever.
    seen: BTreeSet<PathBuf>,
}

impl Walk {
    fn directory(&mut self, directory: &Path, inputs: &mut Vec<Input>) -> Result<(), JobError> {
        let failed = |e| JobError::io(directory, e);
        // A warehouse's own tables are no telemetry.
        let canonical = directory.canonicalize().map_err(failed)?;
        if warehouse::is_warehouse(&canonical) || !self.seen.insert(canonical) {
            return Ok(());
        }
        for entry in std::fs::read_dir(directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let below = path.strip_prefix(&self.root).unwrap_or(&path);
            let below = below.to_string_lossy().into_owned();
            if telemetry::skip_by_path(&below, self.day) {
                continue;
            }
            if path.is_dir() {
                self.directory(&path, inputs)?;
            } else if path.is_file() && telemetry::Format::of_path(&below).is_some() {
                // The file itself, so that two links to one file count once.
                inputs.push(input(&path.canonicalize().map_err(failed)?)?);
            }
        }
        Ok(())
    }
}
