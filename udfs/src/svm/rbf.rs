//! The radial kernel `exp(−γ |x − y|²)`, the same to the bit on every processor.
//!
//! The platform's `exp` differs between C libraries, so this one is ours: Cody and Waite's reduction by multiples of ln 2 and
//! the polynomial of Moshier's Cephes library, in fused multiply-adds; within 3 · 10⁻⁷ of the true value (tested).

use pulp::{Simd, WithSimd};

use crate::panel::{LANES, Line, arch, fill};
use crate::vector::distances::squared_distances;

/// Rows whose kernels are added in `f32` before they join the sum in `f64`.
const BLOCK: usize = 64;

/// `eˣ` of a number that is 0 or less; below −87, where an ordinary `f32` ends, `e⁻⁸⁷`. NaN stays NaN.
#[inline(always)]
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a whole number from -126 to 0"
)]
pub fn exp(x: f32) -> f32 {
    // Adding and taking away 1.5 · 2²³ rounds to a whole number without a call.
    const ROUND: f32 = 12_582_912.0;
    let x = if x < -87.0 { -87.0 } else { x };
    let n = x.mul_add(std::f32::consts::LOG2_E, ROUND) - ROUND;
    let r = n.mul_add(-0.693_359_4, x);
    let r = n.mul_add(2.121_944_4e-4, r);
    let mut poly = 1.987_569_2e-4_f32;
    for c in [
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        1.666_666_5e-1,
        0.5,
    ] {
        poly = poly.mul_add(r, c);
    }
    let value = poly.mul_add(r * r, r) + 1.0;
    // Not a number has no exponent to set.
    let scale = f32::from_bits(((n as i32 + 127) as u32) << 23);
    value * scale
}

/// All kernels of the rows with each other (row-major, `d` features): a matrix of rows × rows, symmetric, ones on the diagonal.
/// Bytes: 4 a pair.
#[must_use]
pub fn kernel_matrix(rows: &[f32], d: usize, gamma: f32) -> Vec<f32> {
    let n = rows.len().checked_div(d).unwrap_or(0);
    let mut matrix = vec![0.0; n * n];
    let mut panel = vec![[0.0; LANES]; d];
    let mut lines: Vec<Line> = vec![[0.0; LANES]; n];
    for (place, some) in rows.chunks(LANES * d.max(1)).enumerate() {
        fill(&mut panel, some);
        squared_distances(&panel, rows, &mut lines);
        arch().dispatch(Kernels {
            gamma,
            lines: &mut lines,
        });
        for lane in 0..some.len() / d {
            let row = &mut matrix[(place * LANES + lane) * n..][..n];
            for (kernel, line) in row.iter_mut().zip(&lines) {
                *kernel = line[lane];
            }
        }
    }
    matrix
}

/// Rows with coefficients: what a support vector machine adds up.
#[derive(Debug, Clone, Copy)]
pub struct Expansion<'a> {
    /// Support vectors, row-major, `d` features.
    pub support: &'a [f32],
    /// A coefficient each.
    pub coefficients: &'a [f32],
    /// Features a row; above 0.
    pub d: usize,
    /// The kernel's factor.
    pub gamma: f32,
}

impl Expansion<'_> {
    /// `Σ cᵢ exp(−γ |x − sᵢ|²)` of each row (row-major, `d` features): `found(row, sum)`, in order. A row with a NaN: NaN.
    pub fn sums(&self, rows: &[f32], mut found: impl FnMut(usize, f64)) {
        let mut panel = vec![[0.0; LANES]; self.d];
        let mut lines = vec![[0.0; LANES]; BLOCK];
        for (place, some) in rows.chunks(LANES * self.d).enumerate() {
            fill(&mut panel, some);
            let mut totals = [0.0_f64; LANES];
            let support = self.support.chunks(BLOCK * self.d);
            for (support, coefficients) in support.zip(self.coefficients.chunks(BLOCK)) {
                squared_distances(&panel, support, &mut lines);
                let sums = arch().dispatch(Sums {
                    coefficients,
                    gamma: self.gamma,
                    lines: &mut lines,
                });
                for (total, sum) in totals.iter_mut().zip(sums) {
                    *total += f64::from(sum);
                }
            }
            for (lane, total) in totals.iter().enumerate().take(some.len() / self.d) {
                found(place * LANES + lane, *total);
            }
        }
    }

    /// How far a row is from the support vectors along each feature, squared, into `out`: the mean over them, each weighing its
    /// coefficient (as it is, without its sign) times its kernel with the row. Of a row so far that all kernels vanish, the
    /// nearest ones weigh: weights are relative to the nearest one's.
    pub fn apart(&self, row: &[f32], out: &mut [f32]) {
        let mut panel = vec![[0.0; LANES]; self.d];
        fill(&mut panel, row);
        let mut lines = vec![[0.0; LANES]; self.coefficients.len()];
        squared_distances(&panel, self.support, &mut lines);
        let nearest = lines.iter().map(|line| line[0]).fold(f32::MAX, f32::min);
        let mut sums = vec![0.0_f64; self.d];
        let mut all = 0.0_f64;
        let support = self.support.chunks_exact(self.d);
        for ((support, coefficient), line) in support.zip(self.coefficients).zip(&lines) {
            let weight = f64::from(coefficient.abs() * exp(-self.gamma * (line[0] - nearest)));
            all += weight;
            for ((sum, value), support) in sums.iter_mut().zip(row).zip(support) {
                *sum += weight * f64::from((value - support) * (value - support));
            }
        }
        #[expect(clippy::cast_possible_truncation, reason = "shares are told in f32")]
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = if all > 0.0 { (sum / all) as f32 } else { 0.0 };
        }
    }
}

