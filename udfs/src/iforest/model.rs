//! The fitted forest: fit, score, bytes.

use super::grow::{Tree, goes_left, grow, offset, project};
use super::{IsolationForestParams, KIND, VERSION, average_path_lengths};
use crate::learner::{Checked, LearnerError, open, row_count, same_size, seal, to_u32, to_usize};
use crate::rng::{SplitMix64, mix};
use gleaner_proto::learners as wire;

/// Rows scored together: their features stay in the second-level cache while all trees pass over them.
const BLOCK: usize = 64;
/// Rows walked at once, so that the loads of one step overlap.
const LANES: usize = 8;

/// A node as the walk needs it, 12 bytes. At a leaf the threshold is NaN, which no value is below, and `left` is the node before
/// it: a step from a leaf leads to the leaf itself, and a walk needs no test for leaves.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Node {
    threshold: f32,
    /// Of the left child, counted in the tree, wrapping at a leaf that is a root.
    left: u32,
    feature: u16,
}

/// A fitted isolation forest.
#[derive(Debug, Clone)]
pub struct IForestModel {
    pub(super) d: usize,
    pub(super) samples: usize,
    pub(super) extension_level: usize,
    pub(super) trees: Vec<Tree>,
    /// `c(n)` for every n up to `samples`.
    pub(super) average: Vec<f64>,
    walks: Vec<Walk>,
}

/// What scoring reads of a tree.
#[derive(Debug, Clone, Default)]
struct Walk {
    nodes: Vec<Node>,
    /// Path length of a row that ends in the node: its depth, and the expected depth of the rows left there.
    path: Vec<f32>,
    depth: usize,
    /// Extended forests: the number of each inner node, and each plane's offset.
    planes: Vec<u32>,
    offsets: Vec<f64>,
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
            return Err(LearnerError::Fit { learner: KIND, reason: "more than 65535 features" });
        }
        if count < 2 {
            return Err(LearnerError::Fit { learner: KIND, reason: "fewer than two rows" });
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
        let max_depth = params.max_depth.unwrap_or(to_usize(usize::BITS - (samples - 1).leading_zeros()));
        let mut sample = Vec::with_capacity(samples * d);
        let trees = (0..params.n_trees as u64)
            .map(|tree| {
                sample.clear();
                for row in subsample(keys, samples, params.seed, tree) {
                    sample.extend(rows[row * d..(row + 1) * d].iter().map(|value| finite(*value)));
                }
                grow(&sample, d, max_depth, params.extension_level, SplitMix64::stream(params.seed, tree))
            })
            .collect();
        Ok(Self::assemble(d, samples, params.extension_level, trees))
    }

    fn assemble(d: usize, samples: usize, extension_level: usize, trees: Vec<Tree>) -> Self {
        let average = average_path_lengths(samples);
        let walks = trees.iter().map(|tree| Walk::of(tree, extension_level, &average)).collect();
        Self { d, samples, extension_level, trees, average, walks }
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

    /// Rows each tree was grown on.
    #[must_use]
    pub const fn samples(&self) -> usize {
        self.samples
    }

    /// `2^(-E[h] / c)` of each row (row-major, `d` features), in (0, 1): higher is more anomalous. A NaN goes right in every cut.
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
                if self.extension_level == 0 {
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

    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a score in (0, 1)")]
    fn to_score(&self, sum: f64) -> f32 {
        let mean = sum / self.trees.len() as f64;
        (-mean / self.average[self.samples]).exp2() as f32
    }

    /// Walks one row down every tree, showing each step: (tree, parent, child).
    pub(super) fn walk<'a>(&'a self, row: &[f32], mut step: impl FnMut(&'a Tree, Option<usize>, usize, usize)) {
        for (tree, walk) in self.trees.iter().zip(&self.walks) {
            walk.leaf(tree, row, |parent, child| {
                step(tree, walk.planes.get(parent).map(|plane| to_usize(*plane)), parent, child);
            });
        }
    }

    /// Bytes: about 12 a node.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let all = |part: fn(&Tree) -> &Vec<u32>| self.trees.iter().flat_map(|tree| part(tree).iter().copied()).collect();
        let message = wire::IsolationForest {
            d: to_u32(self.d),
            samples: to_u32(self.samples),
            extension_level: to_u32(self.extension_level),
            tree_sizes: self.trees.iter().map(|tree| to_u32(tree.rows.len())).collect(),
            node_rows: all(|tree| &tree.rows),
            left: all(|tree| &tree.left),
            feature: self.trees.iter().flat_map(|tree| tree.feature.iter().map(|feature| u32::from(*feature))).collect(),
            point: self.trees.iter().flat_map(|tree| tree.point.iter().copied()).collect(),
            normal: self.trees.iter().flat_map(|tree| tree.normal.iter().copied()).collect(),
        };
        seal(KIND, VERSION, &message)
    }

    /// Reads what [`IForestModel::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`LearnerError::Damaged`] or [`LearnerError::Version`] for anything else: every walk in an accepted forest ends.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LearnerError> {
        let damaged = |reason| LearnerError::Damaged { kind: KIND, reason, len: bytes.len() };
        let message: wire::IsolationForest = open(KIND, VERSION, bytes)?;
        let (d, samples) = (to_usize(message.d), to_usize(message.samples));
        let level = to_usize(message.extension_level);
        if d == 0 || d > usize::from(u16::MAX) || !(2..=1 << 20).contains(&samples) || level >= d {
            return Err(damaged("d, samples or extension level"));
        }
        if message.tree_sizes.is_empty() {
            return Err(damaged("no trees"));
        }
        let mut rest = Rest {
            rows: &message.node_rows,
            left: &message.left,
            feature: &message.feature,
            point: &message.point,
            normal: &message.normal,
        };
        let trees: Option<Vec<Tree>> =
            message.tree_sizes.iter().map(|size| rest.tree(to_usize(*size), d, samples, level)).collect();
        match trees {
            Some(trees) if rest.is_empty() => Ok(Self::assemble(d, samples, level, trees)),
            _ => Err(damaged("not a forest")),
        }
    }
}

