//! What the scheduler counts: jobs by how they end, jobs and tasks that wait, executors that are alive. Ballista 55 tells its collector
//! of submitted, completed and failed jobs alone; the rest is asked of its state at every scrape.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ballista_core::JobId;
use ballista_core::error::Result;
use ballista_core::serde::BallistaCodec;
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::metrics::SchedulerMetricsCollector;
use ballista_scheduler::scheduler_server::SchedulerServer;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use gleaner::observe::listener::Served;
use gleaner::observe::metrics::{registry, seconds};
use gleaner::plan::codec::{LogicalCodec, PhysicalCodec};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

/// A scheduler of plans as Ballista's clients send them.
pub(crate) type Server = SchedulerServer<LogicalPlanNode, PhysicalPlanNode>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

/// The scheduler's metrics.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    submitted: Counter,
    ended: Family<Ended, Counter>,
    job_seconds: Family<Ended, Histogram, fn() -> Histogram>,
    jobs: Family<State, Gauge>,
    pending_tasks: Gauge,
    executors: Gauge,
    lost: Counter,
    /// At the last scrape.
    alive: Arc<Mutex<BTreeSet<String>>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let new = Self {
            submitted: Counter::default(),
            ended: Family::default(),
            job_seconds: Family::new_with_constructor(seconds),
            jobs: Family::default(),
            pending_tasks: Gauge::default(),
            executors: Gauge::default(),
            lost: Counter::default(),
            alive: Arc::default(),
        };
        for outcome in ["succeeded", "failed", "cancelled"] {
            drop(new.ended.get_or_create(&Ended { outcome }));
        }
        for outcome in ["succeeded", "failed"] {
            drop(new.job_seconds.get_or_create(&Ended { outcome }));
        }
        new
    }
}

impl Metrics {
    fn end(&self, outcome: &'static str, queued_at_ms: u64, ended_at_ms: u64) {
        let ended = Ended { outcome };
        self.ended.get_or_create(&ended).inc();
        let took = Duration::from_millis(ended_at_ms.saturating_sub(queued_at_ms));
        self.job_seconds
            .get_or_create(&ended)
            .observe(took.as_secs_f64());
    }

    /// What the listener serves: these, and readiness, which is that an executor is alive.
    pub(crate) fn served(&self, server: &Server, executor_timeout: Duration) -> Served {
        let mut registry = registry();
        let r = registry.sub_registry_with_prefix("gleaner_scheduler");
        r.register(
            "jobs_submitted",
            "Jobs that were planned",
            self.submitted.clone(),
        );
        r.register("jobs_ended", "Jobs, by their end", self.ended.clone());
        r.register(
            "job_seconds",
            "Seconds from being queued to the end of a job",
            self.job_seconds.clone(),
        );
        r.register(
            "jobs",
            "Jobs that wait to be planned, or run",
            self.jobs.clone(),
        );
        r.register(
            "pending_tasks",
            "Tasks that could run and have no slot",
            self.pending_tasks.clone(),
        );
        r.register(
            "executors",
            "Executors whose last sign of life is recent",
            self.executors.clone(),
        );
        r.register(
            "executors_lost",
            "Executors that were alive at a scrape and not at the next",
            self.lost.clone(),
        );
        let (metrics, asked) = (self.clone(), server.clone());
        let ready = server.clone();
        Served {
            registry,
            refresh: Box::new(move || {
                let (metrics, server) = (metrics.clone(), asked.clone());
                Box::pin(async move { metrics.measure(&server, executor_timeout).await })
            }),
            ready: Box::new(move || {
                let server = ready.clone();
                Box::pin(async move {
                    if alive(&server, executor_timeout).await.is_empty() {
                        return Err("no executor is alive".to_owned());
                    }
                    Ok(())
                })
            }),
        }
    }

    async fn measure(&self, server: &Server, executor_timeout: Duration) {
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let jobs = |state, n| self.jobs.get_or_create(&State { state }).set(count(n));
        jobs("queued", server.pending_job_number());
        jobs("running", server.running_job_number());
        let manager = &server.state.task_manager;
        let running = manager.get_running_job_cache();
        let tasks = running
            .keys()
            .map(|job| manager.get_available_task_count(job));
        // A job that has ended meanwhile has none.
        let tasks = futures::future::join_all(tasks).await;
        let pending = tasks.into_iter().map(Result::unwrap_or_default).sum();
        self.pending_tasks.set(count(pending));
        let now = alive(server, executor_timeout).await;
        self.executors.set(count(now.len()));
        let mut before = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        self.lost.inc_by(before.difference(&now).count() as u64);
        *before = now;
    }
}

/// Executors whose last sign of life is not older than the time after which one is given up.
async fn alive(server: &Server, executor_timeout: Duration) -> BTreeSet<String> {
    let executors = server.state.executor_manager.get_executors_state().await;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let recent = |seen: Option<Duration>| seen.is_some_and(|at| at + executor_timeout >= now);
    let executors = executors.unwrap_or_default().into_iter();
    executors
        .filter(|(_, seen, _)| recent(*seen))
        .map(|(executor, ..)| executor.id)
        .collect()
}

impl SchedulerMetricsCollector for Metrics {
    fn record_submitted(&self, _: &JobId, _: u64, _: u64) {
        self.submitted.inc();
    }

    fn record_completed(&self, _: &JobId, queued_at: u64, completed_at: u64) {
        self.end("succeeded", queued_at, completed_at);
    }

    fn record_failed(&self, _: &JobId, queued_at: u64, failed_at: u64) {
        self.end("failed", queued_at, failed_at);
    }

    fn record_cancelled(&self, _: &JobId) {
        self.ended
            .get_or_create(&Ended {
                outcome: "cancelled",
            })
            .inc();
    }

    fn set_pending_tasks_queue_size(&self, _: u64) {
        // Ballista 55 never calls it: the number is asked for.
    }

    fn gather_metrics(&self) -> Result<Option<(Vec<u8>, String)>> {
        Ok(None)
    }
}

/// A scheduler that tells `metrics` of its jobs: Ballista's own `create_scheduler` takes no collector.
pub(crate) async fn scheduler(
    cluster: BallistaCluster,
    config: Arc<SchedulerConfig>,
    metrics: &Metrics,
) -> Result<Server> {
    let codec = BallistaCodec::new(
        Arc::new(LogicalCodec::default()),
        Arc::new(PhysicalCodec::default()),
    );
    let endpoint = config.scheduler_endpoint();
    let collector = Arc::new(metrics.clone());
    let mut server = SchedulerServer::new(endpoint, cluster, codec, config, collector);
    server.init().await?;
    Ok(server)
}
