//! Every answer that was paid for, durable before it counts.
//!
//! An answer is written to `_answers/` of the warehouse as one small object as soon as it is there, and moved to the Delta table `answers` when a run
//! ends; a run reads both. So a killed run pays for nothing twice but for what was on its way, and another machine on the same warehouse pays for
//! nothing again. An answer is found by what was sent (redacted), the prompt, the model asked for and the pass; nothing secret is in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use chrono::NaiveDate;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::json::ArrayWriter;
use gleaner_udfs::text::redact::PseudonymKey;
use serde::{Deserialize, Serialize};

use super::pseudonyms::{self, KeySource};
use super::rows;
use crate::engine::{Engine, Task};
use crate::error::JobError;
use crate::stages::sql::{Value, fill};
use crate::warehouse::Warehouse;
use crate::warehouse::delta::{DataFile, file_prefix};
use crate::warehouse::tables::ANSWERS;

const JOURNAL: &str = "_answers";
const BATCHES: &str = "_batches";

/// One answer to one item, canaries among them; or what an attempt cost that gave none (`kind` = `attempt`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The day that was being labelled.
    pub day: NaiveDate,
    /// Hash of what was sent.
    pub key: String,
    /// `line`, a canary's kind, or `attempt`.
    pub kind: String,
    /// 1 or 2.
    pub pass: u8,
    /// The verdict; empty where there is none.
    pub verdict: String,
    /// What the model took the line to be for.
    pub intent: String,
    /// The part of the line that it showed.
    pub evidence: String,
    /// What it found suspicious.
    #[serde(default)]
    pub red_flags: Vec<String>,
    /// 0 to 1.
    pub confidence: f64,
    /// Why there is no verdict to use.
    pub unlabelled: Option<String>,
    /// The model that answered, as it named itself.
    pub model: String,
    /// The model that was asked for.
    pub asked_model: String,
    /// Hash of the prompt.
    pub prompt: String,
    /// The call: answers with one call were one another's neighbours.
    pub call: String,
    /// Whether the call's malicious canaries were all recognised.
    pub accepted: bool,
    /// Tokens of the call, shared among its lines.
    pub input_tokens: u64,
    /// As above.
    pub output_tokens: u64,
    /// As above, in US dollars.
    pub cost_usd: f64,
    /// When it came, RFC 3339.
    pub asked_at: String,
}

/// Where answers are kept.
pub enum Store {
    /// In this process, for an evaluation without a warehouse.
    Memory,
    /// In a warehouse.
    Warehouse {
        /// Which.
        warehouse: Box<Warehouse>,
        /// Objects of the journal that this run wrote or found.
        journal: Mutex<BTreeSet<String>>,
    },
}

impl Store {
    /// The store of a warehouse.
    #[must_use]
    pub fn of(warehouse: &Warehouse) -> Self {
        Self::Warehouse {
            warehouse: Box::new(warehouse.clone()),
            journal: Mutex::new(BTreeSet::new()),
        }
    }

    /// The key of pseudonyms: see [`super::pseudonyms`]. In memory and without a source one of this process.
    ///
    /// # Errors
    /// When it can be neither read nor made, or is not the one that the warehouse's pseudonyms were made with.
    pub async fn pseudonym_key(
        &self,
        source: Option<&KeySource>,
    ) -> Result<PseudonymKey, JobError> {
        match (self, source) {
            (Self::Memory, None) => Ok(PseudonymKey::new(pseudonyms::fresh())),
            (Self::Memory, Some(source)) => Ok(PseudonymKey::new(source.read()?)),
            (Self::Warehouse { warehouse, .. }, source) => pseudonyms::of(warehouse, source).await,
        }
    }

