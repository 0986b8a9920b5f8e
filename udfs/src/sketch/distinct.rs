//! How many distinct values a stream holds, in at most 520 bytes: k minimum values (KMV).
//!
//! Each value is hashed to a uniform 64-bit number; the sketch keeps the 65 smallest. Up to 64 distinct values the
//! answer is exact, which is where it matters here: almost every command line ran on a handful of hosts. Beyond, the
//! 65th smallest hash tells how densely the numbers lie (Bar-Yossef et al. 2002; Beyer et al. 2007): the estimate 64 /
//! U(65) is unbiased, with a relative standard error of 1/√63, about 12.5%.
//!
//! `HyperLogLog` of the same size is closer for millions of distinct values, but not exact for few, which is the common
//! case here. KMV's bytes *are* its values, ascending, 8 bytes each: one column of
//! binary, no envelope, because millions of rows carry one.
//!
//! Cost: one compare for a hash above the limit, else a binary search and a move of at most 520 bytes.

use crate::learner::LearnerError;
use crate::rng::mix;

/// Up to this many distinct values the count is exact.
pub const EXACT: usize = 64;

/// Kept values: one more than [`EXACT`], so that "exactly 64" and "more than 64" are told apart.
const KEPT: usize = EXACT + 1;

const KIND: &str = "distinct";

/// A distinct counter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kmv {
    /// Ascending, without duplicates, at most [`KEPT`].
    hashes: Vec<u64>,
}

impl Kmv {
    /// The counter that saw nothing: the identity of [`Kmv::merge`].
    #[must_use]
    pub const fn new() -> Self {
        Self { hashes: Vec::new() }
    }

    /// Counts a value by its text.
    pub fn add(&mut self, value: &str) {
        self.add_hash(text_hash(value));
    }

    /// Counts a value by a hash of it, which must be uniform over 64 bits.
    pub fn add_hash(&mut self, hash: u64) {
        if self.hashes.len() == KEPT && self.hashes.last().is_some_and(|last| hash >= *last) {
            return;
        }
        if let Err(place) = self.hashes.binary_search(&hash) {
            self.hashes.truncate(KEPT - 1);
            self.hashes.insert(place, hash);
        }
    }

    /// Adds everything that `other` saw.
    pub fn merge(&mut self, other: &Self) {
        for hash in &other.hashes {
            self.add_hash(*hash);
        }
    }

    /// Distinct values: exact up to [`EXACT`], an estimate beyond.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate within 12.5%; the quotient is positive and a float-to-integer cast saturates"
    )]
    pub fn estimate(&self) -> u64 {
        match self.hashes.last() {
            Some(last) if self.hashes.len() == KEPT => {
                let share = (*last as f64 + 1.0) / 2_f64.powi(64);
                ((EXACT as f64 / share).round() as u64).max(KEPT as u64)
            }
            _ => self.hashes.len() as u64,
        }
    }

    /// Memory on the heap, in bytes.
    #[must_use]
    pub fn held(&self) -> usize {
        self.hashes.capacity() * size_of::<u64>()
    }

    /// The kept hashes, little-endian, ascending: 8 bytes each. The empty counter has no bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.hashes
            .iter()
            .flat_map(|hash| hash.to_le_bytes())
            .collect()
    }

    /// Reads what [`Kmv::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`LearnerError::Damaged`] unless the bytes are at most 65 ascending numbers of 8 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LearnerError> {
        let damaged = |reason| LearnerError::Damaged {
            kind: KIND,
            reason,
            len: bytes.len(),
        };
        let (numbers, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() || numbers.len() > KEPT {
            return Err(damaged("not at most 65 numbers of 8 bytes"));
        }
        let hashes: Vec<u64> = numbers
            .iter()
            .map(|number| u64::from_le_bytes(*number))
            .collect();
        if hashes.is_sorted_by(|a, b| a < b) {
            Ok(Self { hashes })
        } else {
            Err(damaged("not ascending"))
        }
    }
}

/// FNV-1a over the bytes, then a finaliser that spreads it over all 64 bits. About 1 ns a byte, the same on every
/// platform and in every version; an adversary could aim collisions at it, but gains only a lower count of hosts.
#[must_use]
pub fn text_hash(value: &str) -> u64 {
    mix(fnv1a(value.as_bytes()))
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: impl Iterator<Item = u32>) -> Kmv {
        let mut kmv = Kmv::new();
        for name in names {
            kmv.add(&format!("host-{name}"));
        }
        kmv
    }

    #[test]
    fn the_text_hash_is_fnv_1a_with_a_finaliser() {
        assert_eq!(fnv1a(b""), 0xCBF2_9CE4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xAF63_DC4C_8601_EC8C);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_F739_67E8);
    }

    #[test]
    fn up_to_64_distinct_values_the_count_is_exact_however_often_each_comes() {
        for n in [0, 1, 2, 17, 63, 64] {
            assert_eq!(of((0..n).chain(0..n)).estimate(), u64::from(n));
        }
        assert!(of(0..65).estimate() >= 65);
    }

    #[test]
    fn beyond_64_the_error_is_the_theory_s() {
        let truth = 20_000.0;
        let errors: Vec<f64> = (0..60_u32)
            .map(|set| {
                f64::from(u32::try_from(of(set * 20_000..(set + 1) * 20_000).estimate()).unwrap())
                    / truth
                    - 1.0
            })
            .collect();
        let bias = errors.iter().sum::<f64>() / 60.0;
        let rms = (errors.iter().map(|e| e * e).sum::<f64>() / 60.0).sqrt();
        assert!(bias.abs() < 0.05, "{bias}");
        assert!((0.09..0.17).contains(&rms), "{rms}");
    }

    #[test]
    fn every_split_and_merge_order_gives_the_same_bytes() {
        let whole = of(0..500);
        for parts in [2, 3, 7, 500] {
            let mut states: Vec<Kmv> = (0..parts)
                .map(|part| of((0..500).filter(move |i| i % parts == part)))
                .collect();
            states.push(Kmv::new());
            for order in 0..2 {
                let mut merged = Kmv::new();
                for i in 0..states.len() {
                    merged.merge(&states[if order == 0 { i } else { states.len() - 1 - i }]);
                }
                merged.merge(&merged.clone());
                assert_eq!(merged.to_bytes(), whole.to_bytes());
            }
        }
    }

    #[test]
    fn bytes_are_eight_a_value_and_round_trip_and_damaged_ones_are_refused() {
        for n in [0, 3, 1000] {
            let kmv = of(0..n);
            assert_eq!(kmv.to_bytes().len(), 8 * (n as usize).min(65));
            assert_eq!(Kmv::from_bytes(&kmv.to_bytes()), Ok(kmv));
        }
        let bytes = of(0..3).to_bytes();
        assert!(Kmv::from_bytes(&bytes[..9]).is_err());
        assert!(Kmv::from_bytes(&[&bytes[8..16], &bytes[..8]].concat()).is_err());
        assert!(
            Kmv::from_bytes(&[&bytes[..8], &bytes[..8]].concat()).is_err(),
            "a duplicate"
        );
        assert!(
            Kmv::from_bytes(&(0..66_u64).flat_map(u64::to_le_bytes).collect::<Vec<_>>()).is_err()
        );
    }
}
