//! Gradient-boosted trees for the logistic loss.
//!
//! **What.** `XGBoost`'s algorithm (Chen & Guestrin 2016): each tree takes a Newton step, a split's worth is
//! `½ [G_L²/(H_L+λ) + G_R²/(H_R+λ) − G²/(H+λ)]` over sums of gradients and hessians in bins; missing values go where they gain more.
//! Columns are dense (63 quantile bins and one for what is missing) or the presence of an n-gram, which costs only the rows that have it; the
//! smaller child's sums are added up, the larger one's are the difference.
//!
//! **Memory** is bounded whatever the lines: a byte a row and dense column, two bytes a row and present n-gram, of which at most
//! [`Params::grams`] are chosen on the training rows alone (chi-squared). **Cost**: a tree reads each row's columns once a level, of the smaller child alone.

use gleaner_udfs::rng::{SplitMix64, mix};

use crate::ClassifierError;
use crate::columns::{Bins, MISSING, dense, places, telling};
use crate::linear::{Training, sigmoid};
use crate::text::Lines;

const BINS: usize = MISSING as usize + 1;
/// A node that is a leaf has this for a column.
pub(crate) const LEAF: u32 = u32::MAX;

/// How trees are grown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Params {
    /// Trees.
    pub trees: usize,
    /// Splits from the root to a leaf, at most.
    pub depth: usize,
    /// Share of a tree's step that is taken.
    pub learning_rate: f64,
    /// Penalty of leaf values, λ.
    pub l2: f64,
    /// The least sum of hessians of a child.
    pub min_child_weight: f64,
    /// Share of the columns that a tree may use, drawn by the seed.
    pub column_share: f64,
    /// N-grams that are columns, at most 65,535.
    pub grams: usize,
    /// Of the draws.
    pub seed: u64,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            trees: 120,
            depth: 6,
            learning_rate: 0.15,
            l2: 1.0,
            min_child_weight: 1.0,
            column_share: 0.5,
            grams: 2048,
            seed: 1,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Node {
    /// A dense column, or the number of dense columns and an n-gram's place, or [`LEAF`].
    pub(crate) column: u32,
    /// Values up to it go left; of an n-gram, its absence goes left.
    pub(crate) edge: f32,
    pub(crate) missing_left: bool,
    pub(crate) left: u32,
    pub(crate) right: u32,
    /// A leaf's part of the log odds.
    pub(crate) value: f32,
}

/// Fitted trees.
#[derive(Debug, Clone, PartialEq)]
pub struct Boosting {
    pub(crate) d: usize,
    /// The n-grams that are columns, ascending.
    pub(crate) chosen: Vec<u32>,
    /// Log odds before the first tree.
    pub(crate) base: f64,
    pub(crate) trees: Vec<Vec<Node>>,
}

impl Boosting {
    /// Grows trees.
    ///
    /// # Errors
    /// As [`Training::check`].
    pub fn fit(training: &Training<'_>, params: &Params) -> Result<Self, ClassifierError> {
        training.check()?;
        let columns = Columns::of(training, params.grams.min(usize::from(u16::MAX)));
        let weight: Vec<f64> = training.weights.iter().map(|w| f64::from(*w)).collect();
        let all: f64 = weight.iter().sum();
        let positive: f64 = weight
            .iter()
            .zip(training.malicious)
            .filter(|(_, malicious)| **malicious)
            .map(|(weight, _)| weight)
            .sum();
        let base = (positive / (all - positive)).ln();
        let mut odds = vec![base; training.rows.len()];
        let mut grower = Grower {
            columns: &columns,
            params,
            gradients: vec![[0.0; 2]; odds.len()],
            allowed: vec![true; columns.edges.len() + columns.chosen.len()],
            nodes: vec![],
            values: vec![0.0; odds.len()],
        };
        let mut trees = vec![];
        for tree in 0..params.trees {
            for (row, pair) in grower.gradients.iter_mut().enumerate() {
                let p = sigmoid(odds[row]);
                let label = f64::from(u8::from(training.malicious[row]));
                *pair = [
                    weight[row] * (p - label),
                    weight[row] * (p * (1.0 - p)).max(1e-16),
                ];
            }
            grower.draw_columns(tree);
            trees.push(grower.grow());
            for (odds, value) in odds.iter_mut().zip(&grower.values) {
                *odds += value;
            }
        }
        Ok(Self {
            d: training.lines.d,
            chosen: columns.chosen,
            base,
            trees,
        })
    }

