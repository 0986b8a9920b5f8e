//! The `gleaner-scheduler` command.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    ExitCode::from(gleaner_scheduler::command(std::env::args_os()).await)
}
