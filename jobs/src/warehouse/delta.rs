//! A day of a table is replaced in one Delta commit; readers see the whole old or the whole new day.
//!
//! `deltalake-core` keeps the log; files are written by the tasks themselves. Its own conflict resolution is
//! switched off (no retries inside): two runs that both write a day's first files do not conflict in its eyes, so
//! that both would be added. Instead a commit that lost the race reads the table again and decides anew.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use datafusion::arrow::datatypes::Schema;
use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake_core::kernel::transaction::{
    CommitBuilder, CommitProperties, TableReference, TransactionError,
};
use deltalake_core::kernel::{Action, Add, MetadataExt, StructType};
use deltalake_core::logstore::{LogStoreRef, StorageConfig, default_logstore};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::{DeltaTable, DeltaTableError, TableProperty};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use url::Url;

use super::Warehouse;
use super::publish::Made;
use super::tables::{RUNS, Table};
use crate::engine::{Source, Written};
use crate::error::JobError;

/// Lost races.
const COMMIT_TRIES: usize = 50;
/// Failed requests; the object store has tried each again already.
const FAILURES: usize = 5;

/// An active data file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DataFile {
    /// The day whose rows it holds.
    pub day: NaiveDate,
    /// Path below the table's directory: `day=2025-01-01/00003-<fingerprint>-<unique>.parquet`.
    pub path: String,
    /// Size.
    pub bytes: u64,
    /// Rows.
    pub rows: u64,
}

impl DataFile {
    /// A file that a task wrote to a table's directory.
    #[must_use]
    pub fn written(day: NaiveDate, written: &Written) -> Self {
        Self {
            day,
            path: written.path.clone(),
            bytes: written.bytes,
            rows: written.rows,
        }
    }

    fn part(&self, n: usize) -> Option<&str> {
        self.path.split_once('/')?.1.split('-').nth(n)
    }

    /// Which bucket, or other part of the day, the file is.
    #[must_use]
    pub fn bucket(&self) -> Option<usize> {
        self.part(0)?.parse().ok()
    }

    /// Fingerprint of what it was made from.
    #[must_use]
    pub fn fingerprint(&self) -> Option<&str> {
        self.part(1)
    }
}

/// The prefix of a data file's name: see [`DataFile::path`].
#[must_use]
pub fn file_prefix(day: NaiveDate, bucket: usize, fingerprint: &str) -> String {
    format!("day={day}/{bucket:05}-{fingerprint}")
}

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The day holds the files.
    Committed,
    /// The day held files of that fingerprint: another run finished first with the same answer.
    AlreadyThere,
    /// Another run has published the day meanwhile: nothing was committed.
    Superseded,
}

impl Warehouse {
    pub(super) fn log_store(&self, directory: &str) -> Result<LogStoreRef, JobError> {
        let url = self.url(&format!("{directory}/"));
        let url = Url::parse(&url).map_err(|e| JobError::Internal(format!("{url}: {e}")))?;
        let (root, prefixed) = self.stores(directory);
        Ok(default_logstore(
            prefixed,
            root,
            &url,
            &StorageConfig::default(),
        ))
    }

    /// The table in a directory below the warehouse; `None` when nothing was ever committed to it.
    pub(super) async fn load(&self, directory: &str) -> Result<Option<DeltaTable>, JobError> {
        let log = self.log_store(directory)?;
        let mut loaded = DeltaTable::new(Arc::clone(&log));
        match loaded.load().await {
            Ok(()) => Ok(Some(loaded)),
            Err(DeltaTableError::NotATable(_)) => Ok(None),
            // An empty log has other errors than this one too.
            Err(e) => match log.is_delta_table_location().await {
                Ok(false) => Ok(None),
                _ => Err(e.into()),
            },
        }
    }

    /// A table's version and active files, by day and name; no version when nothing was ever committed to it.
    pub(super) async fn active(
        &self,
        table: &Table,
    ) -> Result<(Option<u64>, Vec<DataFile>), JobError> {
        match self.load(table.name).await? {
            Some(loaded) => Ok((loaded.version(), active(&loaded).await?)),
            None => Ok((None, vec![])),
        }
    }

