//! What a server tells of its queue and schedule, asked at every scrape; what its days count, `observe::metrics` knows.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{NaiveDate, Utc};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::job::{Job, State};
use super::jobs::Jobs;
use super::schedule::{Schedule, latest};
use super::scoring::{self, metrics::scoring as counted};
use crate::observe::listener::Served;
use crate::observe::metrics::{driver, registry};
use crate::warehouse::Warehouse;
use crate::warehouse::tables::RUNS;

/// How long what the warehouse said holds: asking it again at every scrape would cost more than it tells.
const HOLDS: Duration = Duration::from_secs(30);

/// States that a job can be in for a while.
const OPEN: [State; 3] = [State::Queued, State::Running, State::Waiting];

/// The days of the warehouse, as of a while ago.
#[derive(Default)]
struct Days {
    asked: Option<Instant>,
    published: BTreeSet<NaiveDate>,
}

/// What the listener of a server serves. It is ready from the start: it begins once the server has its warehouse.
#[must_use]
pub fn served(
    jobs: &Arc<Jobs>,
    warehouse: &Warehouse,
    schedule: Option<&Schedule>,
    scores: &scoring::Service,
) -> Served {
    let mut registry = registry();
    driver().register(&mut registry);
    counted().register(&mut registry);
    let scores = scores.clone();
    let (jobs, warehouse, schedule) = (Arc::clone(jobs), warehouse.clone(), schedule.cloned());
    let days = Arc::new(Mutex::new(Days::default()));
    Served {
        refresh: Box::new(move || {
            let (jobs, warehouse, schedule) =
                (Arc::clone(&jobs), warehouse.clone(), schedule.clone());
            let days = Arc::clone(&days);
            scores.measure();
            Box::pin(async move {
                let published = published(&days, &warehouse).await;
                if let Some(last) = published.last() {
                    driver().published(*last);
                }
                measure(&jobs.list(), schedule.as_ref(), &published);
            })
        }),
        ..Served::new(registry)
    }
}

async fn published(days: &Mutex<Days>, warehouse: &Warehouse) -> BTreeSet<NaiveDate> {
    let mut days = days.lock().await;
    if days.asked.is_none_or(|asked| asked.elapsed() >= HOLDS) {
        match warehouse.snapshot(&[RUNS]).await {
            Ok(snapshot) => {
                days.published = snapshot.files(&RUNS).iter().map(|file| file.day).collect();
            }
            // What it said last holds on; that it cannot be read is seen by the jobs too.
            Err(e) => log::warn!("metrics: the warehouse's days cannot be read: {e}"),
        }
        days.asked = Some(Instant::now());
    }
    days.published.clone()
}

fn measure(jobs: &[Job], schedule: Option<&Schedule>, published: &BTreeSet<NaiveDate>) {
    let count = |state| jobs.iter().filter(|job| job.state == state).count();
    let open = OPEN.map(|state| {
        (
            state.name(),
            i64::try_from(count(state)).unwrap_or(i64::MAX),
        )
    });
    let queued = jobs.iter().filter(|job| job.state == State::Queued);
    let oldest = queued.map(|job| job.submitted_at).min();
    let waits = oldest.map_or(0.0, |at| (Utc::now() - at).as_seconds_f64().max(0.0));
    let late = schedule.map_or(0, |schedule| {
        schedule.late(Utc::now(), published, &latest(jobs))
    });
    driver().queue(&open, waits, i64::try_from(late).unwrap_or(i64::MAX));
}
