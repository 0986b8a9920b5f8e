//! Random forest (Breiman 2001): the mean of trees, each grown on a draw of the rows, each split of a draw of the columns.
//!
//! Trees are grown until leaves are pure, by Gini impurity, over at most 62 quantile edges a column (those of the boosted trees), as scikit-learn's are but for the
//! edges. A node draws columns until it has seen `√d` that split its rows. Missing values go where they gain more.
//!
//! **Cost.** A node reads the drawn columns of its rows: some `rows · √d · depth` steps a tree.

use gleaner_udfs::rng::SplitMix64;

use super::Labels;
use crate::ClassifierError;
use crate::boosting::{LEAF, Node};
use crate::columns::{Bins, MISSING};

/// How a forest is grown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ForestParams {
    /// Trees.
    pub trees: usize,
    /// Splits from the root to a leaf, at most.
    pub depth: usize,
    /// Drawn rows of a leaf, at least.
    pub min_leaf: usize,
    /// Columns that a node looks at; `None`: the square root of their number.
    pub columns: Option<usize>,
    /// Whether both classes weigh the same.
    pub balanced: bool,
    /// Of the draws.
    pub seed: u64,
}

impl Default for ForestParams {
    fn default() -> Self {
        Self {
            trees: 100,
            depth: 32,
            min_leaf: 1,
            columns: None,
            balanced: false,
            seed: 1,
        }
    }
}

/// A grown forest.
#[derive(Debug, Clone, PartialEq)]
pub struct RandomForest {
    pub(super) d: usize,
    pub(super) trees: Vec<Vec<Node>>,
}

impl RandomForest {
    /// Grows a forest.
    ///
    /// # Errors
    /// As [`Labels::check`]; [`ClassifierError::Shape`] without trees.
    pub fn fit(labels: &Labels<'_>, params: &ForestParams) -> Result<Self, ClassifierError> {
        labels.check()?;
        if params.trees == 0 {
            return Err(ClassifierError::Shape {
                what: "trees of a forest",
                expected: 1,
                got: 0,
            });
        }
        let d = labels.d;
        let column = |at: usize| labels.rows.iter().skip(at).step_by(d).copied();
        let bins: Vec<Bins> = (0..d).map(|at| Bins::of(column(at).collect())).collect();
        let values = labels.rows.chunks_exact(d);
        let cells =
            values.flat_map(|row| row.iter().zip(&bins).map(|(value, bins)| bins.bin(*value)));
        let grower = Grower {
            cells: cells.collect(),
            d,
            bins: &bins,
            positive: labels.positive,
            weights: if params.balanced {
                labels.balance()
            } else {
                vec![1.0; labels.positive.len()]
            },
            columns: params.columns.unwrap_or_else(|| d.isqrt()).clamp(1, d),
            params,
        };
        let trees = (0..params.trees).map(|tree| grower.tree(tree as u64));
        Ok(Self {
            d,
            trees: trees.collect(),
        })
    }

    /// The probability of each row.
    pub(super) fn score(&self, rows: &[f32], out: &mut [f32]) {
        for (row, out) in rows.chunks_exact(self.d).zip(out) {
            let mut sum = 0.0_f64;
            for tree in &self.trees {
                let mut leaf = 0.0;
                walk(tree, row, |_, value| leaf = value);
                sum += f64::from(leaf);
            }
            *out = (sum / self.trees.len() as f64) as f32;
        }
    }

    /// By how much each feature moved the probability of a row on its ways through the trees, into `out`: the explanation (Saabas 2014). With
    /// the share of positives among the rows drawn, they add up to the probability.
    ///
    /// # Errors
    /// [`ClassifierError::Shape`] when `row` or `out` does not have the model's features.
    pub fn contributions(&self, row: &[f32], out: &mut [f32]) -> Result<(), ClassifierError> {
        super::same_width(self.d, row.len())?;
        super::same_width(self.d, out.len())?;
        let mut sums = vec![0.0_f64; self.d];
        for tree in &self.trees {
            let mut before: Option<(usize, f32)> = None;
            walk(tree, row, |column, value| {
                if let Some((column, was)) = before {
                    sums[column] += f64::from(value) - f64::from(was);
                }
                before = Some((column, value));
            });
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = (sum / self.trees.len() as f64) as f32;
        }
        Ok(())
    }
}

/// The way of a row from the root to its leaf: the column (of a leaf, 0) and value of each node.
fn walk(tree: &[Node], row: &[f32], mut seen: impl FnMut(usize, f32)) {
    let mut at = 0;
    while let Some(node) = tree.get(at) {
        if node.column == LEAF {
            seen(0, node.value);
            return;
        }
        let column = node.column as usize;
        seen(column, node.value);
        let value = row.get(column).copied().unwrap_or(f32::NAN);
        let left = if value.is_nan() {
            node.missing_left
        } else {
            value <= node.edge
        };
        at = if left { node.left } else { node.right } as usize;
    }
}

