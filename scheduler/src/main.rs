//! The `gleaner-scheduler` command.

use std::io;
use std::process::ExitCode;

fn main() -> io::Result<ExitCode> {
    gleaner::runtime::run(gleaner_scheduler::command(std::env::args_os())).map(ExitCode::from)
}
