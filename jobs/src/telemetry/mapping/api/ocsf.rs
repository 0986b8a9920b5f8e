//! OCSF API Activity (class 6003) and HTTP Activity (class 4002), as JSON and as Amazon Security Lake's nested Parquet.
//!
//! Source: <https://schema.ocsf.io/1.3.0/classes/api_activity>, `http_activity`; objects `api`, `http_request`,
//! `http_response`, `url`, `network_traffic` (whose `bytes_out` goes from client to server). An API Activity without an HTTP request
//! is written as Gleaner writes `CloudTrail`'s records, from which Security Lake makes them: host is the service, path the operation.

use std::borrow::Cow;

use super::cloudtrail::{session, status_of};
use super::{Alternatives, Column, Mapped, Paths, Record, present, text};
use crate::telemetry::mapping::Essential;
use crate::telemetry::value::Node;

const API_ACTIVITY: i64 = 6003;
const HTTP_ACTIVITY: i64 = 4002;
/// `activity_id` 2 of an API Activity.
const READ: i64 = 2;
/// `status_id`.
const SUCCESS: i64 = 1;
const FAILURE: i64 = 2;

const OPERATION: Alternatives = &["api.operation"];
const SERVICE: Alternatives = &["api.service.name"];
const CREDENTIAL: Alternatives = &["actor.user.credential_uid"];

pub(super) const PATHS: Paths = &[
    (Column::Time, &["time", "time_dt"]),
    (
        Column::User,
        &["actor.user.uid", "actor.user.name", "actor.invoked_by"],
    ),
    (Column::Session, &["actor.session.uid", "session.uid"]),
    (
        Column::ClientIp,
        &[
            "src_endpoint.ip",
            "src_endpoint.domain",
            "src_endpoint.hostname",
            "src_endpoint.svc_name",
        ],
    ),
    (Column::Method, &["http_request.http_method"]),
    (Column::Host, &["http_request.url.hostname"]),
    (Column::Path, &["http_request.url.path"]),
    (
        Column::Query,
        &["http_request.url.query_string", "http_request.args"],
    ),
    (
        Column::Url,
        &["http_request.url.url_string", "http_request.url.text"],
    ),
    (Column::Status, &["http_response.code", "api.response.code"]),
    (Column::ErrorCode, &["api.response.error"]),
    (
        Column::RequestBytes,
        &[
            "http_request.length",
            "http_request.body_length",
            "traffic.bytes_out",
        ],
    ),
    (
        Column::ResponseBytes,
        &[
            "http_response.length",
            "http_response.body_length",
            "traffic.bytes_in",
        ],
    ),
    (Column::LatencyMs, &["http_response.latency", "duration"]),
    (Column::UserAgent, &["http_request.user_agent"]),
    (Column::Referer, &["http_request.referrer"]),
    (Column::Body, &["api.request.data"]),
    (Column::Headers, &["http_request.http_headers"]),
    (Column::Other, OPERATION),
    (Column::Other, SERVICE),
    (Column::Other, CREDENTIAL),
    (
        Column::Other,
        &["class_uid", "activity_id", "status_id", "status_code"],
    ),
];

pub(super) fn map<'a>(record: &'a Node<'a>) -> Mapped<'a> {
    let found = Record::of(record, PATHS);
    let mut request = found.request();
    let id = |path: &str| record.get(path).and_then(Node::integer);
    if request.path == Essential::Missing
        && let Some(operation) = text(record, OPERATION)
    {
        request.path = Essential::Text(Cow::Owned(format!("/{operation}")));
        request.host = text(record, SERVICE).or(request.host.take());
        request.method.get_or_insert({
            let reads = id("activity_id") == Some(READ);
            Cow::Borrowed(if reads { "GET" } else { "POST" })
        });
    }
    if request.session.is_none() {
        request.session = text(record, CREDENTIAL).map(|key| session(&key));
    }
    let status_id = id("status_id");
    if request.error_code.is_none() && status_id == Some(FAILURE) {
        request.error_code = text(record, &["status_code"]);
    }
    if request.status.is_none() {
        let code = present(record, &["status_code"]).and_then(Node::integer);
        let code = code.and_then(|code| i32::try_from(code).ok());
        request.status = code
            .filter(|code| (100..=599).contains(code))
            .or(match status_id {
                Some(SUCCESS) => Some(200),
                Some(FAILURE) => Some(status_of(request.error_code.as_deref().unwrap_or("-"))),
                _ => None,
            });
    }
    let other_activity = record.get("class_uid").and_then(|class| {
        let ours = [API_ACTIVITY, HTTP_ACTIVITY];
        let is_ours = class.integer().is_some_and(|class| ours.contains(&class));
        (!is_ours).then(|| format!("class_uid {}", class.label()))
    });
    Mapped {
        time: found.at(Column::Time),
        other_activity,
        request,
    }
}
