//! A warehouse: a directory (or bucket prefix) of Delta tables, the models they were made with, and a ledger.
//!
//! ```text
//! gleaner.json                      format version: a newer one is refused; the kind of telemetry
//! commands/ … runs/                 Delta tables, partitioned by day
//! _models/<sha256>                  fitted models, immutable, named by content
//! _ledger/<day>/<stage>-<fingerprint>.json   what a finished stage counted, and the files it wrote
//! _publish/                         days that are being published: see `publish`
//! _staging/<run>/                   intermediate files of a running day
//! user/<name>/                      tables of the user's own, written by SQL jobs: see `user_tables`
//! _jobs/, _serve/                   the jobs of `gleaner serve`, and who serves
//! ```
//!
//! A data file's name carries the fingerprint of what it was made from. A stage's files lie in their table's directory as
//! soon as they are written, and count once the day is published, whole ([`publish`]).

pub mod delta;
pub mod publish;
pub mod tables;
pub mod user_tables;
mod whole;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use futures::{StreamExt, TryStreamExt};
use gleaner_udfs::model_cache::sha256;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::JobError;
use crate::storage::{self, Location};
use crate::telemetry::Kind;

/// The newest format that this version reads and writes: 1 of command lines, 2 of other kinds of telemetry, so that a gleaner that
/// does not know those leaves them alone.
pub const FORMAT: u64 = 2;
const MARKER: &str = "gleaner.json";
/// What killed runs left is kept so long: they may only be slow.
const STALE_SECS: i64 = 86_400;

#[derive(Serialize, Deserialize)]
struct Marker {
    format: u64,
    /// The kind of telemetry; none: command lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
}

impl Marker {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Command => Self {
                format: 1,
                kind: None,
            },
            Kind::Api => Self {
                format: FORMAT,
                kind: Some(kind.to_string()),
            },
        }
    }
}

/// An open warehouse.
#[derive(Clone)]
pub struct Warehouse {
    url: Url,
    /// What its telemetry is about.
    kind: Kind,
    /// Where it is, on a local disk.
    local: Option<PathBuf>,
    /// The whole bucket or file system.
    root: Arc<dyn ObjectStore>,
    /// The warehouse's path in `root`.
    prefix: ObjectPath,
    /// The warehouse alone.
    store: Arc<dyn ObjectStore>,
}

/// An object below a warehouse.
#[derive(Debug, Clone)]
pub struct Object {
    /// Path below the warehouse.
    pub path: String,
    /// Size.
    pub bytes: u64,
    /// When it was written.
    pub modified: DateTime<Utc>,
}

impl Warehouse {
    /// Whether there is a warehouse at `path`, of any version.
    ///
    /// # Errors
    /// When the path is malformed or cannot be read.
    pub async fn exists(path: &str) -> Result<bool, JobError> {
        let location = path.parse::<Location>()?;
        if let Some(local) = location.local() {
            return Ok(local.join(MARKER).is_file());
        }
        Self::unmarked(&location)?.has(MARKER).await
    }

    /// Opens the warehouse at `path`, made before by [`Warehouse::create`].
    ///
    /// # Errors
    /// When there is none, or a newer version made it.
    pub async fn open(path: &str) -> Result<Self, JobError> {
        if !Self::exists(path).await? {
            let there = path.parse::<Location>()?.local().is_none_or(Path::is_dir);
            let why = if there {
                "it has no gleaner.json"
            } else {
                "there is no such directory"
            };
            return Err(JobError::NotAWarehouse {
                path: path.to_owned(),
                why: format!("{why}; `gleaner run --warehouse {path} …` makes one"),
            });
        }
        Self::marked(path).await
    }

