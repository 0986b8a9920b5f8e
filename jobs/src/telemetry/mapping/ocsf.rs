//! OCSF Process Activity (class 1007), as JSON and as Amazon Security Lake's nested Parquet.
//!
//! Source: <https://schema.ocsf.io/1.3.0/classes/process_activity>. `activity_id` 1 is Launch; 2 to 5 are terminate,
//! open, inject and set-user-id. Security Lake's `time` is Unix milliseconds, its `time_dt` a timestamp.

use std::borrow::Cow;

use super::super::value::Node;
use super::{Mapped, Paths, text};

pub(super) const PATHS: Paths = Paths {
    time: &["time", "time_dt"],
    command_line: &["process.cmd_line"],
    host: &["device.hostname", "device.name"],
    user: &[
        "process.user.name",
        "actor.user.name",
        "process.user.uid",
        "actor.user.uid",
    ],
    user_domain: &["process.user.domain", "actor.user.domain"],
    user_sid: &["process.user.uid", "actor.user.uid"],
    os: &["device.os.type", "device.os.name"],
    image: &[
        "process.file.path",
        "process.path",
        "process.file.name",
        "process.name",
    ],
    // Where there is no parent process, the actor is the process that launched this one.
    parent_image: &[
        "process.parent_process.file.path",
        "process.parent_process.file.name",
        "actor.process.file.path",
        "actor.process.file.name",
    ],
    parent_command_line: &["process.parent_process.cmd_line", "actor.process.cmd_line"],
    integrity_level: &["process.integrity"],
    original_file_name: &["process.file.internal_name"],
    signed: &[],
    signer_trusted: &[],
    activity: &[
        "class_uid",
        "activity_id",
        "device.os.type_id",
        "process.integrity_id",
        "process.file.signature.state_id",
        "process.file.signature.state",
    ],
};

const PROCESS_ACTIVITY: i64 = 1007;
const LAUNCH: i64 = 1;

pub(super) fn map<'a>(record: &'a Node<'a>) -> Mapped<'a> {
    let mut event = PATHS.event(record);
    let id = |path: &str| record.get(path).and_then(Node::integer);
    if event.os.is_none() {
        event.os = match id("device.os.type_id") {
            Some(100) => Some(Cow::Borrowed("windows")),
            Some(200) => Some(Cow::Borrowed("linux")),
            Some(300) => Some(Cow::Borrowed("macos")),
            _ => None,
        };
    }
    if event.integrity_level.is_none() {
        event.integrity_level = match id("process.integrity_id") {
            Some(1) => Some(Cow::Borrowed("Untrusted")),
            Some(2) => Some(Cow::Borrowed("Low")),
            Some(3) => Some(Cow::Borrowed("Medium")),
            Some(4) => Some(Cow::Borrowed("High")),
            Some(5) => Some(Cow::Borrowed("System")),
            Some(6) => Some(Cow::Borrowed("Protected")),
            _ => None,
        };
    }
    // Digital Signature object, `state_id`: 1 valid, 2 expired, 3 revoked, 4 suspended, 5 pending.
    let state = id("process.file.signature.state_id").or_else(|| {
        let state = text(record, &["process.file.signature.state"])?;
        Some(i64::from(state.eq_ignore_ascii_case("valid")))
    });
    event.signed = state.map(|_| true);
    event.signer_trusted = state.map(|state| state == 1);
    Mapped {
        time: record.first(PATHS.time),
        other_activity: other_activity(record),
        event,
    }
}

fn other_activity(record: &Node) -> Option<String> {
    let differs = |path: &str, wanted: i64| {
        let value = record.get(path)?;
        (value.integer() != Some(wanted)).then(|| format!("{path} {}", value.label()))
    };
    differs("class_uid", PROCESS_ACTIVITY).or_else(|| differs("activity_id", LAUNCH))
}