    /// All answers to a prompt by a model, in the order in which they came.
    ///
    /// # Errors
    /// When the warehouse cannot be read.
    pub async fn load(&self, prompt: &str, model: &str) -> Result<Vec<Answer>, JobError> {
        let Self::Warehouse { warehouse, journal } = self else {
            return Ok(vec![]);
        };
        let mut answers = of_table(warehouse, Some((prompt, model))).await?;
        for object in warehouse.list(JOURNAL).await? {
            // An object that went meanwhile is in the table now, and in a later run's view of it.
            let Some(bytes) = warehouse.get(&object.path).await? else {
                continue;
            };
            match serde_json::from_slice::<Vec<Answer>>(&bytes) {
                Ok(found) => {
                    let ours = found
                        .into_iter()
                        .filter(|a| a.prompt == prompt && a.asked_model == model);
                    answers.extend(ours);
                    lock(journal).insert(object.path);
                }
                Err(e) => log::warn!("{}: damaged, left alone: {e}", warehouse.url(&object.path)),
            }
        }
        answers.sort_by(|a, b| (&a.asked_at, &a.call, &a.key).cmp(&(&b.asked_at, &b.call, &b.key)));
        // What another run moved to the table while we read is there twice.
        answers.dedup_by(|a, b| a.call == b.call && a.key == b.key && a.kind == b.kind);
        Ok(answers)
    }

    /// Keeps the answers of a call. They are durable when this returns.
    ///
    /// # Errors
    /// When they cannot be written.
    pub async fn put(&self, call: &str, answers: &[Answer]) -> Result<(), JobError> {
        let Self::Warehouse { warehouse, journal } = self else {
            return Ok(());
        };
        let path = format!("{JOURNAL}/{call}.json");
        let json = serde_json::to_vec(answers).map_err(|e| JobError::Internal(e.to_string()))?;
        warehouse.put(&path, json).await?;
        lock(journal).insert(path);
        Ok(())
    }

    /// Whether the answers of a call are in the journal, by this run or by one before it that asked the same.
    #[must_use]
    pub fn holds(&self, call: &str) -> bool {
        match self {
            Self::Memory => false,
            Self::Warehouse { journal, .. } => {
                lock(journal).contains(&format!("{JOURNAL}/{call}.json"))
            }
        }
    }

    /// Moves the journal to the table.
    ///
    /// # Errors
    /// When the commit fails: the journal stays, and the next run moves it.
    pub async fn flush(&self) -> Result<(), JobError> {
        let Self::Warehouse { warehouse, journal } = self else {
            return Ok(());
        };
        let paths = std::mem::take(&mut *lock(journal));
        let mut days: BTreeMap<NaiveDate, Vec<Answer>> = BTreeMap::new();
        let mut moved = vec![];
        for path in paths {
            let Some(bytes) = warehouse.get(&path).await? else {
                continue;
            };
            if let Ok(found) = serde_json::from_slice::<Vec<Answer>>(&bytes) {
                for answer in found {
                    days.entry(answer.day).or_default().push(answer);
                }
                moved.push(path);
            }
        }
        for (day, answers) in days {
            append(warehouse, &ANSWERS, day, &answers).await?;
        }
        for path in moved {
            warehouse.remove(&path).await?;
        }
        Ok(())
    }

    /// Notes of batches that were submitted, or were to be: token and note.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn batch_notes(&self) -> Result<Vec<Vec<u8>>, JobError> {
        let Self::Warehouse { warehouse, .. } = self else {
            return Ok(vec![]);
        };
        let mut notes = vec![];
        for object in warehouse.list(BATCHES).await? {
            notes.extend(warehouse.get(&object.path).await?);
        }
        Ok(notes)
    }

    /// Keeps a batch's note.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn put_batch_note(&self, token: &str, note: Vec<u8>) -> Result<(), JobError> {
        match self {
            Self::Memory => Ok(()),
            Self::Warehouse { warehouse, .. } => {
                warehouse
                    .put(&format!("{BATCHES}/{token}.json"), note)
                    .await
            }
        }
    }

    /// The batch's answers are all kept.
    ///
    /// # Errors
    /// When the note cannot be removed.
    pub async fn remove_batch_note(&self, token: &str) -> Result<(), JobError> {
        match self {
            Self::Memory => Ok(()),
            Self::Warehouse { warehouse, .. } => {
                warehouse.remove(&format!("{BATCHES}/{token}.json")).await
            }
        }
    }
}

