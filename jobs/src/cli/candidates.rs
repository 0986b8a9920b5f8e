//! `gleaner candidates`: what near-dedup would keep at another threshold, from the similarities that it stored.

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate};
use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{Date32Type, Float32Type, Int64Type};
use gleaner_udfs::vector::near_duplicates::{EXHAUSTIVE, SIMILAR};
use gleaner_udfs::vector::rethreshold::{Line, Verdict, rethreshold};
use serde_json::json;

use super::output;
use super::run::EngineArgs;
use super::sql::run;
use crate::catalog::tables;
use crate::error::JobError;
use crate::warehouse::Warehouse;

/// Characters of a line that are shown to a person.
const SHOWN: usize = 100;

/// Flags of `gleaner candidates`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory of the warehouse.
    #[arg(long, value_name = "DIR", env = "GLEANER_WAREHOUSE")]
    warehouse: String,
    /// The threshold to try: cosine from which a line covers another of its guard key. Nothing is written.
    #[arg(long)]
    cosine: f32,
    /// Show the pairs whose cosine is nearest to the threshold, and what becomes of them.
    #[arg(long)]
    explain: bool,
    /// How many pairs to show.
    #[arg(long, default_value_t = 20)]
    limit: usize,
    /// One JSON object a day, then one a pair.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: EngineArgs,
}

/// What is similar to a line: hash, day, cosine.
type Similar<'a> = Vec<(&'a str, i32, f32)>;

/// The days' candidates and what was similar.
struct Stored {
    candidates: Vec<RecordBatch>,
    similarities: Vec<RecordBatch>,
}

/// # Errors
/// When the threshold is below what is stored, or the warehouse cannot be read.
pub async fn main(args: Args) -> Result<(), JobError> {
    if !(SIMILAR..=1.0).contains(&args.cosine) {
        return Err(JobError::Usage(format!(
            "--cosine {}: expected {SIMILAR} to 1, for similarities are stored from {SIMILAR} on; to go lower, run the \
             days again with gleaner run --cosine",
            args.cosine
        )));
    }
    let engine = args.engine.engine()?;
    let ctx = engine.session().clone();
    tables(&ctx, &Warehouse::open(&args.warehouse).await?).await?;
    let stored = Stored {
        candidates: run(
            &engine,
            &ctx,
            "SELECT day, hash, template, events, kept OR coalesce(covered_how, '') IN ('budget', 'known') AS kept, guard, command_line FROM candidates",
        )
        .await?,
        similarities: run(
            &engine,
            &ctx,
            "SELECT day, hash, similar_to, similar_day, cosine FROM similarities \
             ORDER BY day, hash, cosine DESC, similar_day, similar_to",
        )
        .await?,
    };
    one_embedder(
        &run(
            &engine,
            &ctx,
            "SELECT embedder, CAST(min(day) AS VARCHAR) AS first, CAST(max(day) AS VARCHAR) AS last FROM similarities \
             GROUP BY embedder ORDER BY first, embedder",
        )
        .await?,
        args.cosine,
    )?;
    let lines = stored.lines();
    let verdicts = rethreshold(&lines, args.cosine);
    let was: Vec<bool> = stored
        .candidates
        .iter()
        .flat_map(|batch| {
            batch
                .column(4)
                .as_boolean()
                .iter()
                .map(|kept| kept == Some(true))
        })
        .collect();
    let mut days: BTreeMap<i32, Counts> = BTreeMap::new();
    for ((line, verdict), was) in lines.iter().zip(&verdicts).zip(&was) {
        days.entry(line.day).or_default().add(*was, *verdict);
    }
    if !args.json {
        output::line(&format!(
            "{:<12} {:>10} {:>10} {:>12} {:>12} {:>12} {:>14}",
            "day", "anomalies", "kept", "kept then", "would come", "would go", "undetermined"
        ))?;
    }
    for (day, counts) in &days {
        output::line(&counts.report(&date(*day), args.cosine, args.json))?;
    }
    if stored.crowded() {
        output::note(&format!(
            "a guard key has more than {EXHAUSTIVE} templates: lines that were not kept were not compared with each other there, \
             so that fewer may be kept than is said"
        ));
    }
    if args.explain {
        explain(&args, &stored, &lines, &verdicts, &was)?;
    }
    Ok(())
}

