//! `gleaner run`.

use std::collections::{BTreeSet, VecDeque};
use std::num::NonZeroUsize;
use std::time::Duration;

use chrono::NaiveDate;

use super::day::DayArgs;
use super::{output, progress};
use crate::driver;
use crate::engine::{ClusterOptions, Engine};
use crate::error::JobError;
use crate::observe::listener::{self, Served};
use crate::observe::{ObserveArgs, metrics};
use crate::secure::TlsArgs;
use crate::stages::thresholds;
use crate::telemetry::{Kind, Undated};
use crate::warehouse::Warehouse;
use crate::warehouse::tables::{CANDIDATES, REQUESTS};

/// Flags of `gleaner run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The UTC day, by event time.
    #[arg(long, value_name = "YYYY-MM-DD")]
    date: NaiveDate,
    /// The last day of several; the days run one after the other, and a day without events is skipped.
    #[arg(long, value_name = "YYYY-MM-DD")]
    to: Option<NaiveDate>,
    #[command(flatten)]
    day: DayArgs,
    /// Afterwards run the later days of the warehouse too, with these flags and this telemetry: near-dedup held them against
    /// what these days were. Where nothing changes for them, nothing is computed.
    #[arg(long)]
    later: bool,
    #[command(flatten)]
    engine: EngineArgs,
    /// Directory of the warehouse; made when new.
    #[arg(long, value_name = "DIR", env = "GLEANER_WAREHOUSE")]
    warehouse: String,
    /// One JSON object a stage on standard output.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    observe: ObserveArgs,
}

/// Where queries run.
#[derive(Debug, Clone, clap::Args)]
pub struct EngineArgs {
    /// A Ballista cluster's scheduler, df://host:port, or dfs://host:port over TLS; without it, everything runs in this
    /// process.
    #[arg(long, value_name = "URL", env = "GLEANER_CLUSTER")]
    cluster: Option<String>,
    /// Tasks at a time; default: the machine's cores, on a cluster 8.
    #[arg(long)]
    slots: Option<NonZeroUsize>,
    /// On a cluster: seconds that one task may take.
    #[arg(long, default_value_t = 1800, value_parser = clap::value_parser!(u64).range(1..))]
    task_timeout: u64,
    /// On a cluster: Ballista's adaptive planning. The answer is the same; nothing gets faster.
    #[arg(long, hide_short_help = true)]
    adaptive: bool,
    /// Memory in GiB beyond which operators of this process spill to disk.
    #[arg(long, default_value_t = 2.0)]
    memory: f64,
    #[command(flatten)]
    pub(super) tls: TlsArgs,
}

impl EngineArgs {
    /// # Errors
    /// When a value is out of range or the cluster's URL is malformed.
    pub fn engine(&self) -> Result<Engine, JobError> {
        if !(0.0625..=65_536.0).contains(&self.memory) {
            return Err(JobError::Usage(format!(
                "--memory {}: expected 0.0625 to 65536 (GiB)",
                self.memory
            )));
        }
        let slots = |default: usize| self.slots.map_or(default, NonZeroUsize::get);
        if let Some(url) = &self.cluster {
            let options = ClusterOptions {
                url: url.clone(),
                tls: self.tls.client()?,
                task_timeout: Duration::from_secs(self.task_timeout),
                adaptive: self.adaptive,
            };
            Engine::cluster(&options, slots(8))
        } else {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked above"
            )]
            let bytes = (self.memory * f64::from(1 << 30)) as usize;
            let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
            Engine::embedded(slots(cores), bytes)
        }
    }
}

