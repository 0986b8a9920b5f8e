//! Elastic Common Schema 8, as applications and Filebeat's modules write requests: nested, dotted, or mixed.
//!
//! Source: <https://www.elastic.co/guide/en/ecs/current/ecs-http.html>, `ecs-url`, `ecs-event` (`event.duration` is in
//! nanoseconds).

use super::{Alternatives, Column, Mapped, Paths, Record};
use crate::telemetry::mapping::Essential;
use crate::telemetry::value::Node;

const CATEGORY: Alternatives = &["event.category"];

pub(super) const PATHS: Paths = &[
    (
        Column::Time,
        &["@timestamp", "event.start", "event.created"],
    ),
    (
        Column::User,
        &[
            "user.name",
            "user.id",
            "client.user.name",
            "source.user.name",
        ],
    ),
    (Column::Session, &["session.id", "user.session.id"]),
    (
        Column::ClientIp,
        &["client.ip", "source.ip", "client.address", "source.address"],
    ),
    (Column::Method, &["http.request.method"]),
    (Column::Host, &["url.domain", "destination.domain"]),
    (Column::Path, &["url.path"]),
    (Column::Query, &["url.query"]),
    (Column::Url, &["url.full", "url.original"]),
    (Column::Status, &["http.response.status_code"]),
    (Column::ErrorCode, &["error.code", "error.type"]),
    (
        Column::RequestBytes,
        &["http.request.bytes", "http.request.body.bytes"],
    ),
    (
        Column::ResponseBytes,
        &["http.response.bytes", "http.response.body.bytes"],
    ),
    (Column::LatencyNanos, &["event.duration"]),
    (Column::UserAgent, &["user_agent.original"]),
    (Column::Referer, &["http.request.referrer"]),
    (Column::Body, &["http.request.body.content"]),
    (Column::Headers, &["http.request.headers"]),
    (Column::Other, CATEGORY),
];

pub(super) fn map<'a>(record: &'a Node<'a>) -> Mapped<'a> {
    let found = Record::of(record, PATHS);
    let request = found.request();
    // What has a path is a request whatever it is filed under; what has none may be a logon or a process.
    let other_activity = record
        .first(CATEGORY)
        .filter(|category| {
            request.path == Essential::Missing && !category.is_any_of(&["web", "api", "network"])
        })
        .map(|category| format!("event.category {}", category.label()));
    Mapped {
        time: found.at(Column::Time),
        other_activity,
        request,
    }
}
