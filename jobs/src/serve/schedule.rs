//! The daily schedule: a cron expression (UTC), and the days that it missed.
//!
//! At every tick the day before it (`lag_days`) is due, with all days since `from` that are not in the warehouse: those that a server
//! that was down has missed, and those that failed. The last `recheck_days` are run again too: a day costs nothing when nothing has
//! changed, and takes in telemetry that came late when something has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, Utc};
use croner::Cron;

use super::job::{Job, State, Work};
use super::jobs::Jobs;
use crate::error::JobError;
use crate::warehouse::Warehouse;
use crate::warehouse::tables::RUNS;

/// Who submits scheduled jobs.
pub const SUBMITTER: &str = "schedule";
/// Days queued at one tick: a first day that is far back, or mistyped, does not flood the ledger.
const MAX_DAYS: usize = 1000;
/// The clock is looked at so often: it may be set, or the machine may have slept.
const LOOK: Duration = Duration::from_secs(30);

/// The daily schedule.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// When days are due, in UTC.
    pub cron: Cron,
    /// The first day; `None`: the first of the warehouse, or the one that is due.
    pub from: Option<NaiveDate>,
    /// The last day; `None`: no end.
    pub until: Option<NaiveDate>,
    /// The day that is due lies so many days before the tick.
    pub lag_days: u32,
    /// So many days before the due one are run again.
    pub recheck_days: u32,
}

impl Schedule {
    /// # Errors
    /// When the expression is wrong.
    pub fn parse_cron(text: &str) -> Result<Cron, String> {
        let bad = |e: croner::errors::CronError| {
            format!(
                "{text:?} is no cron expression ({e}): expected five fields, such as \"30 3 * * *\" for 03:30 UTC daily"
            )
        };
        text.parse::<Cron>().map_err(bad)
    }

    /// The day that is due at a tick.
    #[must_use]
    pub fn target(&self, tick: DateTime<Utc>) -> NaiveDate {
        let due = tick.date_naive() - Days::new(u64::from(self.lag_days));
        self.until.map_or(due, |until| due.min(until))
    }

    /// The last tick, now or before.
    fn last_tick(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.cron.find_previous_occurrence(&now, true).ok()
    }

    fn next_tick(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.cron.find_next_occurrence(&now, false).ok()
    }

    /// The days to queue when `target` is due, the earliest first.
    #[must_use]
    pub fn due(
        &self,
        target: NaiveDate,
        published: &BTreeSet<NaiveDate>,
        jobs: &BTreeMap<NaiveDate, State>,
    ) -> Vec<NaiveDate> {
        let first = self.from.or_else(|| published.first().copied());
        let first = first.unwrap_or(target);
        let recent = target - Days::new(u64::from(self.recheck_days));
        let wanted = |day: &NaiveDate| {
            let recent = *day >= recent;
            match jobs.get(day) {
                // A person's word holds until a person takes it back.
                Some(State::Queued | State::Running | State::Waiting | State::Cancelled) => false,
                Some(State::Skipped) => recent,
                _ => recent || !published.contains(day),
            }
        };
        let days = first.iter_days().take_while(|day| *day <= target);
        days.filter(wanted).take(MAX_DAYS).collect()
    }

    /// How many days are due at `now`, and neither published nor known to have no events, nor given up by a person.
    #[must_use]
    pub fn late(
        &self,
        now: DateTime<Utc>,
        published: &BTreeSet<NaiveDate>,
        jobs: &BTreeMap<NaiveDate, State>,
    ) -> usize {
        let Some(tick) = self.last_tick(now) else {
            return 0;
        };
        let target = self.target(tick);
        let first = self.from.or_else(|| published.first().copied());
        let days = first.unwrap_or(target).iter_days();
        let given_up =
            |day: &NaiveDate| matches!(jobs.get(day), Some(State::Skipped | State::Cancelled));
        days.take_while(|day| *day <= target)
            .filter(|day| !published.contains(day) && !given_up(day))
            .count()
    }

    /// Queues due days for ever.
    pub async fn run(self, jobs: Arc<Jobs>, warehouse: Warehouse) {
        // What became due while nobody served is due now.
        let mut due = self.last_tick(Utc::now());
        loop {
            if let Some(tick) = due.take()
                && let Err(e) = self.queue(self.target(tick), &jobs, &warehouse).await
            {
                log::error!(
                    "the schedule could not queue what was due at {tick}: {e}; it tries again"
                );
                tokio::time::sleep(LOOK).await;
                due = Some(tick);
                continue;
            }
            let now = Utc::now();
            let Some(next) = self.next_tick(now) else {
                log::warn!("the schedule {:?} has no further tick", self.cron.as_str());
                return;
            };
            while Utc::now() < next {
                let left = (next - Utc::now()).to_std().unwrap_or_default();
                tokio::time::sleep(left.min(LOOK)).await;
            }
            due = Some(next);
        }
    }

