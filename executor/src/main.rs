//! The `gleaner-executor` command.

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    ExitCode::from(gleaner_executor::main(gleaner_executor::Args::parse()).await)
}
