//! The depth that a row would have had, had it been in the tree's sample.
//!
//! **Why.** A row that no tree saw walks down to the rows it is least unlike, and is as deep as they are: what lies beyond all
//! that a node saw is with the last of it, and a feature that has one value in the sample is never cut. Where the sample holds anomalies
//! that does no harm, they are cut off like others. Where it is of ordinary rows alone, all that is new about a new row is
//! overlooked.
//!
//! **How.** The tree that would have grown with the row is a matter of the same draws. At a node the growth draws features until one varies
//! there. Were the row there too, a feature that has one value in the node, and another in the row, would vary: its cut
//! separates the row from all others. And on a feature that varies from `low` to `high` the cut is uniform between these and the row's
//! value `x`: with `e` the distance of `x` from that range, it separates the row with the chance `e / (high − low + e)`, and
//! is otherwise uniform within the range, as the tree's own cut is. So the tree itself, with the draws that came to nothing and the ranges, tells
//! the expected depth, without drawing again (as the codisplacement of robust random cut forests, Guha et al. 2016,
//! and the extension of Mondrian trees, Lakshminarayanan et al. 2014, which weigh features by their ranges instead).
//! `SCiForest` and isotree's `penalize_range` (Liu, Ting & Zhou 2010) take a level off where a value is more than a range away from its cut: they too
//! never see what does not vary.
//!
//! A row that is within every range on its way, and has every drawn value, has the depth of the plain walk. A leaf of one row is
//! not looked at: whatever the row, it would be one level below.

use std::cmp::Ordering;

use super::grow::{Tree, goes_left};
use super::walk::Walk;
use crate::learner::to_usize;

/// The expected depth of `row` in a tree that kept what it saw. Each way to be separated is shown to `step`: feature, its chance,
/// the node, and how many rows the row is left with.
pub(super) fn insert(
    tree: &Tree,
    walk: &Walk,
    row: &[f32],
    step: &mut impl FnMut(u16, f64, usize, u32),
) -> f64 {
    let (mut node, mut depth, mut here, mut sum) = (0, 1.0, 1.0, 0.0);
    loop {
        let draws = to_usize(walk.draws[node])..to_usize(walk.draws[node + 1]);
        let features = tree.seen.feature[draws.clone()].iter();
        let new = features
            .zip(&tree.seen.value[draws])
            .find(|(feature, value)| {
                let x = row[usize::from(**feature)];
                // A NaN is not other than anything.
                x.partial_cmp(value).is_some_and(Ordering::is_ne)
            });
        if let Some((feature, _)) = new {
            step(*feature, here, node, 1);
            return sum + here * depth;
        }
        if tree.left[node] == 0 {
            return sum + here * f64::from(walk.path[node]);
        }
        let cut = &walk.nodes[node];
        let x = row[usize::from(cut.feature)];
        let place = to_usize(walk.planes[node]);
        let apart = beyond(x, tree.seen.low[place], tree.seen.high[place]);
        if apart > 0.0 {
            step(cut.feature, here * apart, node, 1);
            sum += here * apart * depth;
            here *= 1.0 - apart;
        }
        let child = to_usize(cut.left) + usize::from(!goes_left(x, cut.threshold));
        step(cut.feature, here, node, tree.rows[child]);
        node = child;
        depth += 1.0;
    }
}

/// The chance that a cut between a range and a value beyond it separates the two; 0 of a value within. A NaN is within.
fn beyond(x: f32, low: f32, high: f32) -> f64 {
    let x = f64::from(x.clamp(f32::MIN, f32::MAX));
    let (low, high) = (f64::from(low), f64::from(high));
    let apart = (x - high).max(low - x).max(0.0);
    apart / (high - low + apart)
}
