//! Tables of the user's own: what SQL jobs write. Each is a Delta table below `user/`, without partitions.
//!
//! A table holds *slices*: what one choice of parameters gave (a day's rows, say). A slice is replaced in one commit, so that a
//! job that runs again, after a crash too, replaces what it wrote and adds nothing twice. A file's name begins with its slice.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use deltalake_core::kernel::engine::arrow_conversion::{TryIntoArrow, TryIntoKernel};
use deltalake_core::kernel::transaction::CommitProperties;
use deltalake_core::kernel::{Action, Add, StructType};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::{DeltaTable, DeltaTableError};
use futures::TryStreamExt;

use super::Warehouse;
use super::delta::{lost_the_race, transact};
use super::tables::{API_TABLES, TABLES};
use crate::engine::{Source, Written};
use crate::error::JobError;

const DIRECTORY: &str = "user";
/// Commits that are lost to others before a job fails.
const TRIES: usize = 20;
const MAX_NAME: usize = 63;

/// A table's directory below the warehouse.
#[must_use]
pub fn directory(name: &str) -> String {
    format!("{DIRECTORY}/{name}")
}

/// # Errors
/// When a table of the user's cannot have this name.
pub fn check_name(name: &str) -> Result<(), JobError> {
    let usage = |why: String| Err(JobError::Usage(format!("table {name:?}: {why}")));
    if TABLES.iter().chain(API_TABLES).any(|t| t.name == name) {
        return usage(
            "the warehouse's own tables are written by days alone: choose another name".into(),
        );
    }
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
    if !starts || name.len() > MAX_NAME || !name.chars().all(letters) {
        return usage(format!(
            "expected a lower-case letter, then letters, digits and underscores, {MAX_NAME} at most"
        ));
    }
    Ok(())
}

/// The type that a column of `kind` is stored as; `None` for one that Delta tables cannot hold.
#[must_use]
pub fn stored(kind: &DataType) -> Option<DataType> {
    use DataType as T;
    Some(match kind {
        T::Boolean
        | T::Int8
        | T::Int16
        | T::Int32
        | T::Int64
        | T::Float32
        | T::Float64
        | T::Utf8
        | T::Binary
        | T::Date32 => kind.clone(),
        T::UInt8 => T::Int16,
        T::UInt16 => T::Int32,
        T::UInt32 | T::UInt64 => T::Int64,
        T::Float16 => T::Float32,
        T::LargeUtf8 | T::Utf8View | T::Null => T::Utf8,
        T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => T::Binary,
        T::Date64 => T::Date32,
        T::Timestamp(_, zone) => T::Timestamp(
            TimeUnit::Microsecond,
            zone.as_ref().map(|_| "UTC".into()).or(Some("UTC".into())),
        ),
        T::Decimal128(precision, scale) if *scale >= 0 => T::Decimal128(*precision, *scale),
        T::Dictionary(_, value) => stored(value)?,
        T::List(item) | T::LargeList(item) | T::FixedSizeList(item, _) | T::ListView(item) => {
            T::List(Arc::new(Field::new(
                "item",
                stored(item.data_type())?,
                true,
            )))
        }
        _ => return None,
    })
}