fn lock(journal: &Mutex<BTreeSet<String>>) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
    journal
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Appends rows of a day to a table of the driver's own, in one commit.
///
/// # Errors
/// When a row does not fit the table, or the commit fails.
pub async fn append<T: Serialize>(
    warehouse: &Warehouse,
    table: &crate::warehouse::tables::Table,
    day: NaiveDate,
    rows: &[T],
) -> Result<(), JobError> {
    let bytes = rows::parquet(&rows::batch(&table.schema(), rows)?)?;
    let unique = uuid::Uuid::new_v4().simple().to_string();
    let path = format!("{}-{unique}.parquet", file_prefix(day, 0, &unique[..16]));
    let file = DataFile {
        day,
        bytes: bytes.len() as u64,
        rows: rows.len() as u64,
        path,
    };
    warehouse
        .put(&format!("{}/{}", table.name, file.path), bytes)
        .await?;
    warehouse.append(table, &[file]).await
}

/// The answers of the table; with a prompt and a model, theirs alone.
///
/// # Errors
/// When the table cannot be read.
pub async fn of_table(
    warehouse: &Warehouse,
    wanted: Option<(&str, &str)>,
) -> Result<Vec<Answer>, JobError> {
    let (prompt, model) = wanted.unwrap_or_default();
    let sql = fill(
        "SELECT * FROM answers WHERE {all} OR (prompt = {prompt} AND asked_model = {model})",
        &[
            ("all", Value::Bool(wanted.is_none())),
            ("prompt", Value::Text(prompt.to_owned())),
            ("model", Value::Text(model.to_owned())),
        ],
    );
    query(warehouse, &[("answers", ANSWERS)], sql).await
}

/// Rows of a query over tables of the warehouse; none where a table has no files.
///
/// # Errors
/// When it fails, or rows are not of the type.
pub async fn query<T: for<'de> Deserialize<'de>>(
    warehouse: &Warehouse,
    tables: &[(&str, crate::warehouse::tables::Table)],
    sql: String,
) -> Result<Vec<T>, JobError> {
    let wanted: Vec<_> = tables.iter().map(|(_, table)| *table).collect();
    let snapshot = warehouse.snapshot(&wanted).await?;
    let mut sources = BTreeMap::new();
    for (name, table) in tables {
        let Some(source) = warehouse.source(table, snapshot.files(table)) else {
            return Ok(vec![]);
        };
        sources.insert((*name).to_owned(), source);
    }
    let task = Task {
        name: "labels".to_owned(),
        sql,
        tables: sources,
        write: None,
    };
    let batches = Engine::embedded(1, 1 << 28)?
        .run(vec![task], &|| ())
        .await?;
    typed(&batches.into_iter().flatten().collect::<Vec<_>>())
}

/// Batches as values of a type, columns by name.
///
/// # Errors
/// When a row is not of the type.
pub fn typed<T: for<'de> Deserialize<'de>>(batches: &[RecordBatch]) -> Result<Vec<T>, JobError> {
    let failed = |e: datafusion::arrow::error::ArrowError| JobError::Query(e.into());
    let mut writer = ArrayWriter::new(vec![]);
    writer
        .write_batches(&batches.iter().collect::<Vec<_>>())
        .map_err(failed)?;
    writer.finish().map_err(failed)?;
    let json = writer.into_inner();
    if json.is_empty() {
        return Ok(vec![]);
    }
    serde_json::from_slice(&json).map_err(|e| JobError::Internal(format!("a row of a query: {e}")))
}
