//! A day's run, its stages and their tasks as spans, sent by OTLP (JSON over HTTP) when `OTEL_EXPORTER_OTLP_ENDPOINT` or
//! `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is set. `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_EXPORTER_OTLP_HEADERS` and `OTEL_SDK_DISABLED`
//! count as OpenTelemetry's specification says. Without an endpoint a span costs nothing.
//!
//! Written here and not by OpenTelemetry's SDK: a run has some hundred spans, the exporter is a page, and the SDK would change what
//! every crate below `DataFusion` is built with, and bring a second HTTP client. A failed part says which kind of error it was, not the
//! error's text: that may quote data.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::context::Context;
use crate::error::JobError;
use crate::stages::StageRecord;

/// Of one request to the collector.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a span waits for others.
const WAIT: Duration = Duration::from_secs(5);
/// Spans of one request.
const BATCH: usize = 512;
/// Spans that wait; beyond it they are dropped, and counted.
const WAITING: usize = 16_384;
/// Attempts at a request, where the collector says that a further one makes sense.
const TRIES: u32 = 3;

static SINK: OnceLock<mpsc::Sender<Message>> = OnceLock::new();

enum Message {
    Span(Value),
    Flush(oneshot::Sender<()>),
}

/// The exporter of this process; spans that wait are sent when it stops.
#[must_use]
pub struct Exporter(Option<mpsc::Sender<Message>>);

/// Where spans go, and what they are of.
struct Collector {
    url: reqwest::Url,
    headers: HeaderMap,
    http: reqwest::Client,
    resource: Value,
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name)
        .ok()
        .filter(|value| !value.trim().is_empty())
}

/// Starts to export, if the environment names a collector.
///
/// # Errors
/// When what the environment says of it cannot be used.
pub fn start() -> Result<Exporter, JobError> {
    let off = variable("OTEL_SDK_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true"));
    let base = variable("OTEL_EXPORTER_OTLP_ENDPOINT");
    let base = base.map(|base| format!("{}/v1/traces", base.trim_end_matches('/')));
    let Some(url) = variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
        .or(base)
        .filter(|_| !off)
    else {
        return Ok(Exporter(None));
    };
    let usage = |what: String| JobError::Usage(format!("OTEL_EXPORTER_OTLP_ENDPOINT: {what}"));
    let url = reqwest::Url::parse(&url)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or_else(|| usage("expected http://host:port or https://host:port".to_owned()))?;
    let http = reqwest::Client::builder().timeout(TIMEOUT).build();
    let collector = Collector {
        url,
        headers: headers()?,
        http: http.map_err(|e| usage(e.to_string()))?,
        resource: resource(),
    };
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(collector.run(receiver));
    let _ = SINK.set(sender.clone());
    Ok(Exporter(Some(sender)))
}

/// `name=value` pairs with commas between them, percent-encoded.
fn pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    let decoded = |text: &str| {
        // A plus sign is a plus sign here, and not a space as in forms.
        let pair = format!("v={}", text.trim().replace('+', "%2B"));
        let mut parsed = url::form_urlencoded::parse(pair.as_bytes());
        parsed
            .next()
            .map_or_else(String::new, |(_, value)| value.into_owned())
    };
    text.split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(move |(name, value)| (decoded(name), decoded(value)))
}

