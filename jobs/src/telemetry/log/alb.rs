//! The access log of an Application Load Balancer.
//!
//! Source: <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html>: fields by blanks, new
//! ones at the end.

use std::borrow::Cow;

use super::fields::Fields;
use crate::telemetry::value::Node;

/// Types of connection, with which a line begins.
const TYPES: [&str; 6] = ["http", "https", "h2", "grpcs", "ws", "wss"];

/// The fields in their order, by the documentation's names; those behind are not read.
const NAMES: [&str; 25] = [
    "type",
    "time",
    "elb",
    "client:port",
    "target:port",
    "request_processing_time",
    "target_processing_time",
    "response_processing_time",
    "elb_status_code",
    "target_status_code",
    "received_bytes",
    "sent_bytes",
    "request",
    "user_agent",
    "ssl_cipher",
    "ssl_protocol",
    "target_group_arn",
    "trace_id",
    "domain_name",
    "chosen_cert_arn",
    "matched_rule_priority",
    "request_creation_time",
    "actions_executed",
    "redirect_url",
    "error_reason",
];
/// Fields without which a line says too little.
const NEEDED: usize = 13;

/// Whether a line is one of a load balancer's: a type, then a time.
pub(super) fn begins(line: &str) -> bool {
    line.split_once(' ').is_some_and(|(first, rest)| {
        let year = rest.as_bytes().first_chunk::<5>();
        TYPES.contains(&first)
            && year.is_some_and(|year| year[..4].iter().all(u8::is_ascii_digit) && year[4] == b'-')
    })
}

/// A line's fields by name; the error says what is wrong.
pub(super) fn parse(line: &str) -> Result<Node<'_>, &'static str> {
    let mut fields = Fields(line);
    let mut record = Vec::with_capacity(NAMES.len());
    for name in NAMES {
        let Some(value) = fields.next()? else { break };
        record.push((Cow::Borrowed(name), Node::Text(value)));
    }
    if record.len() < NEEDED {
        return Err("fewer fields than up to the request");
    }
    Ok(Node::Map(record))
}
