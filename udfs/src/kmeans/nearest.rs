//! Which centroid is nearest.

use super::KIND;
use crate::learner::{LearnerError, row_count};

/// Centroids whose distances are summed side by side.
const TILE: usize = 16;

/// Centroids, laid out for finding the nearest one.
#[derive(Debug, Clone, PartialEq)]
pub struct Centroids {
    d: usize,
    k: usize,
    /// Row-major, one row a cluster.
    rows: Vec<f32>,
    /// For each 16 clusters, feature by feature: the 16 values of that feature. Places past the last cluster hold zeros
    /// and are not read.
    tiles: Vec<[f32; TILE]>,
}

impl Centroids {
    /// Takes centroids, row-major, `d` features each.
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when `d` does not divide them, [`LearnerError::Fit`] when there are none or one is not
    /// finite.
    pub fn new(rows: Vec<f32>, d: usize) -> Result<Self, LearnerError> {
        let k = row_count(KIND, rows.len(), d)?;
        if k == 0 || rows.iter().any(|value| !value.is_finite()) {
            return Err(LearnerError::Fit {
                learner: KIND,
                reason: "no centroids, or one that is not finite",
            });
        }
        let mut tiles = vec![[0.0; TILE]; k.div_ceil(TILE) * d];
        for (cluster, row) in rows.chunks_exact(d).enumerate() {
            for (feature, value) in row.iter().enumerate() {
                tiles[cluster / TILE * d + feature][cluster % TILE] = *value;
            }
        }
        Ok(Self { d, k, rows, tiles })
    }

    /// Clusters.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.k
    }

    /// Never: there is at least one.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.k == 0
    }

    /// Features a row.
    #[must_use]
    pub const fn dimension(&self) -> usize {
        self.d
    }

    /// All centroids, row-major.
    #[must_use]
    pub fn rows(&self) -> &[f32] {
        &self.rows
    }

    /// One centroid.
    #[must_use]
    pub fn row(&self, cluster: usize) -> &[f32] {
        &self.rows[cluster * self.d..(cluster + 1) * self.d]
    }

    /// The nearest centroid of a row of `d` features, the first among equals, and the squared distance. A row with a
    /// NaN is nearest to centroid 0 at distance NaN.
    #[must_use]
    pub fn nearest(&self, row: &[f32]) -> (usize, f32) {
        let mut best = (0, f32::INFINITY);
        for (tile, lines) in self.tiles.chunks_exact(self.d).enumerate() {
            let mut sums = [0.0_f32; TILE];
            for (value, line) in row.iter().zip(lines) {
                for (sum, centroid) in sums.iter_mut().zip(line) {
                    let apart = value - centroid;
                    *sum += apart * apart;
                }
            }
            let first = tile * TILE;
            for (cluster, sum) in (first..self.k.min(first + TILE)).zip(sums) {
                if sum < best.1 {
                    best = (cluster, sum);
                }
                if sum.is_nan() {
                    return (0, f32::NAN);
                }
            }
        }
        best
    }
}

/// The squared distance of two rows, in 16 fixed lanes: the same on every processor.
pub(super) fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    let (a_blocks, a_rest) = a.as_chunks::<TILE>();
    let (b_blocks, b_rest) = b.as_chunks::<TILE>();
    let mut lanes = [0.0_f32; TILE];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += (a - b) * (a - b);
        }
    }
    for ((lane, a), b) in lanes.iter_mut().zip(a_rest).zip(b_rest) {
        *lane += (a - b) * (a - b);
    }
    lanes.iter().sum()
}
