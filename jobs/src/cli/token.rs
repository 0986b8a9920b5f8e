//! `gleaner token`: bearer tokens for people who use `gleaner serve`.

use clap::Subcommand;

use super::output;
use crate::error::JobError;
use crate::secure::{NewToken, Role};

/// Flags of `gleaner token`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a token: show it, once, and the line for the file that --tokens names. Nothing is written.
    New(New),
}

#[derive(Debug, clap::Args)]
struct New {
    /// Whose it is: shown in lists of jobs and in logs.
    #[arg(long)]
    name: String,
    /// viewer reads and queries; operator submits and cancels jobs as well.
    #[arg(long)]
    role: Role,
    /// Days that it is good for, after today.
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
}

/// # Errors
/// When the name does not fit into a line of the file.
pub fn main(args: &Args) -> Result<(), JobError> {
    let Command::New(new) = &args.command;
    let made = NewToken::new(&new.name, new.role, new.days)?;
    output::line(&format!(
        "The token, for {} alone; it is shown this once:\n\n    {}\n\n\
         The line for the file of --tokens, which holds only its hash:\n\n    {}",
        new.name, made.token, made.line
    ))
}
