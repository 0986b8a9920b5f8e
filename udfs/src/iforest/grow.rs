//! Growing one tree.

use crate::rng::SplitMix64;

/// A tree as flat arrays: nodes in an order in which children follow parents and siblings are adjacent.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Tree {
    /// Rows of the tree's sample in each node.
    pub(super) rows: Vec<u32>,
    /// Offset from a node to its left child; 0 at a leaf. The right child follows the left.
    pub(super) left: Vec<u32>,
    /// The cuts' features, level + 1 an inner node, in order of the inner nodes.
    pub(super) feature: Vec<u16>,
    /// Threshold, or the plane's point: one a feature.
    pub(super) point: Vec<f32>,
    /// The plane's normal, one a feature; empty in a standard tree.
    pub(super) normal: Vec<f32>,
    /// What scoring as if inserted wants to know; empty otherwise.
    pub(super) seen: Seen,
}

/// What a tree saw at each cut, as flat arrays.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Seen {
    /// Of each node, features that were drawn and could not be cut, as they had one value in it. All of them at a leaf of several
    /// equal rows.
    pub(super) draws: Vec<u32>,
    /// Those features, node by node.
    pub(super) feature: Vec<u16>,
    /// Their values.
    pub(super) value: Vec<f32>,
    /// Least value of the cut's feature, one an inner node.
    pub(super) low: Vec<f32>,
    /// Its greatest.
    pub(super) high: Vec<f32>,
}

/// What a node does with a row: the same code grows and scores, so that a row follows the path it was grown on.
/// Left where `x[feature] < threshold`; a NaN goes right.
#[inline]
pub(super) fn goes_left(value: f32, threshold: f32) -> bool {
    value < threshold
}

/// The projection of a row on a plane's normal, summed in order in f64; left where it is at most the point's.
#[inline]
pub(super) fn project(row: &[f32], features: &[u16], normal: &[f32]) -> f64 {
    features
        .iter()
        .zip(normal)
        .map(|(feature, weight)| f64::from(row[usize::from(*feature)]) * f64::from(*weight))
        .sum()
}

/// The projection of the plane's own point.
#[inline]
pub(super) fn offset(point: &[f32], normal: &[f32]) -> f64 {
    point
        .iter()
        .zip(normal)
        .map(|(value, weight)| f64::from(*value) * f64::from(*weight))
        .sum()
}

struct Grower<'a> {
    /// Row-major, finite.
    sample: &'a [f32],
    d: usize,
    coordinates: usize,
    rng: SplitMix64,
    /// A permutation of all features, reshuffled by every draw.
    features: Vec<u16>,
    /// Whether to keep what was seen.
    insertion: bool,
}

/// Grows a tree on all rows of `sample` (row-major, finite, `d` features).
pub(super) fn grow(
    sample: &[f32],
    d: usize,
    max_depth: usize,
    extension_level: usize,
    insertion: bool,
    rng: SplitMix64,
) -> Tree {
    let count = sample.len() / d;
    let features = (0..d)
        .filter_map(|feature| u16::try_from(feature).ok())
        .collect();
    let mut grower = Grower {
        sample,
        d,
        coordinates: extension_level + 1,
        rng,
        features,
        insertion,
    };
    let mut order: Vec<u32> = (0..count)
        .filter_map(|row| u32::try_from(row).ok())
        .collect();
    let mut tree = Tree::default();
    let mut spans = vec![(0, count, 0_usize)];
    tree.rows.push(u32::try_from(count).unwrap_or(u32::MAX));
    // Children are appended, so the node list is its own queue: breadth first.
    let mut node = 0;
    while let Some(&(from, to, depth)) = spans.get(node) {
        let rows = &mut order[from..to];
        let drawn = tree.seen.feature.len();
        let left_rows = if depth < max_depth && rows.len() > 1 {
            grower.cut(rows, &mut tree)
        } else {
            None
        };
        if let Some(left_rows) = left_rows {
            tree.left
                .push(u32::try_from(spans.len() - node).unwrap_or(0));
            for (from, to) in [(from, from + left_rows), (from + left_rows, to)] {
                spans.push((from, to, depth + 1));
                tree.rows.push(u32::try_from(to - from).unwrap_or(u32::MAX));
            }
        } else {
            tree.left.push(0);
        }
        if insertion {
            let drawn = tree.seen.feature.len() - drawn;
            tree.seen.draws.push(u32::try_from(drawn).unwrap_or(0));
        }
        node += 1;
    }
    tree
}