struct Grower<'a> {
    /// Row-major bins.
    cells: Vec<u8>,
    d: usize,
    bins: &'a [Bins],
    positive: &'a [bool],
    weights: Vec<f32>,
    columns: usize,
    params: &'a ForestParams,
}

/// Weights of negatives and positives, and rows.
#[derive(Clone, Copy, Default)]
struct Side {
    weights: [f64; 2],
    rows: usize,
}

impl Side {
    fn add(&mut self, other: Side) {
        self.weights[0] += other.weights[0];
        self.weights[1] += other.weights[1];
        self.rows += other.rows;
    }

    fn less(mut self, other: Side) -> Side {
        self.weights[0] -= other.weights[0];
        self.weights[1] -= other.weights[1];
        self.rows -= other.rows;
        self
    }

    /// Weight times Gini impurity, halved.
    fn impurity(&self) -> f64 {
        let all = self.weights[0] + self.weights[1];
        if all > 0.0 {
            self.weights[0] * self.weights[1] / all
        } else {
            0.0
        }
    }
}

struct Split {
    impurity: f64,
    column: usize,
    bin: u8,
    missing_left: bool,
}

impl Grower<'_> {
    fn tree(&self, number: u64) -> Vec<Node> {
        let mut draws = SplitMix64::stream(self.params.seed, number);
        let count = self.positive.len();
        let bootstrap: Vec<u32> = (0..count).map(|_| draws.below(count) as u32).collect();
        let mut nodes = vec![];
        // The place of a node's parent, and whether it is the right child.
        let mut open = vec![(bootstrap, 0_usize, None::<(usize, bool)>)];
        while let Some((rows, depth, parent)) = open.pop() {
            let at = nodes.len();
            if let Some((parent, right)) = parent {
                let parent: &mut Node = &mut nodes[parent];
                let child = if right {
                    &mut parent.right
                } else {
                    &mut parent.left
                };
                *child = at as u32;
            }
            let mut all = Side::default();
            for row in &rows {
                all.add(self.side(*row));
            }
            let value = all.weights[1] / (all.weights[0] + all.weights[1]);
            nodes.push(Node {
                column: LEAF,
                edge: 0.0,
                missing_left: false,
                left: 0,
                right: 0,
                value: value as f32,
            });
            let splits = depth < self.params.depth && all.impurity() > 1e-12;
            let split = if splits {
                self.best(&rows, all, &mut draws)
            } else {
                None
            };
            let Some(split) = split else { continue };
            let node = &mut nodes[at];
            node.column = split.column as u32;
            node.edge = self.bins[split.column].0[usize::from(split.bin)];
            node.missing_left = split.missing_left;
            let (left, right): (Vec<u32>, Vec<u32>) = rows.into_iter().partition(|row| {
                let bin = self.cells[*row as usize * self.d + split.column];
                if bin == MISSING {
                    split.missing_left
                } else {
                    bin <= split.bin
                }
            });
            open.push((right, depth + 1, Some((at, true))));
            open.push((left, depth + 1, Some((at, false))));
        }
        nodes
    }

    fn side(&self, row: u32) -> Side {
        let row = row as usize;
        let mut side = Side {
            weights: [0.0; 2],
            rows: 1,
        };
        side.weights[usize::from(self.positive[row])] = f64::from(self.weights[row]);
        side
    }

    /// The best split over columns drawn until enough of them split the rows; the first among equals.
    fn best(&self, rows: &[u32], all: Side, draws: &mut SplitMix64) -> Option<Split> {
        let mut columns: Vec<usize> = (0..self.d).collect();
        let mut best: Option<Split> = None;
        let mut seen = 0;
        for place in 0..self.d {
            columns.swap(place, place + draws.below(self.d - place));
            let column = columns[place];
            let mut bins = [Side::default(); MISSING as usize + 1];
            for row in rows {
                let bin = self.cells[*row as usize * self.d + column];
                bins[usize::from(bin)].add(self.side(*row));
            }
            if bins.iter().filter(|bin| bin.rows > 0).count() < 2 {
                continue;
            }
            self.split(&bins, all, column, &mut best);
            seen += 1;
            if seen >= self.columns && best.is_some() {
                break;
            }
        }
        best
    }

    fn split(&self, bins: &[Side], all: Side, column: usize, best: &mut Option<Split>) {
        let missing = bins[usize::from(MISSING)];
        let mut left = Side::default();
        for (place, bin) in bins.iter().enumerate().take(self.bins[column].0.len()) {
            left.add(*bin);
            for missing_left in [false, true] {
                let mut left = left;
                if missing_left {
                    if missing.rows == 0 {
                        continue;
                    }
                    left.add(missing);
                }
                let right = all.less(left);
                if left.rows.min(right.rows) < self.params.min_leaf.max(1) {
                    continue;
                }
                let impurity = left.impurity() + right.impurity();
                if best.as_ref().is_none_or(|best| impurity < best.impurity) {
                    *best = Some(Split {
                        impurity,
                        column,
                        bin: place as u8,
                        missing_left,
                    });
                }
            }
        }
    }
}
