//! Read-only queries over the warehouse's tables and the user's, as Arrow Flight SQL: ADBC, JDBC and ODBC drivers speak it, and
//! `gleaner sql --server`.
//!
//! A query sees tables, and nothing else of this process: no files, no buckets, no settings, no writing, no model or embedder but the
//! warehouse's ([`restrict_process`]). It has a time, a number of rows, and memory, beyond which it fails instead of spilling. What is allocated inside
//! a function is not in that account, so that functions which make large values out of small ones are left out ([`AMPLIFIERS`]).

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder};
use arrow_flight::sql::server::{FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest,
    ActionCreatePreparedStatementResult, Any, CommandGetCatalogs, CommandGetDbSchemas,
    CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables, CommandPreparedStatementQuery,
    CommandStatementQuery, DoPutPreparedStatementResult, ProstMessageExt, SqlInfo,
    TicketStatementQuery,
};
use arrow_flight::{
    Action, FlightDescriptor, FlightEndpoint, FlightInfo, HandshakeRequest, HandshakeResponse,
    IpcMessage, SchemaAsIpc, Ticket,
};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::ipc::writer::IpcWriteOptions;
use datafusion::common::DataFusionError;
use datafusion::dataframe::DataFrame;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::SessionContext;
use futures::{Stream, StreamExt, TryStreamExt};
use gleaner_udfs::model_cache::sha256;
use prost::Message as _;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status, Streaming};

use super::Caller;
use super::server::Limits;
use super::sql_job::reads;
use crate::catalog;
use crate::embedding;
use crate::error::JobError;
use crate::plan::codec::Planner;
use crate::session;
use crate::storage;
use crate::warehouse::Warehouse;
use crate::warehouse::tables::TABLES;

/// Functions that make large values out of small ones, outside of the account of a query's memory.
pub const AMPLIFIERS: [&str; 8] = [
    "array_repeat",
    "array_resize",
    "generate_series",
    "list_repeat",
    "list_resize",
    "lpad",
    "range",
    "repeat",
];
const MORE_AMPLIFIERS: [&str; 2] = ["rpad", "space"];
/// Bytes of a statement.
const MAX_STATEMENT: usize = 1 << 20;
const CATALOG: &str = "datafusion";
const SCHEMA: &str = "public";

/// From now on this process's functions load no model but the warehouse's, and no embedder but `embedder`. To be called before
/// anything else that installs a loader.
pub fn restrict_process(warehouse: &Warehouse, embedder: &str) {
    let models = warehouse.url("_models/");
    gleaner_udfs::model_cache::install_loader(Box::new(move |uri| {
        let name = uri.strip_prefix(&models);
        if name.is_none_or(|name| name.contains('/') || name.contains("..")) {
            return Err("only the warehouse's own models can be loaded here".to_owned());
        }
        storage::process().read_blocking(uri)
    }));
    embedding::install_only(embedder);
}

/// The service.
#[derive(Clone)]
pub struct Queries {
    warehouse: Warehouse,
    limits: Limits,
    slots: Arc<Semaphore>,
    info: Arc<SqlInfoData>,
}

type Stream_<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type FlightStream = Stream_<arrow_flight::FlightData>;

impl Queries {
    /// # Errors
    /// When the service cannot describe itself, which does not happen.
    pub fn new(warehouse: Warehouse, limits: Limits) -> Result<Self, JobError> {
        let mut info = SqlInfoDataBuilder::new();
        info.append(SqlInfo::FlightSqlServerName, "Gleaner");
        info.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
        info.append(SqlInfo::FlightSqlServerArrowVersion, "1.3");
        info.append(SqlInfo::FlightSqlServerReadOnly, true);
        let info = info
            .build()
            .map_err(|e| JobError::Internal(e.to_string()))?;
        Ok(Self {
            warehouse,
            slots: Arc::new(Semaphore::new(limits.slots)),
            limits,
            info: Arc::new(info),
        })
    }

