//! `gleaner synth`: telemetry of any size, made from a seed.
//!
//! **What.** Process starts of a fleet of Windows, Linux and macOS hosts, in the layouts and schemas that the
//! `telemetry` stage reads, and the truth about each unique line in files of its own. The popularity of templates
//! follows Zipf's law: a head of browsers, services and agents; a long tail of rare, complex, *benign* lines, which is
//! what the product looks for; and a few attacks, in campaigns.
//!
//! **Why this way.** Templates are grammars in text files (`grammar/`), so that a detection engineer extends them. Each
//! text is a function of (template, variant, seed, day), so that rows need not be held: a day of fifty million lines takes
//! the memory of one Parquet row group and 8 bytes for each unique line. The same parameters give the same bytes,
//! on any machine.
//!
//! **Cost.** About two microseconds a row on one core, most of it in the Parquet writer.
//!
//! **What it is not.** Made data shows that the machinery works and how fast; it proves nothing about detection. A
//! classifier that separates these attacks from this fleet has learnt this generator.

mod api;
mod calendar;
mod campaign;
mod catalog;
mod documents;
mod fleet;
mod generate;
mod image;
mod json;
mod native;
mod ocsf;
mod output;
mod pattern;
mod prng;
mod render;
mod table;
mod truth;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Instant;

use chrono::{Days, NaiveDate};

use calendar::Day;
use catalog::Catalog;
use fleet::Fleet;
use generate::{Event, Generator};

use crate::telemetry::Kind;

/// Rows on one host and day below which a fleet would look thin: fewer hosts take part in a small day.
const ROWS_PER_HOST: u64 = 400;
/// Rows between two reports of progress.
const PROGRESS_EVERY_ROWS: u64 = 16_384;

/// File format of the telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Parquet, zstd.
    Parquet,
    /// One JSON object a line.
    Ndjson,
    /// One JSON object a line, gzip.
    NdjsonGz,
    /// One JSON object a line, zstd.
    NdjsonZst,
    /// Comma-separated with a header (RFC 4180); an empty field is null.
    Csv,
}

/// Who is supposed to have written the telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// Gleaner's own columns.
    Native,
    /// OCSF 1007 Process Activity, as in Amazon Security Lake.
    Ocsf,
    /// Elastic Common Schema, as Elastic Defend writes it.
    Ecs,
    /// Winlogbeat documents of Sysmon event 1.
    Sysmon,
    /// Winlogbeat documents of Security event 4688.
    Security4688,
    /// Of requests: Combined Log Format, with the virtual host before each line.
    Access,
    /// Of requests: `CloudTrail`'s files, `{"Records": […]}`.
    CloudTrail,
}

/// What to make.
#[derive(Debug, Clone)]
pub struct SynthParams {
    /// What the telemetry is about.
    pub kind: Kind,
    /// Rows of each day. At least 1.
    pub lines: u64,
    /// First day, UTC.
    pub from: NaiveDate,
    /// Number of days. At least 1.
    pub days: u32,
    /// The same seed gives the same bytes.
    pub seed: u64,
    /// Hosts of the fleet, or users of the API (one for each 25 rows at most). A day has one host for each 400 rows at most, and one of each of the eleven roles at least.
    pub hosts: u32,
    /// Share of rows that belong to an attack, 0 to 0.5.
    pub attacks: f64,
    /// File format.
    pub format: Format,
    /// Schema of the rows. All but `Native` are written as NDJSON, `Ocsf` also as Parquet.
    pub schema: Schema,
    /// A file is closed after so many rows. At least 1.
    pub rows_per_file: u64,
    /// Write into a folder that holds something, and replace the days that are made.
    pub overwrite: bool,
}

impl Default for SynthParams {
    /// A million native lines of 2025-01-01 in one Parquet file; 2,000 hosts; one row in a thousand is of an attack.
    fn default() -> Self {
        Self {
            kind: Kind::Command,
            lines: 1_000_000,
            from: NaiveDate::from_ymd_opt(2025, 1, 1).unwrap_or_default(),
            days: 1,
            seed: 1,
            hosts: 2_000,
            attacks: 0.001,
            format: Format::Parquet,
            schema: Schema::Native,
            rows_per_file: 1_000_000,
            overwrite: false,
        }
    }
}

