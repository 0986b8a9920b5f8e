//! `gleaner evaluate labels`: what a labeller emits of lines whose labels are known.

use gleaner_udfs::metrics::clopper_pearson;
use gleaner_udfs::text::label::{Prevalence, Subject, Thresholds, label};
use serde_json::json;

use super::llm::LlmArgs;
use super::{output, progress};
use crate::error::JobError;
use crate::labels::lists::Lists;
use crate::labels::options::LlmOptions;
use crate::labels::sigma::SigmaRules;
use crate::labels::store::Store;
use crate::labels::triage::by_sigma;
use crate::labels::{Labeller, Line, rows};
use crate::telemetry::Kind;
use crate::warehouse::Warehouse;

/// Flags of `gleaner evaluate labels`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A CSV or Parquet file with the columns `command_line`, label (benign or malicious), and perhaps ambiguous, os.
    #[arg(value_name = "FILE")]
    file: String,
    /// A warehouse that keeps answers, so that nothing is paid for twice.
    #[arg(long, value_name = "DIR")]
    warehouse: Option<String>,
    /// A directory of Sigma rules: see the README.
    #[arg(long, value_name = "DIR", env = "GLEANER_SIGMA")]
    sigma: Option<String>,
    #[command(flatten)]
    llm: LlmArgs,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

struct Row {
    line: Line,
    malicious: Option<bool>,
    ambiguous: bool,
}

/// # Errors
/// When the file is not as expected, or the labeller cannot be asked.
#[expect(clippy::cast_precision_loss, reason = "rows, far below 2^53")]
pub async fn main(args: &Args) -> Result<(), JobError> {
    let options = args.llm.options()?;
    let rows = read(&args.file).await?;
    let sigma = args.sigma.as_deref().map(SigmaRules::read).transpose()?;
    let name = if options.is_some() { "llm" } else { "rules" };
    let (verdicts, model, cost) = match options {
        None => (by_rules(&rows, sigma.as_ref()), None, 0.0),
        Some(options) => by_llm(args, options, &rows, sigma.as_ref()).await?,
    };
    let emitted: Vec<&Row> = rows
        .iter()
        .zip(&verdicts)
        .filter(|(_, v)| **v == "benign")
        .map(|(row, _)| row)
        .collect();
    let counted = |malicious: bool| {
        emitted
            .iter()
            .filter(|row| !row.ambiguous && row.malicious == Some(malicious))
            .count() as u64
    };
    let (right, wrong) = (counted(false), counted(true));
    let interval = clopper_pearson(right, right + wrong, 0.95);
    let uncertain = verdicts.iter().filter(|v| **v == "uncertain").count();
    let share = |part: usize| {
        if rows.is_empty() {
            0.0
        } else {
            part as f64 / rows.len() as f64
        }
    };
    let precision = (right + wrong > 0).then(|| right as f64 / (right + wrong) as f64);
    let report = json!({
        "labeller": name,
        "model": model,
        "rows": rows.len(),
        "benign_emitted": emitted.len(),
        "benign_precision": precision,
        "precision_low": interval.low,
        "precision_high": interval.high,
        "malicious_emitted_as_benign": wrong,
        "uncertain_share": share(uncertain),
        "cost_usd": cost,
    });
    if args.json {
        return output::line(&report.to_string());
    }
    output::line(&format!(
        "{name}: {} of {} rows emitted as benign, {wrong} of them malicious (rows marked ambiguous not counted)",
        progress::thousands(emitted.len() as u64),
        progress::thousands(rows.len() as u64)
    ))?;
    let precision = precision.map_or_else(|| "unknown".to_owned(), |p| format!("{p:.5}"));
    output::line(&format!(
        "precision {precision} (95%: {:.5} to {:.5})",
        interval.low, interval.high
    ))?;
    output::line(&format!(
        "uncertain {:.1}%, cost {cost:.4} USD",
        100.0 * share(uncertain)
    ))
}