    /// A session of one query's: the tables as of now.
    async fn session(&self) -> Result<SessionContext, JobError> {
        let runtime = RuntimeEnvBuilder::new()
            .with_object_store_registry(storage::process().registry())
            .with_memory_pool(Arc::new(GreedyMemoryPool::new(self.limits.memory_bytes)))
            .with_disk_manager_builder(
                DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled),
            )
            .build_arc()?;
        let mut state = session::state(session::config(), runtime, Planner::Embedded)?;
        for name in AMPLIFIERS.into_iter().chain(MORE_AMPLIFIERS) {
            state.deregister_udf(name)?;
        }
        let ctx = SessionContext::new_with_state(state);
        ctx.deregister_udtf("generate_series");
        ctx.deregister_udtf("range");
        catalog::tables(&ctx, &self.warehouse).await?;
        Ok(ctx)
    }

    async fn frame(&self, sql: &str) -> Result<DataFrame, Status> {
        if sql.len() > MAX_STATEMENT {
            return Err(Status::invalid_argument(format!(
                "a statement of {} bytes: {MAX_STATEMENT} at most",
                sql.len()
            )));
        }
        let ctx = self.session().await.map_err(|e| status(&e))?;
        let frame = ctx.sql_with_options(sql, reads()).await;
        frame.map_err(|e| refused(&e))
    }

    async fn described(&self, sql: &str) -> Result<SchemaRef, Status> {
        let planned = tokio::time::timeout(self.limits.time, self.frame(sql)).await;
        let frame = planned.map_err(|_| too_long(self.limits.time))??;
        Ok(Arc::clone(frame.schema().inner()))
    }

    /// The result of a query, within the limits.
    async fn answer(&self, sql: String, caller: &str) -> Result<FlightStream, Status> {
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            return Err(Status::resource_exhausted(format!(
                "{} queries are running: try again in a moment",
                self.limits.slots
            )));
        };
        let until = tokio::time::Instant::now() + self.limits.time;
        let limits = self.limits;
        let begun = async {
            let frame = self.frame(&sql).await?;
            let schema = Arc::clone(frame.schema().inner());
            let stream = frame.execute_stream().await.map_err(|e| refused(&e))?;
            Ok::<_, Status>((schema, stream))
        };
        let begun = tokio::time::timeout_at(until, begun).await;
        let (schema, stream) = begun.map_err(|_| too_long(limits.time))??;
        log::info!("query {} by {caller} begins", &sha256(sql.as_bytes())[..16]);
        let state = (stream, 0_u64, slot);
        let limited = futures::stream::try_unfold(
            state,
            move |(mut stream, rows, slot)| async move {
                let next = tokio::time::timeout_at(until, stream.next()).await;
                let Some(batch) = next.map_err(|_| too_long(limits.time))? else {
                    return Ok(None);
                };
                let batch: RecordBatch = batch.map_err(|e| refused(&e))?;
                let rows = rows + batch.num_rows() as u64;
                if rows > limits.rows {
                    return Err(Status::resource_exhausted(format!(
                        "the result has more than {} rows: add LIMIT, aggregate, or submit a job with --into",
                        limits.rows
                    )));
                }
                Ok(Some((batch, (stream, rows, slot))))
            },
        );
        let batches = limited.map_err(|e: Status| FlightError::Tonic(Box::new(e)));
        let encoded = FlightDataEncoderBuilder::new()
            .with_schema(schema)
            .build(batches);
        Ok(Box::pin(encoded.map_err(Status::from)))
    }

    fn one(batch: RecordBatch) -> FlightStream {
        let batches = futures::stream::iter([Ok(batch)]);
        let encoded = FlightDataEncoderBuilder::new().build(batches);
        Box::pin(encoded.map_err(Status::from))
    }

    fn info(
        schema: &Schema,
        descriptor: FlightDescriptor,
        ticket: Ticket,
    ) -> Result<Response<FlightInfo>, Status> {
        let endpoint = FlightEndpoint::new().with_ticket(ticket);
        let info = FlightInfo::new()
            .try_with_schema(schema)
            .map_err(|e| Status::internal(e.to_string()))?
            .with_endpoint(endpoint)
            .with_descriptor(descriptor);
        Ok(Response::new(info))
    }

    /// For commands whose ticket is the command itself.
    fn command(
        schema: &Schema,
        command: &impl ProstMessageExt,
        descriptor: FlightDescriptor,
    ) -> Result<Response<FlightInfo>, Status> {
        let ticket = Ticket::new(command.as_any().encode_to_vec());
        Self::info(schema, descriptor, ticket)
    }
}

