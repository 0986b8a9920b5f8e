//! `gleaner export`: the benign set, a training set with it, or a classifier, in forms that other programs read.

use std::path::PathBuf;

use chrono::NaiveDate;
use clap::ValueEnum;

use super::{output, progress};
use crate::error::JobError;
use crate::export::{self, Format, Plan, Split};
use crate::labels::pseudonyms::KeySource;

/// As what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FormatArg {
    /// Parquet, compressed with Zstandard.
    Parquet,
    /// CSV as RFC 4180 has it.
    Csv,
    /// Sparse rows of numbers, as `XGBoost`, scikit-learn and LIBLINEAR read them.
    Libsvm,
    /// A directory that Hugging Face `datasets` loads, with a data card.
    Hf,
    /// A classifier as JSON.
    Json,
    /// A classifier as ONNX.
    Onnx,
}

/// Flags of `gleaner export`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct Args {
    /// Directory of the warehouse whose benign set is exported.
    #[arg(long, value_name = "DIR", env = "GLEANER_WAREHOUSE")]
    warehouse: Option<String>,
    /// Export no warehouse's set, also where `GLEANER_WAREHOUSE` names one.
    #[arg(long, conflicts_with_all = ["from", "until", "test_from"])]
    no_warehouse: bool,
    /// As what.
    #[arg(long, value_enum)]
    format: FormatArg,
    /// A new directory; of Parquet and CSV without a test also a new file.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Replace an earlier export at that place.
    #[arg(long)]
    overwrite: bool,
    /// The first day.
    #[arg(long, value_name = "YYYY-MM-DD")]
    from: Option<NaiveDate>,
    /// The last day.
    #[arg(long, value_name = "YYYY-MM-DD")]
    until: Option<NaiveDate>,
    /// Parquet or CSV files with the columns `command_line`, label (benign or malicious) and perhaps weight: the training set that the benign set is added to.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    baseline: Vec<String>,
    /// Files as of --baseline: the test. Training rows that it knows are left out.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    test: Vec<String>,
    /// Benign lines of this day and later ones are the test.
    #[arg(long, value_name = "YYYY-MM-DD", conflicts_with = "test")]
    test_from: Option<NaiveDate>,
    /// A file of `gleaner evaluate lift --save`: the classifier that json and onnx export, and whose columns rows of libsvm have (without it: the features).
    #[arg(long, value_name = "FILE")]
    classifier: Option<PathBuf>,
    /// Cut secrets, make user and internal host names pseudonyms, leave out what names or identifies. Lines of which that cannot be shown are left out.
    #[arg(long)]
    redact: bool,
    /// Where the key of pseudonyms is, as of `gleaner run`.
    #[arg(long, value_name = "env:NAME|FILE", env = "GLEANER_PSEUDONYM_KEY")]
    pseudonym_key: Option<KeySource>,
    /// For spreadsheets: an apostrophe before cells that one would run as a formula, control characters as escapes. The lines are no longer what ran.
    #[arg(long)]
    spreadsheet: bool,
    /// Rows of a Parquet file, at most; without it one file a split, or a million rows of hf.
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..))]
    shard_rows: Option<u64>,
    /// The licence that you give the set, by its SPDX id (`cc-by-4.0`), for the data card. None is made up.
    #[arg(long, value_name = "ID")]
    license: Option<String>,
    /// What the data card calls the set.
    #[arg(long, value_name = "TEXT", default_value = "Rare benign command lines")]
    name: String,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// # Errors
/// When the place is taken, an input is not as expected, or nothing would be written.
pub async fn main(args: Args) -> Result<(), JobError> {
    let format = match args.format {
        FormatArg::Parquet => Format::Parquet,
        FormatArg::Csv => Format::Csv,
        FormatArg::Libsvm => Format::Libsvm,
        FormatArg::Hf => Format::Hf,
        FormatArg::Json => Format::Json,
        FormatArg::Onnx => Format::Onnx,
    };
    if let (Some(from), Some(until)) = (args.from, args.until)
        && until < from
    {
        return Err(JobError::Usage(format!(
            "--until {until} lies before --from {from}"
        )));
    }
    if args.spreadsheet && format != Format::Csv {
        return Err(JobError::Usage(
            "--spreadsheet is for --format csv".to_owned(),
        ));
    }
    if args.shard_rows.is_some() && !matches!(format, Format::Parquet | Format::Hf) {
        return Err(JobError::Usage(
            "--shard-rows is for --format parquet and hf".to_owned(),
        ));
    }
    let plan = Plan {
        format,
        warehouse: args.warehouse.filter(|_| !args.no_warehouse),
        days: (args.from, args.until),
        test_from: args.test_from,
        baseline: args.baseline,
        test: args.test,
        classifier: args.classifier,
        redact: args.redact,
        pseudonym_key: args.pseudonym_key,
        spreadsheet: args.spreadsheet,
        shard_rows: args.shard_rows,
        license: args.license,
        name: args.name,
        out: args.out,
        overwrite: args.overwrite,
    };
    let account = export::run(&plan).await?;
    if args.json {
        let json =
            serde_json::to_string(&account).map_err(|e| JobError::Internal(e.to_string()))?;
        return output::line(&json);
    }
    let out = plan.out.display();
    if account.rows() == 0 {
        return output::line(&format!("the classifier is in {out}"));
    }
    let test = match account.rows_of(Split::Test) {
        0 => String::new(),
        rows => format!(" and {} to measure on", progress::thousands(rows)),
    };
    let train = progress::thousands(account.rows_of(Split::Train));
    output::line(&format!("{train} rows to train on{test} in {out}"))?;
    let left = account.left_out;
    for (n, why) in [
        (
            left.exact + left.template + left.near,
            "training rows that the test knows",
        ),
        (left.known, "benign lines that were there already"),
        (
            left.contradicted,
            "benign lines that the baseline calls malicious",
        ),
        (
            left.refused,
            "lines that could not be redacted with certainty",
        ),
        (
            left.unlabelled,
            "rows of labelled files without a line or a label",
        ),
    ] {
        if n > 0 {
            output::note(&format!("left out: {} {why}", progress::thousands(n)));
        }
    }
    if plan.license.is_none() && format == Format::Hf {
        output::note("the data card says `licence unknown: fill in`: --license names one");
    }
    Ok(())
}
