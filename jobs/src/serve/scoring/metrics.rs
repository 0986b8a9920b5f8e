//! What scoring counts.

use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use gleaner_udfs::detector::Kind;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Detector {
    detector: &'static str,
}

/// The metrics of scoring.
#[derive(Debug)]
pub struct Metrics {
    items: Family<Outcome, Counter>,
    alerts: Family<Detector, Counter>,
    seconds: Histogram,
    load_failures: Counter,
    models_day: Gauge<f64, AtomicU64>,
    waiting: Gauge,
    actors: Gauge,
    endpoints: Gauge,
    calls: Gauge,
    evicted: Gauge,
}

/// The process's.
#[must_use]
pub fn scoring() -> &'static Metrics {
    static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);
    &METRICS
}

const OUTCOMES: [&str; 3] = ["scored", "invalid", "refused"];

fn signed(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl Metrics {
    fn new() -> Self {
        const BOUNDS: [f64; 14] = [
            0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0,
        ];
        let new = Self {
            items: Family::default(),
            alerts: Family::default(),
            seconds: Histogram::new(BOUNDS),
            load_failures: Counter::default(),
            models_day: Gauge::default(),
            waiting: Gauge::default(),
            actors: Gauge::default(),
            endpoints: Gauge::default(),
            calls: Gauge::default(),
            evicted: Gauge::default(),
        };
        // A series that begins at its first event hides that event from `rate` and `increase`.
        for outcome in OUTCOMES {
            drop(new.items.get_or_create(&Outcome { outcome }));
        }
        for kind in Kind::EVERY {
            let detector = kind.name();
            drop(new.alerts.get_or_create(&Detector { detector }));
        }
        new
    }

    /// Registers all of them.
    pub fn register(&self, registry: &mut Registry) {
        let r = registry.sub_registry_with_prefix("gleaner_scoring");
        r.register(
            "items",
            "Requests and command lines that were scored, were invalid, or were refused for want of room",
            self.items.clone(),
        );
        r.register(
            "alerts",
            "Items that a detector alerted for",
            self.alerts.clone(),
        );
        r.register(
            "seconds",
            "Seconds from a message's arrival to its answer",
            self.seconds.clone(),
        );
        r.register(
            "model_load_failures",
            "Looks for later models that failed: the earlier ones score on",
            self.load_failures.clone(),
        );
        r.register(
            "models_day_timestamp_seconds",
            "The day whose models score, as its midnight; 0: there are none yet",
            self.models_day.clone(),
        );
        r.register(
            "waiting",
            "Items that wait or are being scored",
            self.waiting.clone(),
        );
        r.register(
            "actors",
            "Actors whose windows are held",
            self.actors.clone(),
        );
        r.register(
            "endpoints",
            "Endpoints whose windows are held",
            self.endpoints.clone(),
        );
        r.register(
            "calls",
            "Requests of the last ten minutes that windows hold",
            self.calls.clone(),
        );
        r.register(
            "evicted",
            "Actors and endpoints that went for want of room, since the start",
            self.evicted.clone(),
        );
    }

    pub(super) fn answered(&self, scored: u64, invalid: u64, secs: f64) {
        let count = |outcome, n| {
            self.items.get_or_create(&Outcome { outcome }).inc_by(n);
        };
        count("scored", scored);
        count("invalid", invalid);
        self.seconds.observe(secs);
    }

    pub(super) fn refused(&self, items: usize) {
        let outcome = "refused";
        let items = u64::try_from(items).unwrap_or(u64::MAX);
        self.items.get_or_create(&Outcome { outcome }).inc_by(items);
    }

    pub(super) fn alert(&self, detector: &'static str) {
        self.alerts.get_or_create(&Detector { detector }).inc();
    }

    pub(super) fn load_failed(&self) {
        self.load_failures.inc();
    }

    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
    pub(super) fn loaded(&self, day: chrono::NaiveDate) {
        let midnight = day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp();
        self.models_day.set(midnight as f64);
    }

    pub(super) fn holds(&self, holds: gleaner_udfs::api::shared::Holds, waiting: usize) {
        self.waiting.set(signed(waiting));
        self.actors.set(signed(holds.actors));
        self.endpoints.set(signed(holds.endpoints));
        self.calls.set(signed(holds.calls));
        self.evicted
            .set(i64::try_from(holds.evicted).unwrap_or(i64::MAX));
    }
}
