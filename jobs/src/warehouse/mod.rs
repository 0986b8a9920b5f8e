//! A warehouse: a directory (or bucket prefix) of Delta tables, the models they were made with, and a ledger.
//!
//! ```text
//! gleaner.json                      format version: a newer one is refused
//! commands/ … runs/                 Delta tables, partitioned by day
//! _models/<sha256>                  fitted models, immutable, named by content
//! _ledger/<day>/<stage>-<fingerprint>.json   what a finished stage counted, until the day is finished
//! _staging/<run>/                   intermediate files of a running day
//! ```
//!
//! A day of a table is replaced in one commit ([`delta`]). A data file's name carries the fingerprint of what it
//! was made from, so that the table itself says whether a day is up to date.

pub mod delta;
pub mod tables;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::NaiveDate;
use gleaner_udfs::model_cache::sha256;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::JobError;

/// The format that this version writes.
pub const FORMAT: u64 = 1;
const MARKER: &str = "gleaner.json";

#[derive(Serialize, Deserialize)]
struct Marker {
    format: u64,
}

/// An open warehouse.
#[derive(Clone)]
pub struct Warehouse {
    root: PathBuf,
    url: Url,
    store: Arc<dyn ObjectStore>,
}

impl Warehouse {
    /// Whether there is a warehouse at `path`, of any version.
    ///
    /// # Errors
    /// When the path is not a local one.
    pub fn exists(path: &str) -> Result<bool, JobError> {
        Ok(local(path)?.join(MARKER).is_file())
    }

    /// Opens the warehouse at `path`, made before by [`Warehouse::create`].
    ///
    /// # Errors
    /// When there is none, or a newer version made it.
    pub async fn open(path: &str) -> Result<Self, JobError> {
        let root = local(path)?;
        if !root.join(MARKER).is_file() {
            let why = if root.is_dir() {
                "it has no gleaner.json"
            } else {
                "there is no such directory"
            };
            return Err(JobError::NotAWarehouse {
                path: path.to_owned(),
                why: format!("{why}; `gleaner run --warehouse {path} …` makes one"),
            });
        }
        Self::at(path, &root).await
    }

    /// Whether [`Warehouse::create`] would succeed, without writing anything.
    ///
    /// # Errors
    /// When the directory is something else, or a newer version made it.
    pub async fn check(path: &str) -> Result<(), JobError> {
        let root = local(path)?;
        if path.contains(['%', '\\', '\n']) {
            return Err(JobError::Usage(format!(
                "--warehouse {path:?}: a percent sign, backslash or line break in its path is not supported"
            )));
        }
        if root.join(MARKER).is_file() {
            return Self::at(path, &root).await.map(|_| ());
        }
        let occupied = match std::fs::read_dir(&root) {
            Ok(mut entries) => entries.next().is_some(),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => false,
            Err(e) => return Err(JobError::io(&root, e)),
        };
        if occupied {
            return Err(JobError::NotAWarehouse {
                path: path.to_owned(),
                why: "it holds other files; name an empty or a new directory".to_owned(),
            });
        }
        Ok(())
    }

    /// Opens the warehouse at `path`, and makes it when the directory is new or empty.
    ///
    /// # Errors
    /// As [`Warehouse::check`], and when it cannot be written.
    pub async fn create(path: &str) -> Result<Self, JobError> {
        Self::check(path).await?;
        let root = local(path)?;
        std::fs::create_dir_all(&root).map_err(|e| JobError::io(&root, e))?;
        Self::unmarked(path, &root)?.mark().await?;
        Self::at(path, &root).await
    }

    fn unmarked(path: &str, root: &Path) -> Result<Self, JobError> {
        let root = root.canonicalize().map_err(|e| JobError::io(root, e))?;
        let url = Url::from_directory_path(&root)
            .map_err(|()| JobError::Internal(format!("{} is not absolute", root.display())))?;
        let store =
            LocalFileSystem::new_with_prefix(&root).map_err(|e| JobError::NotAWarehouse {
                path: path.to_owned(),
                why: e.to_string(),
            })?;
        Ok(Self {
            root,
            url,
            store: Arc::new(store),
        })
    }

    async fn at(path: &str, root: &Path) -> Result<Self, JobError> {
        let warehouse = Self::unmarked(path, root)?;
        let bytes = warehouse.get(MARKER).await?.unwrap_or_default();
        let marker: Marker =
            serde_json::from_slice(&bytes).map_err(|e| JobError::NotAWarehouse {
                path: path.to_owned(),
                why: format!("its gleaner.json is damaged ({e})"),
            })?;
        if marker.format > FORMAT {
            return Err(JobError::NewerWarehouse {
                path: path.to_owned(),
                found: marker.format,
                known: FORMAT,
            });
        }
        Ok(warehouse)
    }

