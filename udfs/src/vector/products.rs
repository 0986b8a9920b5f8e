//! Dot products of many vectors with many others, in blocks: which pairs reach a floor.
//!
//! What: a product is one chain of fused multiply-adds over the components in their order, for every pair, whatever the
//! processor's vectors are wide and whatever else is in the block. So a pair has one product, to the bit, on every machine
//! and in any order of work, and `a·b` is `b·a`.
//!
//! How: twelve vectors of one side ([`Queries`], laid component by component) meet a panel of 32 of the other side, whose
//! lanes are vectors of the processor. The sums of a tile stay in registers over all components; the panels of a block fit the
//! second-level cache and meet all queries before the next block comes, so that the other side is read once, and may be made
//! as it is needed. Only pairs that reach the floor leave the registers.
//!
//! Cost: about the processor's rate of multiply-adds (`bench/near_dup.sh`). Memory: the queries once, a block of others.

use pulp::bytemuck::cast_slice;
use pulp::{Arch, Simd, WithSimd};

/// Queries that are multiplied together.
const GROUP: usize = 12;
/// Others that are multiplied together: two of the widest vectors.
const PANEL: usize = 32;
/// Bytes of a block of others: half of a usual second-level cache.
const BLOCK_BYTES: usize = 512 << 10;

type Line = [f32; PANEL];

/// Vectors of one width, laid out to be multiplied with others.
#[derive(Debug, Clone)]
pub struct Queries {
    d: usize,
    n: usize,
    /// By group of [`GROUP`], then by component.
    groups: Vec<[f32; GROUP]>,
}

impl Queries {
    /// Lays out `rows`, row-major, `d` components each; a rest that is no whole row is ignored.
    #[must_use]
    pub fn new(rows: &[f32], d: usize) -> Self {
        let mut queries = Self {
            d,
            n: 0,
            groups: vec![],
        };
        if d > 0 {
            for row in rows.chunks_exact(d) {
                queries.push(row);
            }
        }
        queries
    }

    /// Adds a vector; components beyond the width are ignored, missing ones are zero.
    pub fn push(&mut self, row: &[f32]) {
        let lane = self.n % GROUP;
        if lane == 0 {
            self.groups.resize(self.groups.len() + self.d, [0.0; GROUP]);
        }
        let group = self.n / GROUP * self.d;
        for (line, value) in self.groups[group..].iter_mut().zip(row) {
            line[lane] = *value;
        }
        self.n += 1;
    }

    /// Vectors.
    #[must_use]
    pub fn len(&self) -> usize {
        self.n
    }

    /// No vector.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// Components a vector.
    #[must_use]
    pub fn width(&self) -> usize {
        self.d
    }

    /// Copies one of the vectors to `out`.
    pub fn copy(&self, index: usize, out: &mut [f32]) {
        let group = &self.groups[index / GROUP * self.d..];
        for (value, line) in out.iter_mut().zip(group.iter().take(self.d)) {
            *value = line[index % GROUP];
        }
    }

    /// Every pair of a query with a number in `range` and one of `others` (row-major, of this width) whose product is at
    /// least `floor`: `found(query, other, product)`, in no order that a caller may rely on. A product that is not a number reaches no
    /// floor.
    pub fn reaching(
        &self,
        range: std::ops::Range<usize>,
        others: &[f32],
        floor: f32,
        found: &mut impl FnMut(usize, usize, f32),
    ) {
        if self.d == 0 || range.is_empty() {
            return;
        }
        let arch = Arch::new();
        let rows = (BLOCK_BYTES / size_of::<f32>() / self.d / PANEL).max(1) * PANEL;
        let mut block = vec![];
        for (start, others) in others.chunks(rows * self.d).enumerate() {
            let n = lay(&mut block, others, self.d);
            arch.dispatch(Meet {
                queries: self,
                range: range.clone(),
                block: &block,
                first: start * rows,
                n,
                floor,
                found: &mut *found,
            });
        }
    }
}

/// Lays rows into panels, component by component; returns how many rows there are. Lanes without a row are zero.
fn lay(block: &mut Vec<Line>, rows: &[f32], d: usize) -> usize {
    let n = rows.len() / d;
    block.clear();
    block.resize(n.div_ceil(PANEL) * d, [0.0; PANEL]);
    for (row, values) in rows.chunks_exact(d).enumerate() {
        let panel = &mut block[row / PANEL * d..][..d];
        for (line, value) in panel.iter_mut().zip(values) {
            line[row % PANEL] = *value;
        }
    }
    n
}

/// All groups of a range meet all panels of a block.
struct Meet<'a, F> {
    queries: &'a Queries,
    range: std::ops::Range<usize>,
    block: &'a [Line],
    /// Number of the block's first row among the others.
    first: usize,
    /// Rows of the block.
    n: usize,
    floor: f32,
    found: &'a mut F,
}

impl<F: FnMut(usize, usize, f32)> WithSimd for Meet<'_, F> {
    type Output = ();

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "it must be compiled with its caller's instruction set"
    )]
    fn with_simd<S: Simd>(self, simd: S) {
        // Sums that fit the registers: 32 of them with the widest vectors and on ARM, else 16.
        if S::F32_LANES == 8 {
            self.tiles::<S, 6>(simd);
        } else {
            self.tiles::<S, GROUP>(simd);
        }
    }
}

