//! Which centroid is nearest.

use pulp::bytemuck::cast_slice;
use pulp::{Simd, WithSimd};

use super::KIND;
use crate::learner::{LearnerError, row_count, to_u32, to_usize};
use crate::panel::{LANES, Line, VECTORS, arch, fill};

/// Lanes of [`squared_distance`].
const TILE: usize = 16;

/// Centroids, for finding the nearest one.
#[derive(Debug, Clone, PartialEq)]
pub struct Centroids {
    d: usize,
    k: usize,
    /// Row-major, one row a cluster.
    rows: Vec<f32>,
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
        Ok(Self { d, k, rows })
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
        let mut found = (0, f32::NAN);
        self.each_nearest(row, |_, near| found = near);
        found
    }

    /// [`Centroids::nearest`] of each row (row-major), in order: `f(row, (cluster, squared distance))`. Faster for many
    /// rows together.
    pub fn each_nearest(&self, rows: &[f32], mut f: impl FnMut(usize, (usize, f32))) {
        let arch = arch();
        let mut panel = vec![[0.0; LANES]; self.d];
        for (block, rows) in rows.chunks(LANES * self.d).enumerate() {
            fill(&mut panel, rows);
            let (clusters, squared) = arch.dispatch(Search {
                centroids: self,
                panel: &panel,
            });
            let found = rows.chunks_exact(self.d).zip(clusters).zip(squared);
            for (lane, ((row, cluster), squared)) in found.enumerate() {
                // Nothing is nearer than infinity to a row with a NaN.
                let lost = squared.is_infinite() && row.iter().any(|value| value.is_nan());
                let squared = if lost { f32::NAN } else { squared };
                f(block * LANES + lane, (to_usize(cluster), squared));
            }
        }
    }
}

/// The rows of a panel against all centroids.
struct Search<'a> {
    centroids: &'a Centroids,
    panel: &'a [Line],
}

impl WithSimd for Search<'_> {
    type Output = ([u32; LANES], Line);

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "it must be compiled with its caller's instruction set"
    )]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        let mut clusters = [0; LANES];
        let mut squared = [f32::INFINITY; LANES];
        let d = self.centroids.d;
        let span = VECTORS * S::F32_LANES;
        for first in (0..LANES).step_by(span) {
            let lanes = first..first + span;
            // Two centroids at a time, so that a vector of values is loaded once for both.
            for (pair, centroids) in self.centroids.rows.chunks(2 * d).enumerate() {
                let (one, two) = centroids.split_at(d);
                let two = if two.is_empty() { one } else { two };
                let mut sums = [[simd.splat_f32s(0.0); VECTORS]; 2];
                for ((line, one), two) in self.panel.iter().zip(one).zip(two) {
                    let values: &[S::f32s] = cast_slice(&line[lanes.clone()]);
                    let centroids = [simd.splat_f32s(*one), simd.splat_f32s(*two)];
                    for (sums, centroid) in sums.iter_mut().zip(centroids) {
                        for (sum, value) in sums.iter_mut().zip(values) {
                            let apart = simd.sub_f32s(*value, centroid);
                            *sum = simd.mul_add_f32s(apart, apart, *sum);
                        }
                    }
                }
                for (sums, cluster) in sums.iter().zip(2 * pair..self.centroids.k) {
                    let sums: &[f32] = cast_slice(sums);
                    let best = clusters[lanes.clone()]
                        .iter_mut()
                        .zip(&mut squared[lanes.clone()]);
                    for (sum, (cluster_of, least)) in sums.iter().zip(best) {
                        let nearer = *sum < *least;
                        *least = if nearer { *sum } else { *least };
                        *cluster_of = if nearer { to_u32(cluster) } else { *cluster_of };
                    }
                }
            }
        }
        (clusters, squared)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::panel::tests::rough;

    #[test]
    fn every_processor_finds_the_same_distances_to_the_bit() {
        for (k, d) in [(1, 1), (5, 3), (32, 17), (33, 100)] {
            let centroids = Centroids::new(rough(k * d), d).unwrap();
            let mut panel = vec![[0.0; LANES]; d];
            fill(&mut panel, &rough((LANES + k) * d)[k * d..]);
            let search = || Search {
                centroids: &centroids,
                panel: &panel,
            };
            let (clusters, squared) = arch().dispatch(search());
            let plain = pulp::Arch::Scalar.dispatch(search());
            assert_eq!(clusters, plain.0);
            assert_eq!(squared.map(f32::to_bits), plain.1.map(f32::to_bits));
        }
    }
}
