//! One server a warehouse. Whoever serves holds the lease with the highest number, and touches it every few seconds. A
//! lease that nobody has touched for [`TTL`] is dead, and the next number is free for one to take: creating an object that must
//! not exist is the one atomic step that local disks and S3 both have.
//!
//! Two servers would do no harm to a day (see `warehouse::publish`); they would run jobs twice, and each would not know of the
//! other's.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::error::JobError;
use crate::warehouse::Warehouse;

const DIRECTORY: &str = "_serve";
/// How often the holder touches its lease.
pub const BEAT: Duration = Duration::from_secs(3);
/// A lease that was not touched for so long is dead.
pub const TTL: Duration = Duration::from_secs(12);

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Content {
    /// For people.
    holder: String,
    /// Unique to the process.
    token: String,
    since: DateTime<Utc>,
    /// Raised by every beat, so that a watcher needs no clock in common with the holder.
    beats: u64,
}

/// A lease held.
pub struct Lease {
    warehouse: Warehouse,
    number: u64,
    content: Content,
}

fn path(number: u64) -> String {
    format!("{DIRECTORY}/lease-{number:012}.json")
}

async fn highest(warehouse: &Warehouse) -> Result<Option<u64>, JobError> {
    let objects = warehouse.list(DIRECTORY).await?;
    let number = |path: &str| {
        let name = path.rsplit('/').next()?.strip_prefix("lease-")?;
        name.strip_suffix(".json")?.parse().ok()
    };
    Ok(objects.iter().filter_map(|o| number(&o.path)).max())
}

async fn read(warehouse: &Warehouse, number: u64) -> Result<Option<Content>, JobError> {
    let bytes = warehouse.get(&path(number)).await?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

impl Lease {
    /// Takes the lease; waits for a holder that may be dead.
    ///
    /// # Errors
    /// When another server holds it and lives, or the warehouse cannot be written.
    pub async fn take(warehouse: &Warehouse, holder: &str) -> Result<Self, JobError> {
        let content = Content {
            holder: holder.to_owned(),
            token: uuid::Uuid::new_v4().simple().to_string(),
            since: Utc::now(),
            beats: 0,
        };
        loop {
            let last = highest(warehouse).await?;
            if let Some(number) = last
                && let Some(held) = read(warehouse, number).await?
            {
                log::warn!(
                    "{} serves this warehouse, or did until it was killed: waiting {} s to see which",
                    held.holder,
                    TTL.as_secs()
                );
                tokio::time::sleep(TTL).await;
                match read(warehouse, number).await? {
                    Some(now) if now.token == held.token && now.beats == held.beats => {}
                    Some(now) => {
                        return Err(JobError::Usage(format!(
                            "{} has served the warehouse since {}: stop it first, or name another --warehouse",
                            now.holder,
                            now.since.format("%Y-%m-%d %H:%M UTC")
                        )));
                    }
                    None => continue,
                }
            }
            let number = last.map_or(0, |n| n + 1);
            let lease = Self {
                warehouse: warehouse.clone(),
                number,
                content: content.clone(),
            };
            let json = lease.json()?;
            if warehouse.put_new(&path(number), json).await? {
                if let Some(dead) = last {
                    warehouse.remove(&path(dead)).await?;
                }
                return Ok(lease);
            }
            // Another one was faster: it lives.
        }
    }

    fn json(&self) -> Result<Vec<u8>, JobError> {
        serde_json::to_vec(&self.content).map_err(|e| JobError::Internal(e.to_string()))
    }

    /// Touches the lease until it is lost; returns why.
    pub async fn keep(&mut self) -> JobError {
        let mut failed_since = None;
        loop {
            tokio::time::sleep(BEAT).await;
            match self.beat().await {
                Ok(true) => failed_since = None,
                Ok(false) => {
                    return JobError::Usage(
                        "another gleaner serve has taken the warehouse over: this one was thought dead".to_owned(),
                    );
                }
                Err(e) => {
                    let since = *failed_since.get_or_insert_with(tokio::time::Instant::now);
                    log::warn!("the lease could not be touched: {e}");
                    if since.elapsed() >= TTL {
                        return e;
                    }
                }
            }
        }
    }

    /// Whether the lease is still ours.
    async fn beat(&mut self) -> Result<bool, JobError> {
        let held = read(&self.warehouse, self.number).await?;
        let ours = held.is_some_and(|held| held.token == self.content.token);
        if !ours || highest(&self.warehouse).await? != Some(self.number) {
            return Ok(false);
        }
        self.content.beats += 1;
        let json = self.json()?;
        self.warehouse.put(&path(self.number), json).await?;
        Ok(true)
    }

    /// Gives the lease up, so that the next server need not wait.
    pub async fn release(self) {
        let ours = read(&self.warehouse, self.number).await;
        if ours.is_ok_and(|held| held.is_some_and(|held| held.token == self.content.token)) {
            let _ = self.warehouse.remove(&path(self.number)).await;
        }
    }
}
