//! Behavioural tags: what a command line does, as far as its text tells.
//!
//! **What.** A [`Behavior`] is a name, an ATT&CK technique, a [`Group`] and a small boolean expression over *needles*
//! (texts with a boundary rule) and *facts* (found by the scan). Names are those of libLOL where it has
//! one; the expressions are ours, because libLOL's regular expressions are greedy and unanchored (`nc` fires inside
//! `rsync`). Linux and macOS have their counterparts.
//!
//! **How.** All needles are in one Aho-Corasick automaton, blind to ASCII case, built once a process. A line is read
//! once; a behaviour is looked at only when a needle or a fact that it cannot do without was found, so the cost of a
//! behaviour on an ordinary line is nil.
//!
//! **Escapes.** A line with backticks or carets is read without them, so that `I`E`X` and `po^wer^shell` are seen.
//!
//! **Cost.** About 10 ns a byte: half the walk, half the hits of short needles.

mod automaton;
mod bounds;
mod counters;
mod credentials;
mod evasion;
mod facts;
mod needles;
mod obfuscation;
mod persistence;
mod shells;
mod transfer;

pub(crate) use counters::Counter;
pub(crate) use facts::{Fact, facts};
pub(crate) use needles::{Engine, Hits};

/// What kind of act a behaviour is part of; the sums over a group are features too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Group {
    /// Addresses and protocols.
    Network,
    /// Download and upload (T1105, T1048).
    DataTransfer,
    /// Memory and credential dumping (T1003).
    Credentials,
    /// Obfuscation and encoding (T1027, T1140).
    Obfuscation,
    /// Interpreters, reverse and bind shells (T1059).
    Shell,
    /// Persistence and privilege (T1053, T1543, T1547).
    Persistence,
    /// Lateral movement and remote execution (T1021, T1047).
    Lateral,
    /// Defence evasion, destruction (T1562, T1070, T1490).
    Evasion,
}

/// One behavioural tag.
#[derive(Debug, Clone, Copy)]
pub struct Behavior {
    /// Its name, unique; libLOL's spelling where it has one.
    pub name: &'static str,
    /// Its group.
    pub group: Group,
    /// The ATT&CK technique, `T1105` or `T1059.001`.
    pub technique: &'static str,
    pub(crate) when: Expr,
}

const fn tag(group: Group, name: &'static str, technique: &'static str, when: Expr) -> Behavior {
    Behavior {
        name,
        group,
        technique,
        when,
    }
}

/// A boolean expression over needles and facts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expr {
    /// The text, anywhere.
    Text(&'static str),
    /// The text in this very case, anywhere: switches such as `-T` and `-t` differ.
    Exact(&'static str),
    /// The text with no letter, digit or `_` on either side.
    Word(&'static str),
    /// The text as a program's name: after the start, whitespace, a path separator, a quote or a shell operator, and
    /// before whitespace, a quote, an operator or the end, with or without `.exe` or a version.
    Command(&'static str),
    /// A command that something is piped into: `| sh`, `|sudo /bin/bash`.
    Piped(&'static str),
    /// The text as a switch: after `-`, `--` or `/` at the start of an argument, and at the end of a word.
    Switch(&'static str),
    /// What the scan found.
    Is(Fact),
    /// All of them.
    All(&'static [Expr]),
    /// Any of them.
    Any(&'static [Expr]),
    /// All of them, each beginning somewhere before the end of the next.
    Then(&'static [Expr]),
    /// It does not hold. Only beside something that does.
    Not(&'static Expr),
}

/// All behaviours, in the order of their bits.
pub fn all() -> impl Iterator<Item = &'static Behavior> {
    [
        transfer::TABLE,
        credentials::TABLE,
        obfuscation::TABLE,
        shells::TABLE,
        persistence::TABLE,
        evasion::TABLE,
    ]
    .into_iter()
    .flatten()
}

#[cfg(test)]
mod tests;
