//! The mergeable half of [`super::Quota`].

use super::{KIND, Quota, VERSION};
use crate::learner::{LearnerError, open, same_size, seal};
use gleaner_proto::learners as wire;
use std::cmp::Ordering;

/// A row by what decides its place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Entry {
    pub(super) score: f32,
    pub(super) hash: u128,
}

impl Entry {
    /// Best first: score descending, then hash ascending.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        other
            .score
            .total_cmp(&self.score)
            .then(self.hash.cmp(&other.hash))
    }
}

/// The n best rows seen so far.
#[derive(Debug, Clone)]
pub struct QuotaState {
    n: usize,
    entries: Vec<Entry>,
    /// The worst of n known rows: nothing worse can be kept.
    border: Option<Entry>,
}

impl QuotaState {
    /// The state that saw nothing: the identity of [`QuotaState::merge`] for this `n`. A quota of 0 keeps nothing.
    ///
    /// # Errors
    /// [`LearnerError::Parameter`] when `n` is over 2³¹.
    pub fn new(n: usize) -> Result<Self, LearnerError> {
        if n > 1 << 31 {
            return Err(LearnerError::Parameter {
                learner: KIND,
                parameter: "n",
                expected: "at most 2^31 rows",
                got: n.to_string(),
            });
        }
        Ok(Self {
            n,
            entries: Vec::new(),
            border: None,
        })
    }

    /// Offers a row. A NaN score is passed over.
    pub fn add(&mut self, score: f32, hash: u128) {
        if score.is_nan() || self.n == 0 {
            return;
        }
        let entry = Entry {
            score: score + 0.0,
            hash,
        };
        if self
            .border
            .is_some_and(|border| entry.order(&border) == Ordering::Greater)
        {
            return;
        }
        self.entries.push(entry);
        if self.entries.len() >= 2 * self.n {
            self.entries = best(&self.entries, self.n);
            self.border = self
                .entries
                .last()
                .filter(|_| self.entries.len() == self.n)
                .copied();
        }
    }

    /// Adds everything that `other` kept.
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when the two differ in `n`.
    pub fn merge(&mut self, other: &Self) -> Result<(), LearnerError> {
        same_size(KIND, "rows of the quota", self.n, other.n)?;
        for entry in &other.entries {
            self.add(entry.score, entry.hash);
        }
        Ok(())
    }

    /// The list to look ranks up in.
    #[must_use]
    pub fn finish(&self) -> Quota {
        Quota::of(self.n, best(&self.entries, self.n))
    }

    /// The same bytes for the same rows, however they arrived; those of [`Quota::to_bytes`].
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self.n, &best(&self.entries, self.n))
    }

    /// Reads what [`QuotaState::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`LearnerError::Damaged`] or [`LearnerError::Version`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LearnerError> {
        let (n, entries) = decode(bytes)?;
        let border = entries.last().filter(|_| entries.len() == n).copied();
        Ok(Self { n, entries, border })
    }
}

/// The `n` best distinct entries, best first.
fn best(entries: &[Entry], n: usize) -> Vec<Entry> {
    let mut sorted = entries.to_vec();
    sorted.sort_unstable_by(Entry::order);
    sorted.dedup_by(|a, b| a.order(b) == Ordering::Equal);
    sorted.truncate(n);
    sorted
}

pub(super) fn encode(n: usize, entries: &[Entry]) -> Vec<u8> {
    let message = wire::Quota {
        n: n as u64,
        scores: entries.iter().map(|entry| entry.score).collect(),
        hashes: entries
            .iter()
            .flat_map(|entry| entry.hash.to_be_bytes())
            .collect(),
    };
    seal(KIND, VERSION, &message)
}

pub(super) fn decode(bytes: &[u8]) -> Result<(usize, Vec<Entry>), LearnerError> {
    let damaged = |reason| LearnerError::Damaged {
        kind: KIND,
        reason,
        len: bytes.len(),
    };
    let message: wire::Quota = open(KIND, VERSION, bytes)?;
    let n = usize::try_from(message.n).map_err(|_| damaged("n is too large"))?;
    QuotaState::new(n).map_err(|_| damaged("n is too large"))?;
    let (hashes, rest) = message.hashes.as_chunks::<16>();
    if !rest.is_empty() || hashes.len() != message.scores.len() || hashes.len() > n {
        return Err(damaged("scores and hashes differ in number"));
    }
    let entries: Vec<Entry> = message
        .scores
        .iter()
        .zip(hashes)
        .map(|(score, hash)| Entry {
            score: *score,
            hash: u128::from_be_bytes(*hash),
        })
        .collect();
    let ordered = entries.is_sorted_by(|a, b| a.order(b) == Ordering::Less);
    if !ordered || entries.iter().any(|entry| entry.score.is_nan()) {
        return Err(damaged("not in order"));
    }
    Ok((n, entries))
}
