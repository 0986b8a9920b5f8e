//! Runs the tasks of a stage, in this process or on a Ballista cluster.
//!
//! A stage is a list of tasks, and a task is one query with one partition: it reads one bucket (or one group of
//! telemetry files) and returns a small state or writes one file. So no task has a shuffle. That is what makes
//! both engines compute the same bytes whatever their number of cores, keeps memory at a few tasks' worth
//! however large the day, and stays clear of the ways in which Ballista 55 hangs or doubles rows when an
//! executor is lost under a shuffle (apache/datafusion-ballista#1986 and the doubled rows we found ourselves):
//! a job of one stage with one task either returns its result or is run again ([`guard`] sees to it that it does not hang).
//!
//! The driver keeps `slots` tasks in flight and hands results back in task order, so that states merge in bucket
//! order and floating-point sums come out the same.

pub mod guard;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{Int64Type, SchemaRef};
use datafusion::common::DataFusionError;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::tree_node::{Transformed, TreeNode as _};
use datafusion::dataframe::DataFrame;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::logical_expr::{Extension, LogicalPlan};
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{SessionContext, ident};
use futures::{StreamExt, TryStreamExt};
use gleaner_proto::plan::{ScanSpec, WriteSpec};

use crate::engine::guard::{ClusterError, Guard};
use crate::error::JobError;
use crate::observe::{self, metrics};
use crate::plan::scan::TelemetryTable;
use crate::plan::write::{Digest, WriteNode};
use crate::secure::ClientTls;
use crate::session;

/// How often a task is tried before the stage fails.
const TRIES: usize = 3;

/// Where a task's table comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// Parquet files of one schema, by URL.
    Parquet {
        /// At least one.
        urls: Vec<String>,
        /// The schema of all of them.
        schema: SchemaRef,
        /// Columns that the rows of the one file ascend by, nulls last; none: unknown. What is told is believed: a sort is saved.
        sorted_by: &'static [&'static str],
    },
    /// Telemetry files.
    Telemetry(ScanSpec),
}

impl Source {
    /// The same, known to ascend by `columns`.
    #[must_use]
    pub fn ascending(mut self, columns: &'static [&'static str]) -> Self {
        if let Self::Parquet { sorted_by, .. } = &mut self {
            *sorted_by = columns;
        }
        self
    }
}

/// One query with one partition.
#[derive(Debug, Clone)]
pub struct Task {
    /// Name in progress, logs and on the cluster.
    pub name: String,
    /// The query.
    pub sql: String,
    /// Its tables.
    pub tables: BTreeMap<String, Source>,
    /// Writes the result to a file and returns its manifest row; `None`: returns the result.
    pub write: Option<WriteSpec>,
}

/// A file that a task wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Path below the directory it was written to.
    pub path: String,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// Sum of the hashes of its rows.
    pub digest: Digest,
}

/// A cluster, and how its tasks are run.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// `df://host:port` of the scheduler, or `dfs://host:port` over TLS.
    pub url: String,
    /// Certificates, with which everything goes over TLS.
    pub tls: Option<ClientTls>,
    /// How long one task may take.
    pub task_timeout: Duration,
    /// Ballista's adaptive planning. A task has one stage, so that there is nothing to adapt.
    pub adaptive: bool,
}

/// Where queries run.
#[derive(Clone)]
pub struct Engine {
    ctx: SessionContext,
    slots: usize,
    guard: Option<Guard>,
}

impl Engine {
    /// In this process: `slots` tasks at a time, operators spill beyond `memory_bytes`.
    ///
    /// # Errors
    /// When the session cannot be made.
    pub fn embedded(slots: usize, memory_bytes: usize) -> Result<Self, JobError> {
        Ok(Self {
            ctx: session::embedded(memory_bytes)?,
            slots: slots.max(1),
            guard: None,
        })
    }

    /// On a cluster, `slots` tasks at a time.
    ///
    /// # Errors
    /// When the cluster's URL is malformed.
    pub fn cluster(options: &ClusterOptions, slots: usize) -> Result<Self, JobError> {
        let tls = options.tls.as_ref();
        let scheduler = session::scheduler(&options.url, tls.is_some())?;
        Ok(Self {
            ctx: session::cluster(&scheduler, options.adaptive, tls)?,
            slots: slots.max(1),
            guard: Some(Guard::new(
                scheduler,
                options.task_timeout,
                options.tls.clone(),
            )?),
        })
    }

    /// The session, for queries of the user's own.
    #[must_use]
    pub fn session(&self) -> &SessionContext {
        &self.ctx
    }

