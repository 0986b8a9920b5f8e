//! The `gleaner-executor` command.

use std::io;
use std::process::ExitCode;

fn main() -> io::Result<ExitCode> {
    gleaner::runtime::run(gleaner_executor::command(std::env::args_os())).map(ExitCode::from)
}