    /// Replaces a day's files by `made`, in one commit; with `only_while`, only while `runs` holds the day under that
    /// fingerprint. Does nothing when the day's files carry the fingerprint already.
    ///
    /// # Errors
    /// When the commit fails, or keeps losing against other runs.
    pub(super) async fn replace_day(
        &self,
        table: &Table,
        day: NaiveDate,
        made: &Made,
        only_while: Option<&str>,
    ) -> Result<Outcome, JobError> {
        let mut tries = Tries::default();
        while let Some(loaded) = tries.next(self, table).await? {
            // Read after the table: whoever publishes the day later commits to the table later too.
            if let Some(fingerprint) = only_while {
                let (_, runs) = self.active(&RUNS).await?;
                if common_fingerprint(runs.iter().filter(|f| f.day == day)) != Some(fingerprint) {
                    return Ok(Outcome::Superseded);
                }
            }
            let held = active(&loaded).await?;
            let held: Vec<DataFile> = held.into_iter().filter(|f| f.day == day).collect();
            if common_fingerprint(held.iter()) == Some(made.fingerprint.as_str()) {
                if tries.failed.is_some() && self.holds(&loaded, made).await? {
                    return Ok(Outcome::Committed);
                }
                // The same answer, of which a file was lost: ours takes its place.
                if self.damaged(table, &held).await?.is_none() {
                    return Ok(Outcome::AlreadyThere);
                }
            }
            if tries.done(commit(&loaded, table, day, made).await) {
                return Ok(Outcome::Committed);
            }
        }
        Err(tries.error(table))
    }

    /// Adds files to a table that only grows, in one commit; those that it holds already are left out.
    ///
    /// # Errors
    /// When the commit fails, or keeps losing against other runs.
    pub async fn append(&self, table: &Table, files: &[DataFile]) -> Result<(), JobError> {
        let mut tries = Tries::default();
        while let Some(loaded) = tries.next(self, table).await? {
            let held = active(&loaded).await?;
            let new: Vec<_> = files
                .iter()
                .filter(|file| held.binary_search(file).is_err())
                .collect();
            if new.is_empty() {
                return Ok(());
            }
            if tries.done(add(&loaded, table, new).await) {
                return Ok(());
            }
        }
        Err(tries.error(table))
    }

    /// Adds files to a table that only grows, in one commit, if it still holds `seen` and nothing else; returns whether it did. For
    /// rows whose content depends on those before them.
    ///
    /// # Errors
    /// As [`Warehouse::append`].
    pub async fn append_after(
        &self,
        table: &Table,
        files: &[DataFile],
        seen: &[DataFile],
    ) -> Result<bool, JobError> {
        let mut tries = Tries::default();
        while let Some(loaded) = tries.next(self, table).await? {
            let held = active(&loaded).await?;
            // A commit of our own whose answer was lost.
            if files.iter().all(|file| held.binary_search(file).is_ok()) {
                return Ok(true);
            }
            if held != seen {
                return Ok(false);
            }
            if tries.done(add(&loaded, table, files).await) {
                return Ok(true);
            }
        }
        Err(tries.error(table))
    }

    /// Whether the table holds these very files: their names are unique.
    async fn holds(&self, table: &DeltaTable, made: &Made) -> Result<bool, JobError> {
        let held = active(table).await?;
        Ok(made
            .files
            .iter()
            .all(|file| held.binary_search(file).is_ok()))
    }