fn too_long(limit: Duration) -> Status {
    Status::deadline_exceeded(format!(
        "the query took longer than {} s: make it smaller, or submit it as a job",
        limit.as_secs()
    ))
}

/// A query that is wrong, not allowed, or too large.
fn refused(error: &DataFusionError) -> Status {
    let text = error.strip_backtrace();
    match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => Status::resource_exhausted(format!(
            "the query needs more memory than it may have: aggregate or filter earlier, or submit it as a job ({text})"
        )),
        DataFusionError::IoError(_) | DataFusionError::ObjectStore(_) => Status::unavailable(text),
        DataFusionError::Internal(_) => Status::internal(text),
        _ => Status::invalid_argument(text),
    }
}

/// What a client is told of an error of ours.
#[must_use]
pub fn status(error: &JobError) -> Status {
    let text = error.to_string();
    match error {
        JobError::Usage(_) | JobError::UnknownSchema { .. } | JobError::Query(_) => {
            Status::invalid_argument(text)
        }
        JobError::Storage(_)
        | JobError::Io { .. }
        | JobError::Delta(_)
        | JobError::Contended { .. } => Status::unavailable(text),
        _ => Status::internal(text),
    }
}

fn text(bytes: &[u8]) -> Result<String, Status> {
    let text = std::str::from_utf8(bytes);
    Ok(text
        .map_err(|_| Status::invalid_argument("a ticket that is none of ours"))?
        .to_owned())
}

/// Who asks, as the layer that checked it says.
#[must_use]
pub fn caller<T>(request: &Request<T>) -> String {
    let known = request.extensions().get::<Caller>();
    match known {
        Some(caller) if !caller.name.is_empty() => caller.name.clone(),
        _ => "anonymous".to_owned(),
    }
}

#[tonic::async_trait]
impl FlightSqlService for Queries {
    type FlightService = Self;

    /// Some drivers shake hands first; who calls is known from each request.
    async fn do_handshake(
        &self,
        _request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Stream_<HandshakeResponse>>, Status> {
        let answer = HandshakeResponse {
            protocol_version: 0,
            payload: vec![].into(),
        };
        Ok(Response::new(Box::pin(futures::stream::iter([Ok(answer)]))))
    }

    async fn get_flight_info_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = self.described(&query.query).await?;
        let ticket = TicketStatementQuery {
            statement_handle: query.query.into_bytes().into(),
        };
        Self::command(&schema, &ticket, request.into_inner())
    }

    async fn do_get_statement(
        &self,
        ticket: TicketStatementQuery,
        request: Request<Ticket>,
    ) -> Result<Response<FlightStream>, Status> {
        let sql = text(&ticket.statement_handle)?;
        let answer = self.answer(sql, &caller(&request)).await?;
        Ok(Response::new(answer))
    }

