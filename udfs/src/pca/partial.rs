//! Count, mean and co-moments: the mergeable half of PCA.

use pulp::bytemuck::cast_slice;
use pulp::{Simd, WithSimd};

use super::{KIND, VERSION};
use crate::learner::{LearnerError, open, row_count, same_size, seal, to_u32, to_usize};
use crate::panel::arch;
use gleaner_proto::learners as wire;

/// Rows summed at once. A fixed number, counted from the state's first row, so that the batch size of the engine is no
/// part of the result: the same rows in the same order give the same bytes however they are batched.
const BLOCK: usize = 256;

const STATE: &str = "pca moments";

/// Count, mean and sum of outer products of deviations of rows.
///
/// Merging is commutative to the bit and associative to rounding (a relative 1e-15 or so a merge), so the driver merges
/// in bucket order. The state of no rows is the identity, to the bit.
#[derive(Debug, Clone)]
pub struct Moments {
    d: usize,
    rows: u64,
    mean: Vec<f64>,
    /// Upper triangle, row by row: (0,0) (0,1) … (1,1) ….
    comoment: Vec<f64>,
    /// Rows that wait for their block to fill.
    waiting: Vec<f32>,
}

impl Moments {
    /// The moments of no rows.
    ///
    /// # Errors
    /// [`LearnerError::Parameter`] when `d` is not in 1..=8192: the state has `d²/2` numbers.
    pub fn new(d: usize) -> Result<Self, LearnerError> {
        if d == 0 || d > 8192 {
            return Err(LearnerError::Parameter {
                learner: KIND,
                parameter: "d",
                expected: "1 to 8192 features",
                got: d.to_string(),
            });
        }
        Ok(Self {
            d,
            rows: 0,
            mean: vec![0.0; d],
            comoment: vec![0.0; d * (d + 1) / 2],
            waiting: Vec::new(),
        })
    }

    /// Features a row.
    #[must_use]
    pub const fn dimension(&self) -> usize {
        self.d
    }

    /// Rows seen.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.rows + (self.waiting.len() / self.d) as u64
    }

    /// Adds rows (row-major, `d` features, scaled and so finite; one value that is not finite spoils the state, and the
    /// fit says so).
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when `d` is not the state's or does not divide `rows`.
    pub fn add(&mut self, rows: &[f32], d: usize) -> Result<(), LearnerError> {
        same_size(KIND, "features a row", self.d, d)?;
        row_count(KIND, rows.len(), d)?;
        let size = BLOCK * d;
        let (first, rest) = rows.split_at(rows.len().min(size - self.waiting.len()));
        self.waiting.extend_from_slice(first);
        if self.waiting.len() == size {
            let waiting = std::mem::take(&mut self.waiting);
            self.absorb(&waiting);
        }
        let mut blocks = rest.chunks_exact(size);
        for block in &mut blocks {
            self.absorb(block);
        }
        self.waiting.extend_from_slice(blocks.remainder());
        Ok(())
    }

    /// Adds everything that `other` saw.
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when the two differ in `d`.
    pub fn merge(&mut self, other: &Self) -> Result<(), LearnerError> {
        same_size(KIND, "features a row", self.d, other.d)?;
        self.flush();
        if other.waiting.is_empty() {
            self.chan(other.rows, &other.mean, &other.comoment);
        } else {
            let mut other = other.clone();
            other.flush();
            self.chan(other.rows, &other.mean, &other.comoment);
        }
        Ok(())
    }

    fn flush(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        self.absorb(&waiting);
    }

    #[expect(clippy::cast_precision_loss, reason = "at most 256 rows")]
    fn absorb(&mut self, rows: &[f32]) {
        let d = self.d;
        let count = rows.len() / d;
        if count == 0 {
            return;
        }
        let mut mean = vec![0.0; d];
        for row in rows.chunks_exact(d) {
            for (sum, value) in mean.iter_mut().zip(row) {
                *sum += f64::from(*value);
            }
        }
        for sum in &mut mean {
            *sum /= count as f64;
        }
        let mut comoment = vec![0.0; self.comoment.len()];
        let width = d.next_multiple_of(COLUMNS);
        let mut centred = vec![0.0; count * width];
        for (row, centred) in rows.chunks_exact(d).zip(centred.chunks_exact_mut(width)) {
            for ((out, value), mean) in centred.iter_mut().zip(row).zip(&mean) {
                *out = f64::from(*value) - mean;
            }
        }
        arch().dispatch(OuterProducts {
            rows: &centred,
            width,
            d,
            packed: &mut comoment,
        });
        self.chan(count as u64, &mean, &comoment);
    }

    /// The pairwise update of Chan, Golub & `LeVeque`.
    #[expect(clippy::cast_precision_loss, reason = "row counts stay below 2^53")]
    fn chan(&mut self, rows: u64, mean: &[f64], comoment: &[f64]) {
        if rows == 0 {
            return;
        }
        if self.rows == 0 {
            self.rows = rows;
            self.mean.copy_from_slice(mean);
            self.comoment.copy_from_slice(comoment);
            return;
        }
        let (a, b) = (self.rows as f64, rows as f64);
        let weight = a * b / (a + b);
        let apart: Vec<f64> = mean
            .iter()
            .zip(&self.mean)
            .map(|(theirs, ours)| theirs - ours)
            .collect();
        let mut rest = self.comoment.as_mut_slice();
        let mut theirs = comoment;
        for i in 0..self.d {
            let (line, below) = std::mem::take(&mut rest).split_at_mut(self.d - i);
            let (their_line, their_below) = theirs.split_at(self.d - i);
            for ((sum, their), other) in line.iter_mut().zip(their_line).zip(&apart[i..]) {
                *sum = (*sum + their) + apart[i] * other * weight;
            }
            (rest, theirs) = (below, their_below);
        }
        for (ours, theirs) in self.mean.iter_mut().zip(mean) {
            *ours = (*ours * a + theirs * b) / (a + b);
        }
        self.rows += rows;
    }

    /// Mean and covariance (divided by rows − 1; row-major, `d × d`, symmetric to the bit) of all rows.
    ///
    /// # Errors
    /// [`LearnerError::Fit`] with fewer than two rows, or when a value was not finite.
    #[expect(clippy::cast_precision_loss, reason = "row counts stay below 2^53")]
    pub fn covariance(&self) -> Result<(Vec<f64>, Vec<f64>), LearnerError> {
        let mut whole = self.clone();
        whole.flush();
        if whole.rows < 2 {
            return Err(LearnerError::Fit {
                learner: KIND,
                reason: "fewer than two rows",
            });
        }
        let d = self.d;
        let divisor = (whole.rows - 1) as f64;
        let mut covariance = vec![0.0; d * d];
        let mut packed = whole.comoment.iter();
        for i in 0..d {
            for (j, comoment) in (i..d).zip(&mut packed) {
                covariance[i * d + j] = comoment / divisor;
                covariance[j * d + i] = comoment / divisor;
            }
        }
        if covariance
            .iter()
            .chain(&whole.mean)
            .any(|value| !value.is_finite())
        {
            return Err(LearnerError::Fit {
                learner: KIND,
                reason: "a feature is not finite",
            });
        }
        Ok((whole.mean, covariance))
    }

    /// The same bytes for the same rows in the same order, however batched: `4d²` of them.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut whole = self.clone();
        whole.flush();
        let empty = whole.rows == 0;
        let message = wire::Moments {
            d: to_u32(whole.d),
            rows: whole.rows,
            mean: if empty { Vec::new() } else { whole.mean },
            comoment: if empty { Vec::new() } else { whole.comoment },
        };
        seal(STATE, VERSION, &message)
    }

    /// Reads what [`Moments::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`LearnerError::Damaged`] or [`LearnerError::Version`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LearnerError> {
        let damaged = |reason| LearnerError::Damaged {
            kind: STATE,
            reason,
            len: bytes.len(),
        };
        let message: wire::Moments = open(STATE, VERSION, bytes)?;
        let mut state =
            Self::new(to_usize(message.d)).map_err(|_| damaged("d is outside of its range"))?;
        let sizes = [message.mean.len(), message.comoment.len()];
        if message.rows == 0 && sizes == [0, 0] {
            return Ok(state);
        }
        if message.rows == 0 || sizes != [state.mean.len(), state.comoment.len()] {
            return Err(damaged("numbers do not fit d"));
        }
        state.rows = message.rows;
        state.mean = message.mean;
        state.comoment = message.comoment;
        Ok(state)
    }
}