    /// Runs a query to its end.
    ///
    /// # Errors
    /// When it fails, or the cluster does.
    pub async fn collect(&self, frame: DataFrame) -> Result<Vec<RecordBatch>, ClusterError> {
        match &self.guard {
            Some(guard) => guard.collect(frame).await,
            None => Ok(frame.collect().await?),
        }
    }

    /// Writes a query's result, a file for each of its partitions.
    ///
    /// # Errors
    /// When it fails, or the cluster does.
    pub async fn write(&self, frame: DataFrame, spec: WriteSpec) -> Result<Vec<Written>, JobError> {
        let (state, plan) = frame.into_parts();
        let node = Arc::new(WriteNode::new(spec, plan)?);
        let frame = DataFrame::new(state, LogicalPlan::Extension(Extension { node }));
        let batches = if let Some(guard) = &self.guard {
            guard.collect(frame).await?
        } else {
            let context = Arc::new(frame.task_ctx());
            let plan = yielding(frame.create_physical_plan().await?)?;
            collect(plan, context).await?
        };
        let rows = batches
            .iter()
            .flat_map(|batch| (0..batch.num_rows()).map(|row| batch.slice(row, 1)));
        rows.map(|row| written(&[row])).collect()
    }

    /// Runs `tasks`, calling `done` after each; results are in task order.
    ///
    /// # Errors
    /// As [`Engine::fold`].
    pub async fn run(
        &self,
        tasks: Vec<Task>,
        done: &(dyn Fn() + Sync),
    ) -> Result<Vec<Vec<RecordBatch>>, JobError> {
        let mut results = Vec::with_capacity(tasks.len());
        let keep = |batches| {
            results.push(batches);
            Ok(())
        };
        self.fold(tasks, done, keep).await?;
        Ok(results)
    }

    /// Runs `tasks` and hands each result to `f`, in task order; no more than `slots` results wait.
    ///
    /// # Errors
    /// The first error of `f`, or of a task that failed three times (a wrong query fails at once).
    pub async fn fold(
        &self,
        tasks: Vec<Task>,
        done: &(dyn Fn() + Sync),
        mut f: impl FnMut(Vec<RecordBatch>) -> Result<(), JobError>,
    ) -> Result<(), JobError> {
        let about = observe::context::current();
        let running = tasks.into_iter().map(|task| {
            let (engine, about) = (self.clone(), about.clone());
            async move {
                // A thread of its own for each task: a task is one partition, so it keeps one core busy.
                let name = task.name.clone();
                // It ends with the stage: a failed sibling leaves nobody writing.
                let result = SpawnedTask::spawn(async move {
                    observe::task(about, &task.name, Box::pin(engine.run_task(&task))).await
                });
                let result = result.join().await;
                let source = |e| JobError::Task {
                    name,
                    source: Box::new(e),
                };
                let result = result.map_err(source).and_then(|result| result);
                done();
                result
            }
        });
        let mut results = std::pin::pin!(futures::stream::iter(running).buffered(self.slots));
        while let Some(batches) = results.try_next().await? {
            f(batches)?;
        }
        Ok(())
    }

    /// Runs `tasks` that write: one [`Written`] each.
    ///
    /// # Errors
    /// As [`Engine::run`], and when a task returned no manifest row.
    pub async fn run_writes(
        &self,
        tasks: Vec<Task>,
        done: &(dyn Fn() + Sync),
    ) -> Result<Vec<Written>, JobError> {
        let results = self.run(tasks, done).await?;
        results.iter().map(|batches| written(batches)).collect()
    }

    async fn run_task(&self, task: &Task) -> Result<Vec<RecordBatch>, JobError> {
        let failed = |e: ClusterError| JobError::Task {
            name: task.name.clone(),
            source: Box::new(e),
        };
        let mut attempt = 1;
        loop {
            let error = match self.try_task(task).await {
                Ok(batches) => {
                    metrics::driver().task_done(true, attempt - 1);
                    return Ok(batches);
                }
                Err(e) => e,
            };
            if attempt == TRIES || !is_transient(&error) {
                metrics::driver().task_done(false, attempt - 1);
                return Err(failed(error));
            }
            log::warn!(
                "task {}: attempt {attempt} of {TRIES} failed, trying again: {error}",
                task.name
            );
            tokio::time::sleep(Duration::from_millis(250 << attempt)).await;
            attempt += 1;
            if let Some(guard) = &self.guard {
                guard.wait_for_scheduler().await.map_err(failed)?;
            }
        }
    }

