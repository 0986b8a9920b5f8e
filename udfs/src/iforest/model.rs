//! The fitted forest: fit and score.

use super::grow::{Tree, grow};
use super::insert::insert;
use super::walk::Walk;
use super::{IsolationForestParams, KIND, average_path_lengths};
use crate::learner::{Checked, LearnerError, row_count, same_size, to_usize};
use crate::rng::{SplitMix64, mix};

/// Rows scored together: their features stay in the second-level cache while all trees pass over them.
const BLOCK: usize = 64;
/// A fitted isolation forest.
#[derive(Debug, Clone)]
pub struct IForestModel {
    pub(super) d: usize,
    pub(super) samples: usize,
    pub(super) extension_level: usize,
    pub(super) trees: Vec<Tree>,
    /// `c(n)` for every n up to `samples`.
    pub(super) average: Vec<f64>,
    pub(super) walks: Vec<Walk>,
}

impl PartialEq for IForestModel {
    /// By the trees: what else a model holds follows from them, and its leaves hold NaN.
    fn eq(&self, other: &Self) -> bool {
        (self.d, self.samples, self.extension_level, &self.trees)
            == (other.d, other.samples, other.extension_level, &other.trees)
    }
}

impl IForestModel {
    /// Grows a forest on a sample: `keys` (one a row, as in the bottom-k sample) and `rows` (row-major, `d` features).
    /// Values that are not finite count as 0 or as the largest finite value; scaling imputes them before.
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when keys and rows do not fit, [`LearnerError::Fit`] with fewer than two rows,
    /// [`LearnerError::Parameter`] when `extension_level` is not below `d`.
    pub fn fit(
        keys: &[u64],
        rows: &[f32],
        d: usize,
        params: &Checked<IsolationForestParams>,
    ) -> Result<Self, LearnerError> {
        let count = row_count(KIND, rows.len(), d)?;
        same_size(KIND, "keys", count, keys.len())?;
        if d > usize::from(u16::MAX) {
            return Err(LearnerError::Fit {
                learner: KIND,
                reason: "more than 65535 features",
            });
        }
        if count < 2 {
            return Err(LearnerError::Fit {
                learner: KIND,
                reason: "fewer than two rows",
            });
        }
        if params.extension_level >= d {
            return Err(LearnerError::Parameter {
                learner: KIND,
                parameter: "extension_level",
                expected: "0 to features - 1",
                got: format!("{} with {d} features", params.extension_level),
            });
        }
        let samples = params.max_samples.min(count);
        let max_depth = params
            .max_depth
            .unwrap_or(to_usize(usize::BITS - (samples - 1).leading_zeros()));
        let mut sample = Vec::with_capacity(samples * d);
        let trees = (0..params.n_trees as u64)
            .map(|tree| {
                sample.clear();
                for row in subsample(keys, samples, params.seed, tree) {
                    sample.extend(
                        rows[row * d..(row + 1) * d]
                            .iter()
                            .map(|value| finite(*value)),
                    );
                }
                grow(
                    &sample,
                    d,
                    max_depth,
                    params.extension_level,
                    params.insertion,
                    SplitMix64::stream(params.seed, tree),
                )
            })
            .collect();
        Ok(Self::assemble(d, samples, params.extension_level, trees))
    }

    pub(super) fn assemble(
        d: usize,
        samples: usize,
        extension_level: usize,
        trees: Vec<Tree>,
    ) -> Self {
        let average = average_path_lengths(samples);
        let walks = trees
            .iter()
            .map(|tree| Walk::of(tree, extension_level, &average))
            .collect();
        Self {
            d,
            samples,
            extension_level,
            trees,
            average,
            walks,
        }
    }

    /// Features a row.
    #[must_use]
    pub const fn dimension(&self) -> usize {
        self.d
    }

    /// Trees.
    #[must_use]
    pub const fn n_trees(&self) -> usize {
        self.trees.len()
    }

    /// Whether rows are scored as if they had been in each tree's sample.
    #[must_use]
    pub fn insertion(&self) -> bool {
        self.trees.iter().any(|tree| !tree.seen.draws.is_empty())
    }

    /// Rows each tree was grown on.
    #[must_use]
    pub const fn samples(&self) -> usize {
        self.samples
    }

    /// `2^(-E[h] / c)` of each row (row-major, `d` features), in (0, 1): higher is more anomalous. A NaN goes right in
    /// every cut.
    ///
    /// Walks trees over blocks of rows, eight rows at a time, without branches (standard forest).
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when `d` is not the model's or `out` has not one place a row.
    pub fn score(&self, rows: &[f32], d: usize, out: &mut [f32]) -> Result<(), LearnerError> {
        same_size(KIND, "features a row", self.d, d)?;
        let count = row_count(KIND, rows.len(), d)?;
        same_size(KIND, "scores", count, out.len())?;
        let mut sums = [0.0_f64; BLOCK];
        for (rows, out) in rows.chunks(BLOCK * d).zip(out.chunks_mut(BLOCK)) {
            let sums = &mut sums[..out.len()];
            sums.fill(0.0);
            for (tree, walk) in self.trees.iter().zip(&self.walks) {
                if self.insertion() {
                    for (row, sum) in rows.chunks_exact(d).zip(sums.iter_mut()) {
                        *sum += insert(tree, walk, row, &mut |_, _, _, _| ());
                    }
                } else if self.extension_level == 0 {
                    walk.add_paths(rows, d, sums);
                } else {
                    for (row, sum) in rows.chunks_exact(d).zip(sums.iter_mut()) {
                        *sum += f64::from(walk.path[walk.leaf(tree, row, |_, _| ())]);
                    }
                }
            }
            for (sum, score) in sums.iter().zip(out) {
                *score = self.to_score(*sum);
            }
        }
        Ok(())
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "a score in (0, 1)"
    )]
    fn to_score(&self, sum: f64) -> f32 {
        let mean = sum / self.trees.len() as f64;
        (-mean / self.average[self.samples]).exp2() as f32
    }

    /// Walks one row down every tree, showing each step: (tree, parent, child).
    pub(super) fn walk<'a>(
        &'a self,
        row: &[f32],
        mut step: impl FnMut(&'a Tree, Option<usize>, usize, usize),
    ) {
        for (tree, walk) in self.trees.iter().zip(&self.walks) {
            walk.leaf(tree, row, |parent, child| {
                step(
                    tree,
                    walk.planes.get(parent).map(|plane| to_usize(*plane)),
                    parent,
                    child,
                );
            });
        }
    }
}

/// The rows of smallest `hash(seed, tree, key)`, in that order.
fn subsample(keys: &[u64], samples: usize, seed: u64, tree: u64) -> Vec<usize> {
    let salt = SplitMix64::stream(!seed, tree).next_u64();
    let mut order: Vec<(u64, u64, usize)> = keys
        .iter()
        .enumerate()
        .map(|(row, key)| (mix(mix(*key) ^ salt), *key, row))
        .collect();
    if samples < order.len() {
        order.select_nth_unstable(samples);
        order.truncate(samples);
    }
    order.sort_unstable();
    order.into_iter().map(|(_, _, row)| row).collect()
}

fn finite(value: f32) -> f32 {
    if value.is_nan() {
        0.0
    } else {
        value.clamp(f32::MIN, f32::MAX)
    }
}
