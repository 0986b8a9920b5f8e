//! What runs days: `gleaner run` and `gleaner serve`.

use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::NaiveDate;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::seconds;
use crate::stages::{STAGES, StageRecord};

type Float = Gauge<f64, AtomicU64>;
type FloatCounter = Counter<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Stage {
    stage: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageOutcome {
    stage: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Detector {
    detector: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

/// How a run of a day ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Published anew.
    Published,
    /// There was nothing to do.
    Unchanged,
    /// There were no events.
    Empty,
    /// With an error.
    Failed,
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Published, Self::Unchanged, Self::Empty, Self::Failed];

    fn name(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Unchanged => "unchanged",
            Self::Empty => "empty",
            Self::Failed => "failed",
        }
    }
}

/// The metrics of the process that runs days.
#[derive(Debug)]
pub struct Driver {
    rows_read: Family<Stage, Counter>,
    rows: Family<StageOutcome, Counter>,
    bytes: Family<Stage, Counter>,
    stage_seconds: Family<Stage, Histogram, fn() -> Histogram>,
    stages: Family<StageOutcome, Counter>,
    days: Family<Ended, Counter>,
    day_seconds: Family<Ended, Histogram, fn() -> Histogram>,
    tasks: Family<Ended, Counter>,
    retries: Counter,
    quota: Family<Detector, Counter>,
    cost: FloatCounter,
    run_cost: Float,
    ceiling: Float,
    canaries: Family<Ended, Gauge>,
    rejected: Counter,
    last_day: Float,
    last_success: Float,
    late: Gauge,
    jobs: Family<State, Gauge>,
    job_retries: Counter,
    oldest: Float,
}

/// The process's.
#[must_use]
pub fn driver() -> &'static Driver {
    static DRIVER: LazyLock<Driver> = LazyLock::new(Driver::new);
    &DRIVER
}

impl Driver {
    fn new() -> Self {
        let new = Self {
            rows_read: Family::default(),
            rows: Family::default(),
            bytes: Family::default(),
            stage_seconds: Family::new_with_constructor(seconds),
            stages: Family::default(),
            days: Family::default(),
            day_seconds: Family::new_with_constructor(seconds),
            tasks: Family::default(),
            retries: Counter::default(),
            quota: Family::default(),
            cost: FloatCounter::default(),
            run_cost: Float::default(),
            ceiling: Float::default(),
            canaries: Family::default(),
            rejected: Counter::default(),
            last_day: Float::default(),
            last_success: Float::default(),
            late: Gauge::default(),
            jobs: Family::default(),
            job_retries: Counter::default(),
            oldest: Float::default(),
        };
        // A series that begins at its first event hides that event from `rate` and `increase`.
        for stage in STAGES.iter().copied() {
            let of = Stage { stage };
            drop(new.rows_read.get_or_create(&of));
            drop(new.bytes.get_or_create(&of));
            drop(new.stage_seconds.get_or_create(&of));
            for outcome in ["kept", "quarantined", "dropped"] {
                drop(new.rows.get_or_create(&StageOutcome { stage, outcome }));
            }
            for outcome in ["computed", "unchanged"] {
                drop(new.stages.get_or_create(&StageOutcome { stage, outcome }));
            }
        }
        for outcome in Outcome::ALL {
            let ended = Ended {
                outcome: outcome.name(),
            };
            drop(new.days.get_or_create(&ended));
            drop(new.day_seconds.get_or_create(&ended));
        }
        for outcome in ["succeeded", "failed"] {
            drop(new.tasks.get_or_create(&Ended { outcome }));
        }
        for outcome in ["recognised", "missed"] {
            drop(new.canaries.get_or_create(&Ended { outcome }));
        }
        for kind in gleaner_udfs::detector::Kind::EVERY {
            drop(new.quota.get_or_create(&Detector {
                detector: kind.name(),
            }));
        }
        new
    }

