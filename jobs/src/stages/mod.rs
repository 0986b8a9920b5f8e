//! The stages of a day, in reading order: each is SQL over our functions (the `.sql` files beside this one) and the
//! glue that cuts it into tasks, merges states and commits.
//!
//! A stage has a *fingerprint*: the hash of what its answer depends on, which is the digests of what it reads, its
//! parameters, and [`REVISION`]. The ledger keeps, under that fingerprint, what a finished stage counted and which files
//! it wrote: where those are still there, the stage is skipped. The day is published at the end, all tables together.

pub mod anomalies;
pub mod benign;
pub mod candidates;
mod carried;
pub mod categories;
pub mod detectors;
pub mod drift;
pub mod embeddings;
mod held;
pub mod incidents;
pub mod inputs;
pub mod labels;
pub mod models;
pub mod runs;
pub mod selection;
pub mod sql;
mod taught;
pub mod telemetry;
pub mod thresholds;
pub mod unit;
pub mod verdicts;
pub mod windows;

use std::collections::BTreeMap;
use std::time::Instant;

use chrono::NaiveDate;
use datafusion::arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};

use crate::engine::{Engine, Source, Task, Written};
use crate::error::JobError;
use crate::faults;
use crate::options::RunOptions;
use crate::plan::write::Digest;
use crate::warehouse::Warehouse;
use crate::warehouse::delta::{DataFile, file_prefix};
use crate::warehouse::tables::Table;
use gleaner_udfs::model_cache::sha256;

/// Raised whenever a stage would answer differently on the same input.
pub const REVISION: u32 = 10;

/// The stages of every kind of telemetry, by name and in order; those of one are [`unit::Unit::stages`].
pub const STAGES: &[&str] = &[
    "telemetry",
    "commands",
    "requests",
    "windows",
    "models",
    "anomalies",
    "incidents",
    "candidates",
    "labels",
    "benign",
];

/// What a stage did: a row of `runs`, an entry of the ledger, an object of `gleaner status`.
/// `rows_in = rows_kept + rows_quarantined + rows_dropped`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StageRecord {
    /// Its name.
    pub stage: String,
    /// Rows it read.
    pub rows_in: u64,
    /// Rows it handed on.
    pub rows_kept: u64,
    /// Rows that could not be read.
    pub rows_quarantined: u64,
    /// Rows that it left out on purpose: duplicates, other days, ordinary lines, covered lines, not benign ones.
    pub rows_dropped: u64,
    /// Wall-clock seconds.
    pub secs: f64,
    /// Bytes of the files it committed.
    pub bytes: u64,
    /// What it was made from.
    pub fingerprint: String,
    /// Digest of its rows.
    pub digest: String,
    /// What later stages need: model URIs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub notes: BTreeMap<String, String>,
    /// The files it wrote, by table.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, Vec<DataFile>>,
    /// Found up to date, not computed.
    #[serde(skip)]
    pub reused: bool,
}

impl StageRecord {
    /// The files that the stage wrote to a table.
    #[must_use]
    pub fn files_of(&self, table: &Table) -> &[DataFile] {
        self.files.get(table.name).map_or(&[], Vec::as_slice)
    }

    /// # Errors
    /// When rows in and rows out differ.
    pub fn balanced(self, stage: &'static str) -> Result<Self, JobError> {
        let out = self.rows_kept + self.rows_quarantined + self.rows_dropped;
        if self.rows_in == out {
            return Ok(self);
        }
        let what = format!(
            "{} rows in, but {} kept + {} quarantined + {} dropped",
            self.rows_in, self.rows_kept, self.rows_quarantined, self.rows_dropped
        );
        Err(JobError::Unbalanced { stage, what })
    }
}

/// Told how a day goes.
pub trait Progress: Sync {
    /// A stage begins its next step, of `tasks` tasks.
    fn step(&self, stage: &str, step: &str, tasks: usize);
    /// A task of the step is done.
    fn task_done(&self);
    /// What the step is at, beside its count of tasks.
    fn message(&self, _text: &str) {}
    /// Something its user should know.
    fn remark(&self, text: &str);
    /// A stage is done.
    fn stage_done(&self, record: &StageRecord);
}

