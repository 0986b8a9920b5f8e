//! What is left out of an export, and what is cut: training lines that a test knows, benign lines that the baseline has already, and secrets.
//!
//! The first two are decided as `gleaner evaluate lift` decides them, so that a classifier that is trained there and one that is trained on the export have
//! the same rows.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, BooleanArray, RecordBatch, StringArray};
use datafusion::arrow::compute::filter_record_batch;
use gleaner_classifier::leakage::{Keys, Leak, leaks};
use gleaner_udfs::embedder::{self, Embedder};
use gleaner_udfs::text::decode::decode;
use gleaner_udfs::text::redact::{PseudonymKey, redact};

use super::account::Account;
use super::{Plan, Split, table};
use crate::embedding;
use crate::error::JobError;
use crate::labels::store::Store;
use crate::lift::sets::Labelled;
use crate::warehouse::Warehouse;

/// Decides of rows.
pub(super) struct Screen {
    tests: Vec<Keys>,
    embedder: Arc<dyn Embedder>,
    near: f32,
    /// Lines of the baseline and those added, by 128 bits of their hash, and whether the baseline calls them malicious. Only where there is a baseline.
    seen: Option<HashMap<[u8; 16], bool>>,
    redaction: Option<PseudonymKey>,
}

impl Screen {
    /// # Errors
    /// When the key of pseudonyms cannot be had.
    pub(super) async fn new(
        plan: &Plan,
        warehouse: Option<&Warehouse>,
        tests: &[Labelled],
    ) -> Result<Self, JobError> {
        let store = warehouse.map_or(Store::Memory, Store::of);
        let redaction = if plan.redact {
            if warehouse.is_none() && plan.pseudonym_key.is_none() {
                return Err(JobError::Usage(
                    "--redact without a warehouse wants --pseudonym-key: with a key of this moment the same names would have other pseudonyms in the next export"
                        .to_owned(),
                ));
            }
            Some(store.pseudonym_key(plan.pseudonym_key.as_ref()).await?)
        } else {
            None
        };
        let resolved = embedding::resolve(embedder::LEXICAL).await?;
        let embedder = embedder::load(&resolved.address).map_err(JobError::Model)?;
        Ok(Self {
            tests: tests
                .iter()
                .map(|row| Keys::of(&row.command_line))
                .collect(),
            embedder,
            near: resolved.threshold,
            seen: (!plan.baseline.is_empty()).then(HashMap::new),
            redaction,
        })
    }

    /// Remembers the baseline's lines.
    pub(super) fn learn(&mut self, batch: &RecordBatch) {
        let (Some(seen), Some(lines), Some(labels)) = (
            &mut self.seen,
            table::texts(batch, "command_line"),
            table::texts(batch, "label"),
        ) else {
            return;
        };
        for (line, label) in lines.iter().zip(labels) {
            let malicious = label == Some("malicious");
            *seen.entry(key(line.unwrap_or_default())).or_default() |= malicious;
        }
    }

    /// Rows that no test knows, without their secrets.
    ///
    /// # Errors
    /// When the embedder fails.
    pub(super) fn pass(
        &self,
        batch: RecordBatch,
        split: Split,
        account: &mut Account,
    ) -> Result<RecordBatch, JobError> {
        let batch = match split {
            Split::Train => self.unknown_to_tests(batch, account)?,
            Split::Test => batch,
        };
        self.redacted(batch, account)
    }

    /// As [`Screen::pass`], of rows that the baseline does not have.
    ///
    /// # Errors
    /// As there.
    pub(super) fn pass_new(
        &mut self,
        batch: RecordBatch,
        split: Split,
        account: &mut Account,
    ) -> Result<RecordBatch, JobError> {
        let batch = match split {
            Split::Train => self.unknown_to_tests(batch, account)?,
            Split::Test => batch,
        };
        let batch = self.new_ones(batch, account)?;
        self.redacted(batch, account)
    }

