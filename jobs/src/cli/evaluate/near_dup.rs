//! `gleaner evaluate near-dup`: what near-dedup would merge, against labelled pairs, or against edits made by rule of
//! one's own lines.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::prelude::DataFrame;
use gleaner_embed::EmbedError;
use gleaner_udfs::embedder::{self, Embedder};
use gleaner_udfs::metrics::{Agreement, Edit, Judged, Texts};
use gleaner_udfs::vector::cosine::cosine;
use serde_json::{Value, json};

use crate::cli::embedder::EmbedderArgs;
use crate::cli::{output, progress};
use crate::engine::Engine;
use crate::error::JobError;

/// Texts that are embedded together.
const BATCH: usize = 1024;
/// Memory of the query that reads the file.
const MEMORY_BYTES: usize = 1 << 30;

/// Flags of `gleaner evaluate near-dup`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A Parquet, CSV or NDJSON file with columns `command_a`, `command_b` and `label` (1: the two do the same), and where
    /// there is one, `kind`; or with a column `command_line`, whose lines are edited by rule.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    embedder: EmbedderArgs,
    /// Cosine from which two lines of one guard key merge; default: the embedder's own.
    #[arg(long)]
    threshold: Option<f32>,
    /// Seed of the edits, for a file of lines.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

struct Labelled {
    texts: Texts,
    same: bool,
    kind: Option<String>,
}

/// # Errors
/// When the file is not as expected, or the embedder cannot be had.
pub(super) async fn main(args: &Args) -> Result<(), JobError> {
    let resolved = args.embedder.resolve().await?;
    let embedder = embedder::load(&resolved.address).map_err(EmbedError::Load)?;
    let threshold = args.threshold.unwrap_or(resolved.threshold);
    if !threshold.is_finite() {
        return Err(JobError::Usage(format!(
            "--threshold {threshold}: expected a number, as 0.75"
        )));
    }
    let pairs = pairs(args).await?;
    let judged = judge(&pairs, embedder.as_ref(), threshold)?;
    let mut by_kind: BTreeMap<&str, Vec<Judged>> = BTreeMap::new();
    for (pair, judged) in pairs.iter().zip(&judged) {
        if let Some(kind) = &pair.kind {
            by_kind.entry(kind).or_default().push(*judged);
        }
    }
    let all = Agreement::of(&judged);
    let kinds = by_kind
        .iter()
        .map(|(kind, judged)| (*kind, Agreement::of(judged)));
    if args.json {
        let mut report = object(&all);
        report["embedder"] = json!(resolved.name);
        report["threshold"] = json!(short(threshold));
        let by_kind: serde_json::Map<String, Value> = kinds
            .map(|(kind, rates)| (kind.to_owned(), object(&rates)))
            .collect();
        report["by_kind"] = Value::Object(by_kind);
        return output::line(&report.to_string());
    }
    output::line(&format!(
        "{} pairs, embedder {}, threshold {threshold}",
        progress::thousands(all.pairs as u64),
        resolved.name
    ))?;
    output::line(&format!(
        "{:<28} {:>8} {:>8} {:>8} {:>12} {:>13}",
        "kind", "pairs", "same", "auc", "true merges", "false merges"
    ))?;
    for (kind, rates) in kinds.chain([("all", all)]) {
        output::line(&row(kind, &rates))?;
    }
    Ok(())
}

/// The shortest decimal that is this number: 0.75, not what `f64` makes of it.
fn short(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(f64::NAN)
}

fn object(rates: &Agreement) -> Value {
    json!({
        "pairs": rates.pairs,
        "same": rates.same,
        "auc": rates.auc,
        "true_merge_rate": rates.true_merge_rate,
        "false_merge_rate": rates.false_merge_rate,
    })
}

fn row(kind: &str, rates: &Agreement) -> String {
    let percent = |rate: Option<f64>| {
        rate.map_or_else(|| "-".to_owned(), |rate| format!("{:.2}%", 100.0 * rate))
    };
    let auc = rates
        .auc
        .map_or_else(|| "-".to_owned(), |auc| format!("{auc:.4}"));
    format!(
        "{:<28} {:>8} {:>8} {auc:>8} {:>12} {:>13}",
        output::printable(kind),
        rates.pairs,
        rates.same,
        percent(rates.true_merge_rate),
        percent(rates.false_merge_rate)
    )
}

