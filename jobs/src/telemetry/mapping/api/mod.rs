//! Schema mappings of requests to APIs: what a record of each vendor's log means in one schema.
//!
//! A mapping is a table: for each of our columns the dotted paths to look at, best first. [`Record`] holds what was found, and
//! [`Record::request`] cleans it: addresses without ports, a URL cut into host, path and query, methods in capitals, numbers
//! that are numbers. What a table cannot say is a few lines beside it.
//!
//! | column | type | meaning |
//! |---|---|---|
//! | `user`, `session`, `client_ip` | text | who asked; the first of them that is known is the actor |
//! | `method`, `host`, `path`, `query` | text | what for; `path` without the query, `query` what follows `?` |
//! | `status` | 32-bit integer | 0 to 999 |
//! | `error_code` | text | the service's own word for what went wrong |
//! | `request_bytes`, `response_bytes` | 64-bit integer | sizes, as the log counts them |
//! | `latency_ms` | 64-bit float | milliseconds |
//! | `user_agent`, `referer`, `body` | text | as sent |
//! | `headers` | text | JSON |
//!
//! Everything but `path` may be missing: `""` and `-` are null. An address is not held against a grammar: logs name hosts and
//! services there too (`cloudformation.amazonaws.com`).

mod clean;
mod cloudtrail;
mod ecs;
mod gateway;
mod native;
mod ocsf;
mod proxy;

use std::borrow::Cow;

use super::super::reason::Reason;
use super::super::value::Node;
use super::{Alternatives, Essential, SchemaKind};

/// Where a value of ours is found, or what a mapping's code reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Time,
    User,
    Session,
    ClientIp,
    Method,
    Host,
    Path,
    Query,
    /// A whole URL, or a path with its query.
    Url,
    /// `GET /path?query HTTP/1.1`.
    RequestLine,
    Status,
    ErrorCode,
    RequestBytes,
    ResponseBytes,
    LatencyMs,
    LatencySecs,
    LatencyNanos,
    UserAgent,
    Referer,
    Body,
    Headers,
    /// Read by the mapping's own code.
    Other,
}
const COLUMNS: usize = 22;

/// For each column the dotted paths to look at, best first.
type Paths = &'static [(Column, Alternatives)];

/// A request in our columns; its time is not judged yet.
#[expect(clippy::struct_field_names, reason = "the names of the columns")]
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::telemetry) struct Request<'a> {
    pub(in crate::telemetry) user: Option<Cow<'a, str>>,
    pub(in crate::telemetry) session: Option<Cow<'a, str>>,
    pub(in crate::telemetry) client_ip: Option<Cow<'a, str>>,
    pub(in crate::telemetry) method: Option<Cow<'a, str>>,
    pub(in crate::telemetry) host: Option<Cow<'a, str>>,
    pub(in crate::telemetry) path: Essential<'a>,
    pub(in crate::telemetry) query: Option<Cow<'a, str>>,
    pub(in crate::telemetry) status: Option<i32>,
    pub(in crate::telemetry) error_code: Option<Cow<'a, str>>,
    pub(in crate::telemetry) request_bytes: Option<i64>,
    pub(in crate::telemetry) response_bytes: Option<i64>,
    pub(in crate::telemetry) latency_ms: Option<f64>,
    pub(in crate::telemetry) user_agent: Option<Cow<'a, str>>,
    pub(in crate::telemetry) referer: Option<Cow<'a, str>>,
    pub(in crate::telemetry) body: Option<Cow<'a, str>>,
    pub(in crate::telemetry) headers: Option<Cow<'a, str>>,
    /// The first value that is not what it should be.
    pub(in crate::telemetry) fault: Option<(Reason, String)>,
}

impl Request<'_> {
    /// Its texts but for the path.
    pub(in crate::telemetry) fn texts(&self) -> impl Iterator<Item = &str> {
        [
            &self.user,
            &self.session,
            &self.client_ip,
            &self.method,
            &self.host,
            &self.query,
            &self.error_code,
            &self.user_agent,
            &self.referer,
            &self.body,
            &self.headers,
        ]
        .into_iter()
        .filter_map(|text| text.as_deref())
    }
}

