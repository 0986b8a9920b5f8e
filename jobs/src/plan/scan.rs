//! Reads telemetry files as a table of events, quarantined rows and one account row a file: see
//! [`crate::telemetry`] for what is read and how. One partition, the files one after the other.
//!
//! The reader is synchronous and runs on Tokio's blocking pool; two batches at most wait between it and the plan.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Date32Type, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PhysicalExpr, PlanProperties,
};
use gleaner_proto::plan::{ScanSpec, TelemetryFile};
use object_store::path::Path as ObjectPath;
use url::Url;

use crate::faults;
use crate::storage::{self, ObjectReader};
use crate::telemetry::{self, FileAccount, Kind, ReadOptions, SchemaKind, TelemetryError, Undated};

/// Telemetry as a table; it travels as its [`ScanSpec`].
#[derive(Debug)]
pub struct TelemetryTable {
    spec: ScanSpec,
    kind: Kind,
}

impl TelemetryTable {
    /// The files are opened when the plan runs.
    ///
    /// # Errors
    /// When the kind of telemetry is none that this process knows.
    pub fn new(spec: ScanSpec) -> Result<Self> {
        let kind = kind_of(&spec)?;
        Ok(Self { spec, kind })
    }

    /// What is read.
    #[must_use]
    pub fn spec(&self) -> &ScanSpec {
        &self.spec
    }
}

#[async_trait]
impl TableProvider for TelemetryTable {
    fn schema(&self) -> SchemaRef {
        telemetry::events_schema(self.kind)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut spec = self.spec.clone();
        spec.projection = match projection {
            Some(columns) => columns
                .iter()
                .map(|&c| u32::try_from(c).unwrap_or(u32::MAX))
                .collect(),
            None => vec![],
        };
        Ok(Arc::new(TelemetryExec::new(spec)?))
    }
}

/// The physical node.
#[derive(Debug)]
pub struct TelemetryExec {
    spec: ScanSpec,
    columns: Option<Vec<usize>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl TelemetryExec {
    /// # Errors
    /// When the projection names a column that does not exist, or the kind of telemetry is unknown.
    pub fn new(spec: ScanSpec) -> Result<Self> {
        let full = telemetry::events_schema(kind_of(&spec)?);
        let columns = match spec.projection.as_slice() {
            [] => None,
            columns => Some(columns.iter().map(|&c| c as usize).collect::<Vec<_>>()),
        };
        let schema = match &columns {
            Some(columns) => Arc::new(full.project(columns)?),
            None => full,
        };
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        Ok(Self {
            spec,
            columns,
            properties,
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// What is read.
    #[must_use]
    pub fn spec(&self) -> &ScanSpec {
        &self.spec
    }
}

impl DisplayAs for TelemetryExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GleanerTelemetryExec: files={}", self.spec.files.len())
    }
}

impl ExecutionPlan for TelemetryExec {
    fn name(&self) -> &'static str {
        "GleanerTelemetryExec"
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
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return Err(DataFusionError::Internal(format!(
                "telemetry has one partition, asked for {partition}"
            )));
        }
        let mut builder = RecordBatchReceiverStreamBuilder::new(self.schema(), 2);
        let (sender, spec, columns) = (builder.tx(), self.spec.clone(), self.columns.clone());
        let rows = MetricBuilder::new(&self.metrics).output_rows(partition);
        let bytes = MetricBuilder::new(&self.metrics).counter("bytes_scanned", partition);
        let size = spec.files.iter().map(|file| file.size_bytes).sum::<u64>();
        builder.spawn_blocking(move || {
            let mut emit = |batch: RecordBatch| {
                rows.add(batch.num_rows());
                let batch = match &columns {
                    Some(columns) => batch.project(columns).map_err(DataFusionError::from),
                    None => Ok(batch),
                };
                sender
                    .blocking_send(batch)
                    .map_err(|e| TelemetryError::Receiver(Box::new(e)))
            };
            match read(&spec, &context, &mut emit) {
                // The receiver went away because it has enough, or because the query failed elsewhere.
                Err(DataFusionError::External(e))
                    if matches!(e.downcast_ref(), Some(TelemetryError::Receiver(_))) =>
                {
                    Ok(())
                }
                other => {
                    bytes.add(usize::try_from(size).unwrap_or(usize::MAX));
                    other
                }
            }
        });
        Ok(builder.build())
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// The kind of telemetry that is read; a driver of an older version names none.
fn kind_of(spec: &ScanSpec) -> Result<Kind> {
    match spec.kind.as_str() {
        "" => Ok(Kind::Command),
        name => Kind::named(name).ok_or_else(|| {
            DataFusionError::Plan(format!(
                "telemetry of kind {name:?} is unknown here: use a gleaner of the driver's version"
            ))
        }),
    }
}

type Emit<'a> = &'a mut dyn FnMut(RecordBatch) -> std::result::Result<(), TelemetryError>;

fn read(spec: &ScanSpec, context: &TaskContext, emit: Emit<'_>) -> Result<()> {
    let day = Date32Type::to_naive_date_opt(spec.day)
        .ok_or_else(|| DataFusionError::Internal(format!("day {} is out of range", spec.day)))?;
    let kind = kind_of(spec)?;
    let schema = match spec.schema.as_str() {
        "" => None,
        name => Some(
            SchemaKind::named(kind, name).map_err(|e| DataFusionError::External(Box::new(e)))?,
        ),
    };
    let options = ReadOptions {
        schema,
        max_line_bytes: usize::try_from(spec.max_line_bytes).unwrap_or(usize::MAX),
        undated: if spec.undated_as_day {
            Undated::AsDay
        } else {
            Undated::Quarantine
        },
        ..ReadOptions::of(kind, day)
    };
    for file in &spec.files {
        read_file(file, context, &options, emit).map_err(|e| match e {
            // Input and output errors stay what they are, so that the task is tried again.
            TelemetryError::Io { file, source } => DataFusionError::IoError(std::io::Error::new(
                source.kind(),
                format!("{file}: {source}"),
            )),
            other => DataFusionError::External(Box::new(other)),
        })?;
        faults::reach("scan", &file.url);
    }
    Ok(())
}

fn read_file(
    file: &TelemetryFile,
    context: &TaskContext,
    options: &ReadOptions,
    emit: Emit<'_>,
) -> std::result::Result<FileAccount, TelemetryError> {
    let failed = |source| TelemetryError::Io {
        file: file.url.clone(),
        source,
    };
    let url = Url::parse(&file.url).map_err(|e| failed(std::io::Error::other(e)))?;
    if let Ok(path) = url.to_file_path() {
        storage::process().allow_local(&path).map_err(|e| {
            let kind = std::io::ErrorKind::PermissionDenied;
            failed(std::io::Error::new(kind, e))
        })?;
        return telemetry::read_file(&path.to_string_lossy(), &path, options, emit);
    }
    let store = context.runtime_env().object_store_registry.get_store(&url);
    let store = store.map_err(|e| failed(std::io::Error::other(e)))?;
    let path = ObjectPath::from_url_path(url.path());
    let path = path.map_err(|e| failed(std::io::Error::other(e)))?;
    let source = ObjectReader::new(
        tokio::runtime::Handle::current(),
        store,
        path,
        file.size_bytes,
        (!file.etag.is_empty()).then(|| file.etag.clone()),
    );
    telemetry::read_stream(&file.url, source, options, emit)
}