/// Features of a tile's side, and what the other side is a multiple of.
const LINES: usize = 4;
const COLUMNS: usize = 8;

/// Sums `xᵢ·xⱼ` of all rows into each place of the packed upper triangle, a tile of it at a time, so that a tile's sums stay
/// in registers. The rows are summed in their order with one rounding a step: the same on every processor, unlike a
/// tuned matrix product.
struct OuterProducts<'a> {
    /// Row-major, `width` numbers a row, of which the first `d` count.
    rows: &'a [f64],
    width: usize,
    d: usize,
    packed: &'a mut [f64],
}

impl WithSimd for OuterProducts<'_> {
    type Output = ();

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "it must be compiled with its caller's instruction set"
    )]
    fn with_simd<S: Simd>(self, simd: S) {
        let span = 2 * S::F64_LANES;
        let mut start = 0;
        for first in (0..self.d).step_by(LINES) {
            for column in (first / span * span..self.d).step_by(span) {
                let mut sums = [[simd.splat_f64s(0.0); 2]; LINES];
                for row in self.rows.chunks_exact(self.width) {
                    let values: &[S::f64s] = cast_slice(&row[column..column + span]);
                    for (sums, by) in sums.iter_mut().zip(&row[first..first + LINES]) {
                        let by = simd.splat_f64s(*by);
                        for (sum, value) in sums.iter_mut().zip(values) {
                            *sum = simd.mul_add_f64s(by, *value, *sum);
                        }
                    }
                }
                let mut line = start;
                for (i, sums) in (first..self.d).zip(&sums) {
                    let sums: &[f64] = cast_slice(sums);
                    for (j, sum) in (column..self.d).zip(sums) {
                        if j >= i {
                            self.packed[line + j - i] += sum;
                        }
                    }
                    line += self.d - i;
                }
            }
            start += (first..self.d.min(first + LINES))
                .map(|i| self.d - i)
                .sum::<usize>();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::panel::tests::rough;

    #[test]
    fn every_processor_sums_the_same_products_to_the_bit() {
        for d in [1_usize, 3, 8, 13, 100] {
            let width = d.next_multiple_of(COLUMNS);
            let rows: Vec<f64> = rough(50 * width).into_iter().map(f64::from).collect();
            let sums = |arch: pulp::Arch| {
                let mut packed = vec![0.0; d * (d + 1) / 2];
                arch.dispatch(OuterProducts {
                    rows: &rows,
                    width,
                    d,
                    packed: &mut packed,
                });
                packed
            };
            let fast = sums(arch());
            let bits = |sums: &[f64]| sums.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&fast), bits(&sums(pulp::Arch::Scalar)));
            let last: f64 = rows
                .chunks_exact(width)
                .map(|row| row[d - 1] * row[d - 1])
                .sum();
            assert!((fast[fast.len() - 1] - last).abs() < 1e-9 * last);
        }
    }
}
