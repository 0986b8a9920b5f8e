//! AWS API Gateway's access log as JSON, and the access log of an Application Load Balancer.
//!
//! Sources: <https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-access-logging.html> (the names of its example
//! and of the `$context` variables), `http-api-logging.html`;
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html>.

use std::borrow::Cow;

use super::{Alternatives, Column, Mapped, Paths, Record, clean, present};
use crate::telemetry::mapping::Essential;
use crate::telemetry::reason::Reason;
use crate::telemetry::value::Node;

pub(super) const API_GATEWAY: Paths = &[
    (Column::Time, &["requestTimeEpoch", "requestTime"]),
    (
        Column::User,
        &[
            "user",
            "userArn",
            "principalId",
            "authorizer.principalId",
            "sub",
            "caller",
        ],
    ),
    (Column::Session, &["sessionId"]),
    (
        Column::ClientIp,
        &["ip", "sourceIp", "identity.sourceIp", "clientIp"],
    ),
    (Column::Method, &["httpMethod", "method"]),
    (Column::Host, &["domainName", "host", "apiId"]),
    // The path that was asked for says more than the route's template.
    (Column::Path, &["path", "requestPath", "resourcePath"]),
    (Column::RequestLine, &["routeKey"]),
    (Column::Query, &["queryString", "query"]),
    (Column::Status, &["status", "statusCode"]),
    (
        Column::ErrorCode,
        &[
            "errorResponseType",
            "error.responseType",
            "errorType",
            "responseType",
        ],
    ),
    (Column::RequestBytes, &["requestLength"]),
    (Column::ResponseBytes, &["responseLength"]),
    (Column::LatencyMs, &["responseLatency", "latency"]),
    (
        Column::UserAgent,
        &["userAgent", "identity.userAgent", "agent"],
    ),
    (Column::Referer, &["referer"]),
];

pub(super) fn api_gateway<'a>(record: &'a Node<'a>) -> Mapped<'a> {
    let found = Record::of(record, API_GATEWAY);
    let mut request = found.request();
    // `$default` is the route of what has none: the log then does not tell where the request went.
    if matches!(request.fault, Some((Reason::BadRequestLine, _))) {
        request.fault = None;
    }
    Mapped {
        time: found.at(Column::Time),
        other_activity: None,
        request,
    }
}

/// The three parts of a load balancer's latency, in seconds; -1 where the request got no further.
const TIMES: [Alternatives; 3] = [
    &["request_processing_time"],
    &["target_processing_time"],
    &["response_processing_time"],
];

/// The names are those of the documentation's table of fields.
pub(super) const ALB: Paths = &[
    (Column::Time, &["time"]),
    (Column::ClientIp, &["client:port"]),
    (Column::Host, &[]),
    (Column::RequestLine, &["request"]),
    (Column::Status, &["elb_status_code"]),
    (Column::ErrorCode, &["error_reason"]),
    (Column::RequestBytes, &["received_bytes"]),
    (Column::ResponseBytes, &["sent_bytes"]),
    (Column::UserAgent, &["user_agent"]),
    (Column::Other, TIMES[0]),
    (Column::Other, TIMES[1]),
    (Column::Other, TIMES[2]),
    (Column::Other, &["domain_name"]),
];

pub(super) fn alb<'a>(record: &'a Node<'a>) -> Mapped<'a> {
    let found = Record::of(record, ALB);
    let mut request = found.request();
    if request.host.is_none() && matches!(request.path, Essential::Text(_)) {
        let domain = present(record, &["domain_name"]).and_then(Node::text);
        request.host = domain.map(|name| clean::host(Cow::Owned(name.into_owned())));
    }
    let mut total = Some(0.0);
    for time in TIMES {
        match present(record, time).and_then(Node::text).as_deref() {
            Some("-1") | None => total = None,
            Some(text) => match clean::latency(Some(&Node::Text(Cow::Borrowed(text))), Some(1e3)) {
                Ok(part) => total = total.zip(part).map(|(sum, part)| sum + part),
                Err(detail) => {
                    request.fault.get_or_insert((Reason::BadLatency, detail));
                }
            },
        }
    }
    // Sums of milliseconds, to the microsecond that the log is exact to.
    request.latency_ms = total.map(|total: f64| (total * 1e3).round() / 1e3);
    Mapped {
        time: found.at(Column::Time),
        other_activity: None,
        request,
    }
}