/// # Errors
/// A failed job.
pub async fn main(args: Args) -> Result<(), JobError> {
    let last = args.to.unwrap_or(args.date);
    if last < args.date {
        return Err(JobError::Usage(format!(
            "--to {last} is before --date {}",
            args.date
        )));
    }
    let options = args.day.options().await?;
    if options.undated == Undated::AsDay && last != args.date {
        return Err(JobError::Usage(
            "--undated day contradicts --to: rows without a time would belong to every one of the days".into(),
        ));
    }
    if let Some(address) = args.observe.metrics {
        let mut registry = metrics::registry();
        metrics::driver().register(&mut registry);
        listener::listen(address, Served::new(registry)).await?;
    }
    let engine = args.engine.engine()?;
    let several = last != args.date || args.later;
    let (mut ran, mut skipped) = (0, None);
    let mut days: VecDeque<NaiveDate> = args.date.iter_days().take_while(|d| *d <= last).collect();
    while let Some(day) = days.pop_front() {
        let shown = progress::Shown::new(&day.to_string(), args.json);
        match driver::run_day(&engine, &args.warehouse, day, &options, &shown).await {
            Ok(report) => {
                ran += 1;
                drop(shown);
                if !args.json {
                    summary(&report, &args.warehouse)?;
                }
            }
            Err(e) if several && e.is_empty_day() => {
                drop(shown);
                output::note(&format!("{day} skipped: {e}"));
                skipped = Some(e);
            }
            Err(e) => return Err(e),
        }
        if day == last && args.later {
            days.extend(later_days(&args.warehouse, last, options.kind).await?);
        }
    }
    // Days without events among others are nothing special; nothing but such days is an error.
    match skipped {
        Some(error) if ran == 0 => Err(error),
        _ => Ok(()),
    }
}

/// The days of a warehouse after `day`.
async fn later_days(
    warehouse: &str,
    day: NaiveDate,
    kind: Kind,
) -> Result<BTreeSet<NaiveDate>, JobError> {
    if !Warehouse::exists(warehouse).await? {
        return Ok(BTreeSet::new());
    }
    let table = match kind {
        Kind::Command => CANDIDATES,
        Kind::Api => REQUESTS,
    };
    let snapshot = Warehouse::open(warehouse).await?.snapshot(&[table]).await?;
    let files = snapshot.files(&table).iter();
    Ok(files.map(|file| file.day).filter(|d| *d > day).collect())
}

/// What a person wants to know after a day.
///
/// # Errors
/// When standard output is closed.
pub fn summary(report: &driver::DayReport, warehouse: &str) -> Result<(), JobError> {
    if report.unchanged() {
        return output::line(&format!("{}: up to date, nothing to do", report.day));
    }
    let kept = |stage: &str| {
        report
            .records
            .iter()
            .find(|r| r.stage == stage)
            .map(|r| r.rows_kept)
    };
    let text = match (kept("commands"), kept("benign")) {
        (Some(lines), Some(benign)) => format!(
            "{}: {} benign lines from {} unique ones in {:.1} s; see them: gleaner sql --warehouse {warehouse} \
             \"SELECT command_line FROM benign LIMIT 20\"",
            report.day,
            progress::thousands(benign),
            progress::thousands(lines),
            report.secs,
        ),
        _ => match (kept("requests"), kept("incidents")) {
            (Some(requests), Some(incidents)) => format!(
                "{}: {} incidents among {} requests in {:.1} s; see them: gleaner sql --warehouse {warehouse} \
                 \"SELECT summary FROM incidents ORDER BY severity DESC LIMIT 20\"",
                report.day,
                progress::thousands(incidents),
                progress::thousands(requests),
                report.secs
            ),
            (Some(requests), None) => format!(
                "{}: {} requests in {:.1} s; see them: gleaner sql --warehouse {warehouse} \
                 \"SELECT actor, method, path, status FROM requests LIMIT 20\"",
                report.day,
                progress::thousands(requests),
                report.secs
            ),
            (None, _) => format!("{}: done in {:.1} s", report.day, report.secs),
        },
    };
    output::line(&text)?;
    let anomalies = report.records.iter().filter(|r| r.stage == "anomalies");
    for (detector, outcome) in anomalies.flat_map(thresholds::outcomes) {
        output::line(&format!("{}: {}", report.day, outcome.shown(detector)))?;
    }
    Ok(())
}
