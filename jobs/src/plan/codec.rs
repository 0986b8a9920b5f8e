//! How our plan nodes travel: each is prefixed by a magic, everything else is delegated to Ballista's codecs.
//! Functions travel by name and need no codec.

use std::sync::Arc;

use async_trait::async_trait;
use ballista_core::serde::{BallistaLogicalExtensionCodec, BallistaPhysicalExtensionCodec};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode as _};
use datafusion::common::{DataFusionError, Result, TableReference};
use datafusion::datasource::file_format::FileFormatFactory;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::{SessionState, SessionStateBuilder, TaskContext};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Extension, LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::execution_plan::SchedulingType;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use datafusion_proto::logical_plan::LogicalExtensionCodec;
use datafusion_proto::physical_plan::{
    AsExecutionPlan, PhysicalExtensionCodec, PhysicalPlanDecodeContext,
    PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf::PhysicalPlanNode;
use gleaner_proto::plan::{ScanSpec, WriteSpec};
use prost::Message;

use super::scan::{TelemetryExec, TelemetryTable};
use super::whole::WholeExec;
use super::write::{WriteExec, WriteNode};
use crate::session;

const WRITE: &[u8] = b"GLEANER:WRITE:1:";
const SCAN: &[u8] = b"GLEANER:SCAN:1:";
const WHOLE: &[u8] = b"GLEANER:WHOLE:1:";

fn decode<M: Message + Default>(bytes: &[u8], what: &str) -> Result<M> {
    M::decode(bytes).map_err(|e| DataFusionError::Internal(format!("damaged {what} node: {e}")))
}

fn one<T: Clone>(inputs: &[T], what: &str) -> Result<T> {
    match inputs {
        [input] => Ok(input.clone()),
        _ => Err(DataFusionError::Internal(format!(
            "{what} takes one input, got {}",
            inputs.len()
        ))),
    }
}

fn encode(magic: &[u8], message: &impl Message, buf: &mut Vec<u8>) {
    buf.extend_from_slice(magic);
    buf.extend_from_slice(&message.encode_to_vec());
}

/// Logical plans between client and scheduler.
#[derive(Debug, Default)]
pub struct LogicalCodec(BallistaLogicalExtensionCodec);

impl LogicalExtensionCodec for LogicalCodec {
    fn try_decode(
        &self,
        buf: &[u8],
        inputs: &[LogicalPlan],
        ctx: &TaskContext,
    ) -> Result<Extension> {
        match buf.strip_prefix(WRITE) {
            Some(rest) => {
                let node =
                    WriteNode::new(decode::<WriteSpec>(rest, "write")?, one(inputs, "write")?)?;
                Ok(Extension {
                    node: Arc::new(node),
                })
            }
            None => self.0.try_decode(buf, inputs, ctx),
        }
    }

    fn try_encode(&self, node: &Extension, buf: &mut Vec<u8>) -> Result<()> {
        match node.node.as_any().downcast_ref::<WriteNode>() {
            Some(write) => {
                encode(WRITE, write.spec(), buf);
                Ok(())
            }
            None => self.0.try_encode(node, buf),
        }
    }

    fn try_decode_table_provider(
        &self,
        buf: &[u8],
        table: &TableReference,
        schema: SchemaRef,
        ctx: &TaskContext,
    ) -> Result<Arc<dyn TableProvider>> {
        match buf.strip_prefix(SCAN) {
            Some(rest) => {
                let spec = decode::<ScanSpec>(rest, "scan")?;
                Ok(Arc::new(TelemetryTable::new(spec)?))
            }
            None => self.0.try_decode_table_provider(buf, table, schema, ctx),
        }
    }

    fn try_encode_table_provider(
        &self,
        table: &TableReference,
        node: Arc<dyn TableProvider>,
        buf: &mut Vec<u8>,
    ) -> Result<()> {
        let any: &dyn std::any::Any = node.as_ref();
        match any.downcast_ref::<TelemetryTable>() {
            Some(telemetry) => {
                encode(SCAN, telemetry.spec(), buf);
                Ok(())
            }
            None => self.0.try_encode_table_provider(table, node, buf),
        }
    }

    fn try_decode_file_format(
        &self,
        buf: &[u8],
        ctx: &TaskContext,
    ) -> Result<Arc<dyn FileFormatFactory>> {
        self.0.try_decode_file_format(buf, ctx)
    }

    fn try_encode_file_format(
        &self,
        buf: &mut Vec<u8>,
        node: Arc<dyn FileFormatFactory>,
    ) -> Result<()> {
        self.0.try_encode_file_format(buf, node)
    }
}

/// Physical plans between scheduler and executors.
#[derive(Debug, Default)]
pub struct PhysicalCodec(BallistaPhysicalExtensionCodec);

impl PhysicalExtensionCodec for PhysicalCodec {
    fn try_decode(
        &self,
        buf: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        ctx: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if let Some(rest) = buf.strip_prefix(WRITE) {
            return Ok(Arc::new(WriteExec::new(
                decode(rest, "write")?,
                one(inputs, "write")?,
            )));
        }
        if let Some(rest) = buf.strip_prefix(SCAN) {
            return Ok(Arc::new(TelemetryExec::new(decode(rest, "scan")?)?));
        }
        if let Some(rest) = buf.strip_prefix(WHOLE) {
            let node: PhysicalPlanNode = decode(rest, "whole")?;
            let context = PhysicalPlanDecodeContext::new(ctx, self);
            let plan = converter.proto_to_execution_plan(&node, &context)?;
            return Ok(Arc::new(WholeExec::new(plan)));
        }
        self.0.try_decode(buf, inputs, ctx, converter)
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buf: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let any: &dyn std::any::Any = node.as_ref();
        if let Some(write) = any.downcast_ref::<WriteExec>() {
            encode(WRITE, write.spec(), buf);
            return Ok(());
        }
        if let Some(scan) = any.downcast_ref::<TelemetryExec>() {
            encode(SCAN, scan.spec(), buf);
            return Ok(());
        }
        if let Some(whole) = any.downcast_ref::<WholeExec>() {
            let node = converter.execution_plan_to_proto(whole.plan(), self)?;
            encode(WHOLE, &node, buf);
            return Ok(());
        }
        self.0.try_encode(node, buf, converter)
    }
}

/// Plans the logical nodes of ours; `DataFusion`'s planner does the rest.
#[derive(Debug)]
pub enum Planner {
    /// For this process.
    Embedded,
    /// On a scheduler, where a plan is wrapped into one leaf: see [`WholeExec`].
    Scheduler {
        /// Plans of several partitions, which are other clients', are left to Ballista to cut.
        shuffles: bool,
    },
}

/// The largest plan a scheduler hands out. A poll answers with as many tasks as an executor has slots, and an answer beyond
/// the limit of a message loses them all: their jobs would hang.
pub const MAX_PLAN_BYTES: usize = session::GRPC_MESSAGE_BYTES / session::MAX_SLOTS;

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        state: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(NodePlanner)]);
        let explains = matches!(plan, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_));
        let shuffles = match self {
            Self::Scheduler { shuffles } if !explains => *shuffles,
            _ => return planner.create_physical_plan(plan, state).await,
        };
        let plan = if shuffles && state.config().target_partitions() != 1 {
            planner.create_physical_plan(plan, state).await?
        } else {
            // Adaptive planning brings rules of its own, which leave joins open until a stage is over: not in here.
            let any: &dyn std::any::Any = state.as_any();
            let Some(state) = any.downcast_ref::<SessionState>() else {
                let bad = "a session of another kind";
                return Err(DataFusionError::Internal(bad.into()));
            };
            let state = SessionStateBuilder::new_from_existing(state.clone())
                .with_physical_optimizer_rules(PhysicalOptimizer::default().rules)
                .build();
            let plan = planner.create_physical_plan(plan, &state).await?;
            Arc::new(WholeExec::new(yielding(plan)?))
        };
        let codec = PhysicalCodec::default();
        let bytes =
            PhysicalPlanNode::try_from_physical_plan(Arc::clone(&plan), &codec)?.encoded_len();
        if bytes > MAX_PLAN_BYTES {
            return Err(DataFusionError::Plan(format!(
                "the query's plan has {bytes} bytes, and a task's may have {MAX_PLAN_BYTES}: put long literals into a file, \
                 and join it"
            )));
        }
        Ok(plan)
    }
}

/// Lets joins give way now and then. `DataFusion` has its leaves do so, but a join makes many batches of one that it read,
/// and a task that never waits cannot be ended when its job is cancelled.
fn yielding(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let changed = plan.transform_up(|plan| {
        let cooperative = plan.properties().scheduling_type == SchedulingType::Cooperative;
        Ok(if plan.children().len() > 1 && !cooperative {
            Transformed::yes(Arc::new(CooperativeExec::new(plan)) as _)
        } else {
            Transformed::no(plan)
        })
    });
    changed.map(|changed| changed.data)
}

#[derive(Debug)]
struct NodePlanner;

#[async_trait]
impl ExtensionPlanner for NodePlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        _session: &dyn Session,
        _context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        Ok(match node.as_any().downcast_ref::<WriteNode>() {
            Some(write) => Some(Arc::new(WriteExec::new(
                write.spec().clone(),
                one(physical_inputs, "write")?,
            ))),
            None => None,
        })
    }
}
