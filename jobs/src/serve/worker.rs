//! The process that one query of the SQL service runs in, and how the server speaks to it.
//!
//! The server starts its own program as `gleaner query-worker`, writes what is asked to its standard input as JSON, and reads an Arrow IPC
//! stream from its standard output; on standard error an error comes as one JSON object. The worker's memory and processor time are limited
//! by the operating system; when the time is over, or nobody waits for the answer any more, it is killed.

use std::io::Write as _;
use std::process::Stdio;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::buffer::Buffer;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::ipc::reader::StreamDecoder;
use datafusion::arrow::ipc::writer::StreamWriter;
use datafusion::common::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::SessionContext;
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::Instant;
use tonic::{Code, Status};

use super::sql_job::reads;
use crate::catalog;
use crate::embedding;
use crate::error::JobError;
use crate::plan::codec::Planner;
use crate::session;
use crate::storage;
use crate::warehouse::Warehouse;

/// Beyond a query's own memory: the program, its threads, the tables' logs.
const PROGRAM_BYTES: usize = 512 << 20;
const READ_BYTES: usize = 1 << 16;
/// The subcommand.
pub const NAME: &str = "query-worker";

static PROGRAM: OnceLock<Vec<String>> = OnceLock::new();

/// What stands before the subcommand when this program starts itself: for a program that holds others beside `gleaner`.
pub fn started_by(arguments: &[&str]) {
    let _ = PROGRAM.set(arguments.iter().map(|&a| a.to_owned()).collect());
}

/// What a worker is asked.
#[derive(Debug, Serialize, Deserialize)]
pub struct Asked {
    /// The warehouse's place.
    pub warehouse: String,
    /// Address of the one embedder that may be used.
    pub embedder: String,
    /// The statement.
    pub sql: String,
    /// The columns are wanted, and no rows.
    pub described: bool,
    /// Seconds.
    pub secs: u64,
    /// Of the query's operators.
    pub memory_bytes: usize,
    /// Of the result.
    pub rows: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Failure {
    code: i32,
    message: String,
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self {
            code: status.code().into(),
            message: status.message().to_owned(),
        }
    }
}

/// A worker, as the server sees it. Dropped, it is killed.
pub struct Worker {
    child: Child,
    out: ChildStdout,
    decoder: StreamDecoder,
    pending: Buffer,
    /// A batch that came with the columns.
    first: Option<RecordBatch>,
    until: Instant,
    limit: Duration,
}

impl Worker {
    /// Starts one.
    ///
    /// # Errors
    /// When no process can be started.
    pub fn start(asked: &Asked) -> Result<Self, Status> {
        let failed = |e: std::io::Error| Status::internal(format!("no process for the query: {e}"));
        let program = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(program);
        command
            .args(PROGRAM.get().into_iter().flatten())
            .arg(NAME)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        // What a query has no use for, it shall not have.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("GLEANER_") && (name.contains("KEY") || name.contains("TOKEN")) {
                command.env_remove(name);
            }
        }
        let mut child = command.spawn().map_err(failed)?;
        let (Some(mut stdin), Some(out)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Status::internal("a process without pipes"));
        };
        let limit = Duration::from_secs(asked.secs);
        let json = serde_json::to_vec(asked).map_err(|e| Status::internal(e.to_string()))?;
        tokio::spawn(async move {
            // A worker that ends before it has read says why.
            let _ = stdin.write_all(&json).await;
        });
        Ok(Self {
            child,
            out,
            decoder: StreamDecoder::new(),
            pending: Buffer::from_vec(Vec::<u8>::new()),
            first: None,
            until: Instant::now() + limit,
            limit,
        })
    }

    /// The columns of the result.
    ///
    /// # Errors
    /// What is wrong with the query.
    pub async fn schema(&mut self) -> Result<SchemaRef, Status> {
        loop {
            if let Some(schema) = self.decoder.schema() {
                return Ok(schema);
            }
            if !self.more().await? {
                return Err(Status::internal("the query's process said nothing"));
            }
            self.first = self.decoded()?;
        }
    }

    /// The next rows; `None` at the end.
    ///
    /// # Errors
    /// What became of the query.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, Status> {
        if let Some(batch) = self.first.take() {
            return Ok(Some(batch));
        }
        loop {
            if let Some(batch) = self.decoded()? {
                return Ok(Some(batch));
            }
            if !self.more().await? {
                return Ok(None);
            }
        }
    }

    fn decoded(&mut self) -> Result<Option<RecordBatch>, Status> {
        let decoded = self.decoder.decode(&mut self.pending);
        decoded.map_err(|e| Status::internal(e.to_string()))
    }

    /// Reads on; `false` when the worker has ended well.
    async fn more(&mut self) -> Result<bool, Status> {
        let mut bytes = vec![0; READ_BYTES];
        let read = tokio::time::timeout_at(self.until, self.out.read(&mut bytes)).await;
        let too_long = |_| {
            Status::deadline_exceeded(format!(
                "the query took longer than {} s: make it smaller, or submit it as a job",
                self.limit.as_secs()
            ))
        };
        let n = read
            .map_err(too_long)?
            .map_err(|e| Status::internal(e.to_string()))?;
        if n > 0 {
            bytes.truncate(n);
            if self.pending.is_empty() {
                self.pending = Buffer::from_vec(bytes);
            } else {
                let mut all = self.pending.to_vec();
                all.extend(bytes);
                self.pending = Buffer::from_vec(all);
            }
            return Ok(true);
        }
        let mut said = vec![];
        if let Some(mut err) = self.child.stderr.take() {
            let _ = err.read_to_end(&mut said).await;
        }
        let status = self.child.wait().await;
        if status.as_ref().is_ok_and(std::process::ExitStatus::success) {
            return Ok(false);
        }
        let said = String::from_utf8_lossy(&said);
        let failure = said
            .lines()
            .find_map(|line| serde_json::from_str::<Failure>(line).ok());
        Err(match failure {
            Some(failure) => Status::new(Code::from_i32(failure.code), failure.message),
            // Killed by a limit: an allocation that failed aborts the process.
            None => too_much("its process was ended by the system's limit"),
        })
    }
}