    /// Registers all of them.
    pub fn register(&self, registry: &mut Registry) {
        let r = registry.sub_registry_with_prefix("gleaner");
        r.register(
            "stage_rows_read",
            "Rows that a stage read",
            self.rows_read.clone(),
        );
        r.register(
            "stage_rows",
            "Rows that a stage kept, quarantined or dropped",
            self.rows.clone(),
        );
        r.register(
            "stage_bytes",
            "Bytes of the files that a stage committed",
            self.bytes.clone(),
        );
        r.register(
            "stage_seconds",
            "Wall-clock seconds of a stage that was computed",
            self.stage_seconds.clone(),
        );
        r.register(
            "stages",
            "Stages that were computed, or found up to date",
            self.stages.clone(),
        );
        r.register("days", "Runs of a day, by their end", self.days.clone());
        r.register(
            "day_seconds",
            "Wall-clock seconds of a run of a day",
            self.day_seconds.clone(),
        );
        r.register("tasks", "Tasks of stages, by their end", self.tasks.clone());
        r.register(
            "task_retries",
            "Attempts at a task after its first",
            self.retries.clone(),
        );
        r.register(
            "detector_lines",
            "Lines that a detector chose, within its quota",
            self.quota.clone(),
        );
        r.register(
            "label_cost_usd",
            "US dollars of labels by a language model",
            self.cost.clone(),
        );
        r.register(
            "label_run_cost_usd",
            "US dollars that the latest run has spent on labels",
            self.run_cost.clone(),
        );
        r.register(
            "label_cost_ceiling_usd",
            "US dollars beyond which a run asks for no more labels; 0: none",
            self.ceiling.clone(),
        );
        r.register(
            "canaries",
            "Malicious canaries that the language model in use was shown, ever",
            self.canaries.clone(),
        );
        r.register(
            "label_calls_rejected",
            "Calls that were rejected whole: their malicious canary came back benign",
            self.rejected.clone(),
        );
        r.register(
            "last_day_timestamp_seconds",
            "Midnight, UTC, at the end of the latest day that is published; 0: none",
            self.last_day.clone(),
        );
        r.register(
            "last_success_timestamp_seconds",
            "When a run of a day last succeeded; 0: never",
            self.last_success.clone(),
        );
        r.register(
            "days_late",
            "Days of the schedule that are due and not published",
            self.late.clone(),
        );
        r.register(
            "jobs",
            "Jobs of the ledger that have not ended, by state",
            self.jobs.clone(),
        );
        r.register(
            "job_retries",
            "Jobs that failed and were queued again",
            self.job_retries.clone(),
        );
        r.register(
            "oldest_queued_job_seconds",
            "Since the oldest queued job was submitted; 0: none is queued",
            self.oldest.clone(),
        );
    }

    /// A stage is done.
    pub fn stage_done(&self, record: &StageRecord) {
        let Some(stage) = STAGES.iter().copied().find(|stage| *stage == record.stage) else {
            return;
        };
        let outcome = if record.reused {
            "unchanged"
        } else {
            "computed"
        };
        self.stages
            .get_or_create(&StageOutcome { stage, outcome })
            .inc();
        if record.reused {
            return;
        }
        let of = Stage { stage };
        self.rows_read.get_or_create(&of).inc_by(record.rows_in);
        self.bytes.get_or_create(&of).inc_by(record.bytes);
        self.stage_seconds.get_or_create(&of).observe(record.secs);
        for (outcome, rows) in [
            ("kept", record.rows_kept),
            ("quarantined", record.rows_quarantined),
            ("dropped", record.rows_dropped),
        ] {
            self.rows
                .get_or_create(&StageOutcome { stage, outcome })
                .inc_by(rows);
        }
    }

    /// A run of a day has ended.
    pub fn day_done(&self, day: NaiveDate, secs: f64, outcome: Outcome) {
        let ended = Ended {
            outcome: outcome.name(),
        };
        self.days.get_or_create(&ended).inc();
        self.day_seconds.get_or_create(&ended).observe(secs);
        if matches!(outcome, Outcome::Published | Outcome::Unchanged) {
            self.published(day);
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            self.last_success.set(now.unwrap_or_default().as_secs_f64());
        }
    }

