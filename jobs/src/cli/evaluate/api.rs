//! `gleaner evaluate api`: how well the detectors find attacks among labelled API requests.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use gleaner_classifier::api::{self, Label, Labelled, Outcome, Part, Prepared};
use gleaner_udfs::api::request::OwnedRequest;
use gleaner_udfs::scale::Scale;
use gleaner_udfs::threshold::Method;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::api_sources::{self, HeldOut};
use super::{api_curves, api_days, api_trials};
use crate::categorical::CategoricalBy;
use crate::cli::output;
use crate::error::JobError;
use crate::options::ScaleBy;

/// Flags of `gleaner evaluate api`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A Parquet file of labelled requests: `kind`, `label` (benign, malicious, unknown) and the columns of a request
    /// (`event_time`, `user_id`, `client_ip`, `method`, `host`, `path`, `query`, `status`, … ; what lacks is null).
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// The share of ordinary requests that may be alerts: it sets the threshold, on rows that neither fit nor test sees.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01, value_parser = share)]
    target_fpr: f64,
    /// What features are scaled by: mean and deviation, the range, or median and quartiles.
    #[arg(long, value_enum, default_value_t)]
    scale: ScaleBy,
    /// How categorical values become numbers, beside how rare they are.
    #[arg(long, value_enum, default_value_t)]
    pub(super) categorical: CategoricalBy,
    /// How the threshold is chosen: by the rate among ordinary rows, by the quantile of all rows, or by the tail of the ordinary
    /// rows' scores, which also tells rates that the rows are too few to show.
    #[arg(long, value_enum, default_value_t = Way::Fpr)]
    threshold: Way,
    /// Requests of a day, to tell alerts a day from.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    requests_a_day: u32,
    /// Which benign rows are fitted on and which are tested follows from this and what they say.
    #[arg(long, default_value_t = 0)]
    pub(super) seed: u64,
    /// Shows so many of each detector's highest false alarms and lowest misses.
    #[arg(
        long,
        value_name = "ROWS",
        default_value_t = 0,
        conflicts_with = "json"
    )]
    show: usize,
    /// Compares learning without labels, with many and with few (`--few`): each attack type in turn is one that no model saw.
    #[arg(long, conflicts_with_all = ["show", "feedback"])]
    paradigms: bool,
    /// Labels that the semi-supervised model gets, half of them attacks.
    #[arg(long, value_name = "ROWS", default_value_t = 100, value_parser = clap::value_parser!(u32).range(4..))]
    pub(super) few: u32,
    /// Judges so many alerts by their labels, as analysts would, fits again with the verdicts, and shows what that changed on rows
    /// that nobody judged.
    #[arg(long, value_name = "VERDICTS", conflicts_with = "show")]
    feedback: Option<u32>,
    /// Tells what each detector did on each day (UTC) as well; with `--json` as further objects.
    #[arg(long, conflicts_with_all = ["paradigms", "feedback", "held_out"])]
    by_day: bool,
    /// Writes the points of each detector's ROC and precision-recall curves (.csv, .parquet) or draws them (.svg); with `--json` further
    /// objects hold them too.
    #[arg(
        long,
        value_name = "FILE",
        value_parser = api_curves::place,
        conflicts_with_all = ["paradigms", "feedback", "held_out"]
    )]
    curves: Option<api_curves::Place>,
    /// Holds out each source in turn: models and thresholds come from the other sources, the test is all of its labelled rows.
    #[arg(long, value_enum, value_name = "WHAT", conflicts_with_all = ["paradigms", "feedback", "show"])]
    held_out: Option<HeldOut>,
    /// One JSON object a detector and kind.
    #[arg(long)]
    pub(super) json: bool,
}

impl Args {
    /// How thresholds are chosen.
    pub(super) fn method(&self) -> Method {
        self.threshold.method(self.target_fpr)
    }

    /// What features are scaled by.
    pub(super) fn scale(&self) -> Scale {
        self.scale.scale()
    }
}