fn too_much(text: &str) -> Status {
    Status::resource_exhausted(format!(
        "the query needs more memory or processor time than it may have: aggregate or filter earlier, or submit it as a job ({text})"
    ))
}

/// A query that is wrong, not allowed, or too large.
fn refused(error: &DataFusionError) -> Status {
    let text = error.strip_backtrace();
    match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => too_much(&text),
        DataFusionError::IoError(_) | DataFusionError::ObjectStore(_) => Status::unavailable(text),
        DataFusionError::Internal(_) => Status::internal(text),
        _ => Status::invalid_argument(text),
    }
}

/// The worker's side: answers what is asked on standard input; returns the exit code.
pub async fn main() -> u8 {
    let text = std::io::read_to_string(std::io::stdin());
    let asked = text.map_err(|e| Status::internal(e.to_string()));
    let asked = asked.and_then(|text| {
        serde_json::from_str::<Asked>(&text).map_err(|e| Status::invalid_argument(e.to_string()))
    });
    let result = match asked {
        Ok(asked) => answer(&asked).await,
        Err(e) => Err(e),
    };
    let Err(status) = result else { return 0 };
    let failure = serde_json::to_string(&Failure::from(status)).unwrap_or_default();
    let _ = writeln!(std::io::stderr().lock(), "{failure}");
    2
}

#[cfg(target_os = "linux")]
fn limit(asked: &Asked) -> Result<(), Status> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let set = |resource, most: u64| {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        setrlimit(resource, limit)
            .map_err(|e| Status::internal(format!("no limit can be set: {e}")))
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    set(
        Resource::Data,
        (asked.memory_bytes.saturating_add(PROGRAM_BYTES)) as u64,
    )?;
    // In case the server dies meanwhile.
    set(
        Resource::Cpu,
        asked.secs.saturating_mul(cores as u64).saturating_add(5),
    )?;
    set(Resource::Core, 0)
}

#[cfg(not(target_os = "linux"))]
fn limit(_asked: &Asked) -> Result<(), Status> {
    Ok(())
}

async fn answer(asked: &Asked) -> Result<(), Status> {
    limit(asked)?;
    let ctx = context(asked).await.map_err(|e| super::query::status(&e))?;
    let frame = ctx.sql_with_options(&asked.sql, reads()).await;
    let frame = frame.map_err(|e| refused(&e))?;
    let schema = Arc::clone(frame.schema().inner());
    let broken = |e: datafusion::arrow::error::ArrowError| Status::internal(e.to_string());
    let mut out = StreamWriter::try_new(std::io::stdout(), &schema).map_err(broken)?;
    out.flush().map_err(broken)?;
    if !asked.described {
        let mut batches = frame.execute_stream().await.map_err(|e| refused(&e))?;
        let mut rows = 0;
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(|e| refused(&e))?;
            rows += batch.num_rows() as u64;
            if rows > asked.rows {
                return Err(Status::resource_exhausted(format!(
                    "the result has more than {} rows: add LIMIT, aggregate, or submit a job with --into",
                    asked.rows
                )));
            }
            out.write(&batch).map_err(broken)?;
        }
    }
    out.finish().map_err(broken)
}

/// The tables as of now.
async fn context(asked: &Asked) -> Result<SessionContext, JobError> {
    let warehouse = Warehouse::open(&asked.warehouse).await?;
    restrict(&warehouse, &asked.embedder);
    let runtime = RuntimeEnvBuilder::new()
        .with_object_store_registry(storage::process().registry())
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(asked.memory_bytes)))
        .with_disk_manager_builder(
            DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled),
        )
        .build_arc()?;
    let state = session::state(session::config(), runtime, Planner::Embedded)?;
    let ctx = SessionContext::new_with_state(state);
    catalog::tables(&ctx, &warehouse).await?;
    Ok(ctx)
}

/// Functions load no model but the warehouse's, and no embedder but one.
fn restrict(warehouse: &Warehouse, embedder: &str) {
    let models = warehouse.url("_models/");
    gleaner_udfs::model_cache::install_loader(Box::new(move |uri| {
        let name = uri.strip_prefix(&models);
        if name.is_none_or(|name| name.contains('/') || name.contains("..")) {
            return Err("only the warehouse's own models can be loaded here".to_owned());
        }
        storage::process().read_blocking(uri)
    }));
    embedding::install_only(embedder);
    gleaner_udfs::embedder::configure(embedder);
}
