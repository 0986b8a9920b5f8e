//! The `gleaner` command.

use std::io;
use std::process::ExitCode;

fn main() -> io::Result<ExitCode> {
    gleaner::runtime::run(gleaner::cli::main()).map(ExitCode::from)
}
