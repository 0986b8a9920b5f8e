//! What keeps a task on a cluster from hanging. Ballista 55's client waits for ever when the scheduler has forgotten its job
//! (it was restarted), when a job was submitted while no executor was registered, when an executor freezes while its
//! result is fetched, and when a poll message between executor and scheduler is lost. So every task has a deadline, and
//! while it runs the scheduler is asked whether it knows the job and whether there are executors. A job that is given up,
//! or whose stage failed elsewhere, is cancelled.

use std::sync::Arc;
use std::time::Duration;

use ballista_core::execution_plans::DistributedQueryExec;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::protobuf::{CancelJobParams, GetJobStatusParams};
use ballista_core::utils::{GrpcClientConfig, create_grpc_client_endpoint};
use datafusion::arrow::array::RecordBatch;
use datafusion::common::DataFusionError;
use datafusion::dataframe::DataFrame;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion_proto::protobuf::LogicalPlanNode;
use tokio::time::Instant;

use crate::secure::ClientTls;

/// How often a running task is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// How long the scheduler may be away, or without executors, before a task gives up.
const GRACE: Duration = Duration::from_mins(1);
const REQUEST: Duration = Duration::from_secs(10);

/// Why a task on a cluster did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Planning or execution failed.
    #[error(transparent)]
    Query(#[from] DataFusionError),
    /// The deadline passed.
    #[error(
        "no result within {0} s, the job was cancelled: raise --task-timeout if tasks may take that long"
    )]
    Deadline(u64),
    /// The scheduler does not know the job.
    #[error("the scheduler has forgotten the job: it was restarted")]
    Forgotten,
    /// Nobody computes.
    #[error(
        "the scheduler has had no executor for {0} s: start gleaner-executor --scheduler …, then run the same command \
         again; finished stages are not repeated"
    )]
    NoExecutors(u64),
    /// The scheduler does not answer.
    #[error(
        "the scheduler at {url} has not answered for {secs} s: start it, then run the same command again; finished \
         stages are not repeated"
    )]
    NoScheduler {
        /// Where.
        url: String,
        /// For how long.
        secs: u64,
    },
}

/// A cluster's scheduler, as a client sees it.
#[derive(Debug, Clone)]
pub struct Guard {
    /// `http://host:port`, or `https://host:port`.
    scheduler: String,
    deadline: Duration,
    http: reqwest::Client,
    tls: Option<ClientTls>,
}

/// What the scheduler says of itself.
enum Health {
    Ready,
    NoExecutors,
    Silent,
}

impl Guard {
    /// A guard of jobs on the scheduler at `http://host:port`, or `https://host:port` with `tls`.
    ///
    /// # Errors
    /// When an HTTP client cannot be made.
    pub fn new(
        scheduler: String,
        deadline: Duration,
        tls: Option<ClientTls>,
    ) -> Result<Self, DataFusionError> {
        let http = match &tls {
            Some(tls) => tls.http(REQUEST).map_err(|e| Box::new(e) as _),
            None => reqwest::Client::builder()
                .timeout(REQUEST)
                .no_proxy()
                .build()
                .map_err(|e| Box::new(e) as _),
        };
        Ok(Self {
            scheduler,
            deadline,
            http: http.map_err(DataFusionError::External)?,
            tls,
        })
    }

    /// Runs a query to its end.
    ///
    /// # Errors
    /// As [`ClusterError`] says; the job is cancelled then.
    pub async fn collect(&self, frame: DataFrame) -> Result<Vec<RecordBatch>, ClusterError> {
        let context = Arc::new(frame.task_ctx());
        let plan = frame.create_physical_plan().await?;
        let mut job = Job {
            guard: self.clone(),
            plan: Arc::clone(&plan),
            open: true,
        };
        let result = tokio::select! {
            result = collect(plan, context) => result.map_err(ClusterError::from),
            why = self.watch(&job) => Err(why),
        };
        job.open = result.is_err();
        result
    }

