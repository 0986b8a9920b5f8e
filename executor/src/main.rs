//! The `gleaner-executor` command.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    ExitCode::from(gleaner_executor::command(std::env::args_os()).await)
}