    async fn queue(
        &self,
        target: NaiveDate,
        jobs: &Jobs,
        warehouse: &Warehouse,
    ) -> Result<(), JobError> {
        let snapshot = warehouse.snapshot(&[RUNS]).await?;
        let published: BTreeSet<_> = snapshot.files(&RUNS).iter().map(|file| file.day).collect();
        let due = self.due(target, &published, &latest(&jobs.list()));
        if !due.is_empty() {
            log::info!("the schedule queues {} days up to {target}", due.len());
        }
        for day in due {
            let work = Work::Day {
                day,
                options: BTreeMap::new(),
            };
            jobs.submit(work, SUBMITTER).await?;
        }
        Ok(())
    }
}

/// The state of each day's latest job, or of an open one.
#[must_use]
pub fn latest(jobs: &[Job]) -> BTreeMap<NaiveDate, State> {
    let mut latest: BTreeMap<NaiveDate, State> = BTreeMap::new();
    for job in jobs {
        if let Some(day) = job.day() {
            let open = latest.get(&day).is_some_and(|s| !s.ended());
            if !open || !job.state.ended() {
                latest.insert(day, job.state);
            }
        }
    }
    latest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap_or_default()
    }

    fn schedule(from: Option<&str>) -> Schedule {
        Schedule {
            cron: Schedule::parse_cron("30 3 * * *").unwrap(),
            from: from.map(day),
            until: None,
            lag_days: 1,
            recheck_days: 1,
        }
    }

    #[test]
    fn the_day_before_a_tick_is_due() {
        let schedule = schedule(None);
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let tick = schedule.last_tick(at("2025-01-10T03:29:59Z")).unwrap();
        assert_eq!(schedule.target(tick), day("2025-01-08"));
        let tick = schedule.last_tick(at("2025-01-10T03:30:00Z")).unwrap();
        assert_eq!(schedule.target(tick), day("2025-01-09"));
        assert_eq!(
            schedule.next_tick(at("2025-01-10T03:30:00Z")),
            Some(at("2025-01-11T03:30:00Z"))
        );
    }

    #[test]
    fn missed_and_failed_days_are_due_and_done_ones_are_not() {
        let published = ["2025-01-01", "2025-01-03", "2025-01-05"].map(day).into();
        let jobs = BTreeMap::from([
            (day("2025-01-02"), State::Failed),
            (day("2025-01-04"), State::Skipped),
            (day("2025-01-06"), State::Running),
        ]);
        let due = schedule(None).due(day("2025-01-08"), &published, &jobs);
        assert_eq!(due, ["2025-01-02", "2025-01-07", "2025-01-08"].map(day));
        // A day without events is looked at again while it is recent.
        let due = schedule(None).due(day("2025-01-05"), &published, &jobs);
        assert_eq!(due, ["2025-01-02", "2025-01-04", "2025-01-05"].map(day));
        let cancelled = BTreeMap::from([(day("2025-01-02"), State::Cancelled)]);
        let due = schedule(None).due(day("2025-01-03"), &published, &cancelled);
        assert_eq!(due, ["2025-01-03"].map(day));
    }

    #[test]
    fn days_that_are_due_and_not_there_are_late_unless_they_are_empty_or_given_up() {
        let published = ["2025-01-01", "2025-01-03"].map(day).into();
        let jobs = BTreeMap::from([
            (day("2025-01-02"), State::Failed),
            (day("2025-01-04"), State::Skipped),
            (day("2025-01-05"), State::Cancelled),
            (day("2025-01-06"), State::Running),
        ]);
        let late = |now: &str| schedule(None).late(now.parse().unwrap(), &published, &jobs);
        // Before the tick of the 8th the 6th is due, after it the 7th too.
        assert_eq!(late("2025-01-08T03:29:00Z"), 2);
        assert_eq!(late("2025-01-08T03:31:00Z"), 3);
        assert_eq!(late("2025-01-02T04:00:00Z"), 0);
    }

    #[test]
    fn a_new_warehouse_begins_with_the_day_that_is_due_or_where_it_is_told() {
        let nothing = (BTreeSet::new(), BTreeMap::new());
        let target = day("2025-01-03");
        assert_eq!(schedule(None).due(target, &nothing.0, &nothing.1), [target]);
        let due = schedule(Some("2025-01-01")).due(target, &nothing.0, &nothing.1);
        assert_eq!(due, ["2025-01-01", "2025-01-02", "2025-01-03"].map(day));
        let mut ended = schedule(Some("2025-01-01"));
        ended.until = Some(day("2025-01-02"));
        assert_eq!(
            ended.target("2025-06-01T03:30:00Z".parse().unwrap()),
            day("2025-01-02")
        );
    }

    #[test]
    fn a_wrong_expression_is_refused_with_an_example() {
        let error = Schedule::parse_cron("every day").err();
        assert!(error.is_some_and(|e| e.contains("30 3 * * *")));
    }
}