/// What a mapping makes of a record.
#[derive(Debug)]
pub(in crate::telemetry) struct Mapped<'a> {
    pub(in crate::telemetry) time: Option<&'a Node<'a>>,
    /// Why the record is no request, when it is none: a label to count by (`class_uid 1007`).
    pub(in crate::telemetry) other_activity: Option<String>,
    pub(in crate::telemetry) request: Request<'a>,
}

/// The values of one record by column.
struct Record<'a>([Option<&'a Node<'a>>; COLUMNS]);

impl<'a> Record<'a> {
    fn of(record: &'a Node<'a>, paths: Paths) -> Self {
        let mut found = [None; COLUMNS];
        for (column, alternatives) in paths {
            if *column != Column::Other {
                found[*column as usize] = present(record, alternatives);
            }
        }
        Self(found)
    }

    const fn at(&self, column: Column) -> Option<&'a Node<'a>> {
        self.0[column as usize]
    }

    fn text(&self, column: Column) -> Option<Cow<'a, str>> {
        self.at(column).and_then(Node::text)
    }

    /// Cleans what was found.
    fn request(&self) -> Request<'a> {
        let mut request = Request {
            user: self.text(Column::User),
            session: self.text(Column::Session),
            client_ip: self.text(Column::ClientIp).and_then(clean::address),
            method: self.text(Column::Method).map(clean::method),
            host: self.text(Column::Host).map(clean::host),
            path: Essential::of(self.at(Column::Path)),
            query: self.text(Column::Query).and_then(clean::query),
            error_code: self.text(Column::ErrorCode),
            user_agent: self.text(Column::UserAgent),
            referer: self.text(Column::Referer),
            body: self.at(Column::Body).and_then(clean::json),
            headers: self.at(Column::Headers).and_then(clean::headers),
            ..Request::default()
        };
        self.target(&mut request);
        self.numbers(&mut request);
        request
    }

    /// Where the request went: the path alone, a URL, or a request line, the first of them that there is.
    fn target(&self, request: &mut Request<'a>) {
        if request.path == Essential::Missing {
            request.path = Essential::of(self.at(Column::Url));
        }
        if (request.path == Essential::Missing || request.method.is_none())
            && let Some(line) = self.text(Column::RequestLine)
        {
            Self::line(&line, request);
        }
        let Essential::Text(whole) = &request.path else {
            return;
        };
        let target = clean::target(whole);
        request.path = Essential::Text(target.path);
        if request.host.is_none() {
            request.host = target.host;
        }
        if request.query.is_none() {
            request.query = target.query;
        }
    }

    fn line(line: &str, request: &mut Request<'a>) {
        let parts = clean::request_line(line);
        if let Some((method, _)) = parts
            && request.method.is_none()
        {
            request.method = Some(clean::method(Cow::Owned(method.to_owned())));
        }
        if request.path != Essential::Missing {
            return;
        }
        // Some shippers cut the line and call its middle `request`.
        let target = parts.map(|(_, target)| target).or_else(|| {
            let bare = line.starts_with('/') && !line.contains(' ');
            bare.then_some(line)
        });
        if let Some(target) = target {
            request.path = Essential::Text(Cow::Owned(target.to_owned()));
        } else {
            let detail = format!("a request line of {} bytes that is none", line.len());
            request.fault = Some((Reason::BadRequestLine, detail));
        }
    }

    fn numbers(&self, request: &mut Request<'a>) {
        let mut fault = None;
        let mut count = |column, reason, limit| match clean::count(self.at(column), limit) {
            Ok(count) => count,
            Err(detail) => {
                fault.get_or_insert((reason, detail));
                None
            }
        };
        let status = count(Column::Status, Reason::BadStatus, 999);
        request.status = status.and_then(|status| i32::try_from(status).ok());
        request.request_bytes = count(Column::RequestBytes, Reason::BadSize, i64::MAX);
        request.response_bytes = count(Column::ResponseBytes, Reason::BadSize, i64::MAX);
        for (column, unit_ms) in [
            (Column::LatencyMs, None),
            (Column::LatencySecs, Some(1e3)),
            (Column::LatencyNanos, Some(1e-6)),
        ] {
            match clean::latency(self.at(column), unit_ms) {
                Ok(Some(latency)) => {
                    request.latency_ms = Some(latency);
                    break;
                }
                Ok(None) => {}
                Err(detail) => {
                    fault.get_or_insert((Reason::BadLatency, detail));
                }
            }
        }
        if request.fault.is_none() {
            request.fault = fault;
        }
    }
}

