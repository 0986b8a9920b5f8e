//! Requests to the APIs of a made-up shop: its customers, authors, staff and partners' programs, each with habits (hours, order of
//! calls, time between two, agents, addresses), and incidents planted among them, with the truth beside.
//!
//! **What it is not.** As with command lines, made traffic shows that the machinery works and how fast; it proves nothing about
//! detection.

mod call;
mod files;
mod incidents;
mod lines;
mod services;
#[cfg(test)]
mod tests;
mod traffic;
mod users;

use std::path::Path;
use std::time::Instant;

use chrono::{Days, NaiveDate};

use super::calendar::Day;
use super::{PROGRESS_EVERY_ROWS, SynthError, SynthParams, SynthReport};
use traffic::Traffic;
use users::Users;

/// Requests of one user and day below which a shop would look empty: fewer users take part in a small day.
const ROWS_PER_USER: u64 = 25;
/// Users of which there is one of each role.
const FEWEST_USERS: u64 = 4;

/// Makes the days and their truth under `out`: `day=YYYY-MM-DD/part-00000.ndjson` and, of the planted incidents,
/// `_truth/day=YYYY-MM-DD.incidents.parquet` and `….requests.parquet`.
pub(super) fn synth(
    params: &SynthParams,
    out: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<SynthReport, SynthError> {
    let started = Instant::now();
    let active = (params.lines / ROWS_PER_USER).clamp(FEWEST_USERS, params.hosts.into());
    let users = Users::new(usize::try_from(active).unwrap_or(usize::MAX), params.seed);
    let mut report = SynthReport {
        files: Vec::new(),
        truth: Vec::new(),
        rows: 0,
        unique_rows: 0,
        attack_rows: 0,
        secs: 0.0,
    };
    for offset in 0..u64::from(params.days) {
        let Some(date) = params.from.checked_add_days(Days::new(offset)) else {
            break;
        };
        let day = Day::new(date, &[], params.seed);
        let mut traffic = Traffic::new(
            &users,
            begin_ms(date),
            params.lines,
            params.attack_rows(),
            params.seed,
        );
        let mut parts = files::Parts::new(params, out, &day)?;
        let mut truth = files::TruthOfCalls::new(out, &day)?;
        while let Some(call) = traffic.next() {
            parts.push(&call)?;
            truth.push(&call)?;
            report.attack_rows += u64::from(call.incident.is_some());
            report.rows += 1;
            if report.rows.is_multiple_of(PROGRESS_EVERY_ROWS) {
                progress(report.rows);
            }
        }
        report.files.extend(parts.finish()?);
        let incidents = files::truth_of_incidents(out, &day, &traffic.incidents, &users)?;
        report.unique_rows += incidents.rows;
        report.truth.push(incidents);
        report.truth.push(truth.finish()?);
    }
    progress(report.rows);
    report.secs = started.elapsed().as_secs_f64();
    Ok(report)
}

fn begin_ms(date: NaiveDate) -> i64 {
    date.and_time(chrono::NaiveTime::MIN)
        .and_utc()
        .timestamp_millis()
}