    async fn try_task(&self, task: &Task) -> Result<Vec<RecordBatch>, ClusterError> {
        let ctx = session::fork(&self.ctx)?;
        for (name, source) in &task.tables {
            register(&ctx, name, source)?;
        }
        let frame = ctx.sql(&task.sql).await?;
        let frame = match &task.write {
            None => frame,
            Some(spec) => {
                let (state, plan) = frame.into_parts();
                let node = Arc::new(WriteNode::new(spec.clone(), plan)?);
                DataFrame::new(state, LogicalPlan::Extension(Extension { node }))
            }
        };
        self.collect(frame).await
    }
}

/// A plan of a user's, each of its operators giving way after some batches. `DataFusion` makes its leaves do so; but a join of all
/// with all makes batches for hours from what it has read in a second, and would see no cancellation.
fn yielding(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    let wrapped = plan.transform_up(|node| {
        let node: Arc<dyn ExecutionPlan> = Arc::new(CooperativeExec::new(node));
        Ok(Transformed::yes(node))
    })?;
    Ok(wrapped.data)
}

/// Registers one table of a task, or of a user's session.
///
/// # Errors
/// When a URL is bad or the table cannot be made.
pub fn register(ctx: &SessionContext, name: &str, source: &Source) -> Result<(), DataFusionError> {
    match source {
        Source::Parquet {
            urls,
            schema,
            sorted_by,
        } => {
            let paths = urls
                .iter()
                .map(ListingTableUrl::parse)
                .collect::<Result<Vec<_>, _>>()?;
            let mut options = ListingOptions::new(Arc::new(ParquetFormat::default()))
                .with_file_extension(".parquet");
            if !sorted_by.is_empty() && urls.len() == 1 {
                let order = sorted_by.iter().map(|name| ident(*name).sort(true, false));
                options = options.with_file_sort_order(vec![order.collect()]);
            }
            let config = ListingTableConfig::new_with_multi_paths(paths)
                .with_listing_options(options)
                .with_schema(Arc::clone(schema));
            ctx.register_table(name, Arc::new(ListingTable::try_new(config)?))?;
        }
        Source::Telemetry(spec) => {
            ctx.register_table(name, Arc::new(TelemetryTable::new(spec.clone())?))?;
        }
    }
    Ok(())
}

/// What another attempt may mend: input and output, the network, a lost executor or scheduler. A wrong query stays wrong.
fn is_transient(error: &ClusterError) -> bool {
    match error {
        // Ballista flattens what happened on an executor, or to it, to text: `Execution`.
        ClusterError::Query(error) => matches!(
            error.find_root(),
            DataFusionError::IoError(_)
                | DataFusionError::ObjectStore(_)
                | DataFusionError::Execution(_)
                | DataFusionError::External(_)
                | DataFusionError::ParquetError(_)
                | DataFusionError::ArrowError(..)
        ),
        ClusterError::Deadline(_) | ClusterError::Forgotten => true,
        ClusterError::NoExecutors(_) | ClusterError::NoScheduler { .. } => false,
    }
}

fn written(batches: &[RecordBatch]) -> Result<Written, JobError> {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let bad = || {
        JobError::Internal(format!(
            "a task that writes one file returned {rows} manifest rows"
        ))
    };
    let batch = batches.iter().find(|b| b.num_rows() == 1).ok_or_else(bad)?;
    if rows != 1 {
        return Err(bad());
    }
    let text = |i: usize| {
        batch
            .column(i)
            .as_string_opt::<i32>()
            .map(|c| c.value(0).to_owned())
            .ok_or_else(bad)
    };
    let count = |i: usize| -> Result<u64, JobError> {
        let column = batch
            .column(i)
            .as_primitive_opt::<Int64Type>()
            .ok_or_else(bad)?;
        u64::try_from(column.value(0)).map_err(|_| bad())
    };
    Ok(Written {
        path: text(0)?,
        rows: count(1)?,
        bytes: count(2)?,
        digest: Digest::from_hex(&text(3)?).ok_or_else(bad)?,
    })
}

/// The one value of a result with one row and one binary column; `None` when it is null.
///
/// # Errors
/// When the result has another shape.
pub fn binary_value(batches: &[RecordBatch], column: usize) -> Result<Option<Vec<u8>>, JobError> {
    let bad = || JobError::Internal("expected one row with a binary column".into());
    let batch = batches.iter().find(|b| b.num_rows() > 0).ok_or_else(bad)?;
    let values = batch
        .column(column)
        .as_binary_opt::<i32>()
        .ok_or_else(bad)?;
    Ok((!values.is_null(0)).then(|| values.value(0).to_vec()))
}
