//! `gleaner doctor`.

use super::llm::LlmArgs;
use super::output;
use crate::doctor::{self, Access, Outcome};
use crate::error::JobError;
use crate::labels::client::Client;
use crate::storage;

/// Flags of `gleaner doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A directory or bucket that telemetry is read from; may be given several times.
    #[arg(long, value_name = "PATH|s3://…")]
    telemetry: Vec<String>,
    /// The warehouse's directory or bucket prefix; what is written for the trial is removed again.
    #[arg(long, value_name = "PATH|s3://…", env = "GLEANER_WAREHOUSE")]
    warehouse: Option<String>,
    /// An embedder: a model's directory (a path, s3://…), or an endpoint with its model (`https://host/v1#model`).
    #[arg(long, value_name = "PATH|s3://…|URL#MODEL", env = "GLEANER_EMBEDDER")]
    embedder: Option<String>,
    #[command(flatten)]
    llm: LlmArgs,
}

/// # Errors
/// When nothing was named, or something failed its trial.
pub async fn main(args: Args) -> Result<(), JobError> {
    let telemetry = args.telemetry.iter().map(|path| (path, Access::Read));
    let warehouse = args.warehouse.iter().map(|path| (path, Access::Write));
    let places: Vec<_> = telemetry.chain(warehouse).collect();
    let llm = args.llm.options()?;
    if places.is_empty() && args.embedder.is_none() && llm.is_none() {
        return Err(JobError::Usage(
            "nothing to look at: give --telemetry, --warehouse, --embedder or --labeller llm"
                .to_owned(),
        ));
    }
    let mut failed = 0;
    for (path, access) in places {
        output::line(path)?;
        let mut checks = doctor::check(&path.parse()?, storage::process(), access).await;
        if matches!(access, Access::Write) {
            checks.extend(doctor::pseudonyms(path, args.llm.pseudonym_key.as_ref()).await);
        }
        for check in checks {
            failed += usize::from(check.outcome == Outcome::Failed);
            output::line(&format!("  {}", check.to_string().replace('\n', "\n  ")))?;
        }
    }
    if let Some(embedder) = &args.embedder {
        output::line(embedder)?;
        for check in doctor::embedder(embedder).await {
            failed += usize::from(check.outcome == Outcome::Failed);
            output::line(&format!("  {check}"))?;
        }
    }
    if let Some(options) = llm {
        output::line(options.url.as_str())?;
        let model = options.model.clone();
        match Client::new(options)?.check_model().await {
            Ok(()) => output::line(&format!(
                "  ok      it answers, and nothing is said against model {model}"
            ))?,
            Err(error) => {
                failed += 1;
                output::line(&format!("  failed  {error}"))?;
            }
        }
    }
    match failed {
        0 => Ok(()),
        n => Err(JobError::Usage(format!("{n} of the checks above failed"))),
    }
}
