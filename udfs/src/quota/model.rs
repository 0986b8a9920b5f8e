//! The finished list.

use super::partial::{Entry, decode, encode};
use crate::learner::{LearnerError, to_u32};

/// The n best rows, best first.
#[derive(Debug, Clone, PartialEq)]
pub struct Quota {
    n: usize,
    entries: Vec<Entry>,
}

impl Quota {
    pub(super) const fn of(n: usize, entries: Vec<Entry>) -> Self {
        Self { n, entries }
    }

    /// The place of a row, 1 being the highest score; `None` when it is outside of the quota or its score is NaN.
    /// One binary search: about 20 compares for a million rows.
    #[must_use]
    pub fn rank(&self, score: f32, hash: u128) -> Option<u32> {
        let wanted = Entry {
            score: score + 0.0,
            hash,
        };
        self.entries
            .binary_search_by(|entry| entry.order(&wanted))
            .ok()
            .map(|place| to_u32(place + 1))
    }

    /// The lowest score inside the quota; `None` when nothing is.
    #[must_use]
    pub fn threshold(&self) -> Option<f32> {
        self.entries.last().map(|entry| entry.score)
    }

    /// How many rows it holds: `n`, or fewer where fewer were offered.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds no row.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The rows, best first: (score, hash).
    pub fn rows(&self) -> impl Iterator<Item = (f32, u128)> + '_ {
        self.entries.iter().map(|entry| (entry.score, entry.hash))
    }

    /// Bytes, 20 a row.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self.n, &self.entries)
    }

    /// Reads what [`Quota::to_bytes`] or [`super::QuotaState::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`LearnerError::Damaged`] or [`LearnerError::Version`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LearnerError> {
        decode(bytes).map(|(n, entries)| Self { n, entries })
    }
}
