//! The other side of the services: what `gleaner submit`, `gleaner jobs` and `gleaner sql --server` say to a server.

use std::time::Duration;

use arrow_flight::sql::client::FlightSqlServiceClient;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::ipc::reader::StreamReader;
use futures::TryStreamExt as _;
use gleaner_proto::control as proto;
use gleaner_proto::control::control_client::ControlClient;
use gleaner_proto::scoring;
use gleaner_proto::scoring::scoring_client::ScoringClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};

use crate::error::JobError;
use crate::secure::{TlsArgs, Token};

const CONNECT: Duration = Duration::from_secs(10);
/// Messages from a server: a batch of long lines.
const MESSAGE_BYTES: usize = 256 << 20;

type Speaking = InterceptedService<Channel, Bearer>;

/// Puts a token into every request.
#[derive(Clone)]
struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(header) = &self.0 {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", header.clone());
        }
        Ok(request)
    }
}

/// A server.
#[derive(Clone)]
pub struct Client {
    channel: Speaking,
    url: String,
}

impl Client {
    /// Connects: over TLS to an `https://` address, in plain text to an `http://` one.
    ///
    /// # Errors
    /// When the address is malformed, nobody answers there, a certificate does not hold, or a token would travel in
    /// plain text.
    pub async fn connect(
        url: &str,
        tls: &TlsArgs,
        token: Option<&Token>,
    ) -> Result<Self, JobError> {
        let usage = |why: String| JobError::Usage(format!("--server {url}: {why}"));
        let malformed = || usage("expected http://host:port or https://host:port".to_owned());
        let endpoint = Endpoint::from_shared(url.to_owned())
            .map_err(|_| malformed())?
            .connect_timeout(CONNECT);
        let (scheme, host) = (endpoint.uri().scheme_str(), endpoint.uri().host());
        let endpoint = match (scheme, tls.client()?) {
            (Some("https"), Some(tls)) => tls.endpoint(&endpoint, None)?.connect_timeout(CONNECT),
            (Some("https"), None) => {
                let why = "give --tls-ca (GLEANER_TLS_CA), the certificate of the CA that this server is to be believed by";
                return Err(usage(why.to_owned()));
            }
            (Some("http"), _) => {
                let own = |host: &str| {
                    let ip = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
                    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
                };
                if token.is_some() && !host.is_some_and(own) {
                    let why = "the token would travel in plain text: use https://";
                    return Err(usage(why.to_owned()));
                }
                endpoint
            }
            _ => return Err(malformed()),
        };
        let channel = endpoint
            .connect()
            .await
            .map_err(|e| usage(format!("{}; is `gleaner serve` running there?", cause(&e))))?;
        let bearer = Bearer(token.map(Token::header).transpose()?);
        Ok(Self {
            channel: InterceptedService::new(channel, bearer),
            url: url.to_owned(),
        })
    }

    fn control(&self) -> ControlClient<Speaking> {
        ControlClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES)
    }

    fn scoring(&self) -> ScoringClient<Speaking> {
        ScoringClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES)
    }

    /// The models that score.
    ///
    /// # Errors
    /// What the server says.
    pub async fn models(&self) -> Result<scoring::ModelsInUse, JobError> {
        let answer = self.scoring().models(scoring::ModelsRequest {}).await;
        Ok(answer.map_err(|e| self.said(&e))?.into_inner())
    }

    /// Scores messages of requests, each answered before the next one is taken.
    ///
    /// # Errors
    /// What the server says.
    pub async fn score_stream(
        &self,
        messages: impl futures::Stream<Item = scoring::ApiRequests> + Send + 'static,
    ) -> Result<Streaming<scoring::Scores>, JobError> {
        let answer = self.scoring().score_stream(messages).await;
        Ok(answer.map_err(|e| self.said(&e))?.into_inner())
    }

    /// The next answer of a stream of scores.
    ///
    /// # Errors
    /// What the server says.
    pub async fn next_scores(
        &self,
        scores: &mut Streaming<scoring::Scores>,
    ) -> Result<Option<scoring::Scores>, JobError> {
        scores.message().await.map_err(|e| self.said(&e))
    }

    /// Scores a message of requests, once.
    ///
    /// # Errors
    /// The server's status, as it is: who measures tells refusals from failures.
    pub async fn score_requests(
        &self,
        message: scoring::ApiRequests,
    ) -> Result<Vec<scoring::Score>, Box<Status>> {
        let answer = self.scoring().score_requests(message).await;
        Ok(answer.map_err(Box::new)?.into_inner().scores)
    }

    /// Scores a message of command lines; where the server has no room, again after a moment.
    ///
    /// # Errors
    /// What the server says.
    pub async fn score_commands(
        &self,
        message: &scoring::CommandLines,
    ) -> Result<Vec<scoring::Score>, JobError> {
        const TRIES: u32 = 10;
        for n in 0.. {
            match self.scoring().score_commands(message.clone()).await {
                Ok(answer) => return Ok(answer.into_inner().scores),
                Err(e) if e.code() == Code::ResourceExhausted && n < TRIES => {
                    tokio::time::sleep(Duration::from_millis(20 << n)).await;
                }
                Err(e) => return Err(self.said(&e)),
            }
        }
        Ok(vec![])
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
        let info = info.map_err(|e| self.flight(e))?;
        let schema = info.clone().try_decode_schema();
        let schema = schema.map_err(|e| JobError::Query(e.into()))?;
        let mut batches = vec![];
        for endpoint in info.endpoint {
            let Some(ticket) = endpoint.ticket else {
                continue;
            };
            let stream = client.do_get(ticket).await;
            let stream = stream.map_err(|e| self.flight(e))?;
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