/// The value at the first of these paths that has one: `""` and `-` are none.
fn present<'a>(record: &'a Node<'a>, paths: &[&str]) -> Option<&'a Node<'a>> {
    paths
        .iter()
        .find_map(|path| record.get(path).filter(|value| !is_blank(value)))
}

fn is_blank(value: &Node) -> bool {
    match value {
        Node::Text(text) => matches!(text.as_ref(), "" | "-"),
        Node::Null => true,
        _ => false,
    }
}

/// The text at the first of these paths that has some.
fn text<'a>(record: &'a Node<'a>, paths: &[&str]) -> Option<Cow<'a, str>> {
    present(record, paths).and_then(Node::text)
}

/// The schema of requests that a set of keys shows; `has` tells whether a dotted path exists.
///
/// The order matters: vendors' names are sought before ours, which have many spellings.
pub(super) fn recognise(has: &dyn Fn(&str) -> bool) -> Option<SchemaKind> {
    let any = |paths: &[&str]| paths.iter().any(|path| has(path));
    if has("eventSource") && has("eventName") {
        return Some(SchemaKind::CloudTrail);
    }
    if any(&["class_uid", "api.operation", "http_request.http_method"]) {
        return Some(SchemaKind::ApiOcsf);
    }
    let ecs = [
        "http.request",
        "http.response",
        "url.path",
        "url.original",
        "url.full",
        "ecs.version",
    ];
    if any(&ecs) {
        return Some(SchemaKind::ApiEcs);
    }
    if any(&["requestTime", "requestTimeEpoch"])
        && any(&["httpMethod", "resourcePath", "routeKey", "requestId"])
    {
        return Some(SchemaKind::ApiGateway);
    }
    if has("response_code") && any(&["response_flags", "upstream_host", "start_time", "authority"])
    {
        return Some(SchemaKind::Envoy);
    }
    if any(&["time_local", "time_iso8601"])
        || (any(&["remote_addr", "body_bytes_sent"]) && any(&["request", "request_uri"]))
    {
        return Some(SchemaKind::Nginx);
    }
    any(native::TARGETS).then_some(SchemaKind::Api)
}

/// Whether the mapping reads a leaf column of this dotted path.
pub(super) fn wants(schema: SchemaKind, leaf: &str) -> bool {
    let Some(paths) = paths(schema) else {
        return native::reads(leaf);
    };
    let below = |path: &str| {
        leaf.strip_prefix(path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    paths
        .iter()
        .any(|(_, group)| group.iter().any(|path| below(path)))
}

const fn paths(schema: SchemaKind) -> Option<Paths> {
    Some(match schema {
        SchemaKind::ApiOcsf => ocsf::PATHS,
        SchemaKind::ApiEcs => ecs::PATHS,
        SchemaKind::CloudTrail => cloudtrail::PATHS,
        SchemaKind::ApiGateway => gateway::API_GATEWAY,
        SchemaKind::Alb => gateway::ALB,
        SchemaKind::Nginx => proxy::NGINX,
        SchemaKind::Envoy => proxy::ENVOY,
        SchemaKind::AccessLog => proxy::ACCESS_LOG,
        _ => return None,
    })
}

/// Reads one record.
pub(in crate::telemetry) fn map<'a>(schema: SchemaKind, record: &'a Node<'a>) -> Mapped<'a> {
    match schema {
        SchemaKind::ApiOcsf => ocsf::map(record),
        SchemaKind::ApiEcs => ecs::map(record),
        SchemaKind::CloudTrail => cloudtrail::map(record),
        SchemaKind::ApiGateway => gateway::api_gateway(record),
        SchemaKind::Alb => gateway::alb(record),
        other => {
            let found = match paths(other) {
                Some(paths) => Record::of(record, paths),
                None => native::read(record),
            };
            Mapped {
                time: found.at(Column::Time),
                other_activity: None,
                request: found.request(),
            }
        }
    }
}