/// Cosines of one embedder say nothing beside those of another: 0.85 is far for one and near for the next.
///
/// # Errors
/// When the days were compared by several embedders, or by one of which an earlier version did not say which.
fn one_embedder(batches: &[RecordBatch], cosine: f32) -> Result<(), JobError> {
    let mut found = vec![];
    for batch in batches {
        let (names, first, last) = (texts(batch, 0), texts(batch, 1), texts(batch, 2));
        for row in 0..batch.num_rows() {
            let name = if names.is_null(row) {
                "an embedder that an earlier version did not record"
            } else {
                names.value(row)
            };
            found.push((name, first.value(row), last.value(row)));
        }
    }
    if found.len() < 2 {
        return Ok(());
    }
    let named: Vec<String> = found
        .iter()
        .map(|(name, first, last)| format!("{first} to {last} by {name}"))
        .collect();
    let since = found.iter().map(|(_, first, _)| *first).min();
    Err(JobError::Usage(format!(
        "--cosine {cosine}: the days were compared by several embedders ({}), whose cosines do not compare. Run the days again with one of them: \
         gleaner run --date {} --later --embedder …",
        named.join("; "),
        since.unwrap_or_default()
    )))
}

impl Stored {
    /// The lines, in the order of the batches' rows.
    fn lines(&self) -> Vec<Line<'_>> {
        let mut similar: BTreeMap<(i32, &str), Similar<'_>> = BTreeMap::new();
        for batch in &self.similarities {
            let (hashes, to) = (texts(batch, 1), texts(batch, 2));
            let (days, to_days) = (dates(batch, 0), dates(batch, 3));
            let cosines = batch.column(4).as_primitive::<Float32Type>();
            for row in 0..batch.num_rows() {
                similar
                    .entry((days.value(row), hashes.value(row)))
                    .or_default()
                    .push((to.value(row), to_days.value(row), cosines.value(row)));
            }
        }
        let mut lines = vec![];
        for batch in &self.candidates {
            let (days, events) = (dates(batch, 0), batch.column(3).as_primitive::<Int64Type>());
            let (hashes, templates) = (texts(batch, 1), texts(batch, 2));
            for row in 0..batch.num_rows() {
                let key = (days.value(row), hashes.value(row));
                lines.push(Line {
                    day: key.0,
                    hash: key.1,
                    template: templates.value(row),
                    events: events.value(row),
                    similar: similar.remove(&key).unwrap_or_default(),
                });
            }
        }
        lines
    }

    /// The lines' texts, in the order of [`Stored::lines`].
    fn texts(&self) -> Vec<&str> {
        let column = |batch| texts(batch, 6).iter().map(Option::unwrap_or_default);
        self.candidates.iter().flat_map(column).collect()
    }

    /// Whether a guard key of a day has more lines than are compared with each other. (Lines, not templates: it may warn in
    /// vain.)
    fn crowded(&self) -> bool {
        let mut guards: BTreeMap<(i32, &str), usize> = BTreeMap::new();
        for batch in &self.candidates {
            let (days, keys) = (dates(batch, 0), texts(batch, 5));
            for row in 0..batch.num_rows() {
                *guards
                    .entry((days.value(row), keys.value(row)))
                    .or_default() += 1;
            }
        }
        guards.values().any(|lines| *lines > EXHAUSTIVE)
    }
}

fn texts(batch: &RecordBatch, column: usize) -> &datafusion::arrow::array::StringArray {
    batch.column(column).as_string::<i32>()
}

