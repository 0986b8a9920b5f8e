//! Our own columns, under their names and a few common spellings. One pass over a record's keys, since this is the
//! schema that the 50 million lines a day usually come in.

use super::super::value::Node;
use super::{Essential, Event, Mapped};

/// Spellings of the command line, any of which shows the schema.
pub(super) const COMMAND_LINE: &[&str] = &[
    "command_line",
    "commandline",
    "cmdline",
    "CommandLine",
    "commandLine",
];

#[derive(Clone, Copy)]
enum Column {
    EventTime,
    CommandLine,
    Host,
    User,
    Os,
    Image,
    ParentImage,
    ParentCommandLine,
    IntegrityLevel,
    UserSid,
    OriginalFileName,
    Signed,
    SignerTrusted,
}
const COLUMNS: usize = 13;

/// The column that a key names, and whether under its own name (which beats other spellings).
fn column(key: &str) -> Option<(Column, bool)> {
    Some(match key {
        "event_time" => (Column::EventTime, true),
        "timestamp" | "@timestamp" | "time" => (Column::EventTime, false),
        "command_line" => (Column::CommandLine, true),
        "commandline" | "cmdline" | "CommandLine" | "commandLine" => (Column::CommandLine, false),
        "host" => (Column::Host, true),
        "hostname" | "host_name" | "computer_name" => (Column::Host, false),
        "user" => (Column::User, true),
        "username" | "user_name" => (Column::User, false),
        "os" => (Column::Os, true),
        "platform" => (Column::Os, false),
        "image" => (Column::Image, true),
        "image_path" | "process_path" | "Image" => (Column::Image, false),
        "parent_image" => (Column::ParentImage, true),
        "parent_process_path" | "ParentImage" => (Column::ParentImage, false),
        "parent_command_line" => (Column::ParentCommandLine, true),
        "parent_commandline" | "ParentCommandLine" => (Column::ParentCommandLine, false),
        "integrity_level" => (Column::IntegrityLevel, true),
        "IntegrityLevel" => (Column::IntegrityLevel, false),
        "user_sid" => (Column::UserSid, true),
        "sid" => (Column::UserSid, false),
        "original_file_name" => (Column::OriginalFileName, true),
        "OriginalFileName" => (Column::OriginalFileName, false),
        "signed" => (Column::Signed, true),
        "signer_trusted" => (Column::SignerTrusted, true),
        _ => return None,
    })
}

pub(super) fn reads(leaf: &str) -> bool {
    column(leaf).is_some()
}

pub(super) fn map<'a>(record: &'a Node<'a>) -> Mapped<'a> {
    let mut own: [Option<&'a Node<'a>>; COLUMNS] = [None; COLUMNS];
    let mut other = own;
    if let Node::Map(entries) = record {
        for (key, value) in entries {
            if let (Some((column, is_own)), true) = (column(key), *value != Node::Null) {
                let slots = if is_own { &mut own } else { &mut other };
                slots[column as usize] = Some(value);
            }
        }
    }
    let at = |column: Column| own[column as usize].or(other[column as usize]);
    let text = |column| at(column).and_then(Node::text);
    Mapped {
        time: at(Column::EventTime),
        other_activity: None,
        event: Event {
            command_line: Essential::of(at(Column::CommandLine)),
            host: text(Column::Host),
            user: text(Column::User),
            os: text(Column::Os),
            image: text(Column::Image),
            parent_image: text(Column::ParentImage),
            parent_command_line: text(Column::ParentCommandLine),
            integrity_level: text(Column::IntegrityLevel),
            user_sid: text(Column::UserSid),
            original_file_name: text(Column::OriginalFileName),
            signed: at(Column::Signed).and_then(Node::boolean),
            signer_trusted: at(Column::SignerTrusted).and_then(Node::boolean),
        },
    }
}
