//! A day's run, its stages and their tasks as spans, exported by OTLP (protobuf over HTTP) when `OTEL_EXPORTER_OTLP_ENDPOINT` or
//! `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is set; the other variables of OpenTelemetry's exporter and SDK (`OTEL_SERVICE_NAME`,
//! `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_BSP_…`) count as its specification says. Without an endpoint a span costs
//! an allocation.
//!
//! A failed part says which kind of error it was, not the error's text: that may quote data.

use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::trace::{SpanKind, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context as Parent, KeyValue, global};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;

use super::context::Context;
use crate::error::JobError;
use crate::stages::StageRecord;

const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
];
/// Of one request to the collector.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The exporter of this process; spans that wait are sent when it ends.
#[must_use]
pub struct Exporter(Option<SdkTracerProvider>);

/// Starts to export, if the environment names a collector.
///
/// # Errors
/// When what the environment says of it cannot be used.
pub fn start() -> Result<Exporter, JobError> {
    let set = |name: &str| std::env::var(name).is_ok_and(|value| !value.trim().is_empty());
    let off = std::env::var("OTEL_SDK_DISABLED").is_ok_and(|v| v.eq_ignore_ascii_case("true"));
    if off || !ENDPOINTS.iter().any(|name| set(name)) {
        return Ok(Exporter(None));
    }
    let usage = |what: String| JobError::Usage(format!("OTEL_EXPORTER_OTLP_ENDPOINT: {what}"));
    let http = reqwest::Client::builder().timeout(TIMEOUT).build();
    let client = Client {
        http: http.map_err(|e| usage(e.to_string()))?,
        runtime: tokio::runtime::Handle::try_current().map_err(|e| usage(e.to_string()))?,
    };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(Protocol::HttpBinary)
        .build()
        .map_err(|e| usage(e.to_string()))?;
    let mut resource = Resource::builder();
    if !set("OTEL_SERVICE_NAME") {
        resource = resource.with_service_name("gleaner");
    }
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let provider = SdkTracerProvider::builder()
        .with_resource(resource.with_attribute(version).build())
        .with_batch_exporter(exporter)
        .build();
    global::set_tracer_provider(provider.clone());
    Ok(Exporter(Some(provider)))
}

impl Exporter {
    /// Sends what waits.
    pub async fn stop(self) {
        let Some(provider) = self.0 else {
            return;
        };
        // It waits for a thread of its own, which waits for this runtime.
        let stopped = tokio::task::spawn_blocking(move || provider.shutdown()).await;
        if let Ok(Err(e)) = stopped {
            log::warn!("spans could not all be sent to the collector: {e}");
        }
    }
}

/// Sends with the client that all else uses: no second HTTP stack, the same certificates.
#[derive(Debug)]
struct Client {
    http: reqwest::Client,
    runtime: tokio::runtime::Handle,
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let http = self.http.clone();
        // The SDK's thread has no reactor.
        let sent = self.runtime.spawn(async move {
            let answer = http.execute(request).await?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            Ok::<_, reqwest::Error>((status, headers, answer.bytes().await?))
        });
        let (status, headers, body) = sent.await??;
        let mut response = Response::builder().status(status).body(body)?;
        *response.headers_mut() = headers;
        Ok(response)
    }
}

/// A span that is open.
#[must_use]
pub(super) struct Span(Parent);

/// Begins a span of what a context says, below the context's own.
pub(super) fn begin(name: &'static str, context: &Context) -> Span {
    let tracer = global::tracer("gleaner");
    let mut attributes = vec![];
    let parts = [
        ("gleaner.run", &context.run),
        ("gleaner.job", &context.job),
        ("gleaner.stage", &context.stage),
        ("gleaner.task", &context.task),
    ];
    for (key, value) in parts {
        if let Some(value) = value {
            attributes.push(KeyValue::new(key, value.to_string()));
        }
    }
    if let Some(day) = context.day {
        attributes.push(KeyValue::new("gleaner.day", day.to_string()));
    }
    let span = tracer
        .span_builder(name)
        .with_kind(SpanKind::Internal)
        .with_attributes(attributes)
        .start_with_context(&tracer, &context.span);
    Span(context.span.with_span(span))
}

impl Span {
    /// What spans of its parts belong below.
    pub(super) fn context(&self) -> Parent {
        self.0.clone()
    }

    /// What a stage counted.
    pub(super) fn counted(&self, record: &StageRecord) {
        let span = self.0.span();
        let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        for (key, value) in [
            ("gleaner.rows_in", record.rows_in),
            ("gleaner.rows_kept", record.rows_kept),
            ("gleaner.rows_quarantined", record.rows_quarantined),
            ("gleaner.rows_dropped", record.rows_dropped),
            ("gleaner.bytes", record.bytes),
        ] {
            span.set_attribute(KeyValue::new(key, count(value)));
        }
        span.set_attribute(KeyValue::new("gleaner.unchanged", record.reused));
    }

    pub(super) fn end(self, error: Option<&JobError>) {
        let span = self.0.span();
        match error {
            Some(error) => span.set_status(Status::error(error.kind())),
            None => span.set_status(Status::Ok),
        }
        span.end();
    }
}
