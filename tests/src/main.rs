//! The three programs in one, by their first argument: `gleaner`, `scheduler` or `executor`.

mod faults;
mod plain;
mod slow;

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
enum Program {
    Gleaner {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    Scheduler(gleaner_scheduler::Args),
    Executor(gleaner_executor::Args),
    PlainScheduler(plain::SchedulerArgs),
    PlainExecutor(plain::ExecutorArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    faults::install();
    ExitCode::from(match Program::parse() {
        Program::Gleaner { args } => {
            gleaner::logging::init("error");
            gleaner::serve::worker::started_by(&["gleaner", "--"]);
            gleaner::cli::run(std::iter::once("gleaner".to_owned()).chain(args)).await
        }
        Program::Scheduler(args) => gleaner_scheduler::main(args).await,
        Program::Executor(args) => gleaner_executor::main(args).await,
        Program::PlainScheduler(args) => plain::scheduler(args).await,
        Program::PlainExecutor(args) => plain::executor(args).await,
    })
}
