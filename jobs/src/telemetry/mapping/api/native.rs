//! Our own columns, under their names and many common spellings. One pass over a record's keys.

use super::{COLUMNS, Column, Record, is_blank};
use crate::telemetry::value::Node;

/// Spellings of where a request went, any of which shows the schema.
pub(super) const TARGETS: &[&str] = &[
    "path",
    "url",
    "uri",
    "request_path",
    "request_uri",
    "requestUri",
    "request_url",
    "uri_path",
    "endpoint",
];

/// The column that a key names, and whether under its own name (which beats other spellings).
fn column(key: &str) -> Option<(Column, bool)> {
    Some(match key {
        "event_time" => (Column::Time, true),
        "timestamp" | "@timestamp" | "time" | "ts" | "datetime" => (Column::Time, false),
        "user" => (Column::User, true),
        "user_id" | "userId" | "userid" | "username" | "user_name" | "userName" | "principal" => {
            (Column::User, false)
        }
        "session" => (Column::Session, true),
        "session_id" | "sessionId" | "session_uid" => (Column::Session, false),
        "client_ip" => (Column::ClientIp, true),
        "client_address" | "clientIp" | "clientIP" | "client" | "src_ip" | "source_ip"
        | "sourceIp" | "remote_addr" | "remote_ip" | "ip" => (Column::ClientIp, false),
        "method" => (Column::Method, true),
        "http_method" | "httpMethod" | "request_method" | "verb" => (Column::Method, false),
        "host" => (Column::Host, true),
        "hostname" | "http_host" | "domain" | "authority" | "server_name" => (Column::Host, false),
        "path" => (Column::Path, true),
        "request_path" | "uri_path" | "endpoint" => (Column::Path, false),
        "url" | "uri" | "request_uri" | "requestUri" | "request_url" => (Column::Url, false),
        "request" => (Column::RequestLine, false),
        "query" => (Column::Query, true),
        "query_string" | "queryString" | "args" => (Column::Query, false),
        "status" => (Column::Status, true),
        "status_code" | "statusCode" | "response_code" | "http_status" => (Column::Status, false),
        "error_code" => (Column::ErrorCode, true),
        "errorCode" | "error" => (Column::ErrorCode, false),
        "request_bytes" => (Column::RequestBytes, true),
        "request_size" | "request_length" | "bytes_in" | "bytes_received" => {
            (Column::RequestBytes, false)
        }
        "response_bytes" => (Column::ResponseBytes, true),
        "bytes" | "response_size" | "response_length" | "bytes_out" | "bytes_sent" | "size"
        | "body_bytes_sent" => (Column::ResponseBytes, false),
        "latency_ms" => (Column::LatencyMs, true),
        "duration_ms" | "latency" | "duration" | "elapsed_ms" | "response_time_ms" => {
            (Column::LatencyMs, false)
        }
        "user_agent" => (Column::UserAgent, true),
        "userAgent" | "agent" | "http_user_agent" | "useragent" => (Column::UserAgent, false),
        "referer" => (Column::Referer, true),
        "referrer" | "http_referer" => (Column::Referer, false),
        "body" => (Column::Body, true),
        "request_body" | "payload" => (Column::Body, false),
        "headers" => (Column::Headers, true),
        "request_headers" => (Column::Headers, false),
        _ => return None,
    })
}

pub(super) fn reads(leaf: &str) -> bool {
    column(leaf).is_some()
}

pub(super) fn read<'a>(record: &'a Node<'a>) -> Record<'a> {
    let mut own: [Option<&'a Node<'a>>; COLUMNS] = [None; COLUMNS];
    let mut other = own;
    if let Node::Map(entries) = record {
        for (key, value) in entries {
            if let (Some((column, is_own)), false) = (column(key), is_blank(value)) {
                let slots = if is_own { &mut own } else { &mut other };
                slots[column as usize] = Some(value);
            }
        }
    }
    for (own, other) in own.iter_mut().zip(other) {
        *own = own.or(other);
    }
    Record(own)
}