    fn unknown_to_tests(
        &self,
        batch: RecordBatch,
        account: &mut Account,
    ) -> Result<RecordBatch, JobError> {
        let Some(lines) = table::texts(&batch, "command_line").filter(|_| !self.tests.is_empty())
        else {
            return Ok(batch);
        };
        let keys: Vec<Keys> = lines
            .iter()
            .map(|l| Keys::of(l.unwrap_or_default()))
            .collect();
        let (asked, known): (Vec<&Keys>, Vec<&Keys>) =
            (keys.iter().collect(), self.tests.iter().collect());
        let leaks = leaks(&asked, &known, self.embedder.as_ref(), self.near)?;
        for leak in leaks.iter().flatten() {
            match leak {
                Leak::Exact => account.left_out.exact += 1,
                Leak::Template => account.left_out.template += 1,
                Leak::Near => account.left_out.near += 1,
            }
        }
        kept(&batch, leaks.iter().map(Option::is_none))
    }

    fn new_ones(
        &mut self,
        batch: RecordBatch,
        account: &mut Account,
    ) -> Result<RecordBatch, JobError> {
        let (Some(seen), Some(lines)) = (&mut self.seen, table::texts(&batch, "command_line"))
        else {
            return Ok(batch);
        };
        let mut keep = Vec::with_capacity(lines.len());
        for line in lines {
            let key = key(line.unwrap_or_default());
            let before = seen.get(&key).copied();
            match before {
                Some(true) => account.left_out.contradicted += 1,
                Some(false) => account.left_out.known += 1,
                None => {
                    seen.insert(key, false);
                }
            }
            keep.push(before.is_none());
        }
        kept(&batch, keep)
    }

    /// Rows without their secrets, or as they are where nothing is cut. A line of which it cannot be shown that nothing secret is left is left out.
    ///
    /// # Errors
    /// When a batch cannot be made.
    pub(super) fn redacted(
        &self,
        batch: RecordBatch,
        account: &mut Account,
    ) -> Result<RecordBatch, JobError> {
        let Some(key) = &self.redaction else {
            return Ok(batch);
        };
        let users = table::texts(&batch, "user");
        let clean = |text: &str, row: usize| {
            let decoded = decode(text);
            let user = users.filter(|u| u.is_valid(row)).map(|u| u.value(row));
            let names: Vec<&str> = user.into_iter().collect();
            if decoded.undecoded {
                return None;
            }
            redact(text, &decoded.texts, &names, key)
                .ok()
                .map(|redacted| redacted.text)
        };
        let mut columns = vec![];
        let mut keep = vec![true; batch.num_rows()];
        let schema = table::schema(true);
        for field in schema.fields() {
            let name = field.name().as_str();
            let column = batch.column_by_name(name).cloned().ok_or_else(|| {
                JobError::Internal(format!("an exported row has no column {name}"))
            })?;
            let text = matches!(
                name,
                "command_line" | "image" | "parent_image" | "parent_command_line"
            );
            let Some(texts) = table::texts(&batch, name).filter(|_| text) else {
                columns.push(column);
                continue;
            };
            let cut = texts.iter().enumerate().map(|(row, text)| {
                let cut = text.and_then(|text| clean(text, row));
                if name == "command_line" {
                    keep[row] = cut.is_some();
                    return Some(cut.unwrap_or_default());
                }
                cut
            });
            columns.push(Arc::new(cut.collect::<StringArray>()));
        }
        account.left_out.refused += keep.iter().filter(|keep| !**keep).count() as u64;
        let batch = RecordBatch::try_new(schema, columns).map_err(|e| JobError::Query(e.into()))?;
        kept(&batch, keep)
    }
}

fn kept(
    batch: &RecordBatch,
    keep: impl IntoIterator<Item = bool>,
) -> Result<RecordBatch, JobError> {
    let keep = BooleanArray::from(keep.into_iter().collect::<Vec<_>>());
    filter_record_batch(batch, &keep).map_err(|e| JobError::Query(e.into()))
}

/// Blanks at the ends aside, as leaks are judged.
fn key(line: &str) -> [u8; 16] {
    let hash = blake3::hash(line.trim().as_bytes());
    let mut key = [0; 16];
    for (to, from) in key.iter_mut().zip(hash.as_bytes()) {
        *to = *from;
    }
    key
}