/// How a threshold is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Way {
    /// A false-positive rate, counted.
    Fpr,
    /// A quantile of all scores.
    Quantile,
    /// A generalised Pareto tail (peaks over threshold).
    Tail,
}

impl Way {
    fn method(self, rate: f64) -> Method {
        match self {
            Self::Fpr => Method::FalsePositiveRate(rate),
            Self::Quantile => Method::Quantile(1.0 - rate),
            Self::Tail => Method::Tail {
                rate,
                // The usual twentieth, or what leaves room for the rate.
                start: (10.0 * rate).clamp(0.05, 0.5),
            },
        }
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if share > 0.0 && share < 1.0 => Ok(share),
        _ => Err("expected a share above 0 and below 1, as 0.01".to_owned()),
    }
}

/// # Errors
/// When the file is not as expected, or a kind has too few rows.
pub(super) fn main(args: &Args) -> Result<(), JobError> {
    let rows = read(&args.file)?;
    let mut kinds: BTreeMap<&str, Vec<&Labelled>> = BTreeMap::new();
    for row in &rows {
        kinds.entry(&row.kind).or_default().push(row);
    }
    if args.paradigms {
        return api_trials::compare(args, &kinds);
    }
    if let Some(most) = args.feedback {
        return api_trials::feedback(args, &kinds, most);
    }
    if args.held_out.is_some() {
        return api_sources::main(args, &kinds);
    }
    let mut curves = api_curves::All::default();
    if !args.json {
        output::line(&format!(
            "{:<12} {:<12} {:>7} {:>7} {:>9} {:>7} {:>9} {:>7}",
            "kind", "detector", "auroc", "auprc", "precision", "recall", "threshold", "rows"
        ))?;
    }
    for (kind, rows) in kinds {
        let prepared = api::prepare(&rows, args.seed, args.categorical.choice());
        if let Some(remark) = &prepared.remark {
            output::note(&format!("{kind}: {remark}"));
        }
        for (detector, outcome) in api::evaluate(&prepared, args.method(), args.scale()) {
            match outcome {
                Ok(outcome) => {
                    report(args, kind, &prepared, &outcome)?;
                    if args.by_day {
                        api_days::tell(args.json, kind, &prepared, &outcome)?;
                    }
                    if args.curves.is_some() {
                        curves.add(args.json, kind, &prepared, &outcome)?;
                    }
                    for line in shown(args.show, &rows, &prepared, &outcome) {
                        output::line(&output::printable(&line))?;
                    }
                }
                Err(why) => {
                    output::note(&format!("{kind} {detector}: {why}"));
                    if args.json {
                        let object = serde_json::json!({
                            "detector": detector, "kind": kind, "auroc": null, "precision": null, "recall": null,
                            "threshold": null, "rows": prepared.tested(),
                        });
                        output::line(&object.to_string())?;
                    }
                }
            }
        }
    }
    if let Some(place) = &args.curves {
        curves.write(place)?;
    }
    Ok(())
}

