//! How many documents hold each word, and how often each character comes after four others: what the corpus model is made of.
//!
//! **What.** A document is a command line. [`DocumentFrequencies`] counts, for every word, the lines that hold it, and for
//! every four bytes the byte that follows (`AnoMark`, order 4). It is partial state and model at once: partitions each
//! build one, the driver adds them up, and the features of family D read the sum.
//!
//! **Why so.** Tables of a fixed size (count-min: Cormode and Muthukrishnan 2005) add up cell by cell, which is
//! associative and commutative with the empty state as identity, so the bytes are the same for any split and merge
//! order; an exact dictionary of a day's words has no bound. A count-min count is never too low, and too high by at
//! most the share of other words in the same cells. Counters saturate at 2^32 - 1, which keeps those laws. Plain,
//! not conservative, update: the latter counts better but does not merge.
//!
//! **Normalisation.** Words hash as [`token_hash`] says. In n-grams a digit counts as `0`, so that numbers do not look
//! rare. `AnoMark` reads the first hundred characters at most; here the first [`MAX_BYTES`] bytes count.
//!
//! **Cost.** 7 MiB of tables, allocated with the first line; a look-up of a word reads two cells. Merging takes 1 ms. Lines
//! are scored by a [`CorpusModel`], whose tables of n-grams are a quarter as large. As bytes: only counters that are not 0, delta-coded, so an empty state is a few bytes and a full one
//! at most some 8 MB.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "features are f32: seven digits of a count suffice"
)]

use crate::text::tokens::{token_hash, words};
use prost::Message;

mod model;

pub use model::CorpusModel;

/// N-grams beyond this many bytes of a line are neither counted nor scored: a bound on the cost of one line.
pub const MAX_BYTES: usize = 16 * 1024;
/// Rows of the word table.
const ROWS: usize = 2;
/// log2 of the cells of a row.
const ROW_BITS: u32 = 18;
/// log2 of the cells for contexts of four bytes.
const CONTEXT_BITS: u32 = 18;
/// log2 of the cells for contexts and the byte after.
const TRANSITION_BITS: u32 = 20;
/// Multiplicative hashing (Knuth): odd factors, of which the product's high bits are kept; two of them, so that contexts
/// that share a cell do not share those of their transitions too.
const CONTEXT_FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
const TRANSITION_FACTOR: u64 = 0xd6e8_feb8_6659_fd93;
/// Changes with the layout or the meaning of the tables.
const VERSION: u32 = 1;

/// Why bytes are no [`DocumentFrequencies`].
#[derive(Debug, thiserror::Error)]
pub enum DocumentFrequencyError {
    /// The bytes are no message.
    #[error("document frequencies cannot be decoded")]
    Decode(#[from] prost::DecodeError),
    /// The message is of another version.
    #[error("document frequencies are of version {0}, expected {VERSION}")]
    Version(u32),
    /// A table is not what [`DocumentFrequencies::to_bytes`] writes.
    #[error("the table '{0}' of the document frequencies is damaged")]
    Table(&'static str),
    /// The content does not have the checksum that was written with it.
    #[error("the document frequencies do not match their checksum")]
    Checksum,
}

#[derive(Clone, PartialEq, Message)]
struct TableMessage {
    /// The distance from the last counter that is not 0, the first from -1.
    #[prost(uint32, repeated, tag = "1")]
    gaps: Vec<u32>,
    #[prost(uint32, repeated, tag = "2")]
    counts: Vec<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct StateMessage {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(uint64, tag = "2")]
    documents: u64,
    #[prost(message, optional, tag = "3")]
    words: Option<TableMessage>,
    #[prost(message, optional, tag = "4")]
    contexts: Option<TableMessage>,
    #[prost(message, optional, tag = "5")]
    transitions: Option<TableMessage>,
    /// BLAKE3 of the message without this field.
    #[prost(bytes = "vec", tag = "6")]
    checksum: Vec<u8>,
}

/// What is counted, and a part of it.
#[derive(Debug, Clone, Default)]
pub struct DocumentFrequencies {
    documents: u64,
    // Each empty until the first line, so that an identity costs nothing.
    words: Vec<u32>,
    contexts: Vec<u32>,
    transitions: Vec<u32>,
    /// The words of the line at hand: scratch, no part of the state.
    scratch: Vec<u64>,
}

impl PartialEq for DocumentFrequencies {
    fn eq(&self, other: &Self) -> bool {
        self.documents == other.documents
            && self.words == other.words
            && self.contexts == other.contexts
            && self.transitions == other.transitions
    }
}

impl DocumentFrequencies {
    /// The state of no lines: the identity of [`Self::merge`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a line. An empty line is a document of no words. Time: linear, and n log n in its words.
    pub fn add_line(&mut self, line: &str) {
        self.allocate();
        self.documents = self.documents.saturating_add(1);
        let mut hashes = std::mem::take(&mut self.scratch);
        hashes.clear();
        hashes.extend(words(line).map(token_hash));
        hashes.sort_unstable();
        hashes.dedup();
        for hash in &hashes {
            for cell in word_cells(*hash) {
                raise(&mut self.words, cell, 1);
            }
        }
        self.scratch = hashes;
        for (context, transition) in transitions(line) {
            raise(&mut self.contexts, context, 1);
            raise(&mut self.transitions, transition, 1);
        }
    }

    /// Adds another state's counts to this one's. Associative and commutative; [`Self::new`] is the identity.
    pub fn merge(&mut self, other: &Self) {
        if other.words.is_empty() {
            return;
        }
        self.allocate();
        self.documents = self.documents.saturating_add(other.documents);
        for (mine, theirs) in [
            (&mut self.words, &other.words),
            (&mut self.contexts, &other.contexts),
            (&mut self.transitions, &other.transitions),
        ] {
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                *mine = mine.saturating_add(*theirs);
            }
        }
    }

    /// The number of lines counted.
    #[must_use]
    pub fn documents(&self) -> u64 {
        self.documents
    }

    /// The number of lines that hold the word of this hash: never too low, too high by collisions only.
    #[must_use]
    pub fn document_frequency(&self, token_hash: u64) -> u32 {
        word_cells(token_hash)
            .into_iter()
            .map(|cell| at(&self.words, cell))
            .min()
            .unwrap_or(0)
    }

    /// ln((1 + documents) / (1 + document frequency)) + 1, the smoothed form of scikit-learn: at least 1, at most 46.
    #[must_use]
    pub fn idf(&self, document_frequency: u32) -> f32 {
        let ratio = (self.documents as f64 + 1.0) / (f64::from(document_frequency) + 1.0);
        ((ratio as f32).ln() + 1.0).max(1.0)
    }

    /// The state as bytes: equal states, equal bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut message = StateMessage {
            version: VERSION,
            documents: self.documents,
            words: sparse(&self.words),
            contexts: sparse(&self.contexts),
            transitions: sparse(&self.transitions),
            checksum: Vec::new(),
        };
        message.checksum = blake3::hash(&message.encode_to_vec()).as_bytes().to_vec();
        message.encode_to_vec()
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// When the bytes are no such message, of another version, or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DocumentFrequencyError> {
        let mut message = StateMessage::decode(bytes)?;
        if message.version != VERSION {
            return Err(DocumentFrequencyError::Version(message.version));
        }
        let checksum = std::mem::take(&mut message.checksum);
        if checksum != blake3::hash(&message.encode_to_vec()).as_bytes() {
            return Err(DocumentFrequencyError::Checksum);
        }
        let mut state = Self::new();
        if message.documents > 0 {
            state.allocate();
        }
        state.documents = message.documents;
        dense(message.words.as_ref(), &mut state.words, "words")?;
        dense(message.contexts.as_ref(), &mut state.contexts, "contexts")?;
        dense(
            message.transitions.as_ref(),
            &mut state.transitions,
            "transitions",
        )?;
        Ok(state)
    }

    fn allocate(&mut self) {
        if self.words.is_empty() {
            self.words = vec![0; ROWS << ROW_BITS];
            self.contexts = vec![0; 1 << CONTEXT_BITS];
            self.transitions = vec![0; 1 << TRANSITION_BITS];
        }
    }
}

