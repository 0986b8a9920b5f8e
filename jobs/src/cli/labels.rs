//! `gleaner labels`: what labels would cost, a sample of them for analysts, their verdicts, and all that is known of one line.

use chrono::NaiveDate;
use serde_json::{Value, json};

use super::llm::LlmArgs;
use super::{output, progress, verdicts};
use crate::engine::{Engine, Source};
use crate::error::JobError;
use crate::labels::counted;
use crate::labels::lists::Lists;
use crate::labels::options::LlmOptions;
use crate::labels::precision;
use crate::labels::prompt;
use crate::labels::review;
use crate::labels::rows;
use crate::labels::sigma::SigmaRules;
use crate::labels::store::{Store, of_table, query};
use crate::labels::triage::{Triage, triage};
use crate::labels::verdicts::Of;
use crate::stages::labels::kept_lines;
use crate::stages::sql::{Value as Literal, fill};
use crate::telemetry::Kind;
use crate::warehouse::Warehouse;
use crate::warehouse::tables::{CANDIDATES, LABELS, REVIEWS};

/// Flags of `gleaner labels`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// How many lines of a day a language model would be asked about, what that costs, how long it takes.
    Estimate(Box<EstimateArgs>),
    /// Draw a stratified sample of labels for review, as CSV and Parquet; of a warehouse of requests, its worst incidents.
    Audit(AuditArgs),
    /// Take analysts' verdicts back; they override labels, and measure them.
    Import(ImportArgs),
    /// All that is known of one line.
    Explain(ExplainArgs),
    /// What analysts' verdicts on requests changed of a day.
    Effect(EffectArgs),
}