    /// URL of a path below the warehouse; a directory's ends in `/`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Where it is, as its user names it.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A small object, or `None`.
    ///
    /// # Errors
    /// When it exists and cannot be read.
    pub async fn get(&self, path: &str) -> Result<Option<Vec<u8>>, JobError> {
        match self.store.get(&ObjectPath::from(path)).await {
            Ok(found) => Ok(Some(
                found
                    .bytes()
                    .await
                    .map_err(|e| self.failed(path, e))?
                    .to_vec(),
            )),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(self.failed(path, e)),
        }
    }

    /// Writes a small object whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn put(&self, path: &str, bytes: Vec<u8>) -> Result<(), JobError> {
        let put = self
            .store
            .put(&ObjectPath::from(path), PutPayload::from(bytes))
            .await;
        put.map(|_| ()).map_err(|e| self.failed(path, e))
    }

    /// Stores a model by its content; returns its SHA-256. What is there already is written again: it may be damaged.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn put_model(&self, bytes: Vec<u8>) -> Result<String, JobError> {
        let name = sha256(&bytes);
        self.put(&model_path(&name), bytes).await?;
        Ok(name)
    }

    /// Whether a model is there, and whole.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub async fn has_model(&self, path: &str) -> Result<bool, JobError> {
        let bytes = self.get(path).await?;
        Ok(bytes.is_some_and(|bytes| path.ends_with(&sha256(&bytes))))
    }

    /// Removes the staging directory of a run, and those that killed runs left more than a day ago.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn remove_staging(&self, run: &str) -> Result<(), JobError> {
        self.remove_tree(&format!("_staging/{run}"))?;
        let staging = self.root.join("_staging");
        for entry in std::fs::read_dir(&staging).into_iter().flatten().flatten() {
            let age = entry
                .metadata()
                .and_then(|m| m.modified())
                .map(|m| m.elapsed().unwrap_or_default());
            if age.is_ok_and(|age| age.as_secs() > 86_400) {
                self.remove_tree(&format!("_staging/{}", entry.file_name().to_string_lossy()))?;
            }
        }
        Ok(())
    }

    /// Undoes [`Warehouse::create`] where nothing else was written meanwhile.
    pub fn remove_if_empty(&self) {
        // Not recursive: what another run has written stays, and keeps its directories.
        let _ = std::fs::remove_dir(self.root.join("_staging"));
        let others = std::fs::read_dir(&self.root).map_or(1, |entries| {
            entries
                .flatten()
                .filter(|e| e.file_name() != MARKER)
                .count()
        });
        if others == 0 {
            let _ = std::fs::remove_file(self.root.join(MARKER));
            let _ = std::fs::remove_dir(&self.root);
        }
    }

    /// Writes the marker where it is missing: another run that found its day empty may have removed it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn mark(&self) -> Result<(), JobError> {
        if self.get(MARKER).await?.is_none() {
            let text = serde_json::json!({ "format": FORMAT }).to_string();
            self.put(MARKER, text.into_bytes()).await?;
        }
        Ok(())
    }

    fn remove_tree(&self, path: &str) -> Result<(), JobError> {
        let path = self.root.join(path);
        match std::fs::remove_dir_all(&path) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(JobError::io(&path, e)),
        }
    }

    /// The ledger's entry of a stage.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn ledger(
        &self,
        day: NaiveDate,
        stage: &str,
        fingerprint: &str,
    ) -> Result<Option<Vec<u8>>, JobError> {
        self.get(&ledger_path(day, stage, fingerprint)).await
    }

    /// Writes the ledger's entry of a stage.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn write_ledger(
        &self,
        day: NaiveDate,
        stage: &str,
        fingerprint: &str,
        record: Vec<u8>,
    ) -> Result<(), JobError> {
        self.put(&ledger_path(day, stage, fingerprint), record)
            .await
    }

    fn failed(&self, path: &str, e: object_store::Error) -> JobError {
        JobError::Io {
            path: self.url(path),
            source: std::io::Error::other(e),
        }
    }
}

/// Whether a directory is a warehouse's.
#[must_use]
pub fn is_warehouse(directory: &Path) -> bool {
    directory.join(MARKER).is_file()
}

/// Where a model is, below the warehouse.
#[must_use]
pub fn model_path(sha256: &str) -> String {
    format!("_models/{sha256}")
}

fn ledger_path(day: NaiveDate, stage: &str, fingerprint: &str) -> String {
    format!("_ledger/{day}/{stage}-{fingerprint}.json")
}

/// The local directory of a warehouse's or telemetry's name.
///
/// # Errors
/// When it is a URL of another kind than `file://`.
pub fn local(path: &str) -> Result<PathBuf, JobError> {
    match path.split_once("://") {
        None if path.is_empty() => Err(JobError::Usage("an empty path was given".into())),
        None => Ok(PathBuf::from(path)),
        Some(("file", _)) => Url::parse(path)
            .ok()
            .and_then(|url| url.to_file_path().ok())
            .ok_or_else(|| {
                JobError::Usage(format!(
                    "{path:?} is not a file URL: expected file:///absolute/path"
                ))
            }),
        Some((scheme, _)) => Err(JobError::Usage(format!(
            "{scheme}:// is not supported yet: give a local path (mount or copy the data first)"
        ))),
    }
}
