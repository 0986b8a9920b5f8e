//! `gleaner.toml`: defaults of command-line flags, for all three programs.
//!
//! A section is a command (`[run]`, `[serve]`, `[sql]` …) or a program (`[scheduler]`, `[executor]`), a key the long name of one of
//! its flags. A flag outweighs the environment, the environment outweighs the file, the file outweighs what is built in:
//! values of the file become `clap`'s defaults before it parses, so that `clap` itself keeps that order. `[gleaner]` holds what
//! all commands share, and what `[run]` says of how a day is run holds for `gleaner serve` and `gleaner doctor` too, where
//! their own sections say nothing else.
//!
//! The file is the one that `--config` names, or `GLEANER_CONFIG`, or `gleaner.toml` in the current directory if there is one. An
//! empty name means none.
//!
//! Secrets stay out of it: a file is copied, committed and shown. A key that would hold one is refused, and the message names
//! the variable to use instead. A broken line is named by its number and not quoted; what a flag's own parser says against a value is
//! said as it is on a command line.

mod apply;
mod keys;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Command, Parser};

pub use keys::{Key, keys};

/// Names the file.
pub const VARIABLE: &str = "GLEANER_CONFIG";

/// The file in the current directory.
pub const FILE: &str = "gleaner.toml";

/// What all commands of `gleaner` share.
pub const COMMON: &str = "gleaner";

/// The sections of a file: commands of `gleaner`, then the other programs. A command that is asked once, by a person, has none.
pub const SECTIONS: &[&str] = &[
    COMMON,
    "run",
    "serve",
    "sql",
    "score",
    "submit",
    "jobs",
    "status",
    "candidates",
    "doctor",
    "scheduler",
    "executor",
];

/// Commands that take what `[run]` says of a day: those that run one, or try whether one could run.
pub(crate) const LIKE_RUN: &[&str] = &["serve", "doctor"];

/// Keys of `[gleaner]`: the flag of every command that has it.
pub const COMMON_KEYS: &[&str] = &["log-format", "warehouse"];

/// Whose flags are parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `gleaner`: a section is a command.
    Gleaner,
    /// `gleaner-scheduler`: its section.
    Scheduler,
    /// `gleaner-executor`: its section.
    Executor,
}

impl Program {
    /// The section of a program without commands.
    fn section(self) -> Option<&'static str> {
        match self {
            Self::Gleaner => None,
            Self::Scheduler => Some("scheduler"),
            Self::Executor => Some("executor"),
        }
    }
}

/// The flag that names the file; for every program's flags.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ConfigArgs {
    /// A file of defaults for flags, gleaner.toml; without it the one in the current directory, if there is one. An empty name: none.
    #[arg(long, value_name = "FILE", env = VARIABLE, global = true)]
    pub config: Option<OsString>,
}

/// What is wrong with a file. No message holds a line of it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("{file}: {source}; --config or GLEANER_CONFIG names it")]
    Unreadable {
        /// Which.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is no TOML.
    #[error("{file}, line {line}: {what}")]
    Syntax {
        /// Which.
        file: String,
        /// Counted from 1.
        line: usize,
        /// What the parser says.
        what: String,
    },
    /// A section, a key or a value is not as expected.
    #[error("{file}: {place}: {what}")]
    Wrong {
        /// Which.
        file: String,
        /// `[section]`, or `[section] key`.
        place: String,
        /// What is expected, and what to do.
        what: String,
    },
}

/// Why flags were not parsed.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// The file.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The flags, or a request for help.
    #[error(transparent)]
    Flags(#[from] clap::Error),
}

impl ParseError {
    /// Says it, as `clap` would, and returns the exit code: 0 for help, 2 for an error.
    #[must_use]
    pub fn report(&self, program: &str) -> u8 {
        match self {
            Self::Config(error) => {
                crate::cli::output::note(&format!("{program}: {error}"));
                2
            }
            Self::Flags(error) => {
                let _ = error.print();
                u8::try_from(error.exit_code()).unwrap_or(2)
            }
        }
    }
}

/// Parses a command line, the program's name first, with the defaults of the file.
///
/// # Errors
/// When the file is not as expected, or `clap` says so of the flags.
pub fn parse<P: Parser>(
    program: Program,
    args: impl IntoIterator<Item = impl Into<OsString>>,
) -> Result<P, ParseError> {
    let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    let named = named(&args).or_else(|| std::env::var_os(VARIABLE).map(PathBuf::from));
    let file = match named {
        Some(path) if path.as_os_str().is_empty() => None,
        Some(path) => Some(path),
        None => Some(PathBuf::from(FILE)).filter(|path| path.is_file()),
    };
    let mut command = P::command();
    if let Some(file) = file {
        command = with_file(command, program, &file)?;
    }
    let mut matches = command.try_get_matches_from_mut(args)?;
    let parsed = P::from_arg_matches_mut(&mut matches);
    Ok(parsed.map_err(|error| error.format(&mut command))?)
}

/// The file that the command line names. It is wanted before the rest can be parsed.
fn named(args: &[OsString]) -> Option<PathBuf> {
    let mut args = args.iter().skip(1).take_while(|arg| *arg != "--");
    while let Some(arg) = args.next() {
        if arg == "--config" {
            return args.next().map(PathBuf::from);
        }
        let value = arg.to_str().and_then(|text| text.strip_prefix("--config="));
        if let Some(value) = value {
            return Some(PathBuf::from(value));
        }
    }
    None
}

/// The flags of a program with the values of a file as their defaults.
///
/// # Errors
/// When it cannot be read, or is not as expected.
pub fn with_file(command: Command, program: Program, file: &Path) -> Result<Command, ConfigError> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|source| ConfigError::Unreadable {
        file: name.clone(),
        source,
    })?;
    with_text(command, program, &name, &text)
}

/// [`with_file`], of what it holds.
///
/// # Errors
/// When it is not as expected.
pub fn with_text(
    command: Command,
    program: Program,
    file: &str,
    text: &str,
) -> Result<Command, ConfigError> {
    // The parser's own message quotes the line, which may hold what must not be shown.
    let table = text.parse::<toml::Table>().map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        ConfigError::Syntax {
            file: file.to_owned(),
            line: 1 + text.bytes().take(at).filter(|b| *b == b'\n').count(),
            what: error.message().to_owned(),
        }
    })?;
    apply::apply(command, program, file, &table)
}

#[cfg(test)]
mod tests;