    /// A day is published: found so in the warehouse, or just made so.
    pub fn published(&self, day: NaiveDate) {
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
        let end = day
            .succ_opt()
            .unwrap_or(day)
            .and_time(chrono::NaiveTime::MIN)
            .and_utc()
            .timestamp() as f64;
        if self.last_day.get() < end {
            self.last_day.set(end);
        }
    }

    /// A task has ended for good, after so many attempts beyond its first.
    pub fn task_done(&self, succeeded: bool, retries: usize) {
        let outcome = if succeeded { "succeeded" } else { "failed" };
        self.tasks.get_or_create(&Ended { outcome }).inc();
        self.retries.inc_by(retries as u64);
    }

    /// A detector chose lines.
    pub fn chosen(&self, detector: &'static str, lines: u64) {
        self.quota
            .get_or_create(&Detector { detector })
            .inc_by(lines);
    }

    /// A language model has labelled a day's lines: how it did on malicious canaries, in this run and before; calls of this run that were
    /// rejected.
    pub fn labelled(&self, canaries: u64, missed: u64, rejected: u64) {
        let set = |outcome, n: u64| {
            let n = i64::try_from(n).unwrap_or(i64::MAX);
            self.canaries.get_or_create(&Ended { outcome }).set(n);
        };
        set("recognised", canaries.saturating_sub(missed));
        set("missed", missed);
        self.rejected.inc_by(rejected);
    }

    /// A run has spent on labels: so much more, so much in all, under this ceiling.
    pub fn spent(&self, more_usd: f64, run_usd: f64, ceiling_usd: Option<f64>) {
        self.cost.inc_by(more_usd.max(0.0));
        self.run_cost.set(run_usd);
        self.ceiling.set(ceiling_usd.unwrap_or(0.0));
    }

    /// The ledger, as it is now: open jobs by state, seconds since the oldest queued one was submitted, days that are due and not published.
    pub fn queue(&self, open: &[(&'static str, i64)], oldest_queued_secs: f64, late: i64) {
        for (state, jobs) in open {
            self.jobs.get_or_create(&State { state }).set(*jobs);
        }
        self.oldest.set(oldest_queued_secs);
        self.late.set(late);
    }

    /// A job failed, and is tried again.
    pub fn job_retried(&self) {
        self.job_retries.inc();
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    fn text(driver: &Driver) -> String {
        let mut registry = Registry::default();
        driver.register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn a_stage_is_counted_by_what_became_of_its_rows_unless_it_was_up_to_date() {
        let driver = Driver::new();
        let record = StageRecord {
            stage: "telemetry".to_owned(),
            rows_in: 10,
            rows_kept: 6,
            rows_quarantined: 3,
            rows_dropped: 1,
            secs: 0.2,
            bytes: 99,
            ..StageRecord::default()
        };
        driver.stage_done(&record);
        driver.stage_done(&StageRecord {
            reused: true,
            ..record
        });
        let text = text(&driver);
        for line in [
            "gleaner_stage_rows_read_total{stage=\"telemetry\"} 10",
            "gleaner_stage_rows_total{stage=\"telemetry\",outcome=\"quarantined\"} 3",
            "gleaner_stage_bytes_total{stage=\"telemetry\"} 99",
            "gleaner_stages_total{stage=\"telemetry\",outcome=\"unchanged\"} 1",
            "gleaner_stage_seconds_count{stage=\"telemetry\"} 1",
            "gleaner_stage_rows_total{stage=\"benign\",outcome=\"kept\"} 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn the_latest_published_day_never_goes_back() {
        let driver = Driver::new();
        let day = |d| NaiveDate::from_ymd_opt(2025, 1, d).unwrap();
        driver.published(day(2));
        driver.published(day(1));
        // The end of 2025-01-02.
        assert!(
            text(&driver).contains("gleaner_last_day_timestamp_seconds 1735862400.0"),
            "{}",
            text(&driver)
        );
    }
}
