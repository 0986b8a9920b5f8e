//! A day is published whole, over ten tables.
//!
//! Delta Lake commits one table at a time, so the commit of the day's row in `runs` is what publishes a day:
//!
//! 1. `_publish/<day>-<fingerprint>-<run>.json` says which files each table is to have;
//! 2. the day's accounts are committed to `runs`, under the same fingerprint: from here on the day is the new one;
//! 3. each table's day is replaced, in any order;
//! 4. the note of step 1 is removed.
//!
//! A reader takes a [`Snapshot`]: it reads `runs`, then the tables, and where a table does not hold yet what a note says
//! of a published day, the note counts. When `runs` changed meanwhile it reads again. So a reader of Gleaner's sees the
//! whole old or the whole new day at any moment, also when the publisher died between two commits; whoever runs next
//! carries on from the note ([`Warehouse::settle`]). Readers that know Delta alone see each table's day whole, and the
//! tables change one after the other.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use futures::stream::FuturesUnordered;
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

use super::Warehouse;
use super::delta::{DataFile, Outcome, common_fingerprint};
use super::tables::{RUNS, Table, table};
use crate::error::JobError;
use crate::faults;

const NOTES: &str = "_publish";
/// A note that nothing published is kept so long: its publisher may be slow.
const STALE_SECS: i64 = 86_400;
const SNAPSHOT_TRIES: usize = 50;

/// What a day of one table is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Fingerprint of what the files were made from; their names carry it.
    pub fingerprint: String,
    /// All files of the day.
    pub files: Vec<DataFile>,
}

/// A day to publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// The day.
    pub day: NaiveDate,
    /// The day's accounts; their fingerprint is the day's.
    pub runs: Made,
    /// The other tables, by name.
    pub tables: BTreeMap<String, Made>,
}

/// What became of a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// The day is now this one.
    Now,
    /// Another run had published the same answer.
    Already,
    /// It was published, and another run has published another answer since.
    Superseded,
}

/// Tables of whole days, at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot(BTreeMap<&'static str, Vec<DataFile>>);

impl Snapshot {
    /// A table's files, by day and name; none for a table that was not asked for.
    #[must_use]
    pub fn files(&self, table: &Table) -> &[DataFile] {
        self.0.get(table.name).map_or(&[], Vec::as_slice)
    }

    /// The fingerprint of a table's day, when there is one.
    #[must_use]
    pub fn fingerprint(&self, table: &Table, day: NaiveDate) -> Option<&str> {
        common_fingerprint(self.files(table).iter().filter(|f| f.day == day))
    }
}

impl Warehouse {
    /// The files of `tables`, of whole days.
    ///
    /// # Errors
    /// When a table's log cannot be read, or days are published faster than they can be read.
    pub async fn snapshot(&self, tables: &[Table]) -> Result<Snapshot, JobError> {
        for _ in 0..SNAPSHOT_TRIES {
            let (version, runs) = self.active(&RUNS).await?;
            let notes = self.notes().await?;
            let mut files = BTreeMap::new();
            let mut reads = FuturesUnordered::new();
            for table in tables {
                if table.name != RUNS.name {
                    reads.push(self.named(table));
                }
            }
            while let Some((name, found)) = reads.try_next().await? {
                files.insert(name, found);
            }
            drop(reads);
            let again = self.active(&RUNS).await?.0;
            if again != version {
                continue;
            }
            for day in notes
                .iter()
                .map(|n| &n.day)
                .filter(|d| d.is_published(&runs))
            {
                for (&name, files) in &mut files {
                    if let Some(made) = day.tables.get(name) {
                        overlay(files, day.day, made);
                    }
                }
            }
            files.insert(RUNS.name, runs);
            return Ok(Snapshot(files));
        }
        Err(JobError::Contended {
            table: RUNS.name.to_owned(),
            tries: SNAPSHOT_TRIES,
        })
    }

    async fn named(&self, table: &Table) -> Result<(&'static str, Vec<DataFile>), JobError> {
        Ok((table.name, self.active(table).await?.1))
    }

