//! The three programs in one, by their first argument: `gleaner`, `scheduler` or `executor`.

mod faults;
mod plain;
mod slow;

use std::io;
use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
enum Program {
    Gleaner {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    #[command(disable_help_flag = true)]
    Scheduler {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    #[command(disable_help_flag = true)]
    Executor {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    PlainScheduler(plain::SchedulerArgs),
    PlainExecutor(plain::ExecutorArgs),
}

fn main() -> io::Result<ExitCode> {
    gleaner::runtime::run(program()).map(ExitCode::from)
}

async fn program() -> u8 {
    faults::install();
    match Program::parse() {
        Program::Gleaner { args } => {
            gleaner::serve::worker::started_by(&["gleaner", "--"]);
            gleaner::cli::run(named("gleaner", args)).await
        }
        Program::Scheduler { args } => {
            gleaner_scheduler::command(named("gleaner-scheduler", args)).await
        }
        Program::Executor { args } => {
            gleaner_executor::command(named("gleaner-executor", args)).await
        }
        Program::PlainScheduler(args) => plain::scheduler(args).await,
        Program::PlainExecutor(args) => plain::executor(args).await,
    }
}

fn named(name: &str, args: Vec<String>) -> impl Iterator<Item = String> {
    std::iter::once(name.to_owned()).chain(args)
}
