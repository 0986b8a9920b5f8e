//! The `gleaner` command.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    ExitCode::from(gleaner::cli::main().await)
}
