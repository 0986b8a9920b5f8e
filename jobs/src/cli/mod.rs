//! The `gleaner` command: flags, and what a person or a machine is shown. Everything it does is a call into the
//! library.

pub mod baseline;
pub mod candidates;
pub mod day;
pub mod demo;
pub mod doctor;
pub mod embedder;
pub mod evaluate;
pub mod evaluate_labels;
pub mod export;
pub mod functions;
pub mod jobs;
pub mod labels;
pub mod llm;
pub mod output;
pub mod progress;
pub mod report;
pub mod run;
pub mod score;
pub mod score_load;
pub mod selection;
pub mod serve;
pub mod sql;
pub mod status;
pub mod submit;
pub mod synth;
pub mod token;
mod verdicts;

use clap::{Parser, Subcommand};

use crate::config::{self, ConfigArgs, Program};
use crate::error::JobError;
use crate::logging::{self, LogArgs, LogFormat};
use crate::observe::spans;
use crate::serve::worker;

/// Gleaner turns anomaly detection round: it finds the rare, complex and benign command lines in a day of telemetry,
/// and emits them as training data.
#[derive(Debug, Parser)]
#[command(name = "gleaner", version, about, max_term_width = 110)]
pub struct Cli {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a day, or several, from telemetry to the benign set.
    Run(Box<run::Args>),
    /// Query the warehouse: one statement, or a shell.
    Sql(sql::Args),
    /// Serve: take jobs, run days by a schedule, answer queries.
    Serve(Box<serve::Args>),
    /// Give a job to a running `gleaner serve`: a file of SQL, or days.
    Submit(submit::Args),
    /// The jobs of a running `gleaner serve`: list, watch, cancel.
    Jobs(jobs::Args),
    /// Score requests or command lines as they come on standard input, with the models of a running `gleaner serve`.
    Score(score::Args),
    /// What each day of a warehouse took in and gave out.
    Status(status::Args),
    /// What came in and what came out, and was it worth it: one HTML page, with plots.
    Report(report::Args),
    /// What near-dedup would keep at another threshold, and the pairs nearest to it. Nothing is written.
    Candidates(candidates::Args),
    /// Measure detectors, near-dedup, labellers and the benign set itself on labelled sets of your own.
    Evaluate(evaluate::Args),
    /// Make a training set to start from: labels from rules alone, or from several sources with weights.
    Baseline(baseline::Args),
    /// Export the benign set, or a training set with it, as Parquet, CSV, `LibSVM` or a Hugging Face data set; a classifier as JSON or ONNX.
    Export(Box<export::Args>),
    /// Labels: what they would cost, a sample for analysts, their verdicts, all that is known of one line.
    Labels(labels::Args),
    /// List the SQL functions, the features or the behaviours.
    Functions(functions::Args),
    /// Make telemetry: realistic, of any size, seeded, with the truth beside it.
    Synth(synth::Args),
    /// Try whether the places of telemetry and warehouse can be read and written, and say what to do.
    Doctor(Box<doctor::Args>),
    /// Get a sentence encoder's files from the Hugging Face hub.
    Embedder(embedder::Args),
    /// Answer one query of `gleaner serve`, which starts this itself.
    #[command(name = worker::NAME, hide = true)]
    QueryWorker,
    /// Load a scoring server at a given rate, and say how long answers took.
    #[command(hide = true)]
    ScoreLoad(score_load::Args),
    /// Make tokens, with which people use `gleaner serve`.
    Token(token::Args),
    /// Make three days of telemetry, run them, and show what was found.
    Demo(demo::Args),
}

/// Runs the command line of this process; returns the exit code: 0 done, 2 error.
pub async fn main() -> u8 {
    run(std::env::args_os()).await
}

/// Runs a command line, the program's name first, with the defaults of `gleaner.toml`; returns the exit code.
pub async fn run(args: impl IntoIterator<Item = impl Into<std::ffi::OsString>>) -> u8 {
    let cli: Cli = match config::parse(Program::Gleaner, args) {
        Ok(cli) => cli,
        Err(error) => return error.report("gleaner"),
    };
    if matches!(cli.command, Command::QueryWorker) {
        return worker::main().await;
    }
    // A service says what it does; a command that somebody waits for says it itself.
    let level = match cli.command {
        Command::Serve(_) => "warn,gleaner=info",
        _ if cli.log.log_format == LogFormat::Json => "warn,gleaner=info",
        _ => "error",
    };
    logging::init(level, cli.log.log_format);
    let result = match spans::start() {
        Ok(exporter) => {
            let result = command(cli.command).await;
            exporter.stop().await;
            result
        }
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => 0,
        Err(error) if closed_pipe(&error) => 0,
        Err(error) if cli.log.log_format == LogFormat::Json => {
            log::error!("gleaner: {}", error.chain());
            2
        }
        Err(error) => {
            output::error(&error);
            2
        }
    }
}

async fn command(command: Command) -> Result<(), JobError> {
    match command {
        Command::Run(args) => run::main(*args).await,
        Command::Sql(args) => sql::main(args).await,
        Command::Serve(args) => serve::main(*args).await,
        Command::Submit(args) => submit::main(args).await,
        Command::Jobs(args) => jobs::main(args).await,
        Command::Score(args) => score::main(args).await,
        Command::ScoreLoad(args) => score_load::main(args).await,
        Command::Status(args) => status::main(args).await,
        Command::Report(args) => report::main(args).await,
        Command::Candidates(args) => candidates::main(args).await,
        Command::Evaluate(args) => evaluate::main(args).await,
        Command::Baseline(args) => baseline::main(&args).await,
        Command::Export(args) => export::main(*args).await,
        Command::Labels(args) => labels::main(args).await,
        Command::Functions(args) => functions::main(&args),
        Command::Synth(args) => synth::main(&args),
        Command::Doctor(args) => doctor::main(*args).await,
        Command::Embedder(args) => embedder::main(&args).await,
        Command::Token(args) => token::main(&args),
        Command::Demo(args) => demo::main(args).await,
        // Neither logs nor spans: what it has to say goes to the server.
        Command::QueryWorker => Ok(()),
    }
}

/// The reader of our output has seen enough (`gleaner sql … | head`): no error.
fn closed_pipe(error: &JobError) -> bool {
    matches!(error, JobError::Io { source, .. } if source.kind() == std::io::ErrorKind::BrokenPipe)
}