/// Reads the file's pairs, or makes them of its lines.
async fn pairs(args: &Args) -> Result<Vec<Labelled>, JobError> {
    let ctx = Engine::embedded(1, MEMORY_BYTES)?
        .session()
        .clone()
        .enable_url_table();
    let file = std::path::absolute(&args.file).map_err(|e| JobError::io(&args.file, e))?;
    std::fs::metadata(&file).map_err(|e| JobError::io(&args.file, e))?;
    let unreadable = |e: datafusion::common::DataFusionError| {
        malformed(&args.file, &format!("cannot be read ({e})"))
    };
    let name = file.to_string_lossy().replace('\'', "''");
    let table = ctx
        .sql(&format!("SELECT * FROM '{name}'"))
        .await
        .map_err(unreadable)?;
    let has = |column: &str| table.schema().has_column_with_unqualified_name(column);
    if !has("command_a") && has("command_line") {
        let lines = select(table, &["command_line"]).await.map_err(unreadable)?;
        return edited(&args.file, &lines, args.seed);
    }
    if let Some(missing) = ["command_a", "command_b", "label"]
        .into_iter()
        .find(|column| !has(column))
    {
        return Err(malformed(&args.file, &format!("no column {missing}")));
    }
    let mut columns = vec!["command_a", "command_b", "label"];
    columns.extend(has("kind").then_some("kind"));
    let batches = select(table, &columns).await.map_err(unreadable)?;
    let mut pairs = vec![];
    for batch in &batches {
        labelled(&args.file, batch, &mut pairs)?;
    }
    if pairs.is_empty() {
        return Err(malformed(&args.file, "no rows"));
    }
    Ok(pairs)
}

/// Columns of a table; `label` as an integer, all others as text.
async fn select(
    table: DataFrame,
    columns: &[&str],
) -> Result<Vec<RecordBatch>, datafusion::common::DataFusionError> {
    let expressions: Vec<String> = columns
        .iter()
        .map(|column| {
            let kind = if *column == "label" {
                "BIGINT"
            } else {
                "VARCHAR"
            };
            format!("CAST({column} AS {kind}) AS {column}")
        })
        .collect();
    let expressions: Vec<&str> = expressions.iter().map(String::as_str).collect();
    table.select_exprs(&expressions)?.collect().await
}

fn labelled(file: &Path, batch: &RecordBatch, pairs: &mut Vec<Labelled>) -> Result<(), JobError> {
    let text = |column: usize| batch.column(column).as_string::<i32>();
    let labels = batch.column(2).as_primitive::<Int64Type>();
    for row in 0..batch.num_rows() {
        if text(0).is_null(row) || text(1).is_null(row) || labels.is_null(row) {
            return Err(malformed(
                file,
                "command_a, command_b or label is NULL in some row",
            ));
        }
        let same = match labels.value(row) {
            0 => false,
            1 => true,
            other => return Err(malformed(file, &format!("label {other}"))),
        };
        let kind = (batch.num_columns() > 3 && text(3).is_valid(row)).then(|| text(3).value(row));
        pairs.push(Labelled {
            texts: Texts::new(text(0).value(row), text(1).value(row)),
            same,
            kind: kind.map(str::to_owned),
        });
    }
    Ok(())
}

/// Every edit of every line.
fn edited(file: &Path, batches: &[RecordBatch], seed: u64) -> Result<Vec<Labelled>, JobError> {
    let mut pairs = vec![];
    for line in batches
        .iter()
        .flat_map(|batch| batch.column(0).as_string::<i32>().iter().flatten())
    {
        for edit in Edit::ALL {
            if let Some((a, b)) = edit.pair(line, seed) {
                pairs.push(Labelled {
                    texts: Texts::new(&a, &b),
                    same: edit.same(),
                    kind: Some(edit.name().to_owned()),
                });
            }
        }
    }
    if pairs.is_empty() {
        return Err(malformed(file, "no line that a rule edits"));
    }
    Ok(pairs)
}

fn malformed(file: &Path, why: &str) -> JobError {
    JobError::Usage(format!(
        "{}: {why}; expected columns command_a, command_b and label (1: the two do the same, 0: they do not), or a column \
         command_line",
        file.display()
    ))
}

fn judge(
    pairs: &[Labelled],
    embedder: &dyn Embedder,
    threshold: f32,
) -> Result<Vec<Judged>, JobError> {
    let mut judged = Vec::with_capacity(pairs.len());
    for some in pairs.chunks(BATCH) {
        let texts: Vec<&str> = some
            .iter()
            .flat_map(|pair| [pair.texts.a.as_str(), pair.texts.b.as_str()])
            .collect();
        let vectors = embedder.embed(&texts).map_err(EmbedError::Load)?;
        for (pair, two) in some
            .iter()
            .zip(vectors.chunks_exact(2 * embedder.dimension()))
        {
            let (a, b) = two.split_at(embedder.dimension());
            let cosine = cosine(a, b);
            judged.push(Judged {
                same: pair.same,
                score: pair.texts.score(cosine),
                merged: pair.texts.merges(cosine, threshold),
            });
        }
    }
    Ok(judged)
}