    /// Opens the warehouse at `path`, and makes it when the directory or prefix is new or empty.
    ///
    /// # Errors
    /// When it is something else or of another kind of telemetry, a newer version made it, or it cannot be written.
    pub async fn create(path: &str, kind: Kind) -> Result<Self, JobError> {
        let location = path.parse::<Location>()?;
        if path.contains(['%', '\\', '\n']) {
            return Err(JobError::Usage(format!(
                "--warehouse {path:?}: a percent sign, backslash or line break in its path is not supported"
            )));
        }
        if Self::exists(path).await? {
            return Self::marked(path).await?.of_kind(path, kind);
        }
        let occupied = match location.local() {
            Some(local) => match std::fs::read_dir(local) {
                Ok(mut entries) => entries.next().is_some(),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => false,
                Err(e) => return Err(JobError::io(local, e)),
            },
            None => !Self::unmarked(&location)?.is_empty().await?,
        };
        if occupied {
            return Err(JobError::NotAWarehouse {
                path: path.to_owned(),
                why: "it holds other files; name an empty or a new directory".to_owned(),
            });
        }
        if let Some(local) = location.local() {
            std::fs::create_dir_all(local).map_err(|e| JobError::io(local, e))?;
        }
        let warehouse = Self {
            kind,
            ..Self::unmarked(&location)?
        };
        warehouse.mark().await?;
        // Another run may have made it at the same time, of another kind.
        Self::marked(path).await?.of_kind(path, kind)
    }

