//! `gleaner synth`.

use std::io::IsTerminal;
use std::path::PathBuf;

use chrono::NaiveDate;
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressDrawTarget};

use super::{output, progress::thousands};
use crate::error::JobError;
use crate::synth::{self, Format, Schema, SynthError, SynthParams, SynthReport};
use crate::telemetry::Kind;

/// Flags of `gleaner synth`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory to write to; new or empty.
    out: PathBuf,
    /// What the telemetry is about: command (command lines), or api (requests to APIs).
    #[arg(long, value_enum, default_value_t)]
    kind: Kind,
    /// Rows of each day.
    #[arg(long, default_value_t = 1_000_000)]
    lines: u64,
    /// First day, UTC.
    #[arg(long, default_value = "2025-01-01", value_name = "YYYY-MM-DD")]
    date: NaiveDate,
    /// How many days.
    #[arg(long, default_value_t = 1)]
    days: u32,
    /// The same seed gives the same bytes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Hosts of the fleet, or users of the API, at the most.
    #[arg(long, default_value_t = 2000)]
    hosts: u32,
    /// Share of rows that belong to an attack.
    #[arg(long, default_value_t = 0.001)]
    attacks: f64,
    /// File format; default: parquet, and of requests ndjson. Lines of access and the documents of cloudtrail are packed as ndjson is.
    #[arg(long, value_enum)]
    format: Option<FormatArg>,
    /// Who is supposed to have written it: native, ocsf, ecs, sysmon or security4688; of requests native, ocsf, access (Combined Log
    /// Format) or cloudtrail.
    #[arg(long, value_enum, default_value = "native")]
    schema: SchemaArg,
    /// Rows of a file.
    #[arg(long, default_value_t = 1_000_000)]
    rows_per_file: u64,
    /// Write into a directory that holds something, and replace the days that are made.
    #[arg(long)]
    force: bool,
    /// One JSON object on standard output.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FormatArg {
    Parquet,
    Ndjson,
    #[value(name = "ndjson.gz")]
    NdjsonGz,
    #[value(name = "ndjson.zst")]
    NdjsonZst,
    Csv,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SchemaArg {
    Native,
    Ocsf,
    Ecs,
    Sysmon,
    Security4688,
    Access,
    Cloudtrail,
}

/// # Errors
/// When a value is out of range or a file cannot be written.
pub fn main(args: &Args) -> Result<(), JobError> {
    let format = args.format.unwrap_or(match args.kind {
        Kind::Command => FormatArg::Parquet,
        Kind::Api => FormatArg::Ndjson,
    });
    let params = SynthParams {
        kind: args.kind,
        lines: args.lines,
        from: args.date,
        days: args.days,
        seed: args.seed,
        hosts: args.hosts,
        attacks: args.attacks,
        format: match format {
            FormatArg::Parquet => Format::Parquet,
            FormatArg::Ndjson => Format::Ndjson,
            FormatArg::NdjsonGz => Format::NdjsonGz,
            FormatArg::NdjsonZst => Format::NdjsonZst,
            FormatArg::Csv => Format::Csv,
        },
        schema: match args.schema {
            SchemaArg::Native => Schema::Native,
            SchemaArg::Ocsf => Schema::Ocsf,
            SchemaArg::Ecs => Schema::Ecs,
            SchemaArg::Sysmon => Schema::Sysmon,
            SchemaArg::Security4688 => Schema::Security4688,
            SchemaArg::Access => Schema::Access,
            SchemaArg::Cloudtrail => Schema::CloudTrail,
        },
        rows_per_file: args.rows_per_file,
        overwrite: args.force,
    };
    let report = make(&params, &args.out)?;
    let unique = match args.kind {
        Kind::Command => "unique_rows",
        Kind::Api => "incidents",
    };
    if args.json {
        let object = serde_json::json!({
            "rows": report.rows, unique: report.unique_rows, "attack_rows": report.attack_rows,
            "files": report.files.len(), "bytes": report.files.iter().map(|f| f.bytes).sum::<u64>(),
            "secs": report.secs,
        });
        return output::line(&object.to_string());
    }
    output::line(&format!(
        "{} rows ({} {}, {} rows of attacks) in {} files under {}, {:.1} s; the truth is in {}",
        thousands(report.rows),
        thousands(report.unique_rows),
        if args.kind == Kind::Command {
            "unique lines"
        } else {
            "incidents"
        },
        thousands(report.attack_rows),
        report.files.len(),
        args.out.display(),
        report.secs,
        args.out.join("_truth").display(),
    ))
}

/// Makes telemetry, with a bar on a terminal.
///
/// # Errors
/// As [`main`].
pub fn make(params: &SynthParams, out: &std::path::Path) -> Result<SynthReport, JobError> {
    let bar = ProgressBar::new(params.lines * u64::from(params.days));
    if !std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let made = synth::synth(params, out, &mut |rows| bar.set_position(rows));
    bar.finish_and_clear();
    made.map_err(|e| match e {
        SynthError::Io { path, source } => JobError::Io {
            path: path.display().to_string(),
            source,
        },
        SynthError::NotEmpty(path) => JobError::Usage(format!(
            "{} is not empty: name another directory, or give --force",
            path.display()
        )),
        other => JobError::Usage(other.to_string()),
    })
}
