//! Walking rows down a tree, laid out for it.

use super::grow::{Tree, goes_left, offset, project};
use crate::learner::{to_u32, to_usize};

/// Rows walked at once, so that the loads of one step overlap.
const LANES: usize = 8;

/// A node as the walk needs it, 12 bytes. At a leaf the threshold is NaN, which no value is below, and `left` is the
/// node before it: a step from a leaf leads to the leaf itself, and a walk needs no test for leaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Node {
    pub(super) threshold: f32,
    /// Of the left child, counted in the tree, wrapping at a leaf that is a root.
    pub(super) left: u32,
    pub(super) feature: u16,
}

/// What scoring reads of a tree.
#[derive(Debug, Clone, Default)]
pub(super) struct Walk {
    pub(super) nodes: Vec<Node>,
    /// Path length of a row that ends in the node: its depth, and the expected depth of the rows left there.
    pub(super) path: Vec<f32>,
    depth: usize,
    /// Extended forests: the number of each inner node, and each plane's offset.
    pub(super) planes: Vec<u32>,
    offsets: Vec<f64>,
    /// Where each node's draws begin in what the tree saw, and where the last's end; empty where it kept nothing.
    pub(super) draws: Vec<u32>,
}

impl Walk {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "path lengths are at most 2^20"
    )]
    pub(super) fn of(tree: &Tree, extension_level: usize, average: &[f64]) -> Self {
        let mut walk = Self::default();
        let mut depths = vec![0_usize; tree.rows.len()];
        let mut cuts = tree
            .feature
            .chunks_exact(extension_level + 1)
            .zip(tree.point.chunks_exact(extension_level + 1));
        let mut normals = tree.normal.chunks_exact(extension_level + 1);
        for (node, (rows, left)) in tree.rows.iter().zip(&tree.left).enumerate() {
            let depth = depths[node];
            walk.depth = walk.depth.max(depth);
            walk.path
                .push((depth as f64 + average[to_usize(*rows)]) as f32);
            let place = to_u32(node);
            if *left == 0 {
                walk.nodes.push(Node {
                    threshold: f32::NAN,
                    left: place.wrapping_sub(1),
                    feature: 0,
                });
                walk.planes.push(u32::MAX);
            } else {
                let child = node + to_usize(*left);
                depths[child] = depth + 1;
                depths[child + 1] = depth + 1;
                let (feature, point) = cuts.next().unwrap_or((&[0], &[f32::NAN]));
                walk.nodes.push(Node {
                    threshold: point[0],
                    left: place + left,
                    feature: feature[0],
                });
                walk.planes.push(to_u32(walk.offsets.len()));
                walk.offsets
                    .push(normals.next().map_or(0.0, |normal| offset(point, normal)));
            }
        }
        if !tree.seen.draws.is_empty() {
            let ends = tree.seen.draws.iter().scan(0, |end, draws| {
                *end += draws;
                Some(*end)
            });
            walk.draws = std::iter::once(0).chain(ends).collect();
        }
        walk
    }

    /// Adds each row's path length in a standard tree; `sums` has one place a row.
    pub(super) fn add_paths(&self, rows: &[f32], d: usize, sums: &mut [f64]) {
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
    pub(super) fn leaf(
        &self,
        tree: &Tree,
        row: &[f32],
        mut step: impl FnMut(usize, usize),
    ) -> usize {
        let mut node = 0;
        while tree.left[node] != 0 {
            let cut = &self.nodes[node];
            let left = if tree.normal.is_empty() {
                goes_left(row[usize::from(cut.feature)], cut.threshold)
            } else {
                let plane = to_usize(self.planes[node]);
                let width = tree.normal.len() / self.offsets.len();
                let coordinates = plane * width..(plane + 1) * width;
                project(
                    row,
                    &tree.feature[coordinates.clone()],
                    &tree.normal[coordinates],
                ) <= self.offsets[plane]
            };
            let child = to_usize(cut.left) + usize::from(!left);
            step(node, child);
            node = child;
        }
        node
    }
}
