//! The `gleaner-scheduler` command.

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    ExitCode::from(gleaner_scheduler::main(gleaner_scheduler::Args::parse()).await)
}
