//! What an executor counts: tasks by how they end, what their plans read, wrote and spilled, slots and memory in use.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::ExecutionPlan;
use gleaner::observe::listener::Served;
use gleaner::observe::metrics::{registry, seconds};
use gleaner::plan::whole;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

/// For a look at whether a port is open.
const LOOK: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    outcome: &'static str,
}

/// The executor's metrics; clones count together.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    tasks: Family<Ended, Counter>,
    task_seconds: Family<Ended, Histogram, fn() -> Histogram>,
    rows_read: Counter,
    bytes_read: Counter,
    rows_written: Counter,
    bytes_written: Counter,
    spilled: Counter,
    slots: Gauge,
    busy: Gauge,
    memory_limit: Gauge,
    memory: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let new = Self {
            tasks: Family::default(),
            task_seconds: Family::new_with_constructor(seconds),
            rows_read: Counter::default(),
            bytes_read: Counter::default(),
            rows_written: Counter::default(),
            bytes_written: Counter::default(),
            spilled: Counter::default(),
            slots: Gauge::default(),
            busy: Gauge::default(),
            memory_limit: Gauge::default(),
            memory: Gauge::default(),
        };
        for outcome in [SUCCEEDED, FAILED, TIMED_OUT, CANCELLED] {
            let ended = Ended { outcome };
            drop(new.tasks.get_or_create(&ended));
            drop(new.task_seconds.get_or_create(&ended));
        }
        new
    }
}

pub(crate) const SUCCEEDED: &str = "succeeded";
pub(crate) const FAILED: &str = "failed";
pub(crate) const TIMED_OUT: &str = "timed_out";
const CANCELLED: &str = "cancelled";

/// A task that runs. One that is dropped was cancelled.
pub(crate) struct Running {
    metrics: Metrics,
    plan: Arc<dyn ExecutionPlan>,
    started: Instant,
    outcome: &'static str,
}

impl Metrics {
    pub(crate) fn begin(&self, plan: &Arc<dyn ExecutionPlan>) -> Running {
        self.busy.inc();
        Running {
            metrics: self.clone(),
            plan: Arc::clone(plan),
            started: Instant::now(),
            outcome: CANCELLED,
        }
    }

    /// What the listener serves. Ready: both this executor's port and the scheduler's can be reached.
    pub(crate) fn served(
        &self,
        slots: usize,
        memory_bytes: u64,
        runtime: Arc<RuntimeEnv>,
        own: SocketAddr,
        scheduler: String,
    ) -> Served {
        self.slots.set(i64::try_from(slots).unwrap_or(i64::MAX));
        self.memory_limit
            .set(i64::try_from(memory_bytes).unwrap_or(i64::MAX));
        let mut registry = registry();
        let r = registry.sub_registry_with_prefix("gleaner_executor");
        r.register("tasks", "Tasks, by their end", self.tasks.clone());
        r.register(
            "task_seconds",
            "Wall-clock seconds of a task",
            self.task_seconds.clone(),
        );
        r.register(
            "rows_read",
            "Rows that tasks' plans read from files",
            self.rows_read.clone(),
        );
        r.register(
            "bytes_read",
            "Bytes that tasks' plans read from Parquet files of the warehouse",
            self.bytes_read.clone(),
        );
        r.register(
            "rows_written",
            "Rows that tasks wrote to files of the warehouse",
            self.rows_written.clone(),
        );
        r.register(
            "bytes_written",
            "Bytes of those files",
            self.bytes_written.clone(),
        );
        r.register(
            "spilled_bytes",
            "Bytes that operators spilled to disk",
            self.spilled.clone(),
        );
        r.register("slots", "Tasks that may run at a time", self.slots.clone());
        r.register("slots_in_use", "Tasks that run", self.busy.clone());
        r.register(
            "memory_limit_bytes",
            "Memory of all tasks together beyond which operators spill",
            self.memory_limit.clone(),
        );
        r.register(
            "memory_reserved_bytes",
            "Memory that operators have reserved",
            self.memory.clone(),
        );
        let memory = self.memory.clone();
        Served {
            registry,
            refresh: Box::new(move || {
                let reserved = i64::try_from(runtime.memory_pool.reserved());
                memory.set(reserved.unwrap_or(i64::MAX));
                Box::pin(async {})
            }),
            ready: Box::new(move || {
                let scheduler = scheduler.clone();
                Box::pin(async move {
                    for (name, address) in [("own", own.to_string()), ("scheduler's", scheduler)] {
                        let connect = tokio::net::TcpStream::connect(address);
                        if !matches!(tokio::time::timeout(LOOK, connect).await, Ok(Ok(_))) {
                            return Err(format!("the {name} port does not answer"));
                        }
                    }
                    Ok(())
                })
            }),
        }
    }
}

impl Running {
    pub(crate) fn end(mut self, outcome: &'static str) {
        self.outcome = outcome;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let metrics = &self.metrics;
        metrics.busy.dec();
        let ended = Ended {
            outcome: self.outcome,
        };
        metrics.tasks.get_or_create(&ended).inc();
        let secs = self.started.elapsed().as_secs_f64();
        metrics.task_seconds.get_or_create(&ended).observe(secs);
        // Not Ballista's own way: it does not see into a plan that is one leaf to it.
        for operator in whole::metrics(&self.plan) {
            let value = |name: &str| {
                let sum = operator.sum_by_name(name).map(|value| value.as_usize());
                sum.map(|sum| u64::try_from(sum).unwrap_or(u64::MAX))
            };
            // What reads files, and nothing else, says how many bytes.
            if let Some(bytes) = value("bytes_scanned") {
                metrics.bytes_read.inc_by(bytes);
                let rows = operator.output_rows().unwrap_or_default();
                metrics.rows_read.inc_by(rows as u64);
            }
            let written = |name: &str| value(name).unwrap_or_default();
            metrics.rows_written.inc_by(written("rows_written"));
            metrics.bytes_written.inc_by(written("bytes_written"));
            let spilled = operator.spilled_bytes().unwrap_or_default();
            metrics.spilled.inc_by(spilled as u64);
        }
    }
}
