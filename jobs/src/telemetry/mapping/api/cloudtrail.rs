//! AWS `CloudTrail`: API calls of an account, one record a call, or `{"Records": […]}`.
//!
//! Source: <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html>. The log has
//! no HTTP: host is the service (`eventSource`), path its operation, method `GET` for read-only calls and `POST` for others, status
//! 200, 403 for what was not allowed, 400 for any other error. A session is the first 128 bits of the BLAKE3 hash of the access
//! key's id, which are those of `cmd_hash`: `WHERE session = cmd_hash('AKIA…')` finds a key, and no key stands in a table.

use std::borrow::Cow;

use super::{Alternatives, Column, Mapped, Paths, Record, text};
use crate::telemetry::mapping::Essential;
use crate::telemetry::value::Node;

const SOURCE: Alternatives = &["eventSource"];
const NAME: Alternatives = &["eventName"];
const READ_ONLY: Alternatives = &["readOnly"];
const KEY: Alternatives = &["userIdentity.accessKeyId"];

pub(super) const PATHS: Paths = &[
    (Column::Time, &["eventTime"]),
    (
        Column::User,
        &[
            "userIdentity.arn",
            "userIdentity.principalId",
            "userIdentity.invokedBy",
            "userIdentity.userName",
        ],
    ),
    (Column::ClientIp, &["sourceIPAddress"]),
    (Column::ErrorCode, &["errorCode"]),
    (Column::UserAgent, &["userAgent"]),
    (Column::Body, &["requestParameters"]),
    (Column::Other, SOURCE),
    (Column::Other, NAME),
    (Column::Other, READ_ONLY),
    (Column::Other, KEY),
];

/// Names of calls that change nothing, for records of the time before `readOnly`.
const READS: [&str; 6] = ["Get", "List", "Describe", "Head", "Lookup", "Query"];

pub(super) fn map<'a>(record: &'a Node<'a>) -> Mapped<'a> {
    let found = Record::of(record, PATHS);
    let mut request = found.request();
    if let Some(name) = text(record, NAME) {
        let reads = record.first(READ_ONLY).and_then(Node::boolean);
        let reads = reads.unwrap_or_else(|| READS.iter().any(|verb| name.starts_with(verb)));
        request.method = Some(Cow::Borrowed(if reads { "GET" } else { "POST" }));
        request.path = Essential::Text(Cow::Owned(format!("/{name}")));
    }
    request.host = text(record, SOURCE);
    request.session = text(record, KEY).map(|key| session(&key));
    request.status = Some(request.error_code.as_deref().map_or(200, status_of));
    Mapped {
        time: found.at(Column::Time),
        other_activity: None,
        request,
    }
}

/// The session that an access key stands for.
pub(super) fn session(access_key_id: &str) -> Cow<'static, str> {
    Cow::Owned(gleaner_udfs::sql::text::content_hash(access_key_id))
}

/// The HTTP status that an error of AWS stands for.
pub(super) fn status_of(error_code: &str) -> i32 {
    if error_code.contains("AccessDenied") || error_code.contains("Unauthorized") {
        403
    } else {
        400
    }
}
