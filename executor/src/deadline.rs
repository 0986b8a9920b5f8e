//! The end of a task before its own: at its deadline, or when its job has ended elsewhere. A pull-mode executor of Ballista
//! 55 runs no server that could be told so: [`crate::wanted`] asks.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ballista_core::JobId;
use ballista_core::serde::protobuf::{
    RuntimeStatsReport, ShuffleWritePartition, WindowStateReport,
};
use ballista_executor::execution_engine::{
    DefaultExecutionEngine, ExecutionEngine, QueryStageExecutor,
};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::prelude::SessionConfig;
use gleaner::faults;
use gleaner::observe::context::{self, Context};

use crate::metrics::{self, Metrics};

use crate::wanted::Jobs;

/// Ballista's engine, each task within a time and for as long as its job runs.
pub(crate) struct Deadlines {
    engine: DefaultExecutionEngine,
    limit: Duration,
    jobs: Jobs,
    metrics: Metrics,
}

impl Deadlines {
    pub(crate) fn new(limit: Duration, jobs: Jobs, metrics: Metrics) -> Self {
        Self {
            engine: DefaultExecutionEngine::new(),
            limit,
            jobs,
            metrics,
        }
    }
}

impl ExecutionEngine for Deadlines {
    fn create_query_stage_exec(
        &self,
        job_id: JobId,
        stage_id: usize,
        task_id: usize,
        partitions: Vec<usize>,
        plan: Arc<dyn ExecutionPlan>,
        work_dir: &str,
        config: &SessionConfig,
    ) -> Result<Arc<dyn QueryStageExecutor>> {
        let jobs = self.jobs.clone();
        let job = job_id.to_string();
        let about = Context {
            job: Some(job_id.to_string().into()),
            stage: Some(stage_id.to_string().into()),
            task: Some(task_id.to_string().into()),
            ..Context::default()
        };
        let counted = Arc::clone(&plan);
        let inner = self.engine.create_query_stage_exec(
            job_id, stage_id, task_id, partitions, plan, work_dir, config,
        )?;
        Ok(Arc::new(Limited {
            inner,
            plan: counted,
            limit: self.limit,
            jobs,
            job,
            about,
            metrics: self.metrics.clone(),
        }))
    }
}

#[derive(Debug)]
struct Limited {
    inner: Arc<dyn QueryStageExecutor>,
    plan: Arc<dyn ExecutionPlan>,
    limit: Duration,
    jobs: Jobs,
    job: String,
    about: Context,
    metrics: Metrics,
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl QueryStageExecutor for Limited {
    async fn execute_query_stage(
        &self,
        task_id: usize,
        context: Arc<TaskContext>,
    ) -> Result<Vec<ShuffleWritePartition>> {
        let running = self.metrics.begin(&self.plan);
        let task =
            tokio::time::timeout(self.limit, self.inner.execute_query_stage(task_id, context));
        let work = async {
            let result = tokio::select! {
                result = task => result,
                // Dropped unended: cancelled.
                why = self.jobs.ended(self.job.clone()) => return Err(DataFusionError::Execution(why)),
            };
            let outcome = match &result {
                Ok(Ok(_)) => metrics::SUCCEEDED,
                Ok(Err(_)) => metrics::FAILED,
                Err(_) => metrics::TIMED_OUT,
            };
            running.end(outcome);
            log::debug!("task {outcome}");
            result.map_err(|_| {
                DataFusionError::Execution(format!(
                    "the task took longer than this executor's --task-timeout of {} s",
                    self.limit.as_secs()
                ))
            })
        };
        let result = context::scope(self.about.clone(), work).await?;
        faults::reach("task.done", "");
        result
    }

    fn collect_plan_metrics(&self) -> Vec<MetricsSet> {
        self.inner.collect_plan_metrics()
    }

    fn collect_runtime_stats_reports(&self) -> Vec<RuntimeStatsReport> {
        self.inner.collect_runtime_stats_reports()
    }

    fn collect_window_state_reports(&self) -> Result<Vec<WindowStateReport>> {
        self.inner.collect_window_state_reports()
    }
}