impl Grower<'_> {
    fn row(&self, row: u32) -> &[f32] {
        let from = row as usize * self.d;
        &self.sample[from..from + self.d]
    }

    /// Cuts the rows of a node in two and appends the cut to the tree; the left rows come first and are counted. `None`
    /// where no cut was found. An axis cut leaves rows on both sides; a plane may pass all of them by.
    fn cut(&mut self, rows: &mut [u32], tree: &mut Tree) -> Option<usize> {
        if self.coordinates == 1 {
            self.cut_axis(rows, tree)
        } else {
            Some(self.cut_plane(rows, tree))
        }
    }

    /// Draws the `place`-th of the features that are not drawn yet.
    fn draw(&mut self, place: usize) -> u16 {
        let other = place + self.rng.below(self.d - place);
        self.features.swap(place, other);
        self.features[place]
    }

    fn extremes(&self, rows: &[u32], feature: u16) -> (f32, f32) {
        rows.iter()
            .map(|row| self.row(*row)[usize::from(feature)])
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), value| {
                (
                    if value < low { value } else { low },
                    if value > high { value } else { high },
                )
            })
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "a point between two f32 values"
    )]
    fn between(&mut self, low: f32, high: f32) -> f32 {
        (f64::from(low) + self.rng.next_f64() * (f64::from(high) - f64::from(low))) as f32
    }

    fn cut_axis(&mut self, rows: &mut [u32], tree: &mut Tree) -> Option<usize> {
        for place in 0..self.d {
            let feature = self.draw(place);
            let (low, high) = self.extremes(rows, feature);
            if low < high {
                // In (low, high]: the lowest row goes left, the highest goes right.
                let threshold = self.between(low, high).clamp(low.next_up(), high);
                let left = partition(rows, |row| {
                    goes_left(self.row(row)[usize::from(feature)], threshold)
                });
                tree.feature.push(feature);
                tree.point.push(threshold);
                if self.insertion {
                    tree.seen.low.push(low);
                    tree.seen.high.push(high);
                }
                return Some(left);
            }
            if self.insertion {
                tree.seen.feature.push(feature);
                tree.seen.value.push(low);
            }
        }
        None
    }

    /// A plane through a random point of the box that the rows lie in. It is taken also where it passes all rows by, which
    /// leaves an empty child: a row that falls in there later is outside of all that the tree has seen.
    fn cut_plane(&mut self, rows: &mut [u32], tree: &mut Tree) -> usize {
        let features: Vec<u16> = (0..self.coordinates)
            .map(|place| self.draw(place))
            .collect();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a direction needs no more than f32"
        )]
        let normal: Vec<f32> = features
            .iter()
            .map(|_| self.rng.next_normal() as f32)
            .collect();
        let point: Vec<f32> = features
            .iter()
            .map(|feature| {
                let (low, high) = self.extremes(rows, *feature);
                self.between(low, high)
            })
            .collect();
        let offset = offset(&point, &normal);
        let left = partition(rows, |row| {
            project(self.row(row), &features, &normal) <= offset
        });
        tree.feature.extend(features);
        tree.point.extend(point);
        tree.normal.extend(normal);
        left
    }
}

/// Moves the rows that satisfy `left` to the front and counts them. Deterministic; does not keep the order.
fn partition(rows: &mut [u32], left: impl Fn(u32) -> bool) -> usize {
    let mut count = 0;
    for place in 0..rows.len() {
        if left(rows[place]) {
            rows.swap(place, count);
            count += 1;
        }
    }
    count
}