impl<F: FnMut(usize, usize, f32)> Meet<'_, F> {
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "as its caller")]
    fn tiles<S: Simd, const ROWS: usize>(self, simd: S) {
        let d = self.queries.d;
        let floor = simd.splat_f32s(self.floor);
        let span = 2 * S::F32_LANES;
        let groups = self.range.start / GROUP..self.range.end.div_ceil(GROUP);
        for group in groups {
            let queries = &self.queries.groups[group * d..][..d];
            for (panel, lines) in self.block.chunks_exact(d).enumerate() {
                for row in (0..GROUP).step_by(ROWS) {
                    for lane in (0..PANEL).step_by(span) {
                        let sums = tile::<S, ROWS>(simd, queries, row, lines, lane);
                        let mut any = false;
                        for sum in sums.as_flattened() {
                            let reached = simd.greater_than_or_equal_f32s(*sum, floor);
                            any |= simd.first_true_m32s(reached) < S::F32_LANES;
                        }
                        if !any {
                            continue;
                        }
                        for (r, sums) in sums.iter().enumerate() {
                            let query = group * GROUP + row + r;
                            let sums: &[f32] = cast_slice(sums);
                            for (l, product) in sums.iter().enumerate() {
                                let other = panel * PANEL + lane + l;
                                if *product >= self.floor
                                    && other < self.n
                                    && self.range.contains(&query)
                                {
                                    (self.found)(query, self.first + other, *product);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The products of some queries of a group with two vectors of a panel's lanes.
#[inline(always)]
#[expect(clippy::inline_always, reason = "as its caller")]
fn tile<S: Simd, const ROWS: usize>(
    simd: S,
    queries: &[[f32; GROUP]],
    row: usize,
    lines: &[Line],
    lane: usize,
) -> [[S::f32s; 2]; ROWS] {
    let mut sums = [[simd.splat_f32s(0.0); 2]; ROWS];
    let (one, two) = (lane / S::F32_LANES, lane / S::F32_LANES + 1);
    for (queries, line) in queries.iter().zip(lines) {
        let values: &[S::f32s] = cast_slice(line);
        let (one, two) = (values[one], values[two]);
        for (sums, query) in sums.iter_mut().zip(&queries[row..row + ROWS]) {
            let query = simd.splat_f32s(*query);
            sums[0] = simd.mul_add_f32s(query, one, sums[0]);
            sums[1] = simd.mul_add_f32s(query, two, sums[1]);
        }
    }
    sums
}

/// One product, as [`Queries::reaching`] computes it: the slow and obvious way.
#[must_use]
pub fn product(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).fold(0.0, |sum, (a, b)| a.mul_add(*b, sum))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::panel::tests::rough;

    fn all(
        queries: &Queries,
        range: std::ops::Range<usize>,
        others: &[f32],
        floor: f32,
    ) -> Vec<(usize, usize, u32)> {
        let mut found = vec![];
        queries.reaching(range, others, floor, &mut |q, o, p: f32| {
            found.push((q, o, p.to_bits()));
        });
        found.sort_unstable();
        found
    }

    #[test]
    fn the_blocks_find_what_the_obvious_way_finds_to_the_bit() {
        for (n, m, d) in [
            (1, 1, 1),
            (13, 33, 7),
            (40, 100, 64),
            (5, 600, 384),
            (25, 31, 513),
        ] {
            let (a, b) = (rough(n * d), rough((n + m) * d)[n * d..].to_vec());
            let queries = Queries::new(&a, d);
            for range in [0..n, n / 2..n, 0..n.div_ceil(2)] {
                let mut expected = vec![];
                for q in range.clone() {
                    for (o, other) in b.chunks(d).enumerate() {
                        let product = product(&a[q * d..][..d], other);
                        if product >= 0.1 {
                            expected.push((q, o, product.to_bits()));
                        }
                    }
                }
                assert_eq!(all(&queries, range, &b, 0.1), expected, "{n} {m} {d}");
            }
        }
    }

    #[test]
    fn every_processor_finds_the_same_products_to_the_bit() {
        let d = 37;
        let (queries, others) = (
            Queries::new(&rough(30 * d), d),
            rough(90 * d)[20 * d..].to_vec(),
        );
        let mut block = vec![];
        let n = lay(&mut block, &others, d);
        let found = |arch: Arch| {
            let mut found = vec![];
            arch.dispatch(Meet {
                queries: &queries,
                range: 0..30,
                block: &block,
                first: 0,
                n,
                floor: -1.0,
                found: &mut |q, o, p: f32| found.push((q, o, p.to_bits())),
            });
            found.sort_unstable();
            found
        };
        let plain = found(Arch::Scalar);
        assert_eq!(found(Arch::new()), plain);
        assert_eq!(found(crate::panel::arch()), plain);
        assert!(plain.len() > 500);
    }

    #[test]
    fn what_is_not_a_number_reaches_no_floor() {
        let mut rows = rough(4 * 3);
        rows[4] = f32::NAN;
        let queries = Queries::new(&rows, 3);
        let found = all(&queries, 0..4, &rows, f32::NEG_INFINITY);
        assert_eq!(found.len(), 9);
        assert!(found.iter().all(|(q, o, _)| *q != 1 && *o != 1));
    }

    #[test]
    fn a_vector_comes_back_as_it_was_added() {
        let rows = rough(14 * 5);
        let queries = Queries::new(&rows, 5);
        let mut out = [0.0; 5];
        queries.copy(13, &mut out);
        assert_eq!(
            out.map(f32::to_bits).to_vec(),
            rows[65..].iter().map(|v| v.to_bits()).collect::<Vec<_>>()
        );
        assert_eq!(
            (queries.len(), queries.width(), queries.is_empty()),
            (14, 5, false)
        );
    }
}