fn report(args: &Args, kind: &str, prepared: &Prepared, outcome: &Outcome) -> Result<(), JobError> {
    let rows = prepared.tested();
    let threshold = outcome.threshold.as_ref();
    let (precision, recall) = outcome
        .confusion
        .map_or((None, None), |c| (c.precision(), c.recall()));
    if let Err(why) = threshold {
        output::note(&format!("{kind} {}: {why}", outcome.detector));
    }
    if args.json {
        let object = serde_json::json!({
            "detector": outcome.detector, "kind": kind, "auroc": outcome.auroc, "precision": precision,
            "recall": recall, "threshold": threshold.ok().map(|t| t.threshold), "rows": rows,
        });
        return output::line(&object.to_string());
    }
    let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.4}"));
    output::line(&format!(
        "{kind:<12} {:<12} {:>7} {:>7} {:>9} {:>7} {:>9} {rows:>7}",
        outcome.detector,
        shown(outcome.auroc),
        shown(outcome.average_precision),
        shown(precision),
        shown(recall),
        shown(threshold.ok().map(|t| f64::from(t.threshold)))
    ))?;
    if let Ok(threshold) = threshold {
        let alerts = threshold.alerts(f64::from(args.requests_a_day));
        output::line(&format!(
            "{:<12} {} of {} ordinary rows above, {:.0} alerts [{:.0}, {:.0}] of {} ordinary requests a day{}",
            "",
            threshold.above,
            threshold.rows,
            alerts.expected,
            alerts.interval[0],
            alerts.interval[1],
            args.requests_a_day,
            if threshold.extrapolated {
                ", extrapolated"
            } else {
                ""
            }
        ))?;
    }
    let mut attacks: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for row in prepared.of(Part::TestMalicious) {
        let (found, all) = attacks.entry(prepared.attacks[row].as_str()).or_default();
        *all += 1;
        *found += usize::from(outcome.alert(outcome.scores[row]));
    }
    if attacks.len() > 1 {
        let each = attacks
            .iter()
            .map(|(attack, (found, all))| format!("{attack} {found}/{all}"));
        let each = output::printable(&each.collect::<Vec<_>>().join(", "));
        output::line(&format!("{:<12} found: {each}", ""))?;
    }
    Ok(())
}

/// The highest false alarms and the lowest misses, as text.
fn shown(n: usize, rows: &[&Labelled], prepared: &Prepared, outcome: &Outcome) -> Vec<String> {
    let mut lines = vec![];
    let mut add = |what: &str, part: Part, wrong: &dyn Fn(f32) -> bool, descending: bool| {
        let mut places: Vec<usize> = prepared
            .of(part)
            .filter(|&row| wrong(outcome.scores[row]))
            .collect();
        places.sort_by(|&a, &b| {
            outcome.scores[a]
                .total_cmp(&outcome.scores[b])
                .then(a.cmp(&b))
        });
        if descending {
            places.reverse();
        }
        for row in places.into_iter().take(n) {
            let request = rows[prepared.order[row]].request.as_request();
            let cut = |text: Option<&str>| text.unwrap_or("-").chars().take(80).collect::<String>();
            lines.push(format!(
                "  {what} {:.3} {} {}{}{} {} {}",
                outcome.scores[row],
                cut(request.method),
                cut(request.host),
                cut(request.path),
                request
                    .query
                    .map_or_else(String::new, |q| format!("?{}", cut(Some(q)))),
                request
                    .status
                    .map_or_else(|| "-".to_owned(), |s| s.to_string()),
                cut(request.body)
            ));
        }
    };
    add("false alarm", Part::TestBenign, &|s| outcome.alert(s), true);
    add("missed", Part::TestMalicious, &|s| !outcome.alert(s), false);
    lines
}

fn malformed(file: &Path, why: &str) -> JobError {
    JobError::Usage(format!(
        "{}: {why}; expected a Parquet file with the columns kind, label and those of a request (path, query, status, …)",
        file.display()
    ))
}

/// The columns of texts, in the order of [`OwnedRequest::texts`], with the names that they may have.
const TEXTS: [&[&str]; 12] = [
    &["user_id", "user"],
    &["session_id", "session"],
    &["client_ip"],
    &["method"],
    &["host"],
    &["path"],
    &["query"],
    &["error_code"],
    &["user_agent"],
    &["referer"],
    &["request_body", "body"],
    &["request_headers", "headers"],
];

/// Reads labelled requests, all of them into memory.
fn read(file: &Path) -> Result<Vec<Labelled>, JobError> {
    let opened = File::open(file).map_err(|e| JobError::io(file, e))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(opened)
        .map_err(|e| malformed(file, &format!("not a Parquet file ({e})")))?;
    for wanted in ["kind", "label"] {
        if builder.schema().column_with_name(wanted).is_none() {
            return Err(malformed(file, &format!("no column {wanted}")));
        }
    }
    let content = TEXTS.iter().flat_map(|names| names.iter());
    if !content
        .clone()
        .any(|name| builder.schema().column_with_name(name).is_some())
    {
        return Err(malformed(file, "no column of a request"));
    }
    let mut rows = vec![];
    let damaged = |e: &dyn std::fmt::Display| malformed(file, &format!("cannot be read ({e})"));
    for batch in builder.build().map_err(|e| damaged(&e))? {
        let batch = batch.map_err(|e| damaged(&e))?;
        add(&batch, &mut rows).map_err(|why| malformed(file, &why))?;
    }
    if rows.is_empty() {
        return Err(malformed(file, "no row"));
    }
    Ok(rows)
}

