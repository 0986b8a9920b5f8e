//! The `gleaner` command.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    gleaner::logging::init("error");
    ExitCode::from(gleaner::cli::main().await)
}
