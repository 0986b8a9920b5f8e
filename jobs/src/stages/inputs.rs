//! Finds the telemetry files of a day, on a local disk or in a bucket.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use chrono::NaiveDate;
use gleaner_proto::plan::TelemetryFile;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use url::Url;

use crate::error::JobError;
use crate::storage::{self, Location};
use crate::telemetry::{self, Kind};
use crate::warehouse;

/// A file, with what tells that it has not changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Input {
    /// Where it is.
    pub url: String,
    /// Its size.
    pub bytes: u64,
    /// When it was modified, in nanoseconds since 1970.
    pub modified: i128,
    /// The object's version, as its store names it; empty on a local disk.
    pub etag: String,
}

impl Input {
    /// As the scan node takes it.
    #[must_use]
    pub fn file(&self) -> TelemetryFile {
        TelemetryFile {
            url: self.url.clone(),
            size_bytes: self.bytes,
            etag: self.etag.clone(),
        }
    }
}

/// All files below `paths` that may hold rows of `day`, sorted by URL. Names that begin with `_` or `.` are left
/// out, and directories that name another day.
///
/// # Errors
/// When a path does not exist, cannot be read, or nothing readable is below any of them.
pub async fn list(kind: Kind, paths: &[String], day: NaiveDate) -> Result<Vec<Input>, JobError> {
    let mut inputs = vec![];
    for given in paths {
        let location = given.parse::<Location>()?;
        if let Some(path) = location.local() {
            local(given, path, kind, day, &mut inputs)?;
        } else {
            let bucket = Bucket::open(&location, kind, day)?;
            bucket.list(&mut inputs).await?;
        }
    }
    if inputs.is_empty() {
        return Err(JobError::NoTelemetry {
            path: paths.join(", "),
            why: match kind {
                Kind::Command => format!(
                    "no .parquet, .ndjson, .jsonl, .json or .csv file (plain, .gz or .zst) for {day} below it"
                ),
                Kind::Api => format!(
                    "no .parquet, .ndjson, .jsonl, .json, .csv, .log or access_log file (plain, .gz or .zst) for {day} below it"
                ),
            },
        });
    }
    inputs.sort();
    inputs.dedup();
    Ok(inputs)
}

fn missing(given: &str, what: &str) -> JobError {
    JobError::NoTelemetry {
        path: given.to_owned(),
        why: format!("no such {what}"),
    }
}

struct Bucket {
    given: String,
    store: Arc<dyn ObjectStore>,
    /// `s3://bucket/`.
    root: Url,
    path: ObjectPath,
    kind: Kind,
    day: NaiveDate,
}

impl Bucket {
    fn open(location: &Location, kind: Kind, day: NaiveDate) -> Result<Self, JobError> {
        let (store, path) = storage::process().object_store(location)?;
        let mut root = location.url()?;
        root.set_path("/");
        Ok(Self {
            given: location.to_string(),
            store,
            root,
            path,
            kind,
            day,
        })
    }

    fn failed(&self, e: object_store::Error) -> JobError {
        JobError::Io {
            path: self.given.clone(),
            source: std::io::Error::other(e),
        }
    }

    fn input(&self, meta: &ObjectMeta) -> Input {
        let mut url = self.root.clone();
        url.set_path(meta.location.as_ref());
        Input {
            url: url.into(),
            bytes: meta.size,
            modified: meta
                .last_modified
                .timestamp_nanos_opt()
                .unwrap_or_default()
                .into(),
            etag: meta.e_tag.clone().unwrap_or_default(),
        }
    }

    async fn list(&self, inputs: &mut Vec<Input>) -> Result<(), JobError> {
        // What is given may be an object.
        if !self.path.as_ref().is_empty() {
            match self.store.head(&self.path).await {
                Ok(meta) => {
                    inputs.push(self.input(&meta));
                    return Ok(());
                }
                Err(object_store::Error::NotFound { .. }) => {}
                Err(e) => return Err(self.failed(e)),
            }
        }
        let mut found = false;
        // Level by level: a prefix of another day is not listed.
        let mut open = vec![self.path.clone()];
        while let Some(prefix) = open.pop() {
            let level = self.store.list_with_delimiter(Some(&prefix)).await;
            let level = level.map_err(|e| self.failed(e))?;
            found |= !level.objects.is_empty() || !level.common_prefixes.is_empty();
            let named = |o: &ObjectMeta| o.location.filename().is_some_and(warehouse::is_marker);
            if level.objects.iter().any(named) {
                // A warehouse's own tables are no telemetry.
                continue;
            }
            let wanted = |path: &ObjectPath| {
                let below = path.prefix_match(&self.path)?;
                let parts: Vec<_> = below.map(|p| p.as_ref().to_owned()).collect();
                let below = parts.join("/");
                (!telemetry::skip_by_path(&below, self.day)).then_some(below)
            };
            for meta in &level.objects {
                let format =
                    wanted(&meta.location).and_then(|p| telemetry::Format::of_path(self.kind, &p));
                if format.is_some() {
                    inputs.push(self.input(meta));
                }
            }
            let deeper = level.common_prefixes.into_iter();
            open.extend(deeper.filter(|p| wanted(p).is_some()));
        }
        if found {
            Ok(())
        } else {
            Err(missing(&self.given, "object or prefix"))
        }
    }
}

fn local(
    given: &str,
    path: &Path,
    kind: Kind,
    day: NaiveDate,
    inputs: &mut Vec<Input>,
) -> Result<(), JobError> {
    let path = path.canonicalize().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => missing(given, "file or directory"),
        _ => JobError::io(path, e),
    })?;
    if path.is_file() {
        inputs.push(input(&path)?);
        return Ok(());
    }
    let mut walk = Walk {
        root: path.clone(),
        kind,
        day,
        seen: BTreeSet::new(),
    };
    walk.directory(&path, inputs)
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
    let url = Url::from_file_path(path)
        .map_err(|()| JobError::Internal(format!("{} is not absolute", path.display())))?;
    Ok(Input {
        url: url.into(),
        bytes: meta.len(),
        modified: i128::try_from(modified).unwrap_or(i128::MAX),
        etag: String::new(),
    })
}

struct Walk {
    root: PathBuf,
    kind: Kind,
    day: NaiveDate,
    /// Directories, so that a link back up is not followed for ever.
    seen: BTreeSet<PathBuf>,
}

impl Walk {
    fn directory(&mut self, directory: &Path, inputs: &mut Vec<Input>) -> Result<(), JobError> {
        let failed = |e| JobError::io(directory, e);
        let canonical = directory.canonicalize().map_err(failed)?;
        let marked =
            |entry: &std::fs::DirEntry| warehouse::is_marker(&entry.file_name().to_string_lossy());
        // A warehouse's own tables are no telemetry.
        let of_warehouse = std::fs::read_dir(&canonical)
            .map_err(failed)?
            .flatten()
            .any(|entry| marked(&entry));
        if of_warehouse || !self.seen.insert(canonical) {
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
            } else if path.is_file() && telemetry::Format::of_path(self.kind, &below).is_some() {
                // The file itself, so that two links to one file count once.
                inputs.push(input(&path.canonicalize().map_err(failed)?)?);
            }
        }
        Ok(())
    }
}
