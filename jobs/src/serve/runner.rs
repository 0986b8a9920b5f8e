//! Runs jobs: one day at a time, the earliest first, and SQL jobs beside it.
//!
//! Each job's driver has a thread of its own, so that what it computes between two waits does not keep the service from answering;
//! what it spawns runs on the process's runtime. A cancelled job is dropped: its tasks end with it, those on a cluster are cancelled
//! there (`engine::guard`), and what it staged is removed.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chrono::{NaiveDate, Utc};
use futures::FutureExt as _;
use tokio::sync::{Notify, Semaphore, watch};

use super::job::{Job, State, Step, Work};
use super::jobs::{Entry, Jobs};
use super::sql_job;
use crate::driver;
use crate::engine::Engine;
use crate::error::JobError;
use crate::observe::{context, metrics};
use crate::options::{self, RunOptions};
use crate::runtime::STACK_BYTES;
use crate::stages::{Progress, StageRecord};
use crate::warehouse::Warehouse;

/// A job that was begun so often without an end kills its server: it is not begun again.
const MAX_ATTEMPTS: u32 = 20;
/// The longest pause before another attempt.
const MAX_PAUSE: Duration = Duration::from_hours(1);

/// Attempts after the first, and the pause before the first of them; each further one is twice as long.
#[derive(Debug, Clone, Copy)]
pub struct Retries {
    /// How many.
    pub most: u32,
    /// Before the first.
    pub pause: Duration,
}

impl Retries {
    /// The pause after so many failures; `None` when it was tried often enough.
    #[must_use]
    pub fn pause(&self, failures: u32) -> Option<Duration> {
        let doubled = 1 << failures.saturating_sub(1).min(16);
        (failures <= self.most).then(|| (self.pause * doubled).min(MAX_PAUSE))
    }
}

/// What jobs are run with.
pub struct Runner {
    /// All jobs.
    pub jobs: Arc<Jobs>,
    /// Where tasks run.
    pub engine: Engine,
    /// What is written.
    pub warehouse: Warehouse,
    /// Its place, as given.
    pub place: String,
    /// The server's options of a day.
    pub options: RunOptions,
    /// Of failed jobs.
    pub retries: Retries,
    /// SQL jobs at a time.
    pub sql_slots: usize,
    /// SQL jobs that follow every day that succeeds.
    pub after_day: Vec<AfterDay>,
    /// Told when a day is published.
    pub published: Arc<Notify>,
    /// Told when the server ends.
    pub stopping: watch::Sender<bool>,
}

/// A SQL job that follows every day that succeeds, with the parameter `date`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AfterDay {
    /// The user's table that its result goes to.
    pub into: String,
    /// The file's name.
    pub name: String,
    /// Its statements.
    pub statements: String,
}

impl Runner {
    /// Runs jobs for ever.
    pub async fn run(self: Arc<Self>) {
        let (days, sql) = (
            Arc::new(Semaphore::new(1)),
            Arc::new(Semaphore::new(self.sql_slots)),
        );
        loop {
            let woken = self.jobs.woken.notified();
            tokio::pin!(woken);
            // From here on nothing that happens is missed.
            woken.as_mut().enable();
            let day = self.start(&days, self.jobs.next_day()).await;
            let sql = self.start(&sql, self.jobs.next_sql()).await;
            let wait = match (day, sql) {
                (Next::Started, _) | (_, Next::Started) => continue,
                (Next::After(a), Next::After(b)) => a.min(b),
                (Next::After(wait), Next::Nothing) | (Next::Nothing, Next::After(wait)) => wait,
                (Next::Nothing, Next::Nothing) => Duration::from_mins(1),
            };
            let _ = tokio::time::timeout(wait, woken).await;
        }
    }

