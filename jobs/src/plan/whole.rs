//! A whole physical plan as one leaf, so that Ballista cannot cut it into stages.
//!
//! Ballista 55 cuts below joins and unions even where there is one partition (it lowers every hash join to a shuffle or a
//! broadcast), and a shuffle is what a lost executor turns into a hang or into doubled rows. What it cannot see it
//! cannot cut: a leaf with one partition is one stage with one task.

use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PhysicalExpr, PlanProperties,
    execute_stream,
};

/// Runs the plan inside it, all its partitions in one.
#[derive(Debug)]
pub struct WholeExec {
    plan: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl WholeExec {
    /// Hides `plan`.
    #[must_use]
    pub fn new(plan: Arc<dyn ExecutionPlan>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(plan.schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            plan,
            properties: Arc::new(properties),
        }
    }

    /// What it hides.
    #[must_use]
    pub fn plan(&self) -> &Arc<dyn ExecutionPlan> {
        &self.plan
    }
}

/// What every operator of a plan has counted, also those that are hidden in it.
#[must_use]
pub fn metrics(plan: &Arc<dyn ExecutionPlan>) -> Vec<MetricsSet> {
    let mut found: Vec<_> = plan.metrics().into_iter().collect();
    let any: &dyn std::any::Any = plan.as_ref();
    match any.downcast_ref::<WholeExec>() {
        Some(whole) => found.extend(metrics(whole.plan())),
        None => found.extend(plan.children().into_iter().flat_map(metrics)),
    }
    found
}

impl DisplayAs for WholeExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = DisplayableExecutionPlan::new(self.plan.as_ref());
        write!(f, "GleanerWholeExec\n{}", plan.indent(false))
    }
}

impl ExecutionPlan for WholeExec {
    fn name(&self) -> &'static str {
        "GleanerWholeExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() {
            return Ok(self);
        }
        let bad = "GleanerWholeExec takes no input";
        Err(DataFusionError::Internal(bad.into()))
    }

    fn execute(
        &self,
        _partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        // Coalesces the partitions, if there are several.
        execute_stream(Arc::clone(&self.plan), context)
    }
}