#[derive(Debug, clap::Args)]
struct Place {
    /// Directory of the warehouse.
    #[arg(long, value_name = "DIR", env = "GLEANER_WAREHOUSE")]
    warehouse: String,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct EstimateArgs {
    /// The day; its candidates must be there (`gleaner run --through candidates` makes them).
    #[arg(long, value_name = "YYYY-MM-DD")]
    date: NaiveDate,
    /// A file of allow- and deny-lists: see the README.
    #[arg(long, value_name = "FILE")]
    lists: Option<String>,
    /// A directory of Sigma rules: see the README.
    #[arg(long, value_name = "DIR", env = "GLEANER_SIGMA")]
    sigma: Option<String>,
    /// Seconds that a call is taken to last.
    #[arg(long, default_value_t = 10.0)]
    call_secs: f64,
    #[command(flatten)]
    llm: LlmArgs,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
struct AuditArgs {
    /// Lines to draw.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    sample: u64,
    /// Of a warehouse of requests: what to judge.
    #[arg(long, value_enum, default_value = "incidents")]
    of: Of,
    /// Another seed draws other lines; incidents are not drawn: the worst come first.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Only this day's labels.
    #[arg(long, value_name = "YYYY-MM-DD")]
    date: Option<NaiveDate>,
    /// Writes PATH.csv and PATH.parquet.
    #[arg(long, value_name = "PATH", default_value = "audit")]
    out: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
struct ImportArgs {
    /// A sample or list (CSV or Parquet) with the columns verdict and analyst filled in.
    #[arg(value_name = "FILE")]
    file: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
struct ExplainArgs {
    /// The line's hash, or the first 6 or more digits of it.
    #[arg(value_name = "HASH")]
    hash: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
struct EffectArgs {
    /// The day that was run with verdicts.
    #[arg(long, value_name = "YYYY-MM-DD")]
    date: NaiveDate,
    #[command(flatten)]
    place: Place,
}

/// # Errors
/// When the warehouse or a file is not as expected.
pub async fn main(args: Args) -> Result<(), JobError> {
    match args.what {
        What::Estimate(args) => estimate(*args).await,
        What::Audit(args) => audit(args).await,
        What::Import(args) => import(args).await,
        What::Explain(args) => explain(args).await,
        What::Effect(args) => {
            let warehouse = Warehouse::open(&args.place.warehouse).await?;
            verdicts::effect(&warehouse, args.date, args.place.json).await
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "lines and tokens, far below 2^53"
)]
async fn estimate(mut args: EstimateArgs) -> Result<(), JobError> {
    args.llm.labeller = super::llm::LabellerKind::Llm;
    let options = args
        .llm
        .options()?
        .ok_or_else(|| JobError::Internal("an LLM was asked for".into()))?;
    let warehouse = Warehouse::open(&args.place.warehouse).await?;
    let snapshot = warehouse.snapshot(&[CANDIDATES]).await?;
    let files = snapshot
        .files(&CANDIDATES)
        .iter()
        .filter(|f| f.day == args.date);
    let source: Source = warehouse.source(&CANDIDATES, files).ok_or_else(|| {
        JobError::Usage(format!(
            "{} has no candidates: gleaner run --date {} --through candidates … makes them",
            args.date, args.date
        ))
    })?;
    let lists = match &args.lists {
        Some(path) => Lists::read(path, args.date).await?,
        None => Lists::default(),
    };
    let lines = kept_lines(&Engine::embedded(1, 1 << 28)?, source).await?;
    let store = Store::of(&warehouse);
    let key = store.pseudonym_key(options.pseudonym_key.as_ref()).await?;
    let held = store.load(prompt::hash(), &options.model).await?;
    let (mut decided, mut open, mut bytes, mut cached) =
        (vec![], std::collections::BTreeSet::new(), 0_u64, 0_u64);
    let sigma = args.sigma.as_deref().map(SigmaRules::read).transpose()?;
    let hits = sigma.map_or_else(|| vec![vec![]; lines.len()], |sigma| sigma.hits(&lines));
    for (line, hits) in lines.iter().zip(&hits) {
        match triage(line, &lists, hits, &key) {
            Triage::Done(decision) => decided.push(*decision),
            Triage::Ask(item) => {
                if held.iter().any(|a| a.kind == "line" && a.key == item.key) {
                    cached += 1;
                } else if open.insert(item.key.clone()) {
                    bytes += item.sent.command.len() as u64
                        + item.sent.decoded.iter().map(String::len).sum::<usize>() as u64
                        + 120;
                }
            }
        }
    }
    let n = open.len() as u64;
    // Both passes over every line: the most that it can be. What the first pass calls other than benign has no second.
    let calls = 2 * n.div_ceil(options.items as u64);
    let fixed = (prompt::SYSTEM.len() + prompt::schema().to_string().len() + 400) as u64;
    let input = (calls * fixed + 2 * bytes) / 3;
    let seen = held
        .iter()
        .filter(|a| a.kind == "line" && a.output_tokens > 0);
    let (count, tokens) = seen.fold((0_u64, 0_u64), |(n, t), a| (n + 1, t + a.output_tokens));
    let each = if count > 0 {
        tokens.div_ceil(count)
    } else {
        100
    };
    let written = 2 * n * each;
    let secs = if options.batch {
        86_400.0
    } else {
        calls as f64 * args.call_secs / options.concurrency.max(1) as f64
    };
    let cost = options.prices.map(|_| options.cost_usd(input, written));
    let report = json!({
        "date": args.date.to_string(), "model": options.model, "lines": lines.len(), "decided_without_asking": decided.len(),
        "decided": counted(&decided), "answered_before": cached, "to_ask": n, "calls": calls, "input_tokens": input, "output_tokens": written,
        "output_tokens_a_line": each, "output_tokens_measured": count > 0, "cost_usd": cost, "secs": secs,
    });
    if args.place.json {
        return output::line(&report.to_string());
    }
    let shown = Estimate {
        lines: lines.len() as u64,
        decided: counted(&decided),
        cached,
        to_ask: n,
        calls,
        input,
        written,
        each,
        measured: count > 0,
        cost,
        secs,
    };
    shown.show(&args, &options)
}

struct Estimate {
    lines: u64,
    decided: std::collections::BTreeMap<String, u64>,
    cached: u64,
    to_ask: u64,
    calls: u64,
    input: u64,
    written: u64,
    each: u64,
    measured: bool,
    cost: Option<f64>,
    secs: f64,
}

impl Estimate {
    fn show(self, args: &EstimateArgs, options: &LlmOptions) -> Result<(), JobError> {
        output::line(&format!(
            "{} candidates of {}",
            progress::thousands(self.lines),
            args.date
        ))?;
        for (name, count) in self.decided {
            output::line(&format!(
                "{:>12} {name}, not asked about",
                progress::thousands(count)
            ))?;
        }
        output::line(&format!(
            "{:>12} answered before, paid for already",
            progress::thousands(self.cached)
        ))?;
        output::line(&format!(
            "{:>12} to ask {} about, in up to {} calls (two passes)",
            progress::thousands(self.to_ask),
            options.model,
            progress::thousands(self.calls)
        ))?;
        let how = if self.measured { "measured" } else { "assumed" };
        output::line(&format!(
            "up to {} tokens read and {} written ({} a line, {how})",
            progress::thousands(self.input),
            progress::thousands(self.written),
            self.each
        ))?;
        output::line(&match self.cost {
        Some(cost) => format!("up to {cost:.2} USD"),
        None => {
            "cost unknown: --llm-price-input and --llm-price-output say what a million tokens cost"
                .to_owned()
        }
    })?;
        output::line(&if options.batch {
            "within 24 hours, the Batch API's window".to_owned()
        } else {
            format!(
                "about {:.0} minutes at {} s a call, {} at a time",
                self.secs / 60.0,
                args.call_secs,
                options.concurrency
            )
        })
    }
}

/// Writes rows of texts as `out`.csv and `out`.parquet.
pub(super) fn write_sample(
    out: &str,
    columns: &[&str],
    sample: &[Vec<String>],
) -> Result<(), JobError> {
    let write = |path: String, bytes: Vec<u8>| {
        std::fs::write(&path, bytes).map_err(|e| JobError::io(std::path::Path::new(&path), e))
    };
    write(
        format!("{out}.csv"),
        rows::csv(columns, sample).into_bytes(),
    )?;
    let objects: Vec<Value> = sample
        .iter()
        .map(|row| {
            columns
                .iter()
                .zip(row)
                .map(|(name, cell)| ((*name).to_owned(), json!(cell)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        })
        .collect();
    let text = datafusion::arrow::datatypes::DataType::Utf8;
    let fields: Vec<_> = columns
        .iter()
        .map(|name| datafusion::arrow::datatypes::Field::new(*name, text.clone(), true))
        .collect();
    let schema = std::sync::Arc::new(datafusion::arrow::datatypes::Schema::new(fields));
    write(
        format!("{out}.parquet"),
        rows::parquet(&rows::batch(&schema, &objects)?)?,
    )
}

async fn audit(args: AuditArgs) -> Result<(), JobError> {
    let warehouse = Warehouse::open(&args.place.warehouse).await?;
    if warehouse.kind() == Kind::Api {
        let wanted = (args.of, args.sample, args.date);
        let place = (args.place.warehouse.as_str(), args.place.json);
        return verdicts::audit(&warehouse, wanted, &args.out, place).await;
    }
    let sample = review::sample(&warehouse, args.sample, args.seed, args.date).await?;
    if sample.is_empty() {
        return Err(JobError::Usage(
            "no labels to draw from: gleaner run makes them".into(),
        ));
    }
    write_sample(&args.out, &review::COLUMNS, &sample)?;
    let sets = precision::report(&warehouse, false).await?;
    if args.place.json {
        return output::line(&json!({"rows": sample.len(), "csv": format!("{}.csv", args.out), "parquet": format!("{}.parquet", args.out), "precision": sets}).to_string());
    }
    for line in sets.iter().flat_map(precision::SetPrecision::shown) {
        output::line(&output::printable(&line))?;
    }
    output::line(&format!(
        "{} lines in {out}.csv and {out}.parquet: fill in verdict ({}) and analyst, then: gleaner labels import {out}.csv --warehouse {}",
        sample.len(),
        prompt::VERDICTS.join(", "),
        args.place.warehouse,
        out = args.out,
    ))
}

async fn import(args: ImportArgs) -> Result<(), JobError> {
    let warehouse = Warehouse::open(&args.place.warehouse).await?;
    if warehouse.kind() == Kind::Api {
        return verdicts::import(&warehouse, &args.file, args.place.json).await;
    }
    let imported = review::import(&warehouse, &args.file).await?;
    if args.place.json {
        let json =
            serde_json::to_string(&imported).map_err(|e| JobError::Internal(e.to_string()))?;
        return output::line(&json);
    }
    for line in precision::report(&warehouse, false)
        .await?
        .iter()
        .flat_map(precision::SetPrecision::shown)
    {
        output::line(&output::printable(&line))?;
    }
    output::line(&format!(
        "{} verdicts imported as version {}, {} rows without a verdict left out",
        imported.imported, imported.version, imported.skipped
    ))?;
    let p = imported.precision;
    if let Some(precision) = p.precision {
        output::line(&format!(
            "precision of the benign set: {precision:.4} ({} of {} sampled lines; 95%: {:.4} to {:.4})",
            p.reviewed_benign - p.wrong,
            p.reviewed_benign,
            p.precision_low,
            p.precision_high
        ))?;
    }
    if imported.days.is_empty() {
        return Ok(());
    }
    output::line(&format!(
        "run these days again to emit anew (only stage benign is computed): {}",
        imported.days.join(", ")
    ))
}

/// What the tables hold of a line, by table.
async fn known_of(args: &ExplainArgs) -> Result<Vec<(&'static str, Vec<Value>)>, JobError> {
    let hash = args.hash.to_lowercase();
    if hash.len() < 6 || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(JobError::Usage(format!(
            "{:?}: expected a line's hash, 6 to 32 hexadecimal digits",
            args.hash
        )));
    }
    let warehouse = Warehouse::open(&args.place.warehouse).await?;
    let literal = [("hash", Literal::Text(hash.clone()))];
    let about = |sql: &str| fill(sql, &literal);
    let candidates: Vec<Value> = query(
        &warehouse,
        &[("candidates", CANDIDATES)],
        about(
            "SELECT CAST(day AS VARCHAR) AS day, hash, command_line, os, image, parent_image, events, hosts, users, detectors, reasons, iforest_score, \
             iforest_rank, pca_error, pca_rank, kmeans_distance, kmeans_rank, kept, covered_by, covered_how, cosine, covers, chosen_by, inclusion_probability, suspicion \
             FROM candidates WHERE starts_with(hash, {hash}) ORDER BY day",
        ),
    )
    .await?;
    if candidates.is_empty() {
        return Err(JobError::Usage(format!(
            "no anomaly of this warehouse has the hash {hash}"
        )));
    }
    let distinct: std::collections::BTreeSet<&str> = candidates
        .iter()
        .filter_map(|c| c["hash"].as_str())
        .collect();
    if distinct.len() > 1 {
        return Err(JobError::Usage(format!(
            "{} lines have hashes that begin with {hash}: give more digits",
            distinct.len()
        )));
    }
    let covered: Vec<Value> = query(
        &warehouse,
        &[("candidates", CANDIDATES)],
        about(
            "SELECT CAST(day AS VARCHAR) AS day, hash, command_line, covered_how, cosine FROM candidates WHERE starts_with(covered_by, {hash}) \
             ORDER BY day, hash LIMIT 20",
        ),
    )
    .await?;
    let labels: Vec<Value> = query(
        &warehouse,
        &[("labels", LABELS)],
        about("SELECT * EXCEPT (day, command_line), CAST(day AS VARCHAR) AS day FROM labels WHERE starts_with(hash, {hash}) ORDER BY day"),
    )
    .await?;
    let reviews: Vec<Value> = query(
        &warehouse,
        &[("reviews", REVIEWS)],
        about("SELECT version, verdict, analyst, comment, imported_at FROM reviews WHERE starts_with(hash, {hash}) ORDER BY version"),
    )
    .await?;
    let calls: std::collections::BTreeSet<String> = labels
        .iter()
        .filter_map(|l| l["batches"].as_array())
        .flatten()
        .filter_map(|call| call.as_str().map(str::to_owned))
        .collect();
    let mut answers = of_table(&warehouse, None).await?;
    answers.retain(|a| calls.contains(&a.call));
    let canary = |a: &crate::labels::store::Answer| json!({"pass": a.pass, "batch": a.call, "kind": a.kind, "verdict": a.verdict});
    let canaries: Vec<Value> = answers
        .iter()
        .filter(|a| a.kind != "line" && a.kind != "attempt")
        .map(canary)
        .collect();
    // By the key of what was sent: neighbours of a call may share words, and what was shown as evidence.
    let own = |a: &crate::labels::store::Answer| {
        labels.iter().any(|label| {
            let calls = label["batches"].as_array().into_iter().flatten();
            label["answer_key"].as_str() == Some(a.key.as_str())
                && calls
                    .into_iter()
                    .any(|call| call.as_str() == Some(a.call.as_str()))
        })
    };
    let passes: Vec<Value> = answers
        .iter()
        .filter(|a| a.kind == "line" && own(a))
        .map(|a| json!({"pass": a.pass, "verdict": a.verdict, "intent": a.intent, "evidence": a.evidence, "red_flags": a.red_flags, "confidence": a.confidence, "model": a.model, "asked_at": a.asked_at}))
        .collect();
    Ok(vec![
        ("candidates", candidates),
        ("covers", covered),
        ("labels", labels),
        ("passes", passes),
        ("canaries", canaries),
        ("reviews", reviews),
    ])
}

/// A value as a person reads it; nothing for what is empty.
fn shown(value: &Value) -> Option<String> {
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    match value {
        Value::Null => None,
        Value::Array(list) if list.is_empty() => None,
        Value::Array(list) => Some(list.iter().map(text).collect::<Vec<_>>().join("; ")),
        other => Some(text(other)),
    }
}

async fn explain(args: ExplainArgs) -> Result<(), JobError> {
    let known = known_of(&args).await?;
    if args.place.json {
        let report: serde_json::Map<String, Value> = known
            .into_iter()
            .map(|(name, rows)| (name.to_owned(), rows.into()))
            .collect();
        return output::line(&Value::Object(report).to_string());
    }
    for (name, rows) in known {
        let title = match name {
            "candidates" => "line",
            "labels" => "label",
            "passes" => "pass",
            "canaries" => "canary of its batches",
            "reviews" => "review",
            other => other,
        };
        for row in rows {
            output::line(&format!("\n{title}"))?;
            for (field, value) in row.as_object().into_iter().flatten() {
                if let Some(text) = shown(value) {
                    let text = output::printable(&text).replace('\n', "\\n");
                    output::line(&format!("  {field:<16} {text}"))?;
                }
            }
        }
    }
    Ok(())
}
