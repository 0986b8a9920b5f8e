//! What telemetry is about.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kind of telemetry that a day, and a warehouse, is of.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Process creations: command lines.
    #[default]
    Command,
    /// Requests to APIs.
    Api,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 2] = [Self::Command, Self::Api];

    /// The name that flags, configuration and the warehouse use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Api => "api",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}