impl Walk {
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "path lengths are at most 2^20")]
    fn of(tree: &Tree, extension_level: usize, average: &[f64]) -> Self {
        let mut walk = Self::default();
        let mut depths = vec![0_usize; tree.rows.len()];
        let mut cuts = tree.feature.chunks_exact(extension_level + 1).zip(tree.point.chunks_exact(extension_level + 1));
        let mut normals = tree.normal.chunks_exact(extension_level + 1);
        for (node, (rows, left)) in tree.rows.iter().zip(&tree.left).enumerate() {
            let depth = depths[node];
            walk.depth = walk.depth.max(depth);
            walk.path.push((depth as f64 + average[to_usize(*rows)]) as f32);
            let place = to_u32(node);
            if *left == 0 {
                walk.nodes.push(Node { threshold: f32::NAN, left: place.wrapping_sub(1), feature: 0 });
                walk.planes.push(u32::MAX);
            } else {
                let child = node + to_usize(*left);
                depths[child] = depth + 1;
                depths[child + 1] = depth + 1;
                let (feature, point) = cuts.next().unwrap_or((&[0], &[f32::NAN]));
                walk.nodes.push(Node { threshold: point[0], left: place + left, feature: feature[0] });
                walk.planes.push(to_u32(walk.offsets.len()));
                walk.offsets.push(normals.next().map_or(0.0, |normal| offset(point, normal)));
            }
        }
        walk
    }

    /// Adds each row's path length in a standard tree; `sums` has one place a row.
    fn add_paths(&self, rows: &[f32], d: usize, sums: &mut [f64]) {
        for (rows, sums) in rows.chunks(LANES * d).zip(sums.chunks_mut(LANES)) {
            let mut places = [0_u32; LANES];
            let places = &mut places[..sums.len()];
            for _ in 0..self.depth {
                for (place, row) in places.iter_mut().zip(rows.chunks_exact(d)) {
                    let node = &self.nodes[*place as usize];
                    let right = !goes_left(row[usize::from(node.feature)], node.threshold);
                    *place = node.left.wrapping_add(u32::from(right));
                }
            }
            for (place, sum) in places.iter().zip(sums) {
                *sum += f64::from(self.path[*place as usize]);
            }
        }
    }

    /// The leaf a row falls into, one step at a time: (parent, child).
    fn leaf(&self, tree: &Tree, row: &[f32], mut step: impl FnMut(usize, usize)) -> usize {
        let mut place = 0;
        while tree.left[place] != 0 {
            let node = &self.nodes[place];
            let left = if tree.normal.is_empty() {
                goes_left(row[usize::from(node.feature)], node.threshold)
            } else {
                let plane = to_usize(self.planes[place]);
                let width = tree.normal.len() / self.offsets.len();
                let coordinates = plane * width..(plane + 1) * width;
                project(row, &tree.feature[coordinates.clone()], &tree.normal[coordinates]) <= self.offsets[plane]
            };
            let child = to_usize(node.left) + usize::from(!left);
            step(place, child);
            place = child;
        }
        place
    }
}

