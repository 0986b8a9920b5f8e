//! A uniform sample of rows that does not depend on how the rows arrive: bottom-k by key.
//!
//! Each row has a 64-bit key, a hash of its content and a seed. The k rows of smallest key are a uniform sample without
//! replacement (Thorup 2013, "Bottom-k and priority sampling"), and *which* rows they are depends on the content alone:
//! not on file, partition, executor or order. Reservoir sampling has none of that, and two reservoirs do not merge
//! without drawing again. Scaler, k-means and isolation forest are fitted on it.
//!
//! Two rows of one key (a row counted twice by a retried task, or a collision, which 64 bits make rare) are one row:
//! the one whose feature bits are smaller. So the state is a semilattice: merging is associative, commutative and
//! idempotent.
//!
//! Cost: one compare for a row above the limit. Others are appended, up to 2k rows, and then cut back to k, so
//! adding n rows costs n compares and about `k·ln(n/k)` appended rows. Memory: at most 2k rows of `4d + 8` bytes.

use crate::learner::{LearnerError, open, same_size, seal, to_u32, to_usize};
use gleaner_proto::learners as wire;

const KIND: &str = "sample";
const VERSION: u32 = 1;

/// The k rows of smallest key.
#[derive(Debug, Clone)]
pub struct SampleState {
    k: usize,
    d: usize,
    keys: Vec<u64>,
    /// Row-major, one row a key.
    features: Vec<f32>,
    /// Once k rows are known: no row of a larger key can be kept.
    limit: u64,
}

impl SampleState {
    /// The sample of no rows: the identity of [`SampleState::merge`] for this `k` and `d`.
    ///
    /// # Errors
    /// [`LearnerError::Parameter`] when `k` is not in 1..=2³⁰ or `d` is not in 1..=65,535.
    pub fn new(k: usize, d: usize) -> Result<Self, LearnerError> {
        let outside = |parameter, expected, got: usize| LearnerError::Parameter {
            learner: KIND,
            parameter,
            expected,
            got: got.to_string(),
        };
        if k == 0 || k > 1 << 30 {
            return Err(outside("k", "1 to 2^30 rows", k));
        }
        if d == 0 || d > usize::from(u16::MAX) {
            return Err(outside("d", "1 to 65535 features", d));
        }
        Ok(Self {
            k,
            d,
            keys: Vec::new(),
            features: Vec::new(),
            limit: u64::MAX,
        })
    }

    /// Features a row.
    #[must_use]
    pub const fn dimension(&self) -> usize {
        self.d
    }

