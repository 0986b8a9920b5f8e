//! What is counted. Names follow Prometheus' conventions: base units, `_total` for counters, labels of fixed sets alone.

mod driver;
mod process;

use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

pub use driver::{Driver, Outcome, driver};
pub use process::Process;

/// A registry with what every program tells of itself: its version, its memory, processor time and open files.
#[must_use]
pub fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Process));
    registry
}

/// Seconds from a tenth to nearly five hours, each bound three times the one before.
#[must_use]
pub fn seconds() -> Histogram {
    const BOUNDS: [f64; 12] = [
        0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 9000.0, 17_000.0,
    ];
    Histogram::new(BOUNDS)
}