/// The rows of smallest `hash(seed, tree, key)`, in that order.
fn subsample(keys: &[u64], samples: usize, seed: u64, tree: u64) -> Vec<usize> {
    let salt = SplitMix64::stream(!seed, tree).next_u64();
    let mut order: Vec<(u64, u64, usize)> =
        keys.iter().enumerate().map(|(row, key)| (mix(mix(*key) ^ salt), *key, row)).collect();
    if samples < order.len() {
        order.select_nth_unstable(samples);
        order.truncate(samples);
    }
    order.sort_unstable();
    order.into_iter().map(|(_, _, row)| row).collect()
}

fn finite(value: f32) -> f32 {
    if value.is_nan() { 0.0 } else { value.clamp(f32::MIN, f32::MAX) }
}

/// What is still to be read of a message.
struct Rest<'a> {
    rows: &'a [u32],
    left: &'a [u32],
    feature: &'a [u32],
    point: &'a [f32],
    normal: &'a [f32],
}

impl Rest<'_> {
    fn is_empty(&self) -> bool {
        [self.rows.len(), self.left.len(), self.feature.len(), self.point.len(), self.normal.len()] == [0; 5]
    }

    /// The next tree, where it is one: every node but the root is the child of exactly one earlier node, a node's rows
    /// are its children's, and every cut is on a feature that exists.
    fn tree(&mut self, size: usize, d: usize, samples: usize, level: usize) -> Option<Tree> {
        let rows = take(&mut self.rows, size)?;
        let left = take(&mut self.left, size)?;
        if rows.first().map(|rows| to_usize(*rows)) != Some(samples) {
            return None;
        }
        // Breadth first: the children of the next inner node are the next two nodes.
        let mut next = 1;
        let mut cuts = 0;
        for (node, left) in left.iter().enumerate() {
            if *left != 0 {
                let child = node + to_usize(*left);
                if child != next || child + 1 >= size || rows[node].checked_sub(rows[child]) != Some(rows[child + 1]) {
                    return None;
                }
                next += 2;
                cuts += level + 1;
            }
        }
        let feature = take(&mut self.feature, cuts)?;
        let point = take(&mut self.point, cuts)?;
        let normal = take(&mut self.normal, if level == 0 { 0 } else { cuts })?;
        let feature: Vec<u16> = feature.iter().filter_map(|feature| u16::try_from(*feature).ok()).collect();
        let whole = next == size
            && feature.len() == cuts
            && feature.iter().all(|feature| usize::from(*feature) < d)
            && point.iter().chain(normal).all(|value| value.is_finite());
        whole.then(|| Tree {
            rows: rows.to_vec(),
            left: left.to_vec(),
            feature,
            point: point.to_vec(),
            normal: normal.to_vec(),
        })
    }
}

fn take<'a, T>(rest: &mut &'a [T], count: usize) -> Option<&'a [T]> {
    let (head, tail) = rest.split_at_checked(count)?;
    *rest = tail;
    Some(head)
}