    async fn create_table(&self, table: &Table) -> Result<Option<DeltaTable>, JobError> {
        let schema = table.schema();
        let kernel: StructType = (schema.as_ref() as &Schema)
            .try_into_kernel()
            .map_err(|e| JobError::Internal(format!("schema of {}: {e}", table.name)))?;
        self.make_directory(table.name)?;
        let created = CreateBuilder::new()
            .with_log_store(self.log_store(table.name)?)
            .with_table_name(table.name)
            .with_comment(table.doc)
            .with_columns(kernel.fields().cloned())
            .with_partition_columns(["day"])
            // A month of days is read from one checkpoint and a few commits.
            .with_configuration_property(TableProperty::CheckpointInterval, Some("10"))
            // A table whose creation's answer was lost would be created again, as its second version.
            .with_commit_properties(CommitProperties::default().with_max_retries(0))
            .await;
        match created {
            Ok(created) => Ok(Some(created)),
            // Another run made it meanwhile.
            Err(_) if self.load(table.name).await?.is_some() => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Files of a table as a source for queries; `None` for no files.
    #[must_use]
    pub fn source<'f>(
        &self,
        table: &Table,
        files: impl IntoIterator<Item = &'f DataFile>,
    ) -> Option<Source> {
        let url = |f: &DataFile| self.url(&format!("{}/{}", table.name, f.path));
        let urls: Vec<_> = files.into_iter().map(url).collect();
        let schema = table.schema();
        (!urls.is_empty()).then_some(Source::Parquet {
            urls,
            schema,
            sorted_by: &[],
        })
    }
}

/// Commits tried on one table: those lost to other runs, and failures, of which fewer are borne.
#[derive(Default)]
struct Tries {
    made: usize,
    failures: usize,
    failed: Option<JobError>,
}

impl Tries {
    /// The table as it is now, made if need be; `None` when enough was tried.
    async fn next(
        &mut self,
        warehouse: &Warehouse,
        table: &Table,
    ) -> Result<Option<DeltaTable>, JobError> {
        while self.made < COMMIT_TRIES && self.failures < FAILURES {
            if self.made > 0 {
                tokio::time::sleep(pause(self.made)).await;
            }
            self.made += 1;
            if let Some(loaded) = warehouse.load(table.name).await? {
                return Ok(Some(loaded));
            }
            match warehouse.create_table(table).await {
                Ok(Some(loaded)) => return Ok(Some(loaded)),
                Ok(None) => {}
                Err(e) => self.fail(e),
            }
        }
        Ok(None)
    }

    /// Whether a commit was made. Whether a failed one was is unknown when its answer was lost: the table tells, when it is
    /// read again.
    fn done(&mut self, committed: Result<(), DeltaTableError>) -> bool {
        match committed {
            Ok(()) => return true,
            Err(DeltaTableError::Transaction { source }) if lost_the_race(&source) => {}
            Err(e) => self.fail(e.into()),
        }
        false
    }

    fn fail(&mut self, error: JobError) {
        self.failures += 1;
        self.failed = Some(error);
    }

    fn error(self, table: &Table) -> JobError {
        self.failed.unwrap_or(JobError::Contended {
            table: table.name.to_owned(),
            tries: COMMIT_TRIES,
        })
    }
}

/// Before another attempt: others are at it, or the store has trouble. About 10 seconds in all, spread.
pub(super) fn pause(attempt: usize) -> Duration {
    let spread = u64::from(uuid::Uuid::new_v4().as_bytes()[0]);
    Duration::from_millis((20 << attempt.min(5)) + spread)
}

/// The fingerprint that all files carry, if they do.
pub(super) fn common_fingerprint<'f>(
    files: impl IntoIterator<Item = &'f DataFile>,
) -> Option<&'f str> {
    let mut files = files.into_iter();
    let first = files.next()?.fingerprint()?;
    files
        .all(|f| f.fingerprint() == Some(first))
        .then_some(first)
}

pub(super) fn lost_the_race(error: &TransactionError) -> bool {
    matches!(
        error,
        TransactionError::MaxCommitAttempts(_)
            | TransactionError::VersionAlreadyExists(_)
            | TransactionError::CommitConflict(_)
    )
}

