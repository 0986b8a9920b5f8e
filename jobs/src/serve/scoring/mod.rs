//! Scores as things happen: requests to APIs, with the windows of their actors and endpoints kept in memory, and command lines; with the
//! models of the latest published day.
//!
//! ```text
//! models    a day's models and thresholds, loaded and verified
//! scorer    what one item is scored like; kernels and order are the batch's, so that scores are
//! pool      threads of its own, and a bound on what waits for them
//! watch     later models take the place of earlier ones
//! service   the gRPC service of `proto/gleaner/v1/scoring.proto`
//! deadline  until when a caller wants its answer
//! metrics   what is counted
//! ```
//!
//! **The same scores as a batch's.** Templates, windows, features and detectors are the functions that the stages run. A day's requests, sent in
//! the order of (time, hash) after those of the half hour before it, get the scores that the day's run gave them, bit for bit.
//!
//! **Nothing queues without bound.** What waits is bounded in items. A call beyond is refused at once (`RESOURCE_EXHAUSTED`, with
//! `grpc-retry-pushback-ms`); a stream is not read on until there is room, which HTTP/2 tells its sender. A call whose deadline passed before its
//! turn is not scored, and answered with `DEADLINE_EXCEEDED`.
//!
//! **A swap is the exchange of a pointer.** Calls in flight end with the models that they began with; a day that cannot be loaded leaves
//! the earlier one in place, and says so. Windows are nobody's models and go on: only where templates changed do a path's windows begin anew.

mod deadline;
pub mod metrics;
pub mod models;
mod pool;
pub mod scorer;
pub mod service;
pub mod watch;

pub use deadline::Within;
pub use scorer::Scorer;
pub use service::Service;

use std::time::Duration;

use chrono::NaiveDate;

/// How scoring is done.
#[derive(Debug, Clone, Copy)]
pub struct ScoringOptions {
    /// The day whose models score; `None`: the latest.
    pub models_day: Option<NaiveDate>,
    /// Between two looks for later models.
    pub every: Duration,
    /// Items that wait or are scored at a time.
    pub waiting: usize,
    /// Threads that score; 0: one a core.
    pub threads: usize,
    /// Actors, and as many endpoints, whose windows are held.
    pub states: usize,
}