/// Squared distances become kernels.
struct Kernels<'a> {
    gamma: f32,
    lines: &'a mut [Line],
}

impl WithSimd for Kernels<'_> {
    type Output = ();

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "it must be compiled with its caller's instruction set"
    )]
    fn with_simd<S: Simd>(self, _: S) {
        for line in self.lines {
            for value in line {
                *value = exp(-self.gamma * *value);
            }
        }
    }
}

/// The weighted sum of a block's kernels, a lane.
struct Sums<'a> {
    coefficients: &'a [f32],
    gamma: f32,
    lines: &'a mut [Line],
}

impl WithSimd for Sums<'_> {
    type Output = Line;

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "it must be compiled with its caller's instruction set"
    )]
    fn with_simd<S: Simd>(self, _: S) -> Line {
        let mut sums = [0.0_f32; LANES];
        for (line, coefficient) in self.lines.iter().zip(self.coefficients) {
            for (sum, value) in sums.iter_mut().zip(line) {
                *sum = coefficient.mul_add(exp(-self.gamma * *value), *sum);
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::panel::tests::rough;

    #[test]
    fn the_exponential_is_true_to_seven_digits_and_never_0() {
        let mut worst = 0.0_f64;
        for step in 0..870_000_u32 {
            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            let x = -(step as f32) * 1e-4;
            let truth = f64::from(x).exp();
            worst = worst.max((f64::from(exp(x)) - truth).abs() / truth);
        }
        assert!(worst < 3e-7, "{worst}");
        assert!((exp(0.0) - 1.0).abs() <= 0.0);
        assert!(exp(-1e9) > 0.0 && exp(f32::NEG_INFINITY) < 1e-37);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn every_processor_finds_the_same_kernels_and_sums_to_the_bit() {
        let squares: Vec<f32> = rough(BLOCK * LANES).iter().map(|v| v * v * 9.0).collect();
        let coefficients = rough(BLOCK);
        let found = |arch: pulp::Arch| {
            let mut lines: Vec<Line> = squares.as_chunks::<LANES>().0.to_vec();
            let sums = arch.dispatch(Sums {
                coefficients: &coefficients,
                gamma: 0.3,
                lines: &mut lines,
            });
            arch.dispatch(Kernels {
                gamma: 0.3,
                lines: &mut lines,
            });
            let all = lines.as_flattened().iter().chain(&sums);
            all.map(|v| v.to_bits()).collect::<Vec<u32>>()
        };
        assert_eq!(found(arch()), found(pulp::Arch::Scalar));
    }

    #[test]
    fn sums_are_those_of_the_matrix() {
        let (n, d) = (150, 5);
        let rows = rough(n * d);
        let matrix = kernel_matrix(&rows, d, 0.2);
        let coefficients = rough(n);
        let expansion = Expansion {
            support: &rows,
            coefficients: &coefficients,
            d,
            gamma: 0.2,
        };
        let mut seen = 0;
        expansion.sums(&rows, |row, sum| {
            let kernels = &matrix[row * n..(row + 1) * n];
            assert!((kernels[row] - 1.0).abs() <= 0.0);
            let plain: f64 = kernels
                .iter()
                .zip(&coefficients)
                .map(|(k, c)| f64::from(*k) * f64::from(*c))
                .sum();
            assert!((plain - sum).abs() < 1e-5, "{plain} {sum}");
            assert!(
                matrix[row * n].to_bits() == matrix[row].to_bits(),
                "symmetric"
            );
            seen += 1;
        });
        assert_eq!(seen, n);
    }
}
