//! Counts of hashed things in a table of fixed size: adds up cell by cell, never too low.

use prost::Message;

/// Rows, each addressed by its own half of the hash (count-min: Cormode and Muthukrishnan 2005).
const ROWS: usize = 2;
/// log2 of the cells of a row.
const BITS: u32 = 18;

/// How often hashed things occurred: exact but for the rare collision in both rows, which only adds. Saturates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Empty until the first count.
    cells: Vec<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct CountsMessage {
    /// The distance from the last cell that is not 0.
    #[prost(uint32, repeated, tag = "1")]
    gaps: Vec<u32>,
    #[prost(uint32, repeated, tag = "2")]
    counts: Vec<u32>,
}

fn places(hash: u64) -> [usize; ROWS] {
    let mask = (1_u64 << BITS) - 1;
    let place = |bits: u64| usize::try_from(bits & mask).unwrap_or_default();
    [place(hash), (1 << BITS) | place(hash >> 32)]
}

impl Counts {
    /// Counts one more.
    pub fn add(&mut self, hash: u64) {
        if self.cells.is_empty() {
            self.cells = vec![0; ROWS << BITS];
        }
        for place in places(hash) {
            if let Some(cell) = self.cells.get_mut(place) {
                *cell = cell.saturating_add(1);
            }
        }
    }

    /// How often it occurred.
    #[must_use]
    pub fn get(&self, hash: u64) -> u32 {
        let cell = |place: usize| self.cells.get(place).copied().unwrap_or(0);
        places(hash).into_iter().map(cell).min().unwrap_or(0)
    }

    /// Adds another table. Associative and commutative.
    pub fn merge(&mut self, other: &Self) {
        if self.cells.is_empty() {
            self.cells.clone_from(&other.cells);
            return;
        }
        for (mine, theirs) in self.cells.iter_mut().zip(&other.cells) {
            *mine = mine.saturating_add(*theirs);
        }
    }

    pub(crate) fn message(&self) -> CountsMessage {
        let mut message = CountsMessage::default();
        let mut next = 0;
        for (index, count) in (0_u32..).zip(&self.cells).filter(|(_, count)| **count > 0) {
            message.gaps.push(index - next);
            message.counts.push(*count);
            next = index + 1;
        }
        message
    }

    /// `None` where the message is not one that [`Self::message`] made.
    pub(crate) fn from_message(message: &CountsMessage) -> Option<Self> {
        if message.gaps.len() != message.counts.len() {
            return None;
        }
        let mut counts = Self::default();
        if !message.gaps.is_empty() {
            counts.cells = vec![0; ROWS << BITS];
        }
        let mut next = 0_usize;
        for (gap, count) in message.gaps.iter().zip(&message.counts) {
            let index = next.checked_add(usize::try_from(*gap).ok()?)?;
            *counts.cells.get_mut(index)? = *count;
            next = index + 1;
        }
        Some(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::mix;

    #[test]
    fn counts_are_never_too_low_and_parts_add_up() {
        let (mut a, mut b, mut whole) = (Counts::default(), Counts::default(), Counts::default());
        for i in 0..5_000_u64 {
            let hash = mix(i % 1_000);
            whole.add(hash);
            if i % 3 == 0 { a.add(hash) } else { b.add(hash) }
        }
        b.merge(&a);
        assert_eq!(b, whole);
        assert!((0..1_000).all(|i| whole.get(mix(i)) >= 5));
        assert_eq!(whole.get(mix(77)), 5);
        assert_eq!(whole.get(mix(1_000_000)), 0);
        assert_eq!(Counts::from_message(&whole.message()), Some(whole));
        assert_eq!(
            Counts::from_message(&Counts::default().message()),
            Some(Counts::default())
        );
    }
}