    /// Ends when there is no hope for the job.
    async fn watch(&self, job: &Job) -> ClusterError {
        let started = Instant::now();
        let (mut forgotten, mut idle_since, mut silent_since) = (0, None, None);
        loop {
            tokio::time::sleep(LOOK.min(self.deadline)).await;
            if started.elapsed() >= self.deadline {
                return ClusterError::Deadline(self.deadline.as_secs());
            }
            let health = self.health().await;
            let since = |known: &mut Option<Instant>, now: bool| match (now, &known) {
                (true, Some(since)) => since.elapsed(),
                (true, None) => {
                    *known = Some(Instant::now());
                    Duration::ZERO
                }
                (false, _) => {
                    *known = None;
                    Duration::ZERO
                }
            };
            if since(&mut idle_since, matches!(health, Health::NoExecutors)) >= GRACE {
                return ClusterError::NoExecutors(GRACE.as_secs());
            }
            if since(&mut silent_since, matches!(health, Health::Silent)) >= GRACE {
                return self.no_scheduler();
            }
            // Twice: a job is known a moment after it was accepted.
            match job.is_known().await {
                Some(false) => forgotten += 1,
                Some(true) => forgotten = 0,
                None => {}
            }
            if forgotten >= 2 {
                return ClusterError::Forgotten;
            }
        }
    }

    fn no_scheduler(&self) -> ClusterError {
        ClusterError::NoScheduler {
            url: self.scheduler.replacen("http", "df", 1),
            secs: GRACE.as_secs(),
        }
    }

    async fn health(&self) -> Health {
        match self
            .http
            .get(format!("{}/readyz", self.scheduler))
            .send()
            .await
        {
            Ok(answer) if answer.status().is_success() => Health::Ready,
            Ok(_) => Health::NoExecutors,
            Err(_) => Health::Silent,
        }
    }

    /// Waits for a scheduler that was restarted.
    ///
    /// # Errors
    /// When it stays away.
    pub async fn wait_for_scheduler(&self) -> Result<(), ClusterError> {
        let started = Instant::now();
        while matches!(self.health().await, Health::Silent) {
            if started.elapsed() >= GRACE {
                return Err(self.no_scheduler());
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Ok(())
    }

    /// Whether the scheduler knows a job; `None` when it does not answer.
    async fn knows(&self, job_id: String) -> Option<bool> {
        let ask = async {
            let channel = self.endpoint()?.connect().await.ok()?;
            let params = GetJobStatusParams { job_id };
            let answer = SchedulerGrpcClient::new(channel)
                .get_job_status(params)
                .await;
            Some(answer.ok()?.into_inner().status.is_some())
        };
        tokio::time::timeout(REQUEST, ask).await.ok()?
    }

    async fn cancel(&self, job_id: String) {
        let ask = async {
            let channel = self.endpoint()?.connect().await.ok()?;
            let params = CancelJobParams { job_id };
            SchedulerGrpcClient::new(channel)
                .cancel_job(params)
                .await
                .ok()
        };
        let _ = tokio::time::timeout(REQUEST, ask).await;
    }

    fn endpoint(&self) -> Option<tonic::transport::Endpoint> {
        let config = GrpcClientConfig::default();
        let endpoint = create_grpc_client_endpoint(self.scheduler.clone(), Some(&config)).ok()?;
        match &self.tls {
            None => Some(endpoint),
            Some(tls) => tls
                .endpoint(&endpoint, Some(&config))
                .inspect_err(|e| log::error!("{e}"))
                .ok(),
        }
    }
}

/// A job that is cancelled when it is dropped open.
struct Job {
    guard: Guard,
    plan: Arc<dyn ExecutionPlan>,
    open: bool,
}

impl Job {
    /// Its name on the scheduler, once that has accepted it.
    fn id(&self) -> Option<String> {
        job_id(&self.plan)
    }

    async fn is_known(&self) -> Option<bool> {
        self.guard.knows(self.id()?).await
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let (true, Some(id)) = (self.open, self.id()) else {
            return;
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let guard = self.guard.clone();
            runtime.spawn(async move { guard.cancel(id).await });
        }
    }
}

fn job_id(plan: &Arc<dyn ExecutionPlan>) -> Option<String> {
    let any: &dyn std::any::Any = plan.as_ref();
    any.downcast_ref::<DistributedQueryExec<LogicalPlanNode>>()
        .and_then(DistributedQueryExec::job_id)
        .map(|id| id.to_string())
        .or_else(|| plan.children().into_iter().find_map(job_id))
}
