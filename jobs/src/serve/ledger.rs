//! Every job as an object in the warehouse: below `_jobs/open/` until it ends, then below `_jobs/done/`.
//!
//! An ended job is written to `done` first and removed from `open` then: a server that is killed in between leaves both, and
//! `done` holds. Each object is written whole or not at all.

use super::job::{Job, is_id};
use crate::error::JobError;
use crate::warehouse::Warehouse;

const OPEN: &str = "_jobs/open";
const DONE: &str = "_jobs/done";
/// Where a SQL job's result is kept.
pub const RESULTS: &str = "_jobs/results";
/// Ended jobs that a server reads when it starts.
const REMEMBERED: usize = 500;

fn path(directory: &str, id: &str) -> String {
    format!("{directory}/{id}.json")
}

/// Writes a job as it is now.
///
/// # Errors
/// When the warehouse cannot be written.
pub async fn write(warehouse: &Warehouse, job: &Job) -> Result<(), JobError> {
    let json = serde_json::to_vec(job).map_err(|e| JobError::Internal(e.to_string()))?;
    if !job.state.ended() {
        return warehouse.put(&path(OPEN, &job.id), json).await;
    }
    warehouse.put(&path(DONE, &job.id), json).await?;
    warehouse.remove(&path(OPEN, &job.id)).await
}

/// A job by its name, from the ledger.
///
/// # Errors
/// When the warehouse cannot be read.
pub async fn read(warehouse: &Warehouse, id: &str) -> Result<Option<Job>, JobError> {
    if !is_id(id) {
        return Ok(None);
    }
    for directory in [DONE, OPEN] {
        if let Some(job) = read_at(warehouse, &path(directory, id)).await? {
            return Ok(Some(job));
        }
    }
    Ok(None)
}

async fn read_at(warehouse: &Warehouse, path: &str) -> Result<Option<Job>, JobError> {
    let Some(bytes) = warehouse.get(path).await? else {
        return Ok(None);
    };
    match serde_json::from_slice(&bytes) {
        Ok(job) => Ok(Some(job)),
        Err(e) => {
            log::warn!("{}: damaged, left alone: {e}", warehouse.url(path));
            Ok(None)
        }
    }
}

async fn ids(warehouse: &Warehouse, directory: &str) -> Result<Vec<String>, JobError> {
    let objects = warehouse.list(directory).await?;
    let name = |path: &str| {
        let name = path.rsplit('/').next()?.strip_suffix(".json")?;
        is_id(name).then(|| name.to_owned())
    };
    let mut ids: Vec<_> = objects.iter().filter_map(|o| name(&o.path)).collect();
    ids.sort();
    Ok(ids)
}

/// All jobs that have not ended, and the latest of those that have, by the time of submission.
///
/// # Errors
/// When the warehouse cannot be read.
pub async fn load(warehouse: &Warehouse) -> Result<Vec<Job>, JobError> {
    let done = ids(warehouse, DONE).await?;
    let mut jobs = vec![];
    for id in ids(warehouse, OPEN).await? {
        if done.binary_search(&id).is_ok() {
            warehouse.remove(&path(OPEN, &id)).await?;
        } else if let Some(job) = read_at(warehouse, &path(OPEN, &id)).await? {
            jobs.push(job);
        }
    }
    for id in done.iter().rev().take(REMEMBERED) {
        if let Some(job) = read_at(warehouse, &path(DONE, id)).await? {
            jobs.push(job);
        }
    }
    jobs.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(jobs)
}