    async fn start(
        self: &Arc<Self>,
        slots: &Arc<Semaphore>,
        next: Option<(Arc<Entry>, Option<chrono::DateTime<Utc>>)>,
    ) -> Next {
        let Some((entry, at)) = next else {
            return Next::Nothing;
        };
        let wait = at.and_then(|at| (at - Utc::now()).to_std().ok());
        if let Some(wait) = wait {
            return Next::After(wait);
        }
        let Ok(slot) = Arc::clone(slots).try_acquire_owned() else {
            return Next::Nothing;
        };
        let begun = |job: &mut Job| {
            job.state = State::Running;
            job.attempts += 1;
            job.started_at = Some(Utc::now());
            job.retry_at = None;
            job.run = uuid::Uuid::new_v4().simple().to_string();
            job.stages.clear();
        };
        let job = match self.jobs.change(&entry, begun).await {
            Ok(job) if job.state == State::Running => job,
            Ok(_) => return Next::Started,
            Err(e) => {
                log::error!("job {}: the ledger cannot be written: {e}", entry.job().id);
                return Next::After(Duration::from_secs(5));
            }
        };
        let runner = Arc::clone(self);
        let handle = tokio::runtime::Handle::current();
        let name = format!("job-{}", job.id);
        let builder = std::thread::Builder::new()
            .name(name)
            .stack_size(STACK_BYTES);
        let thread = builder.spawn(move || {
            let work = async {
                let outcome = runner.one(&entry, &job).await;
                runner.end(&entry, outcome).await;
            };
            handle.block_on(context::job(&job.id, Box::pin(work)));
            drop(slot);
            runner.jobs.woken.notify_waiters();
        });
        if let Err(e) = thread {
            log::error!("no thread for a job: {e}");
            return Next::After(Duration::from_secs(5));
        }
        Next::Started
    }

    async fn one(&self, entry: &Arc<Entry>, job: &Job) -> Outcome {
        if job.attempts > MAX_ATTEMPTS {
            return Outcome::Failed(JobError::Usage(format!(
                "begun {MAX_ATTEMPTS} times, and the server ended each time before the job did: look at its memory"
            )));
        }
        log::info!(
            "job {}: {} begins, attempt {}",
            job.id,
            job.title(),
            job.attempts
        );
        let run = job.run.clone();
        // A bug in one job is not the end of the server.
        let work = AssertUnwindSafe(self.work(entry, job, &run)).catch_unwind();
        let mut stopping = self.stopping.subscribe();
        let result = tokio::select! {
            result = work => result,
            () = entry.cancelled() => {
                self.remove_staged(&job.id, &run).await;
                return Outcome::Cancelled;
            }
            _ = stopping.wait_for(|stopping| *stopping) => {
                self.remove_staged(&job.id, &run).await;
                return Outcome::Stopped;
            }
        };
        match result {
            Ok(Ok(rows)) => Outcome::Succeeded(rows),
            Ok(Err(e)) if e.is_empty_day() => Outcome::Skipped(e),
            Ok(Err(e)) => Outcome::Failed(e),
            Err(_) => Outcome::Failed(JobError::Internal("the job panicked".to_owned())),
        }
    }

    /// What a dropped run staged.
    async fn remove_staged(&self, job: &str, run: &str) {
        // What was in flight may write for a moment yet, and its jobs on a cluster are being cancelled.
        tokio::time::sleep(Duration::from_secs(1)).await;
        if let Err(e) = self.warehouse.remove_staging(run).await {
            log::warn!("job {job}: what it staged could not be removed: {e}");
        }
    }

