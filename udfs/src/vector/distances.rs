//! Squared distances of a panel of rows from many others.
//!
//! A distance is one chain of fused multiply-adds of `(x − c)²` over the features in their order: the same to the bit on
//! every processor and in any batch, the same from `x` to `c` as back, and the same that [`crate::kmeans::Centroids`] finds.

use pulp::bytemuck::cast_slice;
use pulp::{Simd, WithSimd};

use crate::panel::{LANES, Line, VECTORS, arch};

/// The squared distance of each lane of `panel` from each row of `others` (row-major, `panel.len()` features), one line an
/// other, into `out`; lines beyond the others keep what they had.
pub(crate) fn squared_distances(panel: &[Line], others: &[f32], out: &mut [Line]) {
    arch().dispatch(Distances { panel, others, out });
}

struct Distances<'a> {
    panel: &'a [Line],
    others: &'a [f32],
    out: &'a mut [Line],
}

impl WithSimd for Distances<'_> {
    type Output = ();

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "it must be compiled with its caller's instruction set"
    )]
    fn with_simd<S: Simd>(self, simd: S) {
        let d = self.panel.len();
        let span = VECTORS * S::F32_LANES;
        for first in (0..LANES).step_by(span) {
            let lanes = first..first + span;
            // Two at a time, so that a vector of values is loaded once for both.
            for (others, out) in self.others.chunks(2 * d).zip(self.out.chunks_mut(2)) {
                let (one, two) = others.split_at(d);
                let two = if two.is_empty() { one } else { two };
                let mut sums = [[simd.splat_f32s(0.0); VECTORS]; 2];
                for ((line, one), two) in self.panel.iter().zip(one).zip(two) {
                    let values: &[S::f32s] = cast_slice(&line[lanes.clone()]);
                    let others = [simd.splat_f32s(*one), simd.splat_f32s(*two)];
                    for (sums, other) in sums.iter_mut().zip(others) {
                        for (sum, value) in sums.iter_mut().zip(values) {
                            let apart = simd.sub_f32s(*value, other);
                            *sum = simd.mul_add_f32s(apart, apart, *sum);
                        }
                    }
                }
                for (out, sums) in out.iter_mut().zip(&sums) {
                    out[lanes.clone()].copy_from_slice(cast_slice(sums));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kmeans::Centroids;
    use crate::panel::fill;
    use crate::panel::tests::rough;

    #[test]
    fn every_processor_finds_the_same_distances_to_the_bit_and_so_does_the_search_for_centroids() {
        for (n, d) in [(1, 1), (5, 3), (32, 17), (33, 100)] {
            let others = rough(n * d);
            let rows = rough((LANES + n) * d)[n * d..].to_vec();
            let mut panel = vec![[0.0; LANES]; d];
            fill(&mut panel, &rows);
            let found = |arch: pulp::Arch| {
                let mut out = vec![[0.0; LANES]; n];
                arch.dispatch(Distances {
                    panel: &panel,
                    others: &others,
                    out: &mut out,
                });
                out
            };
            let (here, plain) = (found(arch()), found(pulp::Arch::Scalar));
            let bits = |lines: &[Line]| lines.as_flattened().iter().map(|v| v.to_bits()).collect();
            let (here_bits, plain_bits): (Vec<u32>, Vec<u32>) = (bits(&here), bits(&plain));
            assert_eq!(here_bits, plain_bits);
            let centroids = Centroids::new(others.clone(), d).unwrap();
            centroids.each_nearest(&rows, |row, (centroid, squared)| {
                assert_eq!(here[centroid][row].to_bits(), squared.to_bits());
                assert!(here.iter().all(|line| line[row] >= squared));
            });
        }
    }
}