    /// Publishes a day whose files are all written.
    ///
    /// # Errors
    /// When the day's commit fails or keeps losing against other runs: nothing is published then. When a table's commit
    /// fails: the day is published, and the next run carries on.
    pub async fn publish(&self, run: &str, day: &Publication) -> Result<Published, JobError> {
        faults::reach("publish.before", run);
        self.mark().await?;
        let note = format!("{NOTES}/{}-{}-{run}.json", day.day, day.runs.fingerprint);
        let json = serde_json::to_vec(day).map_err(|e| JobError::Internal(e.to_string()))?;
        self.put(&note, json).await?;
        faults::reach("publish.noted", run);
        let outcome = match self.replace_day(&RUNS, day.day, &day.runs, None).await {
            Ok(outcome) => outcome,
            Err(e) => {
                // A commit whose answer was lost may be there: only a note of an unpublished day goes.
                if let Ok((_, runs)) = self.active(&RUNS).await
                    && !day.is_published(&runs)
                {
                    let _ = self.remove(&note).await;
                }
                return Err(e);
            }
        };
        faults::reach("publish.runs", run);
        let applied = self.apply(day).await?;
        faults::reach("publish.applied", run);
        // Notes of killed runs with the same answer are carried out too.
        for other in self.notes().await? {
            let same = (other.day.day, &other.day.runs.fingerprint);
            if same == (day.day, &day.runs.fingerprint) {
                self.remove(&other.path).await?;
            }
        }
        Ok(match (outcome, applied) {
            (_, Outcome::Superseded) => Published::Superseded,
            (Outcome::AlreadyThere, _) => Published::Already,
            _ => Published::Now,
        })
    }

    /// Finishes what dead publishers left half done; removes notes of days that were never published.
    ///
    /// # Errors
    /// When a commit fails.
    pub async fn settle(&self) -> Result<(), JobError> {
        let notes = self.notes().await?;
        if notes.is_empty() {
            return Ok(());
        }
        let (_, runs) = self.active(&RUNS).await?;
        for note in &notes {
            if note.day.is_published(&runs) {
                self.apply(&note.day).await?;
                self.remove(&note.path).await?;
            } else if note.age_secs > STALE_SECS {
                self.remove(&note.path).await?;
            }
        }
        Ok(())
    }

    /// Replaces the day of every table, for as long as the day is the published one.
    async fn apply(&self, day: &Publication) -> Result<Outcome, JobError> {
        let commits = day.tables.iter().map(|(name, made)| async move {
            let table = table(self.kind(), name)
                .ok_or_else(|| JobError::Internal(format!("a note of table {name}")))?;
            let outcome = self
                .replace_day(&table, day.day, made, Some(&day.runs.fingerprint))
                .await?;
            faults::reach("publish.table", name);
            Ok::<_, JobError>(outcome)
        });
        let outcomes: Vec<_> = futures::stream::iter(commits)
            .buffer_unordered(8)
            .try_collect()
            .await?;
        let superseded = outcomes.contains(&Outcome::Superseded);
        Ok(if superseded {
            Outcome::Superseded
        } else {
            Outcome::Committed
        })
    }

    async fn notes(&self) -> Result<Vec<Note>, JobError> {
        let now = chrono::Utc::now();
        let mut notes = vec![];
        for object in self.list(NOTES).await? {
            // A note that goes while it is read was carried out.
            let Some(bytes) = self.get(&object.path).await? else {
                continue;
            };
            match serde_json::from_slice(&bytes) {
                Ok(day) => notes.push(Note {
                    age_secs: (now - object.modified).num_seconds(),
                    path: object.path,
                    day,
                }),
                Err(e) => log::warn!("{}: damaged, left alone: {e}", self.url(&object.path)),
            }
        }
        Ok(notes)
    }
}

struct Note {
    path: String,
    age_secs: i64,
    day: Publication,
}

impl Publication {
    /// Whether `runs` holds this day's accounts.
    pub(super) fn is_published(&self, runs: &[DataFile]) -> bool {
        let of_day = runs.iter().filter(|f| f.day == self.day);
        common_fingerprint(of_day) == Some(self.runs.fingerprint.as_str())
    }
}

/// Puts what a note says of a day in the place of what the table holds, unless it holds that already.
fn overlay(files: &mut Vec<DataFile>, day: NaiveDate, made: &Made) {
    let held = common_fingerprint(files.iter().filter(|f| f.day == day));
    if held != Some(made.fingerprint.as_str()) {
        files.retain(|f| f.day != day);
        files.extend(made.files.iter().cloned());
        files.sort();
    }
}
