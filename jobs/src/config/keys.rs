//! What a file may say: the long flags of the commands that have a section.

use std::any::TypeId;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;

use clap::{Arg, ArgAction, Command};

use super::{COMMON, COMMON_KEYS, LIKE_RUN, Program, SECTIONS};

/// A key of a section.
#[derive(Debug, Clone)]
pub struct Key {
    /// The section.
    pub section: &'static str,
    /// The long flag's name.
    pub name: String,
    /// What is expected, in words.
    pub expected: &'static str,
    /// The built-in default, as on a command line; empty where there is none.
    pub default: Vec<String>,
    /// The variable that outweighs it.
    pub variable: Option<String>,
    /// What it means.
    pub help: String,
}

/// What a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Switch,
    Integer,
    Float,
    Text,
    /// Parsed by a function of ours: text, or a number where that reads better.
    Other,
}

impl Kind {
    pub(super) fn of(arg: &Arg) -> Self {
        if matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::SetFalse) {
            return Self::Switch;
        }
        let parsed = arg.get_value_parser().type_id();
        let is = |ids: &[TypeId]| ids.iter().any(|id| parsed == *id);
        if is(&[
            TypeId::of::<u8>(),
            TypeId::of::<u16>(),
            TypeId::of::<u32>(),
            TypeId::of::<u64>(),
            TypeId::of::<usize>(),
            TypeId::of::<i32>(),
            TypeId::of::<i64>(),
            TypeId::of::<NonZeroU32>(),
            TypeId::of::<NonZeroU64>(),
            TypeId::of::<NonZeroUsize>(),
        ]) {
            Self::Integer
        } else if is(&[TypeId::of::<f32>(), TypeId::of::<f64>()]) {
            Self::Float
        } else if is(&[TypeId::of::<String>(), TypeId::of::<PathBuf>()]) {
            Self::Text
        } else {
            Self::Other
        }
    }
}

/// Whether a flag may be given several times, or with several values.
pub(super) fn repeats(arg: &Arg) -> bool {
    let several = |range: clap::builder::ValueRange| range.max_values() > 1;
    matches!(arg.get_action(), ArgAction::Append) || arg.get_num_args().is_some_and(several)
}

/// What a value must be, in words.
pub(super) fn expected(arg: &Arg) -> &'static str {
    match (Kind::of(arg), repeats(arg)) {
        (Kind::Switch, _) => "true or false",
        (Kind::Integer, false) => "an integer",
        (Kind::Float, false) => "a number",
        (Kind::Text, false) => "a text in quotes",
        (Kind::Other, false) => "a text in quotes, or a number",
        (Kind::Integer | Kind::Float, true) => "a number, or a list of numbers in [brackets]",
        (Kind::Text | Kind::Other, true) => "a text in quotes, or a list of such in [brackets]",
    }
}

/// What belongs to one call: a day, a job's parameters, the file itself.
const ONE_CALLS: &[&str] = &["config", "date", "to", "set", "into", "option"];

/// A flag that a file may set: not help, nor what belongs to one call, nor a place without a name.
pub(super) fn is_key(arg: &Arg) -> bool {
    let sets = !matches!(
        arg.get_action(),
        ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
    );
    sets && arg
        .get_long()
        .is_some_and(|long| !ONE_CALLS.contains(&long))
}

/// The flags of a command or program by their long names.
pub(super) fn flags(command: &Command) -> impl Iterator<Item = (&str, &Arg)> {
    let keys = command.get_arguments().filter(|arg| is_key(arg));
    keys.filter_map(|arg| Some((arg.get_long()?, arg)))
}

/// The command of a section, of `program`.
pub(super) fn command_of<'c>(
    command: &'c Command,
    program: Program,
    section: &str,
) -> Option<&'c Command> {
    match program.section() {
        Some(own) => (own == section).then_some(command),
        None => command.find_subcommand(section),
    }
}

/// Every key that a file may hold for `program`, by section, in the order of the flags. What others share with `[run]` is
/// listed once, under `[run]`.
#[must_use]
pub fn keys(command: &Command, program: Program) -> Vec<Key> {
    let mut found: Vec<Key> = vec![];
    // What hides its variable's value is a secret, and no key.
    let shown = |arg: &Arg| !arg.is_hide_env_values_set();
    for section in SECTIONS.iter().copied() {
        if program == Program::Gleaner && section == COMMON {
            let common = COMMON_KEYS
                .iter()
                .filter_map(|name| common_flag(command, name));
            found.extend(common.map(|arg| key(section, arg)));
            continue;
        }
        let Some(of) = command_of(command, program, section) else {
            continue;
        };
        for (name, arg) in flags(of) {
            let shared =
                |key: &Key| LIKE_RUN.contains(&section) && key.section == "run" && key.name == name;
            let common = program == Program::Gleaner && COMMON_KEYS.contains(&name);
            if shown(arg) && !common && !found.iter().any(shared) {
                found.push(key(section, arg));
            }
        }
    }
    found
}

/// A flag of `[gleaner]`, as the program or one of its commands has it.
pub(super) fn common_flag<'c>(command: &'c Command, name: &str) -> Option<&'c Arg> {
    let all = std::iter::once(command).chain(command.get_subcommands());
    all.flat_map(flags)
        .find(|(long, _)| *long == name)
        .map(|(_, arg)| arg)
}

fn key(section: &'static str, arg: &Arg) -> Key {
    let help = arg.get_long_help().or_else(|| arg.get_help());
    let default = arg.get_default_values().iter();
    let mut default: Vec<String> = default.map(|v| v.to_string_lossy().into_owned()).collect();
    default.retain(|value| !value.is_empty());
    if Kind::of(arg) == Kind::Switch {
        default = vec!["false".to_owned()];
    }
    Key {
        section,
        name: arg.get_long().unwrap_or_default().to_owned(),
        expected: expected(arg),
        default,
        variable: arg.get_env().map(|v| v.to_string_lossy().into_owned()),
        help: help.map(ToString::to_string).unwrap_or_default(),
    }
}