    /// A prepared statement is its text: nothing is kept between two calls.
    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        _request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let schema = self.described(&query.query).await?;
        let options = IpcWriteOptions::default();
        let message: IpcMessage = SchemaAsIpc::new(&schema, &options)
            .try_into()
            .map_err(|e: datafusion::arrow::error::ArrowError| Status::internal(e.to_string()))?;
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: query.query.into_bytes().into(),
            dataset_schema: message.0,
            parameter_schema: vec![].into(),
        })
    }

    async fn do_action_close_prepared_statement(
        &self,
        _query: ActionClosePreparedStatementRequest,
        _request: Request<Action>,
    ) -> Result<(), Status> {
        Ok(())
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = self
            .described(&text(&query.prepared_statement_handle)?)
            .await?;
        Self::command(&schema, &query, request.into_inner())
    }

    async fn do_get_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<Ticket>,
    ) -> Result<Response<FlightStream>, Status> {
        let sql = text(&query.prepared_statement_handle)?;
        let answer = self.answer(sql, &caller(&request)).await?;
        Ok(Response::new(answer))
    }

    async fn do_put_prepared_statement_query(
        &self,
        _query: CommandPreparedStatementQuery,
        _request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        Err(Status::unimplemented(
            "parameters are bound by SQL jobs: gleaner submit job.sql --set name=value",
        ))
    }

    async fn get_flight_info_catalogs(
        &self,
        query: CommandGetCatalogs,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        Self::command(&query.into_builder().schema(), &query, request.into_inner())
    }

    async fn do_get_catalogs(
        &self,
        query: CommandGetCatalogs,
        _request: Request<Ticket>,
    ) -> Result<Response<FlightStream>, Status> {
        let mut catalogs = query.into_builder();
        catalogs.append(CATALOG);
        Ok(Response::new(Self::one(catalogs.build()?)))
    }

    async fn get_flight_info_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = query.clone().into_builder().schema();
        Self::command(&schema, &query, request.into_inner())
    }

    async fn do_get_schemas(
        &self,
        query: CommandGetDbSchemas,
        _request: Request<Ticket>,
    ) -> Result<Response<FlightStream>, Status> {
        let mut schemas = query.into_builder();
        schemas.append(CATALOG, SCHEMA);
        Ok(Response::new(Self::one(schemas.build()?)))
    }

    async fn get_flight_info_tables(
        &self,
        query: CommandGetTables,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = query.clone().into_builder().schema();
        Self::command(&schema, &query, request.into_inner())
    }

    async fn do_get_tables(
        &self,
        query: CommandGetTables,
        _request: Request<Ticket>,
    ) -> Result<Response<FlightStream>, Status> {
        let mut tables = query.into_builder();
        let known = |e: JobError| status(&e);
        for table in TABLES {
            tables.append(CATALOG, SCHEMA, table.name, "TABLE", &table.schema())?;
        }
        for name in self.warehouse.user_tables().await.map_err(known)? {
            if let Some((schema, _)) = self.warehouse.user_table(&name).await.map_err(known)? {
                tables.append(CATALOG, SCHEMA, &name, "TABLE", &schema)?;
            }
        }
        Ok(Response::new(Self::one(tables.build()?)))
    }

    async fn get_flight_info_table_types(
        &self,
        query: CommandGetTableTypes,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        Self::command(&query.into_builder().schema(), &query, request.into_inner())
    }

    async fn do_get_table_types(
        &self,
        query: CommandGetTableTypes,
        _request: Request<Ticket>,
    ) -> Result<Response<FlightStream>, Status> {
        let mut types = query.into_builder();
        types.append("TABLE");
        Ok(Response::new(Self::one(types.build()?)))
    }

    async fn get_flight_info_sql_info(
        &self,
        query: CommandGetSqlInfo,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = query.clone().into_builder(&self.info).schema();
        Self::command(&schema, &query, request.into_inner())
    }

    async fn do_get_sql_info(
        &self,
        query: CommandGetSqlInfo,
        _request: Request<Ticket>,
    ) -> Result<Response<FlightStream>, Status> {
        let info = query.into_builder(&self.info).build()?;
        Ok(Response::new(Self::one(info)))
    }

    async fn do_get_fallback(
        &self,
        _request: Request<Ticket>,
        message: Any,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        Err(Status::unimplemented(format!(
            "{} is not answered here",
            message.type_url
        )))
    }

    async fn register_sql_info(&self, _id: i32, _result: &SqlInfo) {}
}
