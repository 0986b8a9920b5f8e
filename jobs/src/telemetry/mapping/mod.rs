//! Schema mappings: what a record of each vendor's schema means in ours.
//!
//! A mapping is mostly a table, [`Paths`]: for each of our columns the dotted paths to look at, best first. What a table
//! cannot say (which records are process creations, how a user is put together) is a few lines of code beside it. All
//! three formats go through the same mapping, as [`Node`] trees.
//!
//! Tried and dropped: a typed serde struct for each schema. It was no faster than the borrowed tree on native lines
//! (both spend their time scanning the JSON), and every schema needed a second copy for dotted keys and for Parquet.

mod ecs;
mod native;
mod ocsf;
mod os;
mod winlog;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::TelemetryError;
use super::value::Node;

/// The schema that a file's records follow.
///
/// [`SchemaKind::Sysmon`] and [`SchemaKind::Security4688`] are one mapping: Winlogbeat and its like write both into one
/// file, and each record says by its event id which it is. Recognition names the one that the first records show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SchemaKind {
    /// Our own column names: `command_line`, `event_time`, `host`, …
    Native,
    /// Open Cybersecurity Schema Framework, Process Activity (class 1007), launches.
    Ocsf,
    /// Elastic Common Schema, nested or dotted.
    Ecs,
    /// Windows event log as JSON (Winlogbeat, nxlog); Sysmon event 1 seen first.
    Sysmon,
    /// Windows event log as JSON (Winlogbeat, nxlog); Security event 4688 seen first.
    Security4688,
}

impl SchemaKind {
    /// All schemas, in the order of recognition's ties.
    pub const ALL: [Self; 5] = [
        Self::Native,
        Self::Ocsf,
        Self::Ecs,
        Self::Sysmon,
        Self::Security4688,
    ];

    /// The name that flags, configuration and tables use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Ocsf => "ocsf",
            Self::Ecs => "ecs",
            Self::Sysmon => "sysmon",
            Self::Security4688 => "security4688",
        }
    }

    /// The schema that a set of keys shows; `has` tells whether a dotted path exists.
    ///
    /// The order matters: Winlogbeat's records carry ECS keys too, and OCSF's `process.cmd_line` beats a stray `time`.
    pub(super) fn recognise(has: &dyn Fn(&str) -> bool) -> Option<Self> {
        let any = |paths: &[&str]| paths.iter().any(|path| has(path));
        if any(&[
            "winlog.event_id",
            "winlog.event_data",
            "event_data.CommandLine",
            "event_data.NewProcessName",
        ]) || (has("EventID")
            && any(&["Channel", "SourceName", "CommandLine", "NewProcessName"]))
        {
            let security = any(&[
                "winlog.event_data.NewProcessName",
                "event_data.NewProcessName",
                "NewProcessName",
            ]);
            return Some(if security {
                Self::Security4688
            } else {
                Self::Sysmon
            });
        }
        if any(&["class_uid", "process.cmd_line", "actor.process.cmd_line"]) {
            return Some(Self::Ocsf);
        }
        let ecs = [
            "process.command_line",
            "process.args",
            "process.executable",
            "ecs.version",
            "event.category",
        ];
        if any(&ecs) || (has("@timestamp") && has("process")) {
            return Some(Self::Ecs);
        }
        (any(native::COMMAND_LINE) || (has("event_time") && any(&["host", "user", "image"])))
            .then_some(Self::Native)
    }

    /// Whether the mapping reads a leaf column of this dotted path: what is not wanted is neither decoded nor kept.
    pub(super) fn wants(self, leaf: &str) -> bool {
        let Some(paths) = self.paths() else {
            return native::reads(leaf);
        };
        let below = |path: &str| {
            leaf.strip_prefix(path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        paths
            .all()
            .iter()
            .any(|group| group.iter().any(|path| below(path)))
    }

    const fn paths(self) -> Option<&'static Paths> {
        match self {
            Self::Native => None,
            Self::Ocsf => Some(&ocsf::PATHS),
            Self::Ecs => Some(&ecs::PATHS),
            Self::Sysmon | Self::Security4688 => Some(&winlog::PATHS),
        }
    }

    /// Reads one record.
    pub(super) fn map<'a>(self, record: &'a Node<'a>) -> Mapped<'a> {
        let mut mapped = match self {
            Self::Native => native::map(record),
            Self::Ocsf => ocsf::map(record),
            Self::Ecs => ecs::map(record),
            Self::Sysmon | Self::Security4688 => winlog::map(record),
        };
        let event = &mut mapped.event;
        let images = [event.image.as_deref(), event.parent_image.as_deref()];
        event.os = os::normalise(event.os.as_deref())
            .or_else(|| os::infer(images))
            .map(Cow::Borrowed);
        mapped
    }
}

