//! The values of a file as the defaults of flags.

use clap::builder::ArgPredicate;
use clap::{Arg, ArgAction, Command};
use toml::{Table, Value};

use super::keys::{Kind, command_of, common_flag, expected, flags, repeats};
use super::{COMMON, COMMON_KEYS, ConfigError, LIKE_RUN, Program, SECTIONS};

/// What would be a secret in a file, and where it belongs.
const SECRETS: &[(&str, &str)] = &[
    ("llm-key", "GLEANER_LLM_KEY"),
    ("embedder-api-key", "GLEANER_EMBEDDER_API_KEY"),
    ("token", "GLEANER_TOKEN"),
    ("access-key-id", "AWS_ACCESS_KEY_ID"),
    ("secret-access-key", "AWS_SECRET_ACCESS_KEY"),
    ("session-token", "AWS_SESSION_TOKEN"),
];

/// Names whose values are secrets whatever they belong to.
const SECRETIVE: &[&str] = &[
    "password",
    "passwd",
    "secret",
    "api-key",
    "apikey",
    "private-key",
    "credential",
];

/// Sets what the table says; everything in it is looked at first.
pub(super) fn apply(
    mut command: Command,
    program: Program,
    file: &str,
    table: &Table,
) -> Result<Command, ConfigError> {
    let wrong = |place: String, what: String| {
        Err(ConfigError::Wrong {
            file: file.to_owned(),
            place,
            what,
        })
    };
    for (section, keys) in table {
        if !SECTIONS.contains(&section.as_str()) {
            let place = if keys.is_table() {
                format!("[{section}]")
            } else {
                section.clone()
            };
            let sections: Vec<String> = SECTIONS.iter().map(|s| format!("[{s}]")).collect();
            let hint = nearest(section, SECTIONS.iter().copied(), |s| format!("[{s}]"));
            let what = format!(
                "no such section{hint}; expected one of {}",
                sections.join(", ")
            );
            return wrong(place, what);
        }
        let Value::Table(keys) = keys else {
            return wrong(
                section.clone(),
                format!("expected a section, [{section}], with keys below it"),
            );
        };
        let own = program == Program::Gleaner && section == COMMON;
        if !own && command_of(&command, program, section).is_none() {
            // Another program's: that one looks at it.
            continue;
        }
        for (name, value) in keys {
            let place = || format!("[{section}] {name}");
            if let Some(variable) = secret(name) {
                return wrong(
                    place(),
                    format!("secrets are not kept in this file: {variable}"),
                );
            }
            let arg = if own {
                common_flag(&command, name).filter(|_| COMMON_KEYS.contains(&name.as_str()))
            } else {
                let of = command_of(&command, program, section);
                of.and_then(|of| flags(of).find(|(long, _)| long == name).map(|(_, arg)| arg))
            };
            let Some(arg) = arg else {
                return wrong(place(), unknown(&command, program, section, name));
            };
            if arg.is_hide_env_values_set() {
                let variable = arg.get_env().map(|v| v.to_string_lossy().into_owned());
                let variable = variable.unwrap_or_else(|| "its environment variable".to_owned());
                return wrong(
                    place(),
                    format!("secrets are not kept in this file: set {variable}"),
                );
            }
            let id = arg.get_id().to_string();
            let values = match texts(arg, value).and_then(|values| checked(arg, values)) {
                Ok(values) => values,
                Err(what) => return wrong(place(), what),
            };
            command = if own {
                everywhere(command, &id, &values, &|section| {
                    table
                        .get(section)
                        .is_some_and(|keys| keys.get(name).is_some())
                })
            } else if program == Program::Gleaner {
                let mut command = command.mut_subcommand(section, |sub| set(sub, &id, &values));
                let like = LIKE_RUN.iter().copied().filter(|_| section == "run");
                for other in like {
                    let otherwise = table
                        .get(other)
                        .is_some_and(|keys| keys.get(name).is_some());
                    let there = command
                        .find_subcommand(other)
                        .is_some_and(|sub| has(sub, &id));
                    if there && !otherwise {
                        command = command.mut_subcommand(other, |sub| set(sub, &id, &values));
                    }
                }
                command
            } else {
                set(command, &id, &values)
            };
        }
    }
    Ok(command)
}

fn has(command: &Command, id: &str) -> bool {
    command.get_arguments().any(|arg| arg.get_id() == id)
}

/// A common flag, wherever a command has it and its section does not say otherwise.
fn everywhere(
    mut command: Command,
    id: &str,
    values: &[String],
    otherwise: &dyn Fn(&str) -> bool,
) -> Command {
    if has(&command, id) {
        command = set(command, id, values);
    }
    let names: Vec<String> = command
        .get_subcommands()
        .map(|sub| sub.get_name().to_owned())
        .collect();
    for name in names.iter().filter(|name| !otherwise(name)) {
        command = command.mut_subcommand(name, |sub| everywhere(sub, id, values, &|_| false));
    }
    command
}