    /// The log odds of malice of a row of `lines`; `scratch` is shared by calls.
    #[must_use]
    pub fn log_odds(&self, lines: &Lines, row: usize, scratch: &mut Vec<u16>) -> f64 {
        places(&self.chosen, lines.grams.row(row).0, scratch);
        let values = dense(lines, row);
        let mut odds = self.base;
        for tree in &self.trees {
            let mut at = 0;
            while let Some(node) = tree.get(at) {
                if node.column == LEAF {
                    odds += f64::from(node.value);
                    break;
                }
                let column = node.column as usize;
                let left = if column < self.d {
                    let value = values.get(column).copied().unwrap_or(f32::NAN);
                    if value.is_nan() {
                        node.missing_left
                    } else {
                        value <= node.edge
                    }
                } else {
                    scratch.binary_search(&((column - self.d) as u16)).is_err()
                };
                at = if left { node.left } else { node.right } as usize;
            }
        }
        odds
    }
}

/// The training rows as bins and presences.
struct Columns {
    d: usize,
    /// Dense columns that have more than one value: their place, their edges.
    edges: Vec<(usize, Bins)>,
    /// Row-major, one bin an entry of `edges`.
    bins: Vec<u8>,
    chosen: Vec<u32>,
    ends: Vec<usize>,
    present: Vec<u16>,
}

impl Columns {
    fn of(training: &Training<'_>, grams: usize) -> Self {
        let lines = training.lines;
        let edges: Vec<(usize, Bins)> = (0..lines.d)
            .filter_map(|column| {
                let value = |row: &usize| dense(lines, *row).get(column).copied();
                let bins = Bins::of(training.rows.iter().filter_map(value).collect());
                (!bins.0.is_empty()).then_some((column, bins))
            })
            .collect();
        let chosen = telling(training, grams);
        let mut columns = Self {
            d: lines.d,
            bins: Vec::with_capacity(training.rows.len() * edges.len()),
            edges,
            chosen,
            ends: vec![],
            present: vec![],
        };
        let mut scratch = vec![];
        for row in training.rows {
            let values = dense(lines, *row);
            for (column, bins) in &columns.edges {
                let value = values.get(*column).copied().unwrap_or(f32::NAN);
                columns.bins.push(bins.bin(value));
            }
            places(&columns.chosen, lines.grams.row(*row).0, &mut scratch);
            columns.present.extend_from_slice(&scratch);
            columns.ends.push(columns.present.len());
        }
        columns
    }

    fn bins(&self, row: usize) -> &[u8] {
        &self.bins[row * self.edges.len()..(row + 1) * self.edges.len()]
    }

    fn present(&self, row: usize) -> &[u16] {
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.present[start..self.ends[row]]
    }

    /// Pairs of sums that a node has.
    fn cells(&self) -> usize {
        self.edges.len() * BINS + self.chosen.len()
    }
}

/// Sums of gradients and hessians, a pair a bin and n-gram.
type Sums = Vec<[f64; 2]>;

struct Split {
    gain: f64,
    /// Place in `edges`, or their number and an n-gram's place.
    place: usize,
    /// Bins up to this go left.
    bin: u8,
    missing_left: bool,
}

struct Grower<'a> {
    columns: &'a Columns,
    params: &'a Params,
    gradients: Vec<[f64; 2]>,
    allowed: Vec<bool>,
    nodes: Vec<Node>,
    /// What the tree says of each training row.
    values: Vec<f64>,
}