impl SynthParams {
    /// Rows of each day that belong to an attack.
    pub(crate) fn attack_rows(&self) -> u64 {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a checked share of fewer than 2^52 rows"
        )]
        let rows = (self.lines as f64 * self.attacks).round() as u64;
        rows
    }

    fn check(&self) -> Result<(), SynthError> {
        let bad = |name, expected, got: String| {
            Err(SynthError::Parameter {
                name,
                expected,
                got,
            })
        };
        if self.lines == 0 || self.lines > 1 << 40 {
            return bad("lines", "1 to 2^40", self.lines.to_string());
        }
        if self.days == 0
            || self
                .from
                .checked_add_days(Days::new(u64::from(self.days)))
                .is_none()
        {
            return bad(
                "days",
                "at least 1, within the calendar",
                self.days.to_string(),
            );
        }
        if self.hosts == 0 {
            return bad("hosts", "at least 1", self.hosts.to_string());
        }
        if !(0.0..=0.5).contains(&self.attacks) {
            return bad("attacks", "0 to 0.5", self.attacks.to_string());
        }
        if self.rows_per_file == 0 {
            return bad(
                "rows_per_file",
                "at least 1",
                self.rows_per_file.to_string(),
            );
        }
        let of_kind = match self.schema {
            Schema::Native | Schema::Ocsf => true,
            Schema::Ecs | Schema::Sysmon | Schema::Security4688 => self.kind == Kind::Command,
            Schema::Access | Schema::CloudTrail => self.kind == Kind::Api,
        };
        if !of_kind {
            return bad(
                "schema",
                "one of the kind's own",
                format!("{:?} for {}", self.schema, self.kind),
            );
        }
        let fits = match self.format {
            Format::Parquet if self.kind == Kind::Api => self.schema == Schema::Native,
            Format::Parquet => matches!(self.schema, Schema::Native | Schema::Ocsf),
            Format::Csv => self.schema == Schema::Native,
            Format::Ndjson | Format::NdjsonGz | Format::NdjsonZst => true,
        };
        if !fits {
            return bad(
                "format",
                "one that this schema is written in",
                format!("{:?} for {:?}", self.format, self.schema),
            );
        }
        Ok(())
    }
}

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SynthFile {
    /// Where it is.
    pub path: PathBuf,
    /// Rows in it.
    pub rows: u64,
    /// Size on disk.
    pub bytes: u64,
}

/// What was made.
#[derive(Debug, Clone)]
pub struct SynthReport {
    /// Telemetry, in the order of days and parts.
    pub files: Vec<SynthFile>,
    /// One file a day: `command_line`, `label`, `technique`, `template` of each unique line of the day. Of requests two: the
    /// incidents, and the requests that belong to them.
    pub truth: Vec<SynthFile>,
    /// Rows of telemetry.
    pub rows: u64,
    /// Unique lines, summed over the days; of requests, incidents.
    pub unique_rows: u64,
    /// Rows that belong to an attack.
    pub attack_rows: u64,
    /// Wall-clock seconds.
    pub secs: f64,
}

/// Why nothing, or not everything, was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SynthError {
    /// A parameter is out of its range.
    #[error("{name} should be {expected}, not {got}")]
    Parameter {
        /// Field of `SynthParams`.
        name: &'static str,
        /// Its range.
        expected: &'static str,
        /// What was given.
        got: String,
    },
    /// The output folder holds something.
    #[error("{0} is not empty; choose another folder, or overwrite the days in it")]
    NotEmpty(PathBuf),
    /// A built-in grammar file is wrong.
    #[error("grammar file {file}, line {line}: {reason}")]
    Grammar {
        /// Name of the file.
        file: String,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// A file could not be written.
    #[error("cannot write {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The Parquet writer refused.
    #[error("cannot write Parquet")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// Columns of different length: a fault of this module.
    #[error("cannot build columns")]
    Arrow(#[from] datafusion::arrow::error::ArrowError),
}

/// Makes the telemetry and its truth under `out`, and tells `progress` now and then how many rows are done.
///
/// Telemetry is `out/day=YYYY-MM-DD/part-00000.parquet` (for OCSF
/// `out/region=us-east-1/accountId=123456789012/eventDay=YYYYMMDD/part-00000.zst.parquet`), truth is
/// `out/_truth/day=YYYY-MM-DD.parquet`. A file has its name only when it is whole.
///
/// # Errors
/// A parameter out of range, a folder that is not empty, or a file that cannot be written.
pub fn synth(
    params: &SynthParams,
    out: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<SynthReport, SynthError> {
    params.check()?;
    let started = Instant::now();
    output::check_empty(out, params.overwrite)?;
    if params.kind == Kind::Api {
        return api::synth(params, out, progress);
    }
    let catalog = Catalog::load()?;
    let active = (params.lines / ROWS_PER_HOST).clamp(1, u64::from(params.hosts));
    let fleet = Fleet::new(usize::try_from(active).unwrap_or(usize::MAX), params.seed);
    let mut report = SynthReport {
        files: Vec::new(),
        truth: Vec::new(),
        rows: 0,
        unique_rows: 0,
        attack_rows: 0,
        secs: 0.0,
    };
    let mut event = Event::default();
    for offset in 0..u64::from(params.days) {
        let Some(date) = params.from.checked_add_days(Days::new(offset)) else {
            break;
        };
        let day = Day::new(date, &catalog.products, params.seed);
        let mut generator = Generator::new(params, &catalog, &fleet, &day);
        let mut telemetry = output::Parts::new(params, out, &day)?;
        let mut truth = truth::Truth::new(out, &day, params.lines)?;
        while generator.next(&mut event) {
            let template = &catalog.templates[event.template];
            telemetry.push(&event)?;
            truth.push(&event.command_line, template)?;
            report.attack_rows += u64::from(template.technique.is_some());
            report.rows += 1;
            if report.rows.is_multiple_of(PROGRESS_EVERY_ROWS) {
                progress(report.rows);
            }
        }
        report.files.extend(telemetry.finish()?);
        let file = truth.finish()?;
        report.unique_rows += file.rows;
        report.truth.push(file);
    }
    progress(report.rows);
    report.secs = started.elapsed().as_secs_f64();
    Ok(report)
}
