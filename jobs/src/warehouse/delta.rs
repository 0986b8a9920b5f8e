//! A day of a table is replaced in one Delta commit; readers see the whole old or the whole new day.
//!
//! `deltalake-core` keeps the log; files are written by the tasks themselves. Its own conflict resolution is
//! switched off (no retries inside): two runs that both write a day's first files do not conflict in its eyes, so
//! that both would be added. Instead a commit that lost the race reads the table again and decides anew.

use std::collections::HashMap;

use chrono::NaiveDate;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake_core::kernel::transaction::{
    CommitBuilder, CommitProperties, TableReference, TransactionError,
};
use deltalake_core::kernel::{Action, Add, StructType};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::{DeltaTable, DeltaTableBuilder, DeltaTableError, TableProperty};
use futures::TryStreamExt;
use url::Url;

use super::Warehouse;
use super::tables::Table;
use crate::engine::Written;
use crate::error::JobError;

const COMMIT_TRIES: usize = 20;

/// An active data file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
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

impl Warehouse {
    fn table_url(&self, table: &Table) -> Result<Url, JobError> {
        let url = self.url(&format!("{}/", table.name));
        Url::parse(&url).map_err(|e| JobError::Internal(format!("{url}: {e}")))
    }

    async fn load(&self, table: &Table) -> Result<Option<DeltaTable>, JobError> {
        let url = self.table_url(table)?;
        if !self.root().join(table.name).join("_delta_log").is_dir() {
            return Ok(None);
        }
        match DeltaTableBuilder::from_url(url)?.load().await {
            Ok(table) => Ok(Some(table)),
            Err(DeltaTableError::NotATable(_)) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// The active files of a table (of one day, or of all), by day and bucket.
    ///
    /// # Errors
    /// When the table's log cannot be read.
    pub async fn files(
        &self,
        table: &Table,
        day: Option<NaiveDate>,
    ) -> Result<Vec<DataFile>, JobError> {
        match self.load(table).await? {
            Some(loaded) => active(&loaded, day).await,
            None => Ok(vec![]),
        }
    }

    /// The fingerprint that all files of a day carry, if they do.
    ///
    /// # Errors
    /// As [`Warehouse::files`].
    pub async fn fingerprint(
        &self,
        table: &Table,
        day: NaiveDate,
    ) -> Result<Option<String>, JobError> {
        Ok(common_fingerprint(&self.files(table, Some(day)).await?))
    }

    /// Replaces a day's files by `written` (paths below the table's directory), in one commit. Does nothing when
    /// the day's files carry `fingerprint` already: another run finished first with the same answer.
    ///
    /// # Errors
    /// When the commit fails, or keeps losing against other runs.
    pub async fn replace_day(
        &self,
        table: &Table,
        day: NaiveDate,
        fingerprint: &str,
        written: &[Written],
    ) -> Result<(), JobError> {
        self.mark().await?;
        for _ in 0..COMMIT_TRIES {
            let loaded = match self.load(table).await? {
                Some(loaded) => loaded,
                None => match self.create_table(table).await? {
                    Some(loaded) => loaded,
                    None => continue,
                },
            };
            if common_fingerprint(&active(&loaded, Some(day)).await?)
                == Some(fingerprint.to_owned())
            {
                return Ok(());
            }
            match commit(&loaded, day, fingerprint, written).await {
                Ok(()) => return Ok(()),
                Err(DeltaTableError::Transaction { source }) if lost_the_race(&source) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Err(JobError::Contended {
            table: table.name.to_owned(),
            tries: COMMIT_TRIES,
        })
    }

    async fn create_table(&self, table: &Table) -> Result<Option<DeltaTable>, JobError> {
        let schema = table.schema();
        let directory = self.root().join(table.name);
        std::fs::create_dir_all(&directory).map_err(|e| JobError::io(&directory, e))?;
        let kernel: StructType = (schema.as_ref() as &Schema)
            .try_into_kernel()
            .map_err(|e| JobError::Internal(format!("schema of {}: {e}", table.name)))?;
        let created = CreateBuilder::new()
            .with_location(self.table_url(table)?)
            .with_table_name(table.name)
            .with_comment(table.doc)
            .with_columns(kernel.fields().cloned())
            .with_partition_columns(["day"])
            // A month of days is read from one checkpoint and a few commits.
            .with_configuration_property(TableProperty::CheckpointInterval, Some("10"))
            .await;
        match created {
            Ok(created) => Ok(Some(created)),
            // Another run made it meanwhile.
            Err(_) if self.load(table).await?.is_some() => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// A table's files as a source for queries; `None` when it has no rows at all.
    ///
    /// # Errors
    /// As [`Warehouse::files`].
    pub async fn source(
        &self,
        table: &Table,
        day: Option<NaiveDate>,
    ) -> Result<Option<crate::engine::Source>, JobError> {
        let files = self.files(table, day).await?;
        let urls = files
            .iter()
            .map(|f| self.url(&format!("{}/{}", table.name, f.path)))
            .collect::<Vec<_>>();
        let schema: SchemaRef = table.schema();
        Ok((!urls.is_empty()).then_some(crate::engine::Source::Parquet { urls, schema }))
    }
}

/// The fingerprint that all of a day's files carry, if they do.
fn common_fingerprint(files: &[DataFile]) -> Option<String> {
    let first = files.first()?.fingerprint()?;
    let same = files.iter().all(|f| f.fingerprint() == Some(first));
    same.then(|| first.to_owned())
}

fn lost_the_race(error: &TransactionError) -> bool {
    matches!(
        error,
        TransactionError::MaxCommitAttempts(_)
            | TransactionError::VersionAlreadyExists(_)
            | TransactionError::CommitConflict(_)
    )
}

async fn active(table: &DeltaTable, day: Option<NaiveDate>) -> Result<Vec<DataFile>, JobError> {
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
        if day.is_none_or(|day| day == date) {
            let count = |n: i64| u64::try_from(n).unwrap_or_default();
            let rows = view.num_records().unwrap_or_default() as u64;
            files.push(DataFile {
                day: date,
                path,
                bytes: count(view.size()),
                rows,
            });
        }
    }
    files.sort();
    Ok(files)
}

async fn commit(
    table: &DeltaTable,
    day: NaiveDate,
    fingerprint: &str,
    written: &[Written],
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
    let now = chrono::Utc::now().timestamp_millis();
    actions.extend(written.iter().map(|file| {
        Action::Add(Add {
            path: file.path.clone(),
            partition_values: HashMap::from([("day".to_owned(), Some(day.to_string()))]),
            size: i64::try_from(file.bytes).unwrap_or(i64::MAX),
            modification_time: now,
            data_change: true,
            stats: Some(serde_json::json!({ "numRecords": file.rows }).to_string()),
            ..Add::default()
        })
    }));
    let snapshot = table.snapshot()?;
    let properties = CommitProperties::default()
        .with_max_retries(0)
        .with_cleanup_expired_logs(Some(false));
    let operation = DeltaOperation::Write {
        mode: SaveMode::Overwrite,
        partition_by: Some(vec!["day".to_owned()]),
        predicate: Some(format!("day = '{day}'")),
    };
    CommitBuilder::from(properties)
        .with_actions(actions)
        .with_app_metadata(HashMap::from([(
            "gleaner.fingerprint".to_owned(),
            fingerprint.into(),
        )]))
        .build(
            Some(snapshot as &dyn TableReference),
            table.log_store(),
            operation,
        )
        .await?;
    Ok(())
}