/// Verdicts, the model that gave them, and what they cost: not a number where that is unknown.
async fn by_llm(
    args: &Args,
    options: LlmOptions,
    rows: &[Row],
    sigma: Option<&SigmaRules>,
) -> Result<(Vec<&'static str>, Option<String>, f64), JobError> {
    let store = match &args.warehouse {
        Some(path) => Store::of(&Warehouse::create(path, Kind::Command).await?),
        None => Store::Memory,
    };
    let model = options.model.clone();
    let priced = options.prices.is_some();
    let shown = progress::Shown::new("evaluate", false);
    let labeller = Labeller::new(options, store, chrono::Utc::now().date_naive(), &shown).await?;
    let lines: Vec<Line> = rows.iter().map(|row| row.line.clone()).collect();
    let (decisions, usage) = labeller.label(&lines, &Lists::default(), sigma).await?;
    drop(shown);
    let (error, recall) = (usage.error(), usage.recall());
    output::note(&format!(
        "{} calls, {} retries, {} + {} tokens; malicious canaries called benign: {} of {} (95%: {:.4} to {:.4}); benign ones: {} of {} (95%: {:.4} to {:.4}); \
         {} batches rejected",
        usage.spent.calls,
        usage.spent.retries,
        usage.spent.input_tokens,
        usage.spent.output_tokens,
        usage.canaries_missed,
        usage.canaries_malicious,
        error.low,
        error.high,
        usage.canaries_benign_found,
        usage.canaries_benign,
        recall.low,
        recall.high,
        usage.batches_rejected,
    ));
    for (why, count) in crate::labels::counted(&decisions) {
        output::note(&format!("{count:>8} {why}"));
    }
    let answered = decisions
        .iter()
        .find_map(|d| d.model.clone())
        .unwrap_or(model);
    let cost = if priced {
        usage.spent.cost_usd
    } else {
        f64::NAN
    };
    Ok((
        decisions.iter().map(|d| d.verdict).collect(),
        Some(answered),
        cost,
    ))
}

async fn read(file: &str) -> Result<Vec<Row>, JobError> {
    let given = rows::read(file, &["command_line", "label"], &["ambiguous", "os"]).await?;
    let mut found = vec![];
    for (n, row) in given.into_iter().enumerate() {
        let cell = |n: usize| row[n].clone().unwrap_or_default().trim().to_lowercase();
        let malicious = match cell(1).as_str() {
            "benign" | "0" | "false" => Some(false),
            "malicious" | "1" | "true" => Some(true),
            "unknown" | "" => None,
            _ => {
                return Err(JobError::Usage(format!(
                    "{file}: row {}: column label: expected benign, malicious or unknown",
                    n + 1
                )));
            }
        };
        let command_line = row[0].clone().unwrap_or_default();
        found.push(Row {
            line: Line {
                hash: n.to_string(),
                command_line,
                os: row[3].clone(),
                ..Line::default()
            },
            malicious,
            ambiguous: matches!(cell(2).as_str(), "true" | "1" | "t" | "yes"),
        });
    }
    Ok(found)
}

/// The rules alone, Sigma's among them.
fn by_rules(rows: &[Row], sigma: Option<&SigmaRules>) -> Vec<&'static str> {
    let lines: Vec<Line> = rows.iter().map(|row| row.line.clone()).collect();
    let hits = sigma.map_or_else(|| vec![vec![]; lines.len()], |sigma| sigma.hits(&lines));
    lines
        .iter()
        .zip(&hits)
        .map(|(line, hits)| by_sigma(line, hits).map_or_else(|| by_rule(line), |d| d.verdict))
        .collect()
}

/// The built-in rules: a file tells nothing of prevalence, so it is no obstacle.
fn by_rule(line: &Line) -> &'static str {
    let subject = Subject {
        command_line: &line.command_line,
        os: line.os.as_deref(),
        ..Subject::default()
    };
    let thresholds = Thresholds {
        min_hosts: 0,
        min_users: 0,
        min_days: 0,
    };
    label(&subject, &Prevalence::default(), &thresholds)
        .verdict
        .as_str()
}
