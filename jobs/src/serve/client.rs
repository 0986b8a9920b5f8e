//! The other side of the services: what `gleaner submit`, `gleaner jobs` and `gleaner sql --server` say to a server.

use std::time::Duration;

use arrow_flight::sql::client::FlightSqlServiceClient;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::ipc::reader::StreamReader;
use futures::TryStreamExt as _;
use gleaner_proto::control as proto;
use gleaner_proto::control::control_client::ControlClient;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

use crate::error::JobError;

const CONNECT: Duration = Duration::from_secs(10);
/// Messages from a server: a batch of long lines.
const MESSAGE_BYTES: usize = 256 << 20;

/// A server.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
    url: String,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// When the address is malformed, or nobody answers there.
    pub async fn connect(url: &str) -> Result<Self, JobError> {
        let usage = |why: String| JobError::Usage(format!("--server {url}: {why}"));
        let endpoint = Endpoint::from_shared(url.to_owned())
            .map_err(|_| usage("expected http://host:port".to_owned()))?
            .connect_timeout(CONNECT);
        let channel = endpoint
            .connect()
            .await
            .map_err(|e| usage(format!("{}; is `gleaner serve` running there?", cause(&e))))?;
        Ok(Self {
            channel,
            url: url.to_owned(),
        })
    }

    fn control(&self) -> ControlClient<Channel> {
        ControlClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES)
    }

    /// # Errors
    /// What the server says.
    pub async fn submit(&self, work: proto::submit_request::Work) -> Result<proto::Job, JobError> {
        let request = proto::SubmitRequest { work: Some(work) };
        let answer = self.control().submit(request).await;
        Ok(answer.map_err(|e| self.said(&e))?.into_inner())
    }

    /// # Errors
    /// What the server says.
    pub async fn list(&self, limit: u32, open: bool) -> Result<Vec<proto::Job>, JobError> {
        let request = proto::ListRequest { limit, open };
        let answer = self.control().list(request).await;
        Ok(answer.map_err(|e| self.said(&e))?.into_inner().jobs)
    }

    /// # Errors
    /// What the server says.
    pub async fn get(&self, id: &str) -> Result<proto::Job, JobError> {
        let request = proto::GetRequest { id: id.to_owned() };
        let answer = self.control().get(request).await;
        Ok(answer.map_err(|e| self.said(&e))?.into_inner())
    }

    /// # Errors
    /// What the server says.
    pub async fn cancel(&self, id: &str) -> Result<proto::Job, JobError> {
        let request = proto::GetRequest { id: id.to_owned() };
        let answer = self.control().cancel(request).await;
        Ok(answer.map_err(|e| self.said(&e))?.into_inner())
    }

    /// The job now, and whenever it changes: see [`Client::next`].
    ///
    /// # Errors
    /// What the server says.
    pub async fn watch(&self, id: &str) -> Result<Streaming<proto::Job>, JobError> {
        let request = proto::GetRequest { id: id.to_owned() };
        let answer = self.control().watch(request).await;
        Ok(answer.map_err(|e| self.said(&e))?.into_inner())
    }

    /// # Errors
    /// What the server says.
    pub async fn next(
        &self,
        watched: &mut Streaming<proto::Job>,
    ) -> Result<Option<proto::Job>, JobError> {
        watched.message().await.map_err(|e| self.said(&e))
    }

    /// The rows of a SQL job that has no table to go to.
    ///
    /// # Errors
    /// What the server says.
    pub async fn result(&self, id: &str) -> Result<Vec<RecordBatch>, JobError> {
        let request = proto::GetRequest { id: id.to_owned() };
        let answer = self.control().result(request).await;
        let mut pieces = answer.map_err(|e| self.said(&e))?.into_inner();
        let mut bytes = vec![];
        while let Some(piece) = pieces.message().await.map_err(|e| self.said(&e))? {
            bytes.extend(piece.ipc);
        }
        let failed = |e: datafusion::arrow::error::ArrowError| JobError::Query(e.into());
        let reader = StreamReader::try_new(bytes.as_slice(), None).map_err(failed)?;
        let schema = reader.schema();
        let mut batches = vec![RecordBatch::new_empty(schema)];
        for batch in reader {
            batches.push(batch.map_err(failed)?);
        }
        Ok(batches)
    }

    /// The result of a read-only query, and its columns.
    ///
    /// # Errors
    /// What the server says.
    pub async fn query(&self, sql: &str) -> Result<(SchemaRef, Vec<RecordBatch>), JobError> {
        let inner =
            arrow_flight::flight_service_client::FlightServiceClient::new(self.channel.clone())
                .max_decoding_message_size(MESSAGE_BYTES);
        let mut client = FlightSqlServiceClient::new_from_inner(inner);
        let info = client.execute(sql.to_owned(), None).await;
        let info = info.map_err(|e| self.flight(e.into()))?;
        let schema = info.clone().try_decode_schema();
        let schema = schema.map_err(|e| JobError::Query(e.into()))?;
        let mut batches = vec![];
        for endpoint in info.endpoint {
            let Some(ticket) = endpoint.ticket else {
                continue;
            };
            let stream = client.do_get(ticket).await;
            let stream = stream.map_err(|e| self.flight(e.into()))?;
            let found: Vec<_> = stream.try_collect().await.map_err(|e| self.flight(e))?;
            batches.extend(found);
        }
        Ok((schema.into(), batches))
    }

    fn flight(&self, error: arrow_flight::error::FlightError) -> JobError {
        match Status::from(error) {
            status if status.code() == Code::Unknown || status.code() == Code::Internal => {
                JobError::Usage(status.message().to_owned())
            }
            status => self.said(&status),
        }
    }

    fn said(&self, status: &Status) -> JobError {
        let text = status.message();
        JobError::Usage(match status.code() {
            Code::Unavailable if text.contains("transport") || text.contains("connect") => {
                format!(
                    "--server {}: {text}; is `gleaner serve` running there?",
                    self.url
                )
            }
            Code::Unauthenticated | Code::PermissionDenied => format!("{}: {text}", self.url),
            _ => text.to_owned(),
        })
    }
}

/// The innermost reason of a failed connection: the outer ones only say that it failed.
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