/// The cells of a word, one a row: the hash's halves, which are independent.
fn word_cells(hash: u64) -> [usize; ROWS] {
    let mask = (1 << ROW_BITS) - 1;
    let first = (hash & mask) as usize;
    let second = (hash >> 32 & mask) as usize;
    [first, (1 << ROW_BITS) | second]
}

/// For each byte of a line the cell of the four bytes before it, and the cell of those and itself.
fn transitions(line: &str) -> impl Iterator<Item = (usize, usize)> + '_ {
    let mut context = 0_u32;
    line.as_bytes().iter().take(MAX_BYTES).map(move |byte| {
        let byte = if byte.is_ascii_digit() { b'0' } else { *byte };
        let next = u64::from(context) << 8 | u64::from(byte);
        let cells = (
            (u64::from(context).wrapping_mul(CONTEXT_FACTOR) >> (64 - CONTEXT_BITS)) as usize,
            (next.wrapping_mul(TRANSITION_FACTOR) >> (64 - TRANSITION_BITS)) as usize,
        );
        context = context << 8 | u32::from(byte);
        cells
    })
}

#[inline]
fn at(table: &[u32], cell: usize) -> u32 {
    table.get(cell).copied().unwrap_or(0)
}

#[inline]
fn raise(table: &mut [u32], cell: usize, by: u32) {
    if let Some(count) = table.get_mut(cell) {
        *count = count.saturating_add(by);
    }
}

fn sparse(table: &[u32]) -> Option<TableMessage> {
    let mut message = TableMessage::default();
    let mut next = 0;
    for (index, count) in (0_u32..).zip(table).filter(|(_, count)| **count > 0) {
        message.gaps.push(index - next);
        message.counts.push(*count);
        next = index + 1;
    }
    (!message.gaps.is_empty()).then_some(message)
}

fn dense(
    message: Option<&TableMessage>,
    table: &mut [u32],
    name: &'static str,
) -> Result<(), DocumentFrequencyError> {
    let Some(message) = message else {
        return Ok(());
    };
    let damaged = || DocumentFrequencyError::Table(name);
    if message.gaps.len() != message.counts.len() {
        return Err(damaged());
    }
    let mut next = 0_u64;
    for (gap, count) in message.gaps.iter().zip(&message.counts) {
        let index = next + u64::from(*gap);
        let cell = usize::try_from(index)
            .ok()
            .and_then(|index| table.get_mut(index))
            .ok_or_else(damaged)?;
        if *count == 0 {
            return Err(damaged());
        }
        *cell = *count;
        next = index + 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
