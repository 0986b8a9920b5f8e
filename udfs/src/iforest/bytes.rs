//! The stored form of a forest, and what makes bytes one.

use super::grow::{Seen, Tree};
use super::model::IForestModel;
use super::{KIND, VERSION};
use crate::learner::{LearnerError, open, seal, to_u32, to_usize};
use gleaner_proto::learners as wire;

impl IForestModel {
    /// Bytes: about 12 a node.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let all = |part: fn(&Tree) -> &Vec<u32>| {
            self.trees
                .iter()
                .flat_map(|tree| part(tree).iter().copied())
                .collect()
        };
        let message = wire::IsolationForest {
            d: to_u32(self.d),
            samples: to_u32(self.samples),
            extension_level: to_u32(self.extension_level),
            tree_sizes: self
                .trees
                .iter()
                .map(|tree| to_u32(tree.rows.len()))
                .collect(),
            node_rows: all(|tree| &tree.rows),
            left: all(|tree| &tree.left),
            feature: self
                .trees
                .iter()
                .flat_map(|tree| tree.feature.iter().map(|feature| u32::from(*feature)))
                .collect(),
            point: self
                .trees
                .iter()
                .flat_map(|tree| tree.point.iter().copied())
                .collect(),
            normal: self
                .trees
                .iter()
                .flat_map(|tree| tree.normal.iter().copied())
                .collect(),
            ..wire::IsolationForest::default()
        };
        let seen = |part: fn(&Tree) -> &Vec<f32>| {
            let each = self.trees.iter().flat_map(part);
            each.copied().collect()
        };
        let message = wire::IsolationForest {
            draws: all(|tree| &tree.seen.draws),
            draw_feature: self
                .trees
                .iter()
                .flat_map(|tree| tree.seen.feature.iter().map(|feature| u32::from(*feature)))
                .collect(),
            draw_value: seen(|tree| &tree.seen.value),
            low: seen(|tree| &tree.seen.low),
            high: seen(|tree| &tree.seen.high),
            ..message
        };
        seal(KIND, VERSION, &message)
    }

    /// Reads what [`IForestModel::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`LearnerError::Damaged`] or [`LearnerError::Version`] for anything else: every walk in an accepted forest ends.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LearnerError> {
        let damaged = |reason| LearnerError::Damaged {
            kind: KIND,
            reason,
            len: bytes.len(),
        };
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
            insertion: !message.draws.is_empty(),
            draws: &message.draws,
            draw_feature: &message.draw_feature,
            draw_value: &message.draw_value,
            low: &message.low,
            high: &message.high,
        };
        if rest.insertion && level > 0 {
            return Err(damaged("planes cannot be inserted into"));
        }
        let trees: Option<Vec<Tree>> = message
            .tree_sizes
            .iter()
            .map(|size| rest.tree(to_usize(*size), d, samples, level))
            .collect();
        match trees {
            Some(trees) if rest.is_empty() => Ok(Self::assemble(d, samples, level, trees)),
            _ => Err(damaged("not a forest")),
        }
    }
}

/// What is still to be read of a message.
struct Rest<'a> {
    rows: &'a [u32],
    left: &'a [u32],
    feature: &'a [u32],
    point: &'a [f32],
    normal: &'a [f32],
    insertion: bool,
    draws: &'a [u32],
    draw_feature: &'a [u32],
    draw_value: &'a [f32],
    low: &'a [f32],
    high: &'a [f32],
}

impl Rest<'_> {
    fn is_empty(&self) -> bool {
        [
            self.rows.len(),
            self.left.len(),
            self.feature.len(),
            self.point.len(),
            self.normal.len(),
            self.draws.len(),
            self.draw_feature.len(),
            self.draw_value.len(),
            self.low.len(),
            self.high.len(),
        ] == [0; 10]
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
                if child != next
                    || child + 1 >= size
                    || rows[node].checked_sub(rows[child]) != Some(rows[child + 1])
                {
                    return None;
                }
                next += 2;
                cuts += level + 1;
            }
        }
        let feature = take(&mut self.feature, cuts)?;
        let point = take(&mut self.point, cuts)?;
        let normal = take(&mut self.normal, if level == 0 { 0 } else { cuts })?;
        let seen = self.seen(size, cuts, d)?;
        let feature = narrow(feature);
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
            seen,
        })
    }

    /// What the next tree saw: one value a draw, of features that exist, and a range a cut.
    fn seen(&mut self, size: usize, cuts: usize, d: usize) -> Option<Seen> {
        if !self.insertion {
            return Some(Seen::default());
        }
        let draws = take(&mut self.draws, size)?;
        // A node draws a feature once: the sum is no more than the message may hold.
        if draws.iter().any(|draws| to_usize(*draws) > d) {
            return None;
        }
        let count = draws.iter().map(|draws| to_usize(*draws)).sum();
        let feature = narrow(take(&mut self.draw_feature, count)?);
        let value = take(&mut self.draw_value, count)?;
        let (low, high) = (take(&mut self.low, cuts)?, take(&mut self.high, cuts)?);
        let whole = feature.len() == count
            && feature.iter().all(|feature| usize::from(*feature) < d)
            && [value, low, high]
                .iter()
                .all(|values| values.iter().all(|value| value.is_finite()))
            && low.iter().zip(high).all(|(low, high)| low < high);
        whole.then(|| Seen {
            draws: draws.to_vec(),
            feature,
            value: value.to_vec(),
            low: low.to_vec(),
            high: high.to_vec(),
        })
    }
}

/// The features that are ones.
fn narrow(features: &[u32]) -> Vec<u16> {
    features
        .iter()
        .filter_map(|feature| u16::try_from(*feature).ok())
        .collect()
}

fn take<'a, T>(rest: &mut &'a [T], count: usize) -> Option<&'a [T]> {
    let (head, tail) = rest.split_at_checked(count)?;
    *rest = tail;
    Some(head)
}
