//! `gleaner demo`: the whole path on made telemetry, in one command: three days of it, run one after the other, so that
//! near-dedup sees an earlier day, and what came out held against the truth.

use std::path::PathBuf;

use chrono::{Days, NaiveDate};

use super::{output, progress, run, sql, synth};
use crate::catalog;
use crate::driver;
use crate::engine::Engine;
use crate::error::JobError;
use crate::options::{PrevalenceOptions, Quota, Quotas, RunOptions};
use crate::synth::SynthParams;
use crate::warehouse::Warehouse;

/// Flags of `gleaner demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory for the telemetry and the warehouse; new, or of an earlier demo with the same flags.
    #[arg(default_value = "gleaner-demo")]
    dir: PathBuf,
    /// Rows of each day.
    #[arg(long, default_value_t = 100_000)]
    lines: u64,
    /// How many days.
    #[arg(long, default_value_t = 3)]
    days: u32,
    #[command(flatten)]
    engine: run::EngineArgs,
}

/// # Errors
/// When telemetry cannot be made, or a day fails.
pub async fn main(args: Args) -> Result<(), JobError> {
    let engine = args.engine.engine()?;
    let telemetry = args.dir.join("telemetry");
    let first = SynthParams::default().from;
    // Written when the telemetry is whole, with what it was made of.
    let marker = args.dir.join("demo.json");
    let made_of = serde_json::json!({ "lines": args.lines, "days": args.days }).to_string();
    if std::fs::read_to_string(&marker).ok().as_deref() != Some(&made_of) {
        let params = SynthParams {
            lines: args.lines,
            days: args.days,
            overwrite: true,
            ..SynthParams::default()
        };
        let made = synth::make(&params, &telemetry)?;
        output::line(&format!(
            "made {} rows of telemetry for {} days in {} ({:.1} s)",
            progress::thousands(made.rows),
            args.days,
            telemetry.display(),
            made.secs
        ))?;
        std::fs::write(&marker, made_of).map_err(|e| JobError::io(&marker, e))?;
    }
    let warehouse = args.dir.join("warehouse").to_string_lossy().into_owned();
    let options = RunOptions {
        telemetry: vec![telemetry.to_string_lossy().into_owned()],
        // A wide quota: the rule labeller says benign to few anomalies, and a demo should have some to show.
        quotas: Quotas::all(Quota::Share(0.1)),
        // A fleet of a few hundred hosts in a small day: fewer hosts run any one thing.
        prevalence: PrevalenceOptions {
            min_hosts: 2,
            min_users: 2,
            ..PrevalenceOptions::default()
        },
        ..RunOptions::default()
    };
    for day in first.iter_days().take(args.days as usize) {
        let shown = progress::Shown::new(&day.to_string(), false);
        let report = driver::run_day(&engine, &warehouse, day, &options, &shown).await?;
        drop(shown);
        run::summary(&report, &warehouse)?;
    }
    let last = first
        .checked_add_days(Days::new(u64::from(args.days.saturating_sub(1))))
        .unwrap_or(first);
    show(&engine, &warehouse, &telemetry, first, last).await
}

async fn show(
    engine: &Engine,
    warehouse: &str,
    telemetry: &std::path::Path,
    first: NaiveDate,
    day: NaiveDate,
) -> Result<(), JobError> {
    let ctx = engine.session().clone().enable_url_table();
    catalog::tables(&ctx, &Warehouse::open(warehouse).await?).await?;
    let truth = first.iter_days().take_while(|d| *d <= day).map(|d| {
        let file = telemetry.join("_truth").join(format!("day={d}.parquet"));
        let file = file.to_string_lossy().replace('\'', "''");
        format!("SELECT DATE '{d}' AS day, command_line, label FROM '{file}'")
    });
    let truth = truth.collect::<Vec<_>>().join(" UNION ALL ");
    let queries = [
        (
            "Anomalies of the last day after near-dedup, the most isolated first:",
            format!(
                "SELECT substr(command_line, 1, 90) AS command_line, array_to_string(detectors, ' ') AS detectors, \
                 reasons[1] AS reason FROM candidates WHERE kept AND day = DATE '{day}' AND iforest_rank IS NOT NULL \
                 ORDER BY iforest_rank LIMIT 8"
            ),
        ),
        (
            "What near-dedup left out, and for what:",
            format!(
                "SELECT substr(c.command_line, 1, 50) AS dropped, substr(k.command_line, 1, 50) AS covered_by, \
                 c.covered_day, c.covered_how, round(c.cosine, 2) AS cosine \
                 FROM candidates c JOIN candidates k ON c.covered_by = k.hash AND c.covered_day = k.day \
                 WHERE c.day = DATE '{day}' ORDER BY c.covered_how, c.hash LIMIT 6"
            ),
        ),
        (
            "Labels of all days:",
            "SELECT verdict, count(*) AS lines, min(reason) AS example_of_a_reason FROM labels \
             GROUP BY verdict ORDER BY lines DESC"
                .to_owned(),
        ),
        (
            "The benign set of all days, the most isolated first:",
            "SELECT day, substr(command_line, 1, 100) AS command_line, template_hosts AS hosts, covers FROM benign \
             ORDER BY coalesce(iforest_rank, 1000000), hash LIMIT 12"
                .to_owned(),
        ),
        (
            "The benign set of all days against the truth:",
            format!(
                "SELECT t.label AS truth, count(*) AS emitted_as_benign FROM benign b JOIN ({truth}) t \
                 ON b.command_line = t.command_line AND b.day = t.day GROUP BY t.label"
            ),
        ),
    ];
    for (title, query) in queries {
        output::line(&format!("\n{title}"))?;
        output::table(&sql::run(engine, &ctx, &query).await?)?;
    }
    output::line(&format!(
        "\nAsk for more:  gleaner sql --warehouse {warehouse}\nAll accounts:  gleaner status --warehouse {warehouse}\nAs a page:     gleaner report --warehouse {warehouse}"
    ))
}