impl fmt::Display for SchemaKind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SchemaKind {
    type Err = TelemetryError;

    fn from_str(name: &str) -> Result<Self, TelemetryError> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| TelemetryError::UnknownSchema {
            name: name.to_owned(),
        })
    }
}

/// The command line of a record, or what stands in its place.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Command<'a> {
    #[default]
    Missing,
    Text(Cow<'a, str>),
    /// Bytes of a Parquet column that are not UTF-8.
    NotUtf8(&'a [u8]),
    /// A number, list or object: guessing its text would put a wrong line among the training data.
    WrongType,
}

impl<'a> Command<'a> {
    fn of(value: Option<&'a Node<'a>>) -> Self {
        match value {
            None | Some(Node::Null) => Self::Missing,
            Some(Node::Text(text)) => Self::Text(Cow::Borrowed(text)),
            Some(Node::Bytes(bytes)) => Self::NotUtf8(bytes),
            Some(_) => Self::WrongType,
        }
    }
}

/// A process creation in our columns, its time and command line not yet judged.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Event<'a> {
    pub(super) command_line: Command<'a>,
    pub(super) host: Option<Cow<'a, str>>,
    pub(super) user: Option<Cow<'a, str>>,
    pub(super) os: Option<Cow<'a, str>>,
    pub(super) image: Option<Cow<'a, str>>,
    pub(super) parent_image: Option<Cow<'a, str>>,
    pub(super) parent_command_line: Option<Cow<'a, str>>,
    pub(super) integrity_level: Option<Cow<'a, str>>,
    pub(super) user_sid: Option<Cow<'a, str>>,
    pub(super) original_file_name: Option<Cow<'a, str>>,
    pub(super) signed: Option<bool>,
    pub(super) signer_trusted: Option<bool>,
}

/// What a mapping makes of a record.
#[derive(Debug)]
pub(super) struct Mapped<'a> {
    pub(super) time: Option<&'a Node<'a>>,
    /// Why the record is no process creation, when it is none: a label to count by (`event_id 4624`).
    pub(super) other_activity: Option<String>,
    pub(super) event: Event<'a>,
}

type Alternatives = &'static [&'static str];

/// For each of our columns the dotted paths to look at, best first.
struct Paths {
    time: Alternatives,
    command_line: Alternatives,
    host: Alternatives,
    user: Alternatives,
    user_domain: Alternatives,
    user_sid: Alternatives,
    os: Alternatives,
    image: Alternatives,
    parent_image: Alternatives,
    parent_command_line: Alternatives,
    integrity_level: Alternatives,
    original_file_name: Alternatives,
    signed: Alternatives,
    signer_trusted: Alternatives,
    /// Read by the mapping's own code: what kind of record it is.
    activity: Alternatives,
}

impl Paths {
    fn all(&self) -> [Alternatives; 15] {
        [
            self.time,
            self.command_line,
            self.host,
            self.user,
            self.user_domain,
            self.user_sid,
            self.os,
            self.image,
            self.parent_image,
            self.parent_command_line,
            self.integrity_level,
            self.original_file_name,
            self.signed,
            self.signer_trusted,
            self.activity,
        ]
    }

    fn event<'a>(&self, record: &'a Node<'a>) -> Event<'a> {
        Event {
            command_line: Command::of(record.first(self.command_line)),
            host: text(record, self.host),
            user: text(record, self.user)
                .map(|name| with_domain(text(record, self.user_domain), name)),
            os: text(record, self.os),
            image: text(record, self.image),
            parent_image: text(record, self.parent_image),
            parent_command_line: text(record, self.parent_command_line),
            integrity_level: text(record, self.integrity_level),
            user_sid: text(record, self.user_sid),
            original_file_name: text(record, self.original_file_name),
            signed: record.first(self.signed).and_then(Node::boolean),
            signer_trusted: record.first(self.signer_trusted).and_then(Node::boolean),
        }
    }
}

/// The text at the first path that has some. Windows events write "-" for "none".
fn text<'a>(record: &'a Node<'a>, paths: &[&str]) -> Option<Cow<'a, str>> {
    paths.iter().find_map(|path| {
        record
            .get(path)
            .and_then(Node::text)
            .filter(|text| text != "-")
    })
}

/// `DOMAIN\name`, as Sysmon writes a user, so that the same user counts as one in every schema.
fn with_domain<'a>(domain: Option<Cow<'a, str>>, name: Cow<'a, str>) -> Cow<'a, str> {
    match domain {
        Some(domain) if !name.contains(['\\', '@']) => Cow::Owned(format!("{domain}\\{name}")),
        _ => name,
    }
}
