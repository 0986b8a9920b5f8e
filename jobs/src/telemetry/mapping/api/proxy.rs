//! Web servers and proxies: nginx's variables as JSON, Envoy's JSON access log, and the Common and Combined Log Format, whose lines
//! [`crate::telemetry`]'s reader of logs cuts into fields.
//!
//! Sources: <https://nginx.org/en/docs/http/ngx_http_log_module.html> and `ngx_http_core_module.html#variables`;
//! <https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage> (the default format's names);
//! <https://httpd.apache.org/docs/current/logs.html>.
//!
//! The client is who the server spoke to, or took it to be (`realip`, Envoy's trusted hops); `X-Forwarded-For`, which anybody can
//! send, is asked only where a log has nothing else.

use super::{Column, Paths};

pub(super) const NGINX: Paths = &[
    (
        Column::Time,
        &["msec", "time_iso8601", "time_local", "@timestamp", "time"],
    ),
    (Column::User, &["remote_user", "user"]),
    (Column::Session, &["session", "session_id"]),
    (
        Column::ClientIp,
        &["remote_addr", "realip_remote_addr", "http_x_forwarded_for"],
    ),
    (Column::Method, &["request_method", "method"]),
    (Column::Host, &["http_host", "host", "server_name"]),
    (Column::Url, &["request_uri", "uri"]),
    (Column::RequestLine, &["request"]),
    (Column::Query, &["args", "query_string"]),
    (Column::Status, &["status"]),
    (Column::RequestBytes, &["request_length", "content_length"]),
    (Column::ResponseBytes, &["body_bytes_sent", "bytes_sent"]),
    (Column::LatencySecs, &["request_time"]),
    (Column::UserAgent, &["http_user_agent", "user_agent"]),
    (
        Column::Referer,
        &["http_referer", "http_referrer", "referer"],
    ),
    (Column::Body, &["request_body"]),
];

pub(super) const ENVOY: Paths = &[
    (Column::Time, &["start_time", "timestamp", "time"]),
    (Column::User, &["downstream_peer_subject", "user"]),
    (Column::Session, &["session_id"]),
    (
        Column::ClientIp,
        &[
            "downstream_remote_address",
            "client_ip",
            "downstream_direct_remote_address",
            "x_forwarded_for",
        ],
    ),
    (Column::Method, &["method"]),
    (Column::Host, &["authority"]),
    (Column::Url, &["x_envoy_original_path", "path"]),
    (Column::Status, &["response_code"]),
    (Column::ErrorCode, &["response_flags"]),
    (Column::RequestBytes, &["bytes_received"]),
    (Column::ResponseBytes, &["bytes_sent"]),
    (Column::LatencyMs, &["duration"]),
    (Column::UserAgent, &["user_agent"]),
    (Column::Referer, &["referer"]),
];

/// The names are those that [`crate::telemetry`]'s reader gives a line's fields.
pub(super) const ACCESS_LOG: Paths = &[
    (Column::Time, &["time"]),
    (Column::User, &["user"]),
    (Column::ClientIp, &["client"]),
    (Column::Host, &["host"]),
    (Column::RequestLine, &["request"]),
    (Column::Status, &["status"]),
    (Column::ResponseBytes, &["bytes"]),
    (Column::UserAgent, &["user_agent"]),
    (Column::Referer, &["referer"]),
];