/// Headers of every request; an API key may be among them.
fn headers() -> Result<HeaderMap, JobError> {
    let mut headers = HeaderMap::new();
    for name in [
        "OTEL_EXPORTER_OTLP_HEADERS",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    ] {
        for (key, value) in pairs(&variable(name).unwrap_or_default()) {
            let bad = || JobError::Usage(format!("{name}: expected name=value,name=value"));
            let key: HeaderName = key.parse().map_err(|_| bad())?;
            let mut value: HeaderValue = value.parse().map_err(|_| bad())?;
            value.set_sensitive(true);
            headers.insert(key, value);
        }
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(headers)
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn resource() -> Value {
    let given = variable("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    let given: Vec<_> = pairs(&given).collect();
    let mut attributes: Vec<Value> = given.iter().map(|(key, value)| text(key, value)).collect();
    let named = given.iter().any(|(key, _)| key == "service.name");
    match variable("OTEL_SERVICE_NAME") {
        Some(name) => {
            attributes.retain(|attribute| attribute["key"] != "service.name");
            attributes.push(text("service.name", &name));
        }
        None if !named => attributes.push(text("service.name", "gleaner")),
        None => {}
    }
    attributes.push(text("service.version", env!("CARGO_PKG_VERSION")));
    json!({"attributes": attributes})
}

impl Exporter {
    /// Sends what waits; not for longer than a few seconds.
    pub async fn stop(self) {
        let Some(sink) = self.0 else {
            return;
        };
        let (done, sent) = oneshot::channel();
        let flush = async {
            let _ = sink.send(Message::Flush(done)).await;
            let _ = sent.await;
        };
        if tokio::time::timeout(TIMEOUT, flush).await.is_err() {
            log::warn!(
                "spans could not all be sent to the collector within {} s",
                TIMEOUT.as_secs()
            );
        }
    }
}

impl Collector {
    async fn run(self, mut messages: mpsc::Receiver<Message>) {
        let mut waiting = vec![];
        let mut tick = tokio::time::interval(WAIT);
        loop {
            let message = tokio::select! {
                message = messages.recv() => message,
                _ = tick.tick() => {
                    self.send(&mut waiting).await;
                    continue;
                }
            };
            match message {
                Some(Message::Span(span)) => {
                    waiting.push(span);
                    if waiting.len() >= BATCH {
                        self.send(&mut waiting).await;
                    }
                }
                Some(Message::Flush(done)) => {
                    self.send(&mut waiting).await;
                    let _ = done.send(());
                }
                None => return,
            }
        }
    }

    /// What cannot be sent is dropped: spans are no part of a day's answer.
    async fn send(&self, waiting: &mut Vec<Value>) {
        let spans = std::mem::take(waiting);
        if spans.is_empty() {
            return;
        }
        let number = spans.len();
        let scope = json!({"name": "gleaner", "version": env!("CARGO_PKG_VERSION")});
        let of_scope = json!({"scope": scope, "spans": spans});
        let body =
            json!({"resourceSpans": [{"resource": self.resource, "scopeSpans": [of_scope]}]})
                .to_string();
        let mut pause = Duration::from_millis(500);
        for attempt in 1..=TRIES {
            let request = self
                .http
                .post(self.url.clone())
                .headers(self.headers.clone());
            let (again, why) = match request.body(body.clone()).send().await {
                Ok(answer) if answer.status().is_success() => return,
                // As OTLP's specification says.
                Ok(answer) => (
                    [429, 502, 503, 504].contains(&answer.status().as_u16()),
                    answer.status().to_string(),
                ),
                Err(e) => (true, e.without_url().to_string()),
            };
            if attempt == TRIES || !again {
                log::warn!("{number} spans were not taken by the collector: {why}");
                return;
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }
}

/// What spans of parts belong below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    trace: u128,
    span: u64,
}

/// A span that is open. Dropped before its end: what it covers was cancelled.
#[must_use]
pub(super) struct Span(Option<Open>);

struct Open {
    name: &'static str,
    ids: Parent,
    parent: Option<u64>,
    started: u128,
    attributes: Vec<Value>,
}

fn nanoseconds() -> u128 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_nanos()
}

/// Begins a span of what a context says, below the context's own.
pub(super) fn begin(name: &'static str, context: &Context) -> Span {
    if SINK.get().is_none() {
        return Span(None);
    }
    let day = context.day.map(|day| day.to_string());
    let parts = [
        ("gleaner.run", context.run.as_deref()),
        ("gleaner.job", context.job.as_deref()),
        ("gleaner.day", day.as_deref()),
        ("gleaner.stage", context.stage.as_deref()),
        ("gleaner.task", context.task.as_deref()),
    ];
    let known = parts
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)));
    let (trace, span) = (
        uuid::Uuid::new_v4().as_u128(),
        uuid::Uuid::new_v4().as_u64_pair().0,
    );
    Span(Some(Open {
        name,
        ids: Parent {
            trace: context.span.map_or(trace, |parent| parent.trace),
            span,
        },
        parent: context.span.map(|parent| parent.span),
        started: nanoseconds(),
        attributes: known.map(|(key, value)| text(key, value)).collect(),
    }))
}

impl Span {
    /// What spans of its parts belong below.
    pub(super) fn context(&self) -> Option<Parent> {
        self.0.as_ref().map(|open| open.ids)
    }

    /// What a stage counted.
    pub(super) fn counted(&mut self, record: &StageRecord) {
        let Some(open) = &mut self.0 else {
            return;
        };
        for (key, value) in [
            ("gleaner.rows_in", record.rows_in),
            ("gleaner.rows_kept", record.rows_kept),
            ("gleaner.rows_quarantined", record.rows_quarantined),
            ("gleaner.rows_dropped", record.rows_dropped),
            ("gleaner.bytes", record.bytes),
        ] {
            // 64-bit integers are text in the protocol's JSON.
            let value = json!({"intValue": value.to_string()});
            open.attributes.push(json!({"key": key, "value": value}));
        }
        let value = json!({"boolValue": record.reused});
        open.attributes
            .push(json!({"key": "gleaner.unchanged", "value": value}));
    }

    pub(super) fn end(mut self, error: Option<&JobError>) {
        self.close(error.map(JobError::kind));
    }

    fn close(&mut self, error: Option<&str>) {
        let (Some(open), Some(sink)) = (self.0.take(), SINK.get()) else {
            return;
        };
        // STATUS_CODE_OK is 1, ERROR 2; SPAN_KIND_INTERNAL is 1.
        let status = error.map_or_else(
            || json!({"code": 1}),
            |kind| json!({"code": 2, "message": kind}),
        );
        let span = json!({
            "traceId": format!("{:032x}", open.ids.trace),
            "spanId": format!("{:016x}", open.ids.span),
            "parentSpanId": open.parent.map_or_else(String::new, |id| format!("{id:016x}")),
            "name": open.name,
            "kind": 1,
            "startTimeUnixNano": open.started.to_string(),
            "endTimeUnixNano": nanoseconds().max(open.started).to_string(),
            "attributes": open.attributes,
            "status": status,
        });
        if sink.try_send(Message::Span(span)).is_err() {
            log::debug!("a span was dropped: too many wait");
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        self.close(Some("cancelled"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_percent_encoded_and_a_plus_is_a_plus() {
        let all: Vec<_> = pairs("api-key=a%20b+c, x=%3D1,nothing").collect();
        let expected = [("api-key", "a b+c"), ("x", "=1")];
        assert_eq!(all, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn without_a_collector_a_span_is_nothing() {
        let span = begin("run", &Context::default());
        assert!(span.context().is_none());
        span.end(None);
    }
}