/// Makes values the default of a flag. What is given on the command line outweighs it, also by a flag that excludes this one.
fn set(command: Command, id: &str, values: &[String]) -> Command {
    let excludes = |one: &Arg, other: &Arg| {
        let conflicts = command.get_arg_conflicts_with(one);
        conflicts.iter().any(|arg| arg.get_id() == other.get_id())
    };
    let Some(of) = command.get_arguments().find(|arg| arg.get_id() == id) else {
        return command;
    };
    let others: Vec<String> = command
        .get_arguments()
        .filter(|other| other.get_id() != id && (excludes(of, other) || excludes(other, of)))
        .map(|other| other.get_id().to_string())
        .collect();
    let switch = Kind::of(of) == Kind::Switch;
    command.mut_arg(id, |arg| {
        let mut arg = arg.required(false).default_values(values.to_vec());
        if switch {
            // So that a person can take back what the file says: --later=false.
            arg = arg
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .value_name("true|false");
        }
        for other in others {
            arg = arg.default_value_if(other, ArgPredicate::IsPresent, None::<&str>);
        }
        arg
    })
}

/// The values of a key, as on a command line.
fn texts(arg: &Arg, value: &Value) -> Result<Vec<String>, String> {
    let bad = || format!("expected {}", expected(arg));
    let one = |value: &Value| match (Kind::of(arg), value) {
        (Kind::Switch, Value::Boolean(value)) => Ok(value.to_string()),
        (Kind::Integer | Kind::Float | Kind::Other, Value::Integer(value)) => Ok(value.to_string()),
        (Kind::Float | Kind::Other, Value::Float(value)) => Ok(value.to_string()),
        (Kind::Text | Kind::Other, Value::String(value)) => Ok(value.clone()),
        (Kind::Text | Kind::Other, Value::Datetime(value)) => Ok(value.to_string()),
        _ => Err(bad()),
    };
    match value {
        Value::Array(values) if repeats(arg) => {
            if values.is_empty() {
                return Err(format!(
                    "expected {}, not an empty list: leave the key out",
                    expected(arg)
                ));
            }
            values.iter().map(one).collect()
        }
        value => Ok(vec![one(value)?]),
    }
}

/// The values, if the flag would take them.
fn checked(arg: &Arg, values: Vec<String>) -> Result<Vec<String>, String> {
    if values.iter().any(|value| has_password(value)) {
        return Err(
            "secrets are not kept in this file: an address may hold no password".to_owned(),
        );
    }
    if Kind::of(arg) == Kind::Switch {
        return Ok(values);
    }
    let name = arg.get_long().unwrap_or_default().to_owned();
    let trial = Arg::new("value")
        .long(name.clone())
        .action(ArgAction::Append)
        .allow_hyphen_values(true)
        .value_parser(arg.get_value_parser().clone());
    let flags = values.iter().map(|value| format!("--{name}={value}"));
    let command = Command::new("gleaner").no_binary_name(true).arg(trial);
    match command.try_get_matches_from(flags) {
        Ok(_) => Ok(values),
        Err(error) => Err(said(arg, &error)),
    }
}

/// What a flag's parser says against a value.
fn said(arg: &Arg, error: &clap::Error) -> String {
    let choices: Vec<String> = arg
        .get_possible_values()
        .iter()
        .map(|value| value.get_name().to_owned())
        .collect();
    if !choices.is_empty() {
        return format!("expected one of {}", choices.join(", "));
    }
    let why = std::error::Error::source(error).map(ToString::to_string);
    let why = why.map_or_else(String::new, |why| format!(": {why}"));
    format!(
        "expected what --{} takes{why}",
        arg.get_long().unwrap_or_default()
    )
}

/// `scheme://user:password@host`.
fn has_password(value: &str) -> bool {
    let Some((_, rest)) = value.split_once("://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority
        .rsplit_once('@')
        .is_some_and(|(user, _)| user.contains(':'))
}

/// Where a secret of this name belongs; `None`: the name is no secret's.
fn secret(name: &str) -> Option<String> {
    let lower = name.to_lowercase().replace('_', "-");
    let known = SECRETS
        .iter()
        .find(|(key, _)| lower == *key || lower.ends_with(&format!("-{key}")) && *key != "token");
    if let Some((_, variable)) = known {
        return Some(format!("set {variable} instead"));
    }
    SECRETIVE
        .iter()
        .any(|word| lower.contains(word) && !lower.ends_with("-file"))
        .then(|| "give it in the environment, see --help of the command".to_owned())
}

/// What to say of a key that no flag has.
fn unknown(command: &Command, program: Program, section: &str, name: &str) -> String {
    let names: Vec<&str> = if program == Program::Gleaner && section == COMMON {
        COMMON_KEYS.to_vec()
    } else {
        let of = command_of(command, program, section);
        of.into_iter()
            .flat_map(|of| flags(of).map(|(long, _)| long))
            .collect()
    };
    let hint = nearest(name, names.iter().copied(), str::to_owned);
    let of = match program.section() {
        None if section == COMMON => {
            return format!("no such key{hint}; expected {}", names.join(" or "));
        }
        None => format!("gleaner {section}"),
        Some(section) => format!("gleaner-{section}"),
    };
    format!("no such key{hint}; keys are the long flags of `{of} --help`, without --")
}

/// `: did you mean …?`, where one of the names is near.
fn nearest<'n>(
    name: &str,
    names: impl Iterator<Item = &'n str>,
    shown: impl Fn(&str) -> String,
) -> String {
    let scored = names.map(|other| (strsim::jaro_winkler(name, other), other));
    let best = scored
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(score, _)| *score > 0.8);
    best.map_or_else(String::new, |(_, other)| {
        format!(", did you mean {}?", shown(other))
    })
}