fn dates(batch: &RecordBatch, column: usize) -> &datafusion::arrow::array::Date32Array {
    batch.column(column).as_primitive::<Date32Type>()
}

fn date(day: i32) -> String {
    let days = Days::new(u64::try_from(day).unwrap_or_default());
    NaiveDate::default()
        .checked_add_days(days)
        .unwrap_or_default()
        .to_string()
}

/// What changes on a day.
#[derive(Debug, Default)]
struct Counts {
    anomalies: usize,
    kept: usize,
    kept_then: usize,
    would_come: usize,
    would_go: usize,
    undetermined: usize,
}

impl Counts {
    fn add(&mut self, was: bool, verdict: Verdict) {
        let kept = !matches!(verdict, Verdict::Covered { .. });
        self.anomalies += 1;
        self.kept += usize::from(was);
        self.kept_then += usize::from(kept);
        self.would_come += usize::from(kept && !was);
        self.would_go += usize::from(was && !kept);
        self.undetermined += usize::from(verdict == Verdict::Undetermined);
    }

    fn report(&self, day: &str, cosine: f32, json: bool) -> String {
        if json {
            return json!({
                "day": day,
                "cosine": short(cosine),
                "anomalies": self.anomalies,
                "kept": self.kept,
                "kept_then": self.kept_then,
                "would_come": self.would_come,
                "would_go": self.would_go,
                "undetermined": self.undetermined,
            })
            .to_string();
        }
        format!(
            "{day:<12} {:>10} {:>10} {:>12} {:>12} {:>12} {:>14}",
            self.anomalies,
            self.kept,
            self.kept_then,
            self.would_come,
            self.would_go,
            self.undetermined
        )
    }
}

/// The shortest decimal that is this number.
fn short(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(f64::NAN)
}

/// Pairs of a line and a predecessor, nearest to the threshold first.
fn explain(
    args: &Args,
    stored: &Stored,
    lines: &[Line<'_>],
    verdicts: &[Verdict],
    was: &[bool],
) -> Result<(), JobError> {
    let places: BTreeMap<(i32, &str), usize> = lines
        .iter()
        .enumerate()
        .map(|(place, line)| ((line.day, line.hash), place))
        .collect();
    let mut pairs: Vec<(f32, usize, usize, f32)> = vec![];
    for (place, line) in lines.iter().enumerate() {
        for (hash, day, cosine) in &line.similar {
            if let Some(other) = places.get(&(*day, *hash)) {
                pairs.push(((cosine - args.cosine).abs(), place, *other, *cosine));
            }
        }
    }
    pairs.sort_by(|a, b| {
        a.0.total_cmp(&b.0)
            .then_with(|| (a.1, a.2).cmp(&(b.1, b.2)))
    });
    pairs.truncate(args.limit);
    let texts = stored.texts();
    for (_, place, other, cosine) in pairs {
        let change = match (was[place], verdicts[place]) {
            (true, Verdict::Covered { .. }) => "would go",
            (true, _) => "stays kept",
            (false, Verdict::Covered { .. }) => "stays covered",
            (false, _) => "would come",
        };
        if args.json {
            let pair = json!({
                "pair_cosine": short(cosine),
                "change": change,
                "day": date(lines[place].day),
                "hash": lines[place].hash,
                "command_line": texts[place],
                "similar_day": date(lines[other].day),
                "similar_to": lines[other].hash,
                "similar_line": texts[other],
            });
            output::line(&pair.to_string())?;
            continue;
        }
        output::line(&format!("{cosine:.4} {change}"))?;
        for at in [place, other] {
            let text = output::printable(texts[at]).replace(['\n', '\t'], " ");
            let cut: String = text.chars().take(SHOWN).collect();
            let more = if text.chars().nth(SHOWN).is_some() {
                "…"
            } else {
                ""
            };
            output::line(&format!("    {} {cut}{more}", date(lines[at].day)))?;
        }
    }
    Ok(())
}