/// A day being run.
pub struct DayRun<'a> {
    /// Where queries run.
    pub engine: &'a Engine,
    /// What is written.
    pub warehouse: &'a Warehouse,
    /// The UTC day.
    pub day: NaiveDate,
    /// The user's choices.
    pub options: &'a RunOptions,
    /// Told how it goes.
    pub progress: &'a dyn Progress,
    /// Name of the run's staging directory.
    pub run: String,
}

impl DayRun<'_> {
    /// The fingerprint of a stage whose answer depends on `parts`.
    #[must_use]
    pub fn fingerprint(&self, stage: &str, parts: &[&str]) -> String {
        let text = serde_json::json!([REVISION, stage, self.day.to_string(), parts]).to_string();
        sha256(text.as_bytes())[..16].to_owned()
    }

    /// The ledger's record of a stage, when it was finished under `fingerprint` and its files are there.
    ///
    /// # Errors
    /// When the warehouse cannot be read.
    pub async fn up_to_date(
        &self,
        stage: &str,
        fingerprint: &str,
    ) -> Result<Option<StageRecord>, JobError> {
        let Some(bytes) = self.warehouse.ledger(self.day, stage, fingerprint).await? else {
            return Ok(None);
        };
        let Ok(record) = serde_json::from_slice::<StageRecord>(&bytes) else {
            return Ok(None);
        };
        if record.files.is_empty() {
            return Ok(None);
        }
        for (table, files) in &record.files {
            // What another day replaced goes when somebody vacuums the table.
            let there = self
                .warehouse
                .list(&format!("{table}/day={}", self.day))
                .await?;
            let sizes: BTreeMap<_, _> = there.into_iter().map(|o| (o.path, o.bytes)).collect();
            let whole =
                |file: &DataFile| sizes.get(&format!("{table}/{}", file.path)) == Some(&file.bytes);
            if !files.iter().all(whole) {
                return Ok(None);
            }
        }
        Ok(Some(StageRecord {
            reused: true,
            ..record
        }))
    }

    /// Ends a stage: its accounts, and the files that it wrote, go to the ledger.
    ///
    /// # Errors
    /// When the books do not balance, or the ledger cannot be written.
    pub async fn finish(
        &self,
        stage: &'static str,
        tables: &[(Table, &[Written])],
        started: Instant,
        record: StageRecord,
    ) -> Result<StageRecord, JobError> {
        let mut digest = Digest::default();
        let mut bytes = 0;
        let mut files = BTreeMap::new();
        for (table, written) in tables {
            for file in *written {
                digest.merge(&file.digest);
                bytes += file.bytes;
            }
            let of_day = written.iter().map(|w| DataFile::written(self.day, w));
            files.insert(table.name.to_owned(), of_day.collect());
        }
        let record = StageRecord {
            stage: stage.to_owned(),
            secs: started.elapsed().as_secs_f64(),
            bytes,
            digest: digest.to_hex(),
            files,
            ..record
        };
        let record = record.balanced(stage)?;
        let json = serde_json::to_vec(&record).map_err(|e| JobError::Internal(e.to_string()))?;
        self.warehouse
            .write_ledger(self.day, stage, &record.fingerprint, json)
            .await?;
        faults::reach("stage.finished", stage);
        Ok(record)
    }

    /// A task that writes a part of the day to `table`.
    #[must_use]
    pub fn table_task(
        &self,
        table: &Table,
        part: usize,
        fingerprint: &str,
        sql: String,
        tables: BTreeMap<String, Source>,
    ) -> Task {
        let spec = gleaner_proto::plan::WriteSpec {
            directory_url: self.warehouse.url(&format!("{}/", table.name)),
            file_prefix: file_prefix(self.day, part, fingerprint),
            sort_column: String::new(),
            staged: false,
        };
        Task {
            name: format!("{}/{}/{part}", self.day, table.name),
            sql,
            tables,
            write: Some(spec),
        }
    }

    /// A task that writes an intermediate file; its path is below [`DayRun::staging_url`].
    #[must_use]
    pub fn staging_task(
        &self,
        name: &str,
        part: usize,
        sort: &str,
        sql: String,
        tables: BTreeMap<String, Source>,
    ) -> Task {
        let spec = gleaner_proto::plan::WriteSpec {
            directory_url: self.staging_url(),
            file_prefix: format!("{name}/{part:05}"),
            sort_column: sort.to_owned(),
            staged: true,
        };
        Task {
            name: format!("{}/{name}/{part}", self.day),
            sql,
            tables,
            write: Some(spec),
        }
    }

    /// Where intermediate files go.
    #[must_use]
    pub fn staging_url(&self) -> String {
        self.warehouse.url(&format!("_staging/{}/", self.run))
    }

    /// Runs tasks of a step, with progress.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub async fn run(
        &self,
        stage: &str,
        step: &str,
        tasks: Vec<Task>,
    ) -> Result<Vec<Vec<RecordBatch>>, JobError> {
        self.progress.step(stage, step, tasks.len());
        self.engine.run(tasks, &|| self.progress.task_done()).await
    }

    /// Runs tasks of a step and hands each result to `f`, in task order, as soon as it can be.
    ///
    /// # Errors
    /// As [`Engine::fold`].
    pub async fn fold(
        &self,
        stage: &str,
        step: &str,
        tasks: Vec<Task>,
        f: impl FnMut(Vec<RecordBatch>) -> Result<(), JobError>,
    ) -> Result<(), JobError> {
        self.progress.step(stage, step, tasks.len());
        self.engine
            .fold(tasks, &|| self.progress.task_done(), f)
            .await
    }

    /// Runs writing tasks of a step, with progress.
    ///
    /// # Errors
    /// As [`Engine::run_writes`].
    pub async fn run_writes(
        &self,
        stage: &str,
        step: &str,
        tasks: Vec<Task>,
    ) -> Result<Vec<Written>, JobError> {
        self.progress.step(stage, step, tasks.len());
        self.engine
            .run_writes(tasks, &|| self.progress.task_done())
            .await
    }

    /// The day's files of a table, each as a source of its own, as the stage of `made` wrote them.
    #[must_use]
    pub fn buckets(&self, table: &Table, made: &StageRecord) -> Vec<Source> {
        let files = made.files_of(table).iter();
        files.map(|file| self.source(table, [file])).collect()
    }

    /// The day's files of a table as one source.
    #[must_use]
    pub fn whole(&self, table: &Table, made: &StageRecord) -> Source {
        self.source(table, made.files_of(table))
    }

    /// Files of a table as a source.
    #[must_use]
    pub fn source<'f>(
        &self,
        table: &Table,
        files: impl IntoIterator<Item = &'f DataFile>,
    ) -> Source {
        let url = |file: &DataFile| self.warehouse.url(&format!("{}/{}", table.name, file.path));
        Source::Parquet {
            urls: files.into_iter().map(url).collect(),
            schema: table.schema(),
            sorted_by: &[],
        }
    }

    /// Files that tasks wrote to a table's directory, not committed yet, as one source.
    #[must_use]
    pub fn written(&self, table: &Table, written: &[Written]) -> Source {
        let url = |w: &Written| self.warehouse.url(&format!("{}/{}", table.name, w.path));
        Source::Parquet {
            urls: written.iter().map(url).collect(),
            schema: table.schema(),
            sorted_by: &[],
        }
    }

    /// Staged files as one source.
    #[must_use]
    pub fn staged(
        &self,
        written: &[Written],
        schema: datafusion::arrow::datatypes::SchemaRef,
    ) -> Source {
        let base = self.staging_url();
        Source::Parquet {
            urls: written
                .iter()
                .map(|w| format!("{base}{}", w.path))
                .collect(),
            schema,
            sorted_by: &[],
        }
    }
}

/// A task's tables.
#[must_use]
pub fn tables<const N: usize>(sources: [(&str, Source); N]) -> BTreeMap<String, Source> {
    sources
        .into_iter()
        .map(|(name, source)| (name.to_owned(), source))
        .collect()
}

/// The sum of the rows of written files.
#[must_use]
pub fn rows_of(written: &[Written]) -> u64 {
    written.iter().map(|w| w.rows).sum()
}
