//! Read-only queries over the warehouse's tables and the user's, as Arrow Flight SQL: ADBC, JDBC and ODBC drivers speak it, and
//! `gleaner sql --server`.
//!
//! A query sees tables, and nothing else: no files, no buckets, no settings, no writing, no model or embedder but the warehouse's. It has
//! a time, a number of rows, and memory. Each runs in a process of its own ([`super::worker`]), because `DataFusion` alone cannot hold
//! a query to these: it accounts for what its operators buffer and not for what is allocated inside functions or for batches without columns, and
//! a join of all with all may see no deadline for hours. (Tried: a count over five tables joined without a condition took 23 GB, and every
//! thread of the server's.)

use std::pin::Pin;
use std::sync::Arc;

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
use futures::{Stream, TryStreamExt};
use gleaner_udfs::model_cache::sha256;
use prost::Message as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Request, Response, Status, Streaming};

use super::Caller;
use super::server::Limits;
use super::worker::{Asked, Worker};
use crate::error::JobError;
use crate::warehouse::Warehouse;
use crate::warehouse::tables::tables_of;

/// Bytes of a statement.
const MAX_STATEMENT: usize = 1 << 20;
const CATALOG: &str = "datafusion";
const SCHEMA: &str = "public";

/// The service.
#[derive(Clone)]
pub struct Queries {
    warehouse: Warehouse,
    /// The warehouse's place, as given.
    place: String,
    /// The address of the embedder that queries may use.
    embedder: String,
    limits: Limits,
    slots: Arc<Semaphore>,
    info: Arc<SqlInfoData>,
}

type Stream_<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type FlightStream = Stream_<arrow_flight::FlightData>;

impl Queries {
    /// # Errors
    /// When the service cannot describe itself, which does not happen.
    pub fn new(
        warehouse: Warehouse,
        place: &str,
        embedder: &str,
        limits: Limits,
    ) -> Result<Self, JobError> {
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
            place: place.to_owned(),
            embedder: embedder.to_owned(),
            limits,
            info: Arc::new(info),
        })
    }

    fn worker(
        &self,
        sql: String,
        described: bool,
    ) -> Result<(Worker, OwnedSemaphorePermit), Status> {
        if sql.len() > MAX_STATEMENT {
            return Err(Status::invalid_argument(format!(
                "a statement of {} bytes: {MAX_STATEMENT} at most",
                sql.len()
            )));
        }
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            return Err(Status::resource_exhausted(format!(
                "{} queries are running: try again in a moment",
                self.limits.slots
            )));
        };
        let asked = Asked {
            warehouse: self.place.clone(),
            embedder: self.embedder.clone(),
            sql,
            described,
            secs: self.limits.time.as_secs(),
            memory_bytes: self.limits.memory_bytes,
            rows: self.limits.rows,
        };
        Ok((Worker::start(&asked)?, slot))
    }

    /// The columns of a query's result.
    async fn described(&self, sql: &str) -> Result<SchemaRef, Status> {
        let (mut worker, _slot) = self.worker(sql.to_owned(), true)?;
        worker.schema().await
    }

    /// The result of a query, within the limits.
    async fn answer(&self, sql: String, caller: &str) -> Result<FlightStream, Status> {
        let name = sha256(sql.as_bytes())[..16].to_owned();
        log::info!("query {name} by {caller}");
        let (mut worker, slot) = self.worker(sql, false)?;
        let schema = worker.schema().await?;
        let batches =
            futures::stream::try_unfold((worker, slot), |(mut worker, slot)| async move {
                let next = worker.next().await;
                let next = next.map_err(|e: Status| FlightError::Tonic(Box::new(e)))?;
                Ok(next.map(|batch| (batch, (worker, slot))))
            });
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
        for table in tables_of(self.warehouse.kind()) {
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