/// A column by one of its names, as `to`; `None` where it lacks.
fn column(batch: &RecordBatch, names: &[&str], to: &DataType) -> Result<Option<ArrayRef>, String> {
    let Some((name, array)) = names
        .iter()
        .find_map(|n| batch.column_by_name(n).map(|a| (n, a)))
    else {
        return Ok(None);
    };
    cast(array, to)
        .map(Some)
        .map_err(|_| format!("column {name} is {}", array.data_type()))
}

fn add(batch: &RecordBatch, rows: &mut Vec<Labelled>) -> Result<(), String> {
    let text = |names: &[&str]| column(batch, names, &DataType::Utf8);
    let number = |name: &str, to: &DataType| column(batch, &[name], to);
    let (kinds, labels) = (text(&["kind"])?, text(&["label"])?);
    let (sources, attacks) = (text(&["source"])?, text(&["attack_type"])?);
    let utc = DataType::Timestamp(TimeUnit::Microsecond, None);
    let times = column(batch, &["event_time"], &utc)?;
    let texts = TEXTS.map(text);
    let status = number("status", &DataType::Float64)?;
    let (sent, got) = (
        number("request_bytes", &DataType::Int64)?,
        number("response_bytes", &DataType::Int64)?,
    );
    let latency = number("latency_ms", &DataType::Float64)?;
    let of = |array: &Option<ArrayRef>, row: usize| -> Option<String> {
        let array = array.as_ref()?.as_string_opt::<i32>()?;
        (!array.is_null(row)).then(|| array.value(row).to_owned())
    };
    let float = |array: &Option<ArrayRef>, row: usize| -> Option<f64> {
        let array = array.as_ref()?.as_primitive_opt::<Float64Type>()?;
        (!array.is_null(row))
            .then(|| array.value(row))
            .filter(|v| v.is_finite())
    };
    let int = |array: &Option<ArrayRef>, row: usize| -> Option<i64> {
        let array = array.as_ref()?.as_primitive_opt::<Int64Type>()?;
        (!array.is_null(row)).then(|| array.value(row))
    };
    for row in 0..batch.num_rows() {
        let label = of(&labels, row).map(|label| label.to_ascii_lowercase());
        let label = match label.as_deref() {
            Some("benign") => Label::Benign,
            Some("malicious") => Label::Malicious,
            Some("unknown" | "") | None => Label::Unknown,
            Some(_) => return Err("a label is none of benign, malicious, unknown".to_owned()),
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "milliseconds need no more digits"
        )]
        let mut request = OwnedRequest {
            micros: times
                .as_ref()
                .and_then(|a| a.as_primitive_opt::<TimestampMicrosecondType>())
                .and_then(|a| (!a.is_null(row)).then(|| a.value(row))),
            request_bytes: int(&sent, row),
            response_bytes: int(&got, row),
            latency_ms: float(&latency, row).map(|ms| ms as f32),
            ..OwnedRequest::default()
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a status has three digits; what has more is none"
        )]
        let code = |s: f64| (s.abs() < 1e6).then_some(s as i32);
        request.status = float(&status, row).and_then(code);
        for (slot, column) in request.texts.iter_mut().zip(&texts) {
            *slot = match column {
                Ok(array) => of(array, row),
                Err(why) => return Err(why.clone()),
            };
        }
        rows.push(Labelled {
            kind: of(&kinds, row).unwrap_or_else(|| "unknown".to_owned()),
            source: of(&sources, row).unwrap_or_default(),
            label,
            attack: of(&attacks, row),
            request,
        });
    }
    Ok(())
}