    /// What its telemetry is about.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    fn of_kind(self, path: &str, wanted: Kind) -> Result<Self, JobError> {
        if self.kind == wanted {
            return Ok(self);
        }
        Err(JobError::OtherKind {
            path: path.to_owned(),
            found: self.kind,
            wanted,
        })
    }

    fn unmarked(location: &Location) -> Result<Self, JobError> {
        if let Some(local) = location.local() {
            let local = local.canonicalize().map_err(|e| JobError::io(local, e))?;
            let url = Url::from_directory_path(&local)
                .map_err(|()| JobError::Internal(format!("{} is not absolute", local.display())))?;
            let failed = |e: object_store::Error| JobError::NotAWarehouse {
                path: location.to_string(),
                why: e.to_string(),
            };
            let store = LocalFileSystem::new_with_prefix(&local).map_err(failed)?;
            return Ok(Self {
                prefix: ObjectPath::from_absolute_path(&local)
                    .map_err(|e| JobError::Internal(e.to_string()))?,
                url,
                kind: Kind::Command,
                local: Some(local),
                root: Arc::new(LocalFileSystem::new()),
                // Empty directories go with their last file.
                store: Arc::new(store.with_automatic_cleanup(true)),
            });
        }
        let (root, prefix) = storage::process().object_store(location)?;
        Ok(Self {
            url: location.url()?,
            kind: Kind::Command,
            local: None,
            store: Arc::new(PrefixStore::new(Arc::clone(&root), prefix.clone())),
            root,
            prefix,
        })
    }

    async fn marked(path: &str) -> Result<Self, JobError> {
        let mut warehouse = Self::unmarked(&path.parse()?)?;
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
        if let Some(name) = marker.kind {
            warehouse.kind = Kind::named(&name).ok_or_else(|| JobError::NotAWarehouse {
                path: path.to_owned(),
                why: "its gleaner.json names no kind of telemetry that there is".to_owned(),
            })?;
        }
        Ok(warehouse)
    }

    /// The whole store, and that of one of the warehouse's directories.
    fn stores(&self, directory: &str) -> (Arc<dyn ObjectStore>, Arc<dyn ObjectStore>) {
        let below = directory
            .split('/')
            .fold(self.prefix.clone(), ObjectPath::join);
        let one = PrefixStore::new(Arc::clone(&self.root), below);
        (Arc::clone(&self.root), Arc::new(one))
    }

    /// Makes a directory where directories are real.
    fn make_directory(&self, path: &str) -> Result<(), JobError> {
        let Some(local) = &self.local else {
            return Ok(());
        };
        let directory = local.join(path);
        std::fs::create_dir_all(&directory).map_err(|e| JobError::io(&directory, e))
    }

    /// URL of a path below the warehouse; a directory's ends in `/`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    async fn has(&self, path: &str) -> Result<bool, JobError> {
        match self.store.head(&ObjectPath::from(path)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(e) => Err(self.failed(path, e)),
        }
    }

    /// What a doctor left whose keys ended meanwhile does not count.
    async fn is_empty(&self) -> Result<bool, JobError> {
        let mut listed = self.store.list(None);
        while let Some(found) = listed.next().await {
            let found = found.map_err(|e| self.failed("", e))?;
            if !found.location.as_ref().starts_with("_doctor/") {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The objects below a directory, in no order; none when it does not exist.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub async fn list(&self, directory: &str) -> Result<Vec<Object>, JobError> {
        let prefix = ObjectPath::from(directory);
        let listed = self.store.list(Some(&prefix)).map_ok(|meta| Object {
            path: meta.location.to_string(),
            bytes: meta.size,
            modified: meta.last_modified,
        });
        listed
            .try_collect()
            .await
            .map_err(|e| self.failed(directory, e))
    }

    /// The names of the directories in a directory, sorted.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub async fn directories(&self, directory: &str) -> Result<Vec<String>, JobError> {
        let prefix = ObjectPath::from(directory);
        let listed = self.store.list_with_delimiter(Some(&prefix)).await;
        let listed = listed.map_err(|e| self.failed(directory, e))?;
        let names = listed.common_prefixes.iter();
        let mut names: Vec<_> = names
            .filter_map(|path| path.filename().map(str::to_owned))
            .collect();
        names.sort();
        Ok(names)
    }

    /// Writes a small object unless there is one; whether it did.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn put_new(&self, path: &str, bytes: Vec<u8>) -> Result<bool, JobError> {
        let options = object_store::PutOptions::from(object_store::PutMode::Create);
        let payload = PutPayload::from(bytes);
        let put = self
            .store
            .put_opts(&ObjectPath::from(path), payload, options)
            .await;
        match put {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(e) => Err(self.failed(path, e)),
        }
    }

    /// Removes an object; one that is not there is removed already.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub async fn remove(&self, path: &str) -> Result<(), JobError> {
        match self.store.delete(&ObjectPath::from(path)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(self.failed(path, e)),
        }
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

    /// Removes the staged files of a run, and those that killed runs left more than a day ago.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub async fn remove_staging(&self, run: &str) -> Result<(), JobError> {
        let now = Utc::now();
        let ours = format!("_staging/{run}/");
        for object in self.list("_staging").await? {
            let age = (now - object.modified).num_seconds();
            if object.path.starts_with(&ours) || age > STALE_SECS {
                self.remove(&object.path).await?;
            }
        }
        if let Some(local) = &self.local {
            // Directories made for files that then found no room.
            let _ = std::fs::remove_dir_all(local.join(ours));
            let _ = std::fs::remove_dir(local.join("_staging"));
        }
        Ok(())
    }

    /// Undoes [`Warehouse::create`] where nothing else was written meanwhile.
    pub async fn remove_if_empty(&self) {
        let Ok(objects) = self.list("").await else {
            return;
        };
        if objects.iter().all(|o| o.path == MARKER) {
            let _ = self.remove(MARKER).await;
            if let Some(local) = &self.local {
                // Not recursive: what another run has written stays, and keeps its directories.
                let _ = std::fs::remove_dir(local.join("_staging"));
                let _ = std::fs::remove_dir(local);
            }
        }
    }

    /// Writes the marker where it is missing: another run that found its day empty may have removed it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn mark(&self) -> Result<(), JobError> {
        if self.get(MARKER).await?.is_none() {
            let text = serde_json::to_vec(&Marker::of(self.kind));
            let text = text.map_err(|e| JobError::Internal(e.to_string()))?;
            self.put(MARKER, text).await?;
        }
        Ok(())
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
        self.mark().await?;
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

/// The object that tells a warehouse from other directories.
#[must_use]
pub fn is_marker(name: &str) -> bool {
    name == MARKER
}

/// Where a model is, below the warehouse.
#[must_use]
pub fn model_path(sha256: &str) -> String {
    format!("_models/{sha256}")
}

fn ledger_path(day: NaiveDate, stage: &str, fingerprint: &str) -> String {
    format!("_ledger/{day}/{stage}-{fingerprint}.json")
}
