//! `gleaner report`.

use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use gleaner_udfs::text::redact::PseudonymKey;

use super::output;
use super::run::EngineArgs;
use crate::catalog::tables;
use crate::driver::install_model_loader;
use crate::error::JobError;
use crate::labels::precision::{self, SetPrecision};
use crate::labels::{pseudonyms, review};
use crate::report::data::Reader;
use crate::report::subject::Subject;
use crate::report::{Lines, Report, evaluation};
use crate::telemetry::Kind;
use crate::warehouse::Warehouse;

/// Flags of `gleaner report`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory of the warehouse; nothing is written to it.
    #[arg(long, value_name = "DIR", env = "GLEANER_WAREHOUSE")]
    warehouse: String,
    /// The page: one HTML file that needs nothing else.
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    output: PathBuf,
    /// The first day; without it, the warehouse's first.
    #[arg(long, value_name = "YYYY-MM-DD")]
    from: Option<NaiveDate>,
    /// The last day; without it, the warehouse's last.
    #[arg(long, value_name = "YYYY-MM-DD")]
    to: Option<NaiveDate>,
    /// What `gleaner evaluate lift --json` printed, for AUC and ROC curves; may be given several times.
    #[arg(long, value_name = "FILE")]
    evaluation: Vec<PathBuf>,
    /// Write each plot to this directory too, as SVG and as PNG.
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,
    /// How command lines and requests are shown.
    #[arg(long, value_enum, default_value_t = Lines::Redacted)]
    lines: Lines,
    /// How many emitted lines, or anomalous requests, are shown as a sample.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(..=500))]
    sample: u32,
    #[command(flatten)]
    engine: EngineArgs,
}

/// # Errors
/// When the warehouse cannot be read, or a file cannot be written.
pub async fn main(args: Args) -> Result<(), JobError> {
    let days = match (args.from, args.to) {
        (None, None) => None,
        (Some(from), Some(to)) if to < from => {
            return Err(JobError::Usage(format!(
                "--to {to} is before --from {from}"
            )));
        }
        (from, to) => Some((from, to)),
    };
    // Before minutes of work: a file that is not what it should be.
    let evaluation = evaluation::read(&args.evaluation)?;
    let warehouse = Warehouse::open(&args.warehouse).await?;
    let kind = warehouse.kind();
    if kind != Kind::Command && !args.evaluation.is_empty() {
        return Err(JobError::Usage(format!(
            "--evaluation: {} is a warehouse of API requests, which no classifier of command lines is trained on; leave it out",
            args.warehouse
        )));
    }
    let engine = args.engine.engine()?;
    install_model_loader();
    let ctx = engine.session().clone();
    tables(&ctx, &warehouse).await?;
    let data = Reader::new(&engine, &ctx, days, Subject::of(kind))
        .read(args.sample as usize)
        .await?;
    let (by_day, overall, reviewed) = if kind == Kind::Command {
        judged(&warehouse, &data.days).await?
    } else {
        (vec![], vec![], review::Precision::default())
    };
    let report = Report {
        kind,
        warehouse: args.warehouse.clone(),
        reviewed,
        key: key(&warehouse).await?,
        lines: args.lines,
        data,
        by_day,
        overall,
        evaluation,
    };
    let (html, figures) = report.render();
    std::fs::write(&args.output, &html).map_err(|e| JobError::io(&args.output, e))?;
    output::note(&format!(
        "{}: {} days, {} plots, {} kB",
        args.output.display(),
        report.data.days.len(),
        figures.len(),
        html.len() / 1000
    ));
    if let Some(directory) = &args.plots {
        std::fs::create_dir_all(directory).map_err(|e| JobError::io(directory, e))?;
        for figure in &figures {
            let path = |kind: &str| directory.join(format!("{}.{kind}", figure.name));
            write(&path("svg"), figure.svg().as_bytes())?;
            write(&path("png"), &figure.png()?)?;
        }
        output::note(&format!(
            "{}: {} plots as SVG and PNG",
            directory.display(),
            figures.len()
        ));
    }
    Ok(())
}

/// How right labels are: by day, of all days, and as analysts say.
async fn judged(
    warehouse: &Warehouse,
    days: &[String],
) -> Result<(Vec<SetPrecision>, Vec<SetPrecision>, review::Precision), JobError> {
    let of = |day: Option<&str>| day.is_some_and(|day| days.iter().any(|d| d == day));
    let mut by_day = precision::report(warehouse, true).await?;
    by_day.retain(|set| of(set.day.as_deref()));
    let overall = if by_day.is_empty() {
        vec![]
    } else {
        precision::report(warehouse, false).await?
    };
    Ok((by_day, overall, review::precision(warehouse).await?))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), JobError> {
    std::fs::write(path, bytes).map_err(|e| JobError::io(path, e))
}

/// The warehouse's own key where it has one, so that a name has the pseudonym that it has elsewhere; else one for this report alone: nothing is written.
async fn key(warehouse: &Warehouse) -> Result<PseudonymKey, JobError> {
    let held = warehouse.get(pseudonyms::KEY).await?;
    let held = held.and_then(|bytes| bytes.try_into().ok());
    Ok(PseudonymKey::new(held.unwrap_or_else(pseudonyms::fresh)))
}
