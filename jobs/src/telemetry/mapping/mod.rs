//! Schema mappings: what a record of each vendor's schema means in ours.
//!
//! A mapping is mostly a table, [`Paths`]: for each of our columns the dotted paths to look at, best first. What a table
//! cannot say (which records are process creations, how a user is put together) is a few lines of code beside it. All
//! three formats go through the same mapping, as [`Node`] trees.
//!
//! Tried and dropped: a typed serde struct for each schema. It was no faster than the borrowed tree on native lines
//! (both spend their time scanning the JSON), and every schema needed a second copy for dotted keys and for Parquet.

pub(in crate::telemetry) mod api;
mod ecs;
mod native;
mod ocsf;
mod os;
mod winlog;

use std::borrow::Cow;
use std::fmt;

use super::TelemetryError;
use super::kind::Kind;
use super::value::Node;

/// The schema that a file's records follow.
///
/// [`SchemaKind::Sysmon`] and [`SchemaKind::Security4688`] are one mapping: Winlogbeat and its like write both into one
/// file, and each record says by its event id which it is. Recognition names the one that the first records show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// Requests under our own column names: `path`, `event_time`, `user`, `status`, …
    Api,
    /// Open Cybersecurity Schema Framework, API Activity (6003) and HTTP Activity (4002).
    ApiOcsf,
    /// Elastic Common Schema's `http`, `url` and `user_agent`, nested or dotted.
    ApiEcs,
    /// AWS `CloudTrail`.
    CloudTrail,
    /// AWS API Gateway's access log as JSON.
    ApiGateway,
    /// The access log of an AWS Application Load Balancer.
    Alb,
    /// nginx's access log as JSON.
    Nginx,
    /// Envoy's access log as JSON.
    Envoy,
    /// Common or Combined Log Format.
    AccessLog,
}

impl SchemaKind {
    /// All schemas, in the order of recognition's ties.
    pub const ALL: [Self; 14] = [
        Self::Native,
        Self::Ocsf,
        Self::Ecs,
        Self::Sysmon,
        Self::Security4688,
        Self::Api,
        Self::ApiOcsf,
        Self::ApiEcs,
        Self::CloudTrail,
        Self::ApiGateway,
        Self::Alb,
        Self::Nginx,
        Self::Envoy,
        Self::AccessLog,
    ];

    /// The name that flags, configuration and tables use; unique within a kind of telemetry.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Ocsf | Self::ApiOcsf => "ocsf",
            Self::Ecs | Self::ApiEcs => "ecs",
            Self::Sysmon => "sysmon",
            Self::Security4688 => "security4688",
            Self::Api => "api",
            Self::CloudTrail => "cloudtrail",
            Self::ApiGateway => "apigateway",
            Self::Alb => "alb",
            Self::Nginx => "nginx",
            Self::Envoy => "envoy",
            Self::AccessLog => "access",
        }
    }

    /// Whether it is one of lines of a log, not of JSON.
    pub(super) const fn is_log(self) -> bool {
        matches!(self, Self::AccessLog | Self::Alb)
    }

    /// The kind of telemetry whose schema it is.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Native | Self::Ocsf | Self::Ecs | Self::Sysmon | Self::Security4688 => {
                Kind::Command
            }
            Self::Api
            | Self::ApiOcsf
            | Self::ApiEcs
            | Self::CloudTrail
            | Self::ApiGateway
            | Self::Alb
            | Self::Nginx
            | Self::Envoy
            | Self::AccessLog => Kind::Api,
        }
    }

    /// The names of a kind's schemas, separated by commas.
    #[must_use]
    pub fn names(kind: Kind) -> String {
        let of_kind = Self::ALL.into_iter().filter(|schema| schema.kind() == kind);
        of_kind.map(Self::name).collect::<Vec<_>>().join(", ")
    }

    /// The schema of that name, of a kind of telemetry.
    ///
    /// # Errors
    /// When the kind has none of that name.
    pub fn named(kind: Kind, name: &str) -> Result<Self, TelemetryError> {
        let mut of_kind = Self::ALL.into_iter().filter(|schema| schema.kind() == kind);
        of_kind
            .find(|schema| schema.name() == name)
            .ok_or_else(|| TelemetryError::UnknownSchema {
                name: name.to_owned(),
                expected: Self::names(kind),
            })
    }

    /// The schema that a set of keys shows; `has` tells whether a dotted path exists.
    ///
    /// The order matters: Winlogbeat's records carry ECS keys too, and OCSF's `process.cmd_line` beats a stray `time`.
    pub(super) fn recognise(kind: Kind, has: &dyn Fn(&str) -> bool) -> Option<Self> {
        match kind {
            Kind::Command => Self::recognise_command(has),
            Kind::Api => api::recognise(has),
        }
    }

    fn recognise_command(has: &dyn Fn(&str) -> bool) -> Option<Self> {
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
        if self.kind() == Kind::Api {
            return api::wants(self, leaf);
        }
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
            Self::Ocsf => Some(&ocsf::PATHS),
            Self::Ecs => Some(&ecs::PATHS),
            Self::Sysmon | Self::Security4688 => Some(&winlog::PATHS),
            _ => None,
        }
    }

    /// Reads one record of a process.
    pub(super) fn map<'a>(self, record: &'a Node<'a>) -> Mapped<'a> {
        let mut mapped = match self {
            Self::Ocsf => ocsf::map(record),
            Self::Ecs => ecs::map(record),
            Self::Sysmon | Self::Security4688 => winlog::map(record),
            _ => native::map(record),
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

/// What a record is nothing without, its command line or its path, or what stands in its place.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Essential<'a> {
    #[default]
    Missing,
    Text(Cow<'a, str>),
    /// Bytes of a Parquet column that are not UTF-8.
    NotUtf8(&'a [u8]),
    /// A number, list or object: guessing its text would put a wrong one among the training data.
    WrongType,
}

impl<'a> Essential<'a> {
    pub(super) fn of(value: Option<&'a Node<'a>>) -> Self {
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
    pub(super) command_line: Essential<'a>,
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
            command_line: Essential::of(record.first(self.command_line)),
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
