//! `gleaner baseline`: training sets to start from, when no labelled one is at hand: labels from rules alone, or from several sources with weights.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::json;

use super::{output, progress};
use crate::error::JobError;
use crate::labels::rows;
use crate::lift::baselines::{Votes, by_rules};
use crate::lift::sets::{self, Labelled};

/// Flags of `gleaner baseline`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Label lines by the rules alone: malicious where one of high or medium level hits, benign where none does at any level.
    Regex(RegexArgs),
    /// Label lines by the weighted vote of several labelled sources.
    Aggregate(AggregateArgs),
}

#[derive(Debug, clap::Args)]
struct RegexArgs {
    /// Parquet or CSV files with a column `command_line`.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// The Parquet file to write: `command_line`, label, weight.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct AggregateArgs {
    /// A Parquet or CSV file with `command_line` and label (and perhaps weight), and how much its word counts.
    #[arg(long, required = true, value_name = "FILE=WEIGHT")]
    source: Vec<String>,
    /// The Parquet file to write: `command_line`, label, weight.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// # Errors
/// When a file is not as expected, or cannot be written.
pub async fn main(args: &Args) -> Result<(), JobError> {
    match &args.what {
        What::Regex(args) => regex(args).await,
        What::Aggregate(args) => aggregate(args).await,
    }
}

async fn regex(args: &RegexArgs) -> Result<(), JobError> {
    let mut labelled = BTreeMap::new();
    let (mut read, mut left_out) = (0_usize, 0_usize);
    for file in &args.files {
        for mut row in rows::read(file, &["command_line"], &[]).await? {
            read += 1;
            let Some(line) = row[0].take().filter(|line| !line.trim().is_empty()) else {
                left_out += 1;
                continue;
            };
            match by_rules(&line) {
                Some(malicious) => {
                    labelled.insert(line, malicious);
                }
                None => left_out += 1,
            }
        }
    }
    let rows: Vec<Labelled> = labelled
        .into_iter()
        .map(|(command_line, malicious)| Labelled {
            command_line,
            malicious,
            weight: 1.0,
        })
        .collect();
    finish(&args.out, &rows, read, left_out, "in doubt", args.json)
}

async fn aggregate(args: &AggregateArgs) -> Result<(), JobError> {
    let mut votes = Votes::default();
    let (mut read, mut unlabelled) = (0_usize, 0_usize);
    for source in &args.source {
        let expected = || {
            JobError::Usage(format!(
                "--source {source}: expected FILE=WEIGHT with a weight above 0, as feeds/sigma.parquet=0.5"
            ))
        };
        let (file, weight) = source.rsplit_once('=').ok_or_else(expected)?;
        let weight: f64 = weight.trim().parse().map_err(|_| expected())?;
        if !(weight.is_finite() && weight > 0.0) {
            return Err(expected());
        }
        let set = sets::read(file).await?;
        read += set.rows.len() + set.unlabelled;
        unlabelled += set.unlabelled;
        let row = |row: Labelled| (row.command_line, row.malicious, row.weight);
        votes.add(weight, set.rows.into_iter().map(row));
    }
    let (decided, ties) = votes.decide();
    let rows: Vec<Labelled> = decided
        .into_iter()
        .map(|(command_line, malicious, weight)| Labelled {
            command_line,
            malicious,
            weight,
        })
        .collect();
    finish(
        &args.out,
        &rows,
        read,
        unlabelled + ties,
        "tied or unlabelled",
        args.json,
    )
}

fn finish(
    out: &std::path::Path,
    rows: &[Labelled],
    read: usize,
    left_out: usize,
    why: &str,
    json: bool,
) -> Result<(), JobError> {
    let malicious = rows.iter().filter(|row| row.malicious).count();
    if rows.is_empty() {
        return Err(JobError::Usage(format!(
            "{read} rows read, none of them got a label; nothing was written"
        )));
    }
    sets::write(out, rows)?;
    if json {
        let report = json!({
            "rows_read": read,
            "rows_benign": rows.len() - malicious,
            "rows_malicious": malicious,
            "rows_left_out": left_out,
        });
        return output::line(&report.to_string());
    }
    let thousands = |n: usize| progress::thousands(n as u64);
    output::line(&format!(
        "{}: {} benign and {} malicious lines of {} rows ({} {why}, the others repeat a line)",
        out.display(),
        thousands(rows.len() - malicious),
        thousands(malicious),
        thousands(read),
        thousands(left_out)
    ))
}