    /// Waits until no job runs any more, after `stopping` was told; not for ever.
    pub async fn stopped(&self) {
        for _ in 0..100 {
            let running = |job: &Job| job.state == State::Running;
            if !self.jobs.list().iter().any(running) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Returns the rows of a SQL job's result.
    async fn work(&self, entry: &Arc<Entry>, job: &Job, run: &str) -> Result<u64, JobError> {
        match &job.work {
            Work::Day { day, options } => {
                let options = options::changed(&self.options, options)?;
                let shown = Shown(Arc::clone(entry));
                let report =
                    driver::run_day_as(run, &self.engine, &self.place, *day, &options, &shown)
                        .await?;
                if report.unchanged() && job.attempts == 1 {
                    shown.remark("up to date: nothing had to be done");
                } else {
                    self.follow(*day).await?;
                }
                Ok(0)
            }
            Work::Sql {
                statements,
                parameters,
                into,
                ..
            } => {
                sql_job::run(
                    &self.engine,
                    &self.warehouse,
                    &job.id,
                    statements,
                    parameters,
                    into.as_deref(),
                )
                .await
            }
        }
    }

    async fn end(&self, entry: &Arc<Entry>, outcome: Outcome) {
        let job = entry.job();
        let ended = |job: &mut Job| {
            job.step = None;
            match &outcome {
                Outcome::Succeeded(rows) => {
                    job.state = State::Succeeded;
                    job.result_rows = *rows;
                    job.error.clear();
                }
                Outcome::Skipped(e) => {
                    job.state = State::Skipped;
                    job.error = e.to_string();
                }
                Outcome::Cancelled => job.state = State::Cancelled,
                Outcome::Stopped => {
                    job.state = State::Queued;
                    job.attempts = job.attempts.saturating_sub(1);
                    job.remark("the server was stopped while the job ran: queued again");
                }
                Outcome::Failed(e) => {
                    job.failures += 1;
                    job.error = e.chain();
                    let pause = if permanent(e) {
                        None
                    } else {
                        self.retries.pause(job.failures)
                    };
                    job.state = pause.map_or(State::Failed, |_| State::Waiting);
                    job.retry_at = pause.map(|pause| Utc::now() + pause);
                }
            }
            job.ended_at = job.state.ended().then(Utc::now);
        };
        // A ledger that is away for a while must not keep a job running for ever.
        let mut pause = Duration::from_millis(200);
        let ended = loop {
            match self.jobs.change(entry, ended).await {
                Ok(job) => break job,
                Err(e) => {
                    log::error!("job {}: the ledger cannot be written: {e}", job.id);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(30));
                }
            }
        };
        if ended.state == State::Waiting {
            metrics::driver().job_retried();
        }
        match ended.state {
            State::Failed => log::error!(
                "job {}: {} failed: {}",
                ended.id,
                ended.title(),
                ended.error
            ),
            State::Waiting => log::warn!(
                "job {}: {} failed, and is tried again: {}",
                ended.id,
                ended.title(),
                ended.error
            ),
            state => log::info!("job {}: {} {}", ended.id, ended.title(), state.name()),
        }
    }

    /// Says that a day is published, and queues what follows it. Before the day itself is written off: a server that is killed in between runs the day again, which
    /// finds nothing to do, and comes here.
    async fn follow(&self, day: NaiveDate) -> Result<(), JobError> {
        self.published.notify_one();
        for after in &self.after_day {
            let work = Work::Sql {
                name: after.name.clone(),
                statements: after.statements.clone(),
                parameters: [("date".to_owned(), day.to_string())].into(),
                into: Some(after.into.clone()),
            };
            self.jobs.submit(work, &format!("day {day}")).await?;
        }
        Ok(())
    }
}

enum Next {
    Started,
    After(Duration),
    Nothing,
}

enum Outcome {
    Succeeded(u64),
    Skipped(JobError),
    Cancelled,
    Stopped,
    Failed(JobError),
}

/// What another attempt cannot mend: the request or the input is wrong.
fn permanent(error: &JobError) -> bool {
    matches!(
        error,
        JobError::Usage(_)
            | JobError::UnknownSchema { .. }
            | JobError::NewerWarehouse { .. }
            | JobError::NotAWarehouse { .. }
            | JobError::Unbalanced { .. }
            | JobError::Internal(_)
            | JobError::Query(_)
            | JobError::Classifier(_)
    )
}

/// Shows a day's progress to whoever watches its job.
struct Shown(Arc<Entry>);

impl Progress for Shown {
    fn step(&self, stage: &str, step: &str, tasks: usize) {
        self.0.show(|job| {
            job.step = Some(Step {
                stage: stage.to_owned(),
                step: step.to_owned(),
                tasks_done: 0,
                tasks: tasks as u64,
            });
        });
    }

    fn task_done(&self) {
        self.0.show(|job| {
            if let Some(step) = &mut job.step {
                step.tasks_done += 1;
            }
        });
    }

    fn remark(&self, text: &str) {
        self.0.show(|job| job.remark(text));
    }

    fn stage_done(&self, record: &StageRecord) {
        let mut record = record.clone();
        // The warehouse's ledger has them.
        record.files.clear();
        self.0.show(|job| job.stages.push(record));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour_and_end() {
        let retries = Retries {
            most: 9,
            pause: Duration::from_mins(1),
        };
        let secs = |failures| retries.pause(failures).map(|p| p.as_secs());
        assert_eq!(secs(1), Some(60));
        assert_eq!(secs(3), Some(240));
        assert_eq!(secs(9), Some(3600));
        assert_eq!(secs(10), None);
    }
}