impl Grower<'_> {
    fn draw_columns(&mut self, tree: usize) {
        let mut draws = SplitMix64::stream(mix(self.params.seed), tree as u64);
        for allowed in &mut self.allowed {
            *allowed = draws.next_f64() < self.params.column_share;
        }
    }

    fn grow(&mut self) -> Vec<Node> {
        self.nodes.clear();
        let rows: Vec<u32> = (0..self.gradients.len() as u32).collect();
        let sums = self.sums(&rows);
        self.node(rows, sums, 0);
        std::mem::take(&mut self.nodes)
    }

    fn sums(&self, rows: &[u32]) -> Sums {
        let mut sums = vec![[0.0; 2]; self.columns.cells()];
        let grams = self.columns.edges.len() * BINS;
        for row in rows {
            let row = *row as usize;
            let [g, h] = self.gradients[row];
            for (cells, bin) in sums.chunks_exact_mut(BINS).zip(self.columns.bins(row)) {
                let cell = &mut cells[usize::from(*bin)];
                cell[0] += g;
                cell[1] += h;
            }
            let grams = &mut sums[grams..];
            for place in self.columns.present(row) {
                let cell = &mut grams[usize::from(*place)];
                cell[0] += g;
                cell[1] += h;
            }
        }
        sums
    }

    /// Adds a node and what is below it; returns its place.
    fn node(&mut self, rows: Vec<u32>, sums: Sums, depth: usize) -> u32 {
        let mut total = [0.0; 2];
        for row in &rows {
            let [g, h] = self.gradients[*row as usize];
            total[0] += g;
            total[1] += h;
        }
        let at = self.nodes.len() as u32;
        let value = -self.params.learning_rate * total[0] / (total[1] + self.params.l2);
        self.nodes.push(Node {
            column: LEAF,
            edge: 0.0,
            missing_left: false,
            left: 0,
            right: 0,
            value: value as f32,
        });
        let split = (depth < self.params.depth)
            .then(|| self.best(&sums, total))
            .flatten();
        let Some(split) = split else {
            for row in &rows {
                self.values[*row as usize] = f64::from(value as f32);
            }
            return at;
        };
        let (left, right): (Vec<u32>, Vec<u32>) = rows
            .into_iter()
            .partition(|row| self.goes_left(&split, *row as usize));
        // The smaller child is added up, the other is what remains.
        let mut larger = sums;
        let smaller = self.sums(if left.len() <= right.len() {
            &left
        } else {
            &right
        });
        for (cell, part) in larger.iter_mut().zip(&smaller) {
            cell[0] -= part[0];
            cell[1] -= part[1];
        }
        let (left_sums, right_sums) = if left.len() <= right.len() {
            (smaller, larger)
        } else {
            (larger, smaller)
        };
        let left = self.node(left, left_sums, depth + 1);
        let right = self.node(right, right_sums, depth + 1);
        let dense = self.columns.edges.get(split.place);
        let (column, edge) = match dense {
            Some((column, bins)) => (*column, bins.0[usize::from(split.bin)]),
            None => (self.columns.d + split.place - self.columns.edges.len(), 0.0),
        };
        self.nodes[at as usize] = Node {
            column: column as u32,
            edge,
            missing_left: split.missing_left,
            left,
            right,
            value: 0.0,
        };
        at
    }

    fn goes_left(&self, split: &Split, row: usize) -> bool {
        if let Some(bin) = self.columns.bins(row).get(split.place) {
            return if *bin == MISSING {
                split.missing_left
            } else {
                *bin <= split.bin
            };
        }
        let place = (split.place - self.columns.edges.len()) as u16;
        self.columns.present(row).binary_search(&place).is_err()
    }

    /// The split that gains most; of equal ones the first, in the order of columns and bins.
    fn best(&self, sums: &[[f64; 2]], total: [f64; 2]) -> Option<Split> {
        let mut best: Option<Split> = None;
        let mut offer = |left: [f64; 2], place: usize, bin: u8, missing_left: bool| {
            let right = [total[0] - left[0], total[1] - left[1]];
            let least = self.params.min_child_weight;
            if left[1] < least || right[1] < least {
                return;
            }
            let worth = |[g, h]: [f64; 2]| g * g / (h + self.params.l2);
            let gain = 0.5 * (worth(left) + worth(right) - worth(total));
            if gain > 1e-9 && best.as_ref().is_none_or(|best| gain > best.gain) {
                best = Some(Split {
                    gain,
                    place,
                    bin,
                    missing_left,
                });
            }
        };
        let dense = self.columns.edges.len();
        for (place, (cells, (_, bins))) in sums
            .chunks_exact(BINS)
            .zip(&self.columns.edges)
            .enumerate()
            .filter(|(place, _)| self.allowed[*place])
        {
            let missing = cells[usize::from(MISSING)];
            let mut left = [0.0; 2];
            for (bin, cell) in cells.iter().enumerate().take(bins.0.len()) {
                left[0] += cell[0];
                left[1] += cell[1];
                offer(left, place, bin as u8, false);
                if missing[1] > 0.0 {
                    offer(
                        [left[0] + missing[0], left[1] + missing[1]],
                        place,
                        bin as u8,
                        true,
                    );
                }
            }
        }
        for (place, present) in sums[dense * BINS..].iter().enumerate() {
            if self.allowed[dense + place] {
                let absent = [total[0] - present[0], total[1] - present[1]];
                offer(absent, dense + place, 0, false);
            }
        }
        best
    }
}

#[cfg(test)]
mod beside;
#[cfg(test)]
mod tests;
