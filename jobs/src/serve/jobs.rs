//! The jobs that this process knows: the open ones, and the latest that have ended. Every change goes to the ledger first, then
//! to whoever watches.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, NaiveDate, Utc};
use tokio::sync::{Notify, watch};

use super::job::{Job, State, Work};
use super::ledger;
use crate::error::JobError;
use crate::warehouse::Warehouse;

/// Ended jobs kept in memory.
const REMEMBERED: usize = 1000;
/// Jobs that have not ended.
const MAX_OPEN: usize = 5000;

/// One job.
pub struct Entry {
    job: watch::Sender<Job>,
    cancelled: watch::Sender<bool>,
    /// Held while a change goes to the ledger: changes are written in their order.
    saving: tokio::sync::Mutex<()>,
}

impl Entry {
    fn new(job: Job) -> Arc<Self> {
        Arc::new(Self {
            job: watch::Sender::new(job),
            cancelled: watch::Sender::new(false),
            saving: tokio::sync::Mutex::default(),
        })
    }

    /// The job as it is now.
    #[must_use]
    pub fn job(&self) -> Job {
        self.job.borrow().clone()
    }

    /// The job now and whenever it changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Job> {
        self.job.subscribe()
    }

    /// Changes what only watchers see: steps and tasks.
    pub fn show(&self, f: impl FnOnce(&mut Job)) {
        self.job.send_modify(f);
    }

    /// Ends when somebody has cancelled the job.
    pub async fn cancelled(&self) {
        let mut seen = self.cancelled.subscribe();
        // The sender lives as long as we do.
        let _ = seen.wait_for(|cancelled| *cancelled).await;
    }
}

/// All of them.
pub struct Jobs {
    warehouse: Warehouse,
    known: Mutex<BTreeMap<String, Arc<Entry>>>,
    /// Something may be ready to run.
    pub woken: Notify,
    /// A submission looks for its like and adds itself as one step.
    submitting: tokio::sync::Mutex<()>,
}

impl Jobs {
    /// Reads the ledger. What was running when its server ended is queued again.
    ///
    /// # Errors
    /// When the ledger cannot be read or written.
    pub async fn load(warehouse: Warehouse) -> Result<Self, JobError> {
        let mut known = BTreeMap::new();
        for mut job in ledger::load(&warehouse).await? {
            if job.state == State::Running {
                job.state = State::Queued;
                job.remark("the server ended while the job ran: queued again");
                if !job.run.is_empty() {
                    warehouse.remove_staging(&job.run).await?;
                }
                ledger::write(&warehouse, &job).await?;
            }
            known.insert(job.id.clone(), Entry::new(job));
        }
        Ok(Self {
            warehouse,
            known: Mutex::new(known),
            woken: Notify::new(),
            submitting: tokio::sync::Mutex::default(),
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Entry>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job; one that is open already is not added again.
    ///
    /// # Errors
    /// When the ledger cannot be written, or too many jobs are open.
    pub async fn submit(&self, work: Work, by: &str) -> Result<Job, JobError> {
        let _one = self.submitting.lock().await;
        let open: Vec<Job> = self
            .list()
            .into_iter()
            .filter(|j| !j.state.ended())
            .collect();
        // What waits for its turn does the same whoever asked for it. A SQL job that runs may have read before what is asked now.
        let same =
            |job: &&Job| job.work == work && (job.day().is_some() || job.state == State::Queued);
        if let Some(job) = open.iter().find(same) {
            return Ok(job.clone());
        }
        if open.len() >= MAX_OPEN {
            return Err(JobError::Usage(format!(
                "{MAX_OPEN} jobs are open: wait, or cancel some with `gleaner jobs cancel`"
            )));
        }
        let job = Job::new(work, by, Utc::now());
        ledger::write(&self.warehouse, &job).await?;
        let mut known = self.lock();
        known.insert(job.id.clone(), Entry::new(job.clone()));
        let ended = |entry: &Arc<Entry>| entry.job.borrow().state.ended();
        let forget: Vec<_> = known
            .iter()
            .filter(|(_, entry)| ended(entry))
            .map(|(id, _)| id.clone())
            .collect();
        for id in forget.iter().rev().skip(REMEMBERED) {
            known.remove(id);
        }
        drop(known);
        self.woken.notify_waiters();
        Ok(job)
    }

    /// The jobs known, the earliest first.
    #[must_use]
    pub fn list(&self) -> Vec<Job> {
        self.lock().values().map(|entry| entry.job()).collect()
    }

    /// A job that this process knows.
    #[must_use]
    pub fn entry(&self, id: &str) -> Option<Arc<Entry>> {
        self.lock().get(id).cloned()
    }

    /// A job, from the ledger if need be.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn find(&self, id: &str) -> Result<Option<Arc<Entry>>, JobError> {
        if let Some(entry) = self.entry(id) {
            return Ok(Some(entry));
        }
        Ok(ledger::read(&self.warehouse, id).await?.map(Entry::new))
    }

    /// Changes a job: in the ledger, then here. One that has ended stays what it was; returns the job.
    ///
    /// # Errors
    /// When the ledger cannot be written: nothing is changed then.
    pub async fn change(&self, entry: &Entry, f: impl FnOnce(&mut Job)) -> Result<Job, JobError> {
        let saving = entry.saving.lock().await;
        let mut job = entry.job();
        if job.state.ended() {
            return Ok(job);
        }
        f(&mut job);
        ledger::write(&self.warehouse, &job).await?;
        entry.job.send_replace(job.clone());
        drop(saving);
        self.woken.notify_waiters();
        Ok(job)
    }

    /// Ends a job. A running one is told to stop; its runner writes what became of it.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn cancel(&self, entry: &Entry, by: &str) -> Result<Job, JobError> {
        let cancelled = |job: &mut Job| {
            job.remark(&format!("cancelled by {by}"));
            if job.state != State::Running {
                job.state = State::Cancelled;
                job.ended_at = Some(Utc::now());
            }
        };
        let job = self.change(entry, cancelled).await?;
        if job.state == State::Running {
            entry.cancelled.send_replace(true);
        }
        Ok(job)
    }

    /// The day to run next, and when: the earliest day that is queued, or that waits to be tried again.
    #[must_use]
    pub fn next_day(&self) -> Option<(Arc<Entry>, Option<DateTime<Utc>>)> {
        let known = self.lock();
        let ready = |entry: &&Arc<Entry>| {
            matches!(entry.job.borrow().state, State::Queued | State::Waiting)
        };
        let of_day = |entry: &Arc<Entry>| -> Option<(NaiveDate, String, Arc<Entry>)> {
            let job = entry.job.borrow();
            Some((job.day()?, job.id.clone(), Arc::clone(entry)))
        };
        let days = known.values().filter(ready).filter_map(of_day);
        let (_, _, entry) = days.min_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)))?;
        let at = entry.job.borrow().retry_at;
        Some((entry, at))
    }

    /// The SQL job to run next, and when: the first one that is queued; if there is none, the one that is tried again first.
    #[must_use]
    pub fn next_sql(&self) -> Option<(Arc<Entry>, Option<DateTime<Utc>>)> {
        let known = self.lock();
        let ready = known.values().filter_map(|entry| {
            let job = entry.job.borrow();
            let ready = matches!(job.state, State::Queued | State::Waiting);
            (ready && job.day().is_none()).then(|| (job.retry_at, Arc::clone(entry)))
        });
        // `None` sorts before every time; equal ones stay in the order of submission.
        let (at, entry) = ready.min_by_key(|(at, _)| *at)?;
        Some((entry, at))
    }
}
