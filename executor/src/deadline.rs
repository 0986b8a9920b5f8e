//! A deadline for every task. A pull-mode executor of Ballista 55 runs no server of its own, so that a cancelled job's task
//! cannot be told to stop: it would keep its slot until it ends by itself.

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

/// Ballista's engine, each task within a time.
pub(crate) struct Deadlines {
    engine: DefaultExecutionEngine,
    limit: Duration,
}

impl Deadlines {
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            engine: DefaultExecutionEngine::new(),
            limit,
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
        let inner = self.engine.create_query_stage_exec(
            job_id, stage_id, task_id, partitions, plan, work_dir, config,
        )?;
        Ok(Arc::new(Limited {
            inner,
            limit: self.limit,
        }))
    }
}

#[derive(Debug)]
struct Limited {
    inner: Arc<dyn QueryStageExecutor>,
    limit: Duration,
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
        let task = self.inner.execute_query_stage(task_id, context);
        let result = tokio::time::timeout(self.limit, task).await.map_err(|_| {
            DataFusionError::Execution(format!(
                "the task took longer than this executor's --task-timeout of {} s",
                self.limit.as_secs()
            ))
        })?;
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
