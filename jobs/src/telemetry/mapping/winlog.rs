//! Windows event log records as JSON: Sysmon event 1 and Security event 4688, side by side in one file.
//!
//! Read as Winlogbeat nests them (`winlog.event_data.CommandLine`), with the same keys dotted, as its older versions put
//! them (`event_data.CommandLine`), and as nxlog flattens them (`EventID`, `CommandLine` at the top), which is how
//! public recordings come. Sysmon's own `UtcTime` is preferred to the time the log was written.
//!
//! A 4688 has no integrity level as such. `MandatoryLabel` is one as a SID (S-1-16-12288); older systems have only
//! `TokenElevationType`, of which %%1937 (full token of a split pair) is high and %%1938 (its limited half) is medium;
//! %%1936 says nothing.

use std::borrow::Cow;

use super::super::value::Node;
use super::{Mapped, Paths, text};

macro_rules! data {
    ($($name:literal),+) => {
        &[$(concat!("winlog.event_data.", $name), concat!("event_data.", $name), $name),+]
    };
}

pub(super) const PATHS: Paths = Paths {
    time: &[
        "winlog.event_data.UtcTime",
        "event_data.UtcTime",
        "UtcTime",
        "@timestamp",
        "winlog.time_created",
        "TimeCreated",
        "EventTime",
    ],
    command_line: data!("CommandLine"),
    host: &[
        "winlog.computer_name",
        "host.name",
        "computer_name",
        "Computer",
        "Hostname",
    ],
    user: data!("User", "SubjectUserName"),
    user_domain: data!("SubjectDomainName"),
    user_sid: data!("SubjectUserSid", "UserSid"),
    os: &[],
    image: data!("Image", "NewProcessName"),
    parent_image: data!("ParentImage", "ParentProcessName"),
    parent_command_line: data!("ParentCommandLine"),
    integrity_level: data!("IntegrityLevel"),
    original_file_name: data!("OriginalFileName"),
    signed: &[],
    signer_trusted: &[],
    activity: &[
        "winlog.event_id",
        "event_id",
        "EventID",
        "event.code",
        "winlog.provider_name",
        "source_name",
        "SourceName",
        "winlog.channel",
        "Channel",
        "winlog.event_data.MandatoryLabel",
        "event_data.MandatoryLabel",
        "MandatoryLabel",
        "winlog.event_data.TokenElevationType",
        "event_data.TokenElevationType",
        "TokenElevationType",
    ],
};

const EVENT_ID: &[&str] = &["winlog.event_id", "event_id", "EventID", "event.code"];
const PROVIDER: &[&str] = &[
    "winlog.provider_name",
    "source_name",
    "SourceName",
    "winlog.channel",
    "Channel",
];
const SYSMON: i64 = 1;
const SECURITY: i64 = 4688;

pub(super) fn map<'a>(record: &'a Node<'a>) -> Mapped<'a> {
    let mut event = PATHS.event(record);
    event.os = Some(Cow::Borrowed("windows"));
    if event.integrity_level.is_none() {
        event.integrity_level = integrity(record);
    }
    // Rendered messages write "Mandatory Label\High Mandatory Level"; only the level is ours.
    Mapped {
        time: record.first(PATHS.time),
        other_activity: other_activity(record),
        event,
    }
}

fn other_activity(record: &Node) -> Option<String> {
    let Some(id) = record.first(EVENT_ID) else {
        return Some("no event id".to_owned());
    };
    let from = |word: &str| {
        text(record, PROVIDER).is_none_or(|name| name.to_ascii_lowercase().contains(word))
    };
    let is_creation = match id.integer() {
        // Other providers have an event 1 and 4688 too (Kernel-General 1: the clock was set).
        Some(SYSMON) => from("sysmon"),
        Some(SECURITY) => from("security"),
        _ => false,
    };
    (!is_creation).then(|| format!("event_id {}", id.label()))
}

fn integrity<'a>(record: &'a Node<'a>) -> Option<Cow<'a, str>> {
    let level = match text(record, data!("MandatoryLabel")).as_deref() {
        Some("S-1-16-0") => "Untrusted",
        Some("S-1-16-4096") => "Low",
        Some("S-1-16-8192") => "Medium",
        Some("S-1-16-8448") => "Medium Plus",
        Some("S-1-16-12288") => "High",
        Some("S-1-16-16384") => "System",
        Some("S-1-16-20480") => "Protected",
        _ => match text(record, data!("TokenElevationType")).as_deref() {
            Some("%%1937" | "TokenElevationTypeFull (2)") => "High",
            Some("%%1938" | "TokenElevationTypeLimited (3)") => "Medium",
            _ => return None,
        },
    };
    Some(Cow::Borrowed(level))
}