impl Warehouse {
    /// The names of the user's tables, sorted.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn user_tables(&self) -> Result<Vec<String>, JobError> {
        let names = self.directories(DIRECTORY).await?;
        Ok(names
            .into_iter()
            .filter(|n| check_name(n).is_ok())
            .collect())
    }

    /// A user's table for queries: its files and schema as of now; `None` when there is none.
    ///
    /// # Errors
    /// When its log cannot be read.
    pub async fn user_table(
        &self,
        name: &str,
    ) -> Result<Option<(SchemaRef, Option<Source>)>, JobError> {
        let Some(table) = self.load(&directory(name)).await? else {
            return Ok(None);
        };
        let schema = schema(&table)?;
        let urls: Vec<_> = paths(&table)
            .await?
            .iter()
            .map(|path| self.url(&format!("{}/{path}", directory(name))))
            .collect();
        let source = (!urls.is_empty()).then(|| Source::Parquet {
            urls,
            schema: Arc::clone(&schema),
            sorted_by: &[],
        });
        Ok(Some((schema, source)))
    }

    /// # Errors
    /// When the table is there, and has other columns than `wanted`.
    pub async fn check_columns(&self, name: &str, wanted: &Schema) -> Result<(), JobError> {
        let Some(table) = self.load(&directory(name)).await? else {
            return Ok(());
        };
        let held = schema(&table)?;
        let columns = |schema: &Schema| {
            let fields = schema.fields().iter();
            fields
                .map(|f| format!("{} {}", f.name(), f.data_type()))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let (held, wanted) = (columns(&held), columns(wanted));
        if held == wanted {
            return Ok(());
        }
        Err(JobError::Usage(format!(
            "table {name} has the columns ({held}), and the job gives ({wanted}): name another table with --into, or remove \
             {} first",
            self.url(&directory(name))
        )))
    }

    /// Puts `files` in the place of the slice's, in one commit. Names of files begin with the slice.
    ///
    /// # Errors
    /// When the columns differ from the table's, or the commit fails or keeps losing against others.
    pub async fn replace_slice(
        &self,
        name: &str,
        columns: &Schema,
        slice: &str,
        files: &[Written],
    ) -> Result<(), JobError> {
        for attempt in 0..TRIES {
            if attempt > 0 {
                tokio::time::sleep(super::delta::pause(attempt)).await;
            }
            let Some(table) = self.load(&directory(name)).await? else {
                self.create_user_table(name, columns).await?;
                continue;
            };
            self.check_columns(name, columns).await?;
            match commit(&table, slice, files).await {
                Ok(()) => return Ok(()),
                Err(DeltaTableError::Transaction { source }) if lost_the_race(&source) => {}
                Err(e) => {
                    // A commit whose answer was lost may be there.
                    let Some(now) = self.load(&directory(name)).await? else {
                        return Err(e.into());
                    };
                    let held = paths(&now).await?;
                    if files.iter().all(|f| held.contains(&f.path)) {
                        return Ok(());
                    }
                    return Err(e.into());
                }
            }
        }
        Err(JobError::Contended {
            table: name.to_owned(),
            tries: TRIES,
        })
    }

    async fn create_user_table(&self, name: &str, columns: &Schema) -> Result<(), JobError> {
        let kernel: StructType = columns
            .try_into_kernel()
            .map_err(|e| JobError::Usage(format!("table {name}: {e}")))?;
        self.make_directory(&directory(name))?;
        let created = CreateBuilder::new()
            .with_log_store(self.log_store(&directory(name))?)
            .with_table_name(name)
            .with_columns(kernel.fields().cloned())
            .with_commit_properties(CommitProperties::default().with_max_retries(0))
            .await;
        match created {
            Ok(_) => Ok(()),
            // Another job made it meanwhile.
            Err(_) if self.load(&directory(name)).await?.is_some() => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}

fn schema(table: &DeltaTable) -> Result<SchemaRef, JobError> {
    let schema: Schema = table
        .snapshot()?
        .schema()
        .as_ref()
        .try_into_arrow()
        .map_err(|e| JobError::Internal(e.to_string()))?;
    Ok(Arc::new(schema))
}

async fn paths(table: &DeltaTable) -> Result<Vec<String>, JobError> {
    let views: Vec<_> = table
        .get_active_add_actions_by_predicate(None)
        .try_collect()
        .await?;
    let mut paths: Vec<_> = views
        .iter()
        .map(|v| v.object_store_path().to_string())
        .collect();
    paths.sort();
    Ok(paths)
}

async fn commit(table: &DeltaTable, slice: &str, files: &[Written]) -> Result<(), DeltaTableError> {
    let views: Vec<_> = table
        .get_active_add_actions_by_predicate(None)
        .try_collect()
        .await?;
    let prefix = format!("{slice}-");
    let old = views
        .iter()
        .filter(|v| v.object_store_path().as_ref().starts_with(&prefix));
    let mut actions: Vec<Action> = old
        .map(|view| Action::Remove(view.remove_action(true)))
        .collect();
    actions.extend(files.iter().map(|file| {
        Action::Add(Add {
            path: file.path.clone(),
            size: i64::try_from(file.bytes).unwrap_or(i64::MAX),
            modification_time: chrono::Utc::now().timestamp_millis(),
            data_change: true,
            stats: Some(serde_json::json!({ "numRecords": file.rows }).to_string()),
            ..Add::default()
        })
    }));
    let operation = DeltaOperation::Write {
        mode: SaveMode::Overwrite,
        partition_by: None,
        predicate: None,
    };
    transact(table, actions, operation, HashMap::new()).await
}