async fn active(table: &DeltaTable) -> Result<Vec<DataFile>, JobError> {
    let views: Vec<_> = table
        .get_active_add_actions_by_predicate(None)
        .try_collect()
        .await?;
    let mut files = vec![];
    for view in views {
        let path = view.object_store_path().to_string();
        let date = path
            .strip_prefix("day=")
            .and_then(|p| p.get(..10))
            .and_then(|d| d.parse::<NaiveDate>().ok());
        let Some(date) = date else {
            return Err(JobError::Internal(format!("unexpected data file {path}")));
        };
        let rows = view.num_records().unwrap_or_default() as u64;
        files.push(DataFile {
            day: date,
            path,
            bytes: u64::try_from(view.size()).unwrap_or_default(),
            rows,
        });
    }
    files.sort();
    Ok(files)
}

/// Columns that the table has in this version and not in its log, which is that of an earlier one.
fn widened(loaded: &DeltaTable, table: &Table) -> Result<Option<Action>, DeltaTableError> {
    let held = loaded.snapshot()?;
    let schema = table.schema();
    let known = held.schema();
    if schema
        .fields()
        .iter()
        .all(|f| known.field(f.name()).is_some())
    {
        return Ok(None);
    }
    let kernel: StructType = (schema.as_ref() as &Schema).try_into_kernel()?;
    let metadata = held.metadata().clone().with_schema(&kernel)?;
    Ok(Some(Action::Metadata(metadata)))
}

async fn commit(
    table: &DeltaTable,
    kind: &Table,
    day: NaiveDate,
    made: &Made,
) -> Result<(), DeltaTableError> {
    let prefix = format!("day={day}/");
    let views: Vec<_> = table
        .get_active_add_actions_by_predicate(None)
        .try_collect()
        .await?;
    let old = views
        .iter()
        .filter(|v| v.object_store_path().as_ref().starts_with(&prefix));
    let mut actions: Vec<Action> = old
        .map(|view| Action::Remove(view.remove_action(true)))
        .collect();
    actions.extend(widened(table, kind)?);
    actions.extend(made.files.iter().map(added));
    let operation = DeltaOperation::Write {
        mode: SaveMode::Overwrite,
        partition_by: Some(vec!["day".to_owned()]),
        predicate: Some(format!("day = '{day}'")),
    };
    let metadata = HashMap::from([(
        "gleaner.fingerprint".to_owned(),
        made.fingerprint.clone().into(),
    )]);
    transact(table, actions, operation, metadata).await
}

async fn add(
    table: &DeltaTable,
    kind: &Table,
    files: impl IntoIterator<Item = &DataFile>,
) -> Result<(), DeltaTableError> {
    let operation = DeltaOperation::Write {
        mode: SaveMode::Append,
        partition_by: Some(vec!["day".to_owned()]),
        predicate: None,
    };
    let mut actions: Vec<Action> = widened(table, kind)?.into_iter().collect();
    actions.extend(files.into_iter().map(added));
    transact(table, actions, operation, HashMap::new()).await
}

fn added(file: &DataFile) -> Action {
    Action::Add(Add {
        path: file.path.clone(),
        partition_values: HashMap::from([("day".to_owned(), Some(file.day.to_string()))]),
        size: i64::try_from(file.bytes).unwrap_or(i64::MAX),
        modification_time: chrono::Utc::now().timestamp_millis(),
        data_change: true,
        stats: Some(serde_json::json!({ "numRecords": file.rows }).to_string()),
        ..Add::default()
    })
}

pub(super) async fn transact(
    table: &DeltaTable,
    actions: Vec<Action>,
    operation: DeltaOperation,
    metadata: HashMap<String, serde_json::Value>,
) -> Result<(), DeltaTableError> {
    let properties = CommitProperties::default()
        .with_max_retries(0)
        .with_cleanup_expired_logs(Some(false));
    CommitBuilder::from(properties)
        .with_actions(actions)
        .with_app_metadata(metadata)
        .build(
            Some(table.snapshot()? as &dyn TableReference),
            table.log_store(),
            operation,
        )
        .await?;
    Ok(())
}
