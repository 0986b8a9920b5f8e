//! Elastic Common Schema 8: nested, dotted, or mixed.
//!
//! Source: <https://www.elastic.co/guide/en/ecs/current/ecs-process.html>. A process creation has `event.category`
//! process and `event.type` start (`process_start` before ECS 1.0); a record that has neither field is taken as one.

use std::borrow::Cow;

use super::super::value::Node;
use super::{Essential, Mapped, Paths};

pub(super) const PATHS: Paths = Paths {
    time: &["@timestamp", "process.start", "event.created"],
    command_line: &["process.command_line"],
    host: &["host.name", "host.hostname", "agent.name"],
    user: &["user.name", "process.user.name", "user.id"],
    user_domain: &["user.domain"],
    user_sid: &["user.id", "process.user.id"],
    os: &["host.os.type", "host.os.family", "host.os.platform"],
    image: &["process.executable", "process.name"],
    parent_image: &["process.parent.executable", "process.parent.name"],
    parent_command_line: &["process.parent.command_line"],
    integrity_level: &[
        "process.Ext.token.integrity_level_name",
        "process.token.integrity_level_name",
    ],
    original_file_name: &["process.pe.original_file_name"],
    signed: &[
        "process.code_signature.exists",
        "process.Ext.code_signature.exists",
    ],
    signer_trusted: &[
        "process.code_signature.trusted",
        "process.Ext.code_signature.trusted",
    ],
    activity: &[
        "event.category",
        "event.type",
        "process.args",
        "process.parent.args",
    ],
};

pub(super) fn map<'a>(record: &'a Node<'a>) -> Mapped<'a> {
    let mut event = PATHS.event(record);
    if let (Essential::Missing, Some(line)) = (&event.command_line, joined(record, "process.args"))
    {
        event.command_line = Essential::Text(Cow::Owned(line));
    }
    if event.parent_command_line.is_none() {
        event.parent_command_line = joined(record, "process.parent.args").map(Cow::Owned);
    }
    let differs = |path: &str, words: &[&str]| {
        let value = record.get(path)?;
        (!value.is_any_of(words)).then(|| format!("{path} {}", value.label()))
    };
    let other_activity = differs("event.category", &["process"])
        .or_else(|| differs("event.type", &["start", "process_start"]));
    Mapped {
        time: record.first(PATHS.time),
        other_activity,
        event,
    }
}

/// Arguments with single blanks between them, as `/proc/…/cmdline` is usually shown: which blanks parted arguments is
/// lost, as it is in every other source.
fn joined(record: &Node, path: &str) -> Option<String> {
    match record.get(path)? {
        Node::List(values) => {
            let words: Vec<_> = values
                .iter()
                .map(|value| value.text().unwrap_or_default())
                .collect();
            Some(words.join(" "))
        }
        Node::Text(text) => Some(text.to_string()),
        _ => None,
    }
}
