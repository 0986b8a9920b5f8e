//! What an operator sees of the three programs.
//!
//! ```text
//! context   what a line of a log and a span are about: run, job, day, stage, task
//! spans     a day's run, its stages and their tasks, by OTLP
//! metrics   the registry, the process, what the driver counts
//! listener  /metrics, /healthz and /readyz over HTTP
//! ```
//!
//! Nothing here holds a command line: names are those of stages, detectors and outcomes, and all labels are of fixed sets.
//! The listener answers `GET` alone and has no authentication: it tells how much, never what.

pub mod context;
pub mod listener;
pub mod metrics;
pub mod spans;

use std::future::Future;
use std::net::SocketAddr;

use chrono::NaiveDate;

use crate::error::JobError;
use crate::stages::StageRecord;
use context::Context;

/// The flag of the listener; for every program that runs for long.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ObserveArgs {
    /// Address of a listener for Prometheus (/metrics) and health (/healthz, /readyz), such as 127.0.0.1:9464; off by default. It answers in
    /// clear to whoever reaches it, with counts alone.
    #[arg(long, value_name = "ADDRESS", env = "GLEANER_METRICS")]
    pub metrics: Option<SocketAddr>,
}

/// A run of a day: what is logged is marked with it, and a span covers it. `work` is best boxed, as that of stages: a future is copied
/// into each layer around it, and stacks are small.
///
/// # Errors
/// Those of `work`.
pub async fn run<T>(
    run: &str,
    day: NaiveDate,
    work: impl Future<Output = Result<T, JobError>>,
) -> Result<T, JobError> {
    let mut context = context::current();
    context.run = Some(run.into());
    context.day = Some(day);
    let _active = context::activate(&context);
    let span = spans::begin("run", &context);
    context.span = span.context();
    let result = context::scope(context, work).await;
    span.end(result.as_ref().err());
    result
}

/// What a stage counted.
pub trait Recorded {
    /// Its accounts.
    fn record(&self) -> &StageRecord;
}

impl Recorded for StageRecord {
    fn record(&self) -> &StageRecord {
        self
    }
}

impl<T> Recorded for (StageRecord, T) {
    fn record(&self) -> &StageRecord {
        &self.0
    }
}

/// A stage is done: counted, and said at level info.
pub fn stage_done(record: &StageRecord) {
    metrics::driver().stage_done(record);
    let StageRecord {
        stage,
        rows_in,
        rows_kept,
        rows_quarantined,
        rows_dropped,
        secs,
        bytes,
        ..
    } = record;
    if record.reused {
        log::info!("stage {stage} is up to date");
    } else {
        log::info!(
            "stage {stage}: {rows_in} rows in, {rows_kept} kept, {rows_quarantined} quarantined, {rows_dropped} dropped, \
             {bytes} bytes, {secs:.1} s"
        );
    }
}

/// A stage of the current run.
///
/// # Errors
/// Those of `work`.
pub async fn stage<T: Recorded>(
    name: &'static str,
    work: impl Future<Output = Result<T, JobError>>,
) -> Result<T, JobError> {
    let mut context = context::current();
    context.stage = Some(name.into());
    let mut span = spans::begin(name, &context);
    context.span = span.context();
    let result = context::scope(context, work).await;
    if let Ok(done) = &result {
        span.counted(done.record());
    }
    span.end(result.as_ref().err());
    result
}

/// A task of the stage that `of` is the context of: tasks run beside each other, in tasks of the runtime that know nothing of it.
///
/// # Errors
/// Those of `work`.
pub async fn task<T>(
    of: Context,
    name: &str,
    work: impl Future<Output = Result<T, JobError>>,
) -> Result<T, JobError> {
    let mut context = of;
    context.task = Some(name.into());
    let span = spans::begin("task", &context);
    context.span = span.context();
    let result = context::scope(context, work).await;
    span.end(result.as_ref().err());
    result
}