    /// The most rows it keeps.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.k
    }

    /// Offers a row. Every NaN is stored as the same NaN, so that its payload is no part of the bytes.
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when the row does not have `d` features.
    pub fn add(&mut self, key: u64, row: &[f32]) -> Result<(), LearnerError> {
        same_size(KIND, "features a row", self.d, row.len())?;
        self.push(key, row);
        Ok(())
    }

    fn push(&mut self, key: u64, row: &[f32]) {
        if key > self.limit {
            return;
        }
        self.keys.push(key);
        self.features.extend(
            row.iter()
                .map(|value| if value.is_nan() { f32::NAN } else { *value }),
        );
        if self.keys.len() >= 2 * self.k {
            self.compact();
        }
    }

    /// Adds everything that `other` kept.
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when the two differ in `k` or `d`.
    pub fn merge(&mut self, other: &Self) -> Result<(), LearnerError> {
        same_size(KIND, "k", self.k, other.k)?;
        same_size(KIND, "features a row", self.d, other.d)?;
        for (key, row) in other.keys.iter().zip(other.features.chunks_exact(other.d)) {
            self.push(*key, row);
        }
        Ok(())
    }

    /// The kept rows, in ascending order of key; at most k.
    #[must_use]
    pub fn rows(&self) -> Vec<(u64, &[f32])> {
        self.order()
            .into_iter()
            .map(|row| (self.keys[row], self.row(row)))
            .collect()
    }

    /// The kept rows as two columns: keys ascending, and features row-major.
    #[must_use]
    pub fn columns(&self) -> (Vec<u64>, Vec<f32>) {
        let order = self.order();
        let mut features = Vec::with_capacity(order.len() * self.d);
        for row in &order {
            features.extend_from_slice(self.row(*row));
        }
        (order.iter().map(|row| self.keys[*row]).collect(), features)
    }

    /// The same bytes for the same rows, however they arrived.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let (keys, features) = self.columns();
        seal(
            KIND,
            VERSION,
            &wire::Sample {
                k: to_u32(self.k),
                d: to_u32(self.d),
                keys,
                features,
            },
        )
    }

    /// Reads what [`SampleState::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`LearnerError::Damaged`] or [`LearnerError::Version`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LearnerError> {
        let damaged = |reason| LearnerError::Damaged {
            kind: KIND,
            reason,
            len: bytes.len(),
        };
        let message: wire::Sample = open(KIND, VERSION, bytes)?;
        let mut state =
            Self::new(to_usize(message.k), to_usize(message.d)).map_err(|_| damaged("k or d"))?;
        if message.keys.len() > state.k || !message.keys.is_sorted_by(|a, b| a < b) {
            return Err(damaged("keys are not ascending"));
        }
        if message.keys.len().checked_mul(state.d) != Some(message.features.len()) {
            return Err(damaged("features do not fit the keys"));
        }
        if let Some(last) = message
            .keys
            .last()
            .filter(|_| message.keys.len() == state.k)
        {
            state.limit = *last;
        }
        state.keys = message.keys;
        state.features = message.features;
        Ok(state)
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.features[row * self.d..(row + 1) * self.d]
    }

    /// Row numbers in ascending order of key, one a key, at most k.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.keys.len()).collect();
        let bits = |row: usize| self.row(row).iter().map(|value| value.to_bits());
        order.sort_unstable_by(|a, b| {
            self.keys[*a]
                .cmp(&self.keys[*b])
                .then_with(|| bits(*a).cmp(bits(*b)))
        });
        order.dedup_by_key(|row| self.keys[*row]);
        order.truncate(self.k);
        order
    }

    fn compact(&mut self) {
        let (keys, features) = self.columns();
        if let Some(last) = keys.last().filter(|_| keys.len() == self.k) {
            self.limit = *last;
        }
        self.keys.clear();
        self.keys.extend_from_slice(&keys);
        self.features.clear();
        self.features.extend_from_slice(&features);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{SplitMix64, mix};

    fn row(i: u32) -> (u64, [f32; 2]) {
        #[expect(clippy::cast_precision_loss, reason = "small test numbers")]
        let x = i as f32;
        (mix(u64::from(i)), [x, -x])
    }

    fn of(k: usize, rows: &[(u64, [f32; 2])]) -> SampleState {
        let mut state = SampleState::new(k, 2).unwrap();
        for (key, row) in rows {
            state.add(*key, row).unwrap();
        }
        state
    }

    #[test]
    fn it_keeps_the_rows_of_smallest_key() {
        let rows: Vec<_> = (0..1000).map(row).collect();
        let mut sorted = rows.clone();
        sorted.sort_by_key(|(key, _)| *key);
        let state = of(10, &rows);
        let kept: Vec<(u64, [f32; 2])> = state
            .rows()
            .into_iter()
            .map(|(key, row)| (key, [row[0], row[1]]))
            .collect();
        assert_eq!(kept, sorted[..10]);
        assert!(state.keys.len() < 20);
    }

    #[test]
    fn every_split_and_merge_order_gives_the_same_bytes() {
        let rows: Vec<_> = (0..997).chain(0..50).map(row).collect();
        for k in [1, 7, 100, 5000] {
            let whole = of(k, &rows).to_bytes();
            for parts in [2_usize, 5, 40] {
                let mut rng = SplitMix64::new(parts as u64);
                let mut split = vec![Vec::new(); parts];
                for row in &rows {
                    split[rng.below(parts)].push(*row);
                }
                let mut states: Vec<_> = split.iter().map(|part| of(k, part)).collect();
                states.push(of(k, &[]));
                while states.len() > 1 {
                    let taken = states.swap_remove(rng.below(states.len()));
                    let taken = SampleState::from_bytes(&taken.to_bytes()).unwrap();
                    let into = rng.below(states.len());
                    states[into].merge(&taken).unwrap();
                }
                assert_eq!(states[0].to_bytes(), whole);
            }
        }
    }

    #[test]
    fn a_state_merged_with_itself_or_with_nothing_is_unchanged() {
        let state = of(10, &(0..100).map(row).collect::<Vec<_>>());
        let mut merged = state.clone();
        merged.merge(&state).unwrap();
        merged.merge(&of(10, &[])).unwrap();
        assert_eq!(merged.to_bytes(), state.to_bytes());
    }

    #[test]
    fn two_rows_of_one_key_are_the_one_with_smaller_bits() {
        let (a, b) = ((5, [1.0, 2.0]), (5, [1.0, 3.0]));
        assert_eq!(of(3, &[a, b]).to_bytes(), of(3, &[b, a]).to_bytes());
        assert_eq!(of(3, &[b, a]).rows(), vec![(5, [1.0, 2.0].as_slice())]);
        let many: Vec<_> = (0..100).map(|_| a).chain([(9, [0.0, 0.0])]).collect();
        assert_eq!(
            of(2, &many).rows().len(),
            2,
            "duplicates do not push out distinct rows"
        );
    }

    #[test]
    fn the_largest_key_is_kept_too() {
        assert_eq!(of(2, &[(u64::MAX, [1.0, 1.0])]).rows().len(), 1);
    }

    #[test]
    fn any_nan_gives_the_same_bytes() {
        let odd = f32::from_bits(0x7FC0_1234);
        assert_eq!(
            of(2, &[(1, [odd, 0.0])]).to_bytes(),
            of(2, &[(1, [-f32::NAN, 0.0])]).to_bytes()
        );
    }

    #[test]
    fn other_shapes_and_damaged_bytes_are_refused() {
        let mut state = of(2, &[row(1)]);
        assert!(state.add(1, &[0.0]).is_err());
        assert!(state.merge(&of(3, &[])).is_err());
        assert!(state.merge(&SampleState::new(2, 3).unwrap()).is_err());
        assert!(
            SampleState::new(0, 2)
                .unwrap_err()
                .to_string()
                .contains("`k` must be 1 to 2^30 rows, got 0")
        );
        assert!(SampleState::new(2, 70_000).is_err());
        for message in [
            wire::Sample {
                k: 0,
                d: 1,
                keys: vec![],
                features: vec![],
            },
            wire::Sample {
                k: 1,
                d: 1,
                keys: vec![1, 2],
                features: vec![0.0; 2],
            },
            wire::Sample {
                k: 4,
                d: 1,
                keys: vec![2, 1],
                features: vec![0.0; 2],
            },
            wire::Sample {
                k: 4,
                d: 2,
                keys: vec![1, 2],
                features: vec![0.0; 3],
            },
        ] {
            assert!(SampleState::from_bytes(&seal(KIND, VERSION, &message)).is_err());
        }
        assert!(SampleState::from_bytes(&[]).is_err());
    }
}
