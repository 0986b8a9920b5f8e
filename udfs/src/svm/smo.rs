//! Sequential minimal optimisation: `min ½ αᵀQα + pᵀα` with `yᵀα` as it starts and `0 ≤ αᵢ ≤ cᵢ`, where `Qᵢⱼ = yᵢ yⱼ Kᵢⱼ`.
//!
//! Platt's method (1998) with the choice of pairs of libsvm (Fan, Chen & Lin 2005, "working set selection using second order
//! information"): the row that violates the conditions most, and the partner that lowers the objective most. Each step solves
//! its pair exactly. Sums are in `f64` in the order of rows: the same on every run.

/// A quadratic program.
#[derive(Debug, Clone, Copy)]
pub struct Program<'a> {
    /// All kernels, row-major, rows × rows.
    pub kernel: &'a [f32],
    /// The class of each row.
    pub positive: &'a [bool],
    /// The linear term, a row.
    pub linear: &'a [f64],
    /// The greatest coefficient, a row.
    pub most: &'a [f64],
    /// It ends when no pair violates the conditions by more than this (libsvm's `eps`).
    pub tol: f64,
    /// It ends after so many steps, converged or not.
    pub steps: usize,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    /// The coefficients, a row.
    pub alpha: Vec<f64>,
    /// The border: a decision is `Σ yᵢ αᵢ K(x, xᵢ) − rho`.
    pub rho: f64,
    /// Steps made.
    pub steps: usize,
    /// By how much the worst pair still violates the conditions.
    pub gap: f64,
}

/// Solves a program from a feasible start (within bounds; it decides what `yᵀα` is).
#[must_use]
pub fn solve(program: &Program<'_>, start: Vec<f64>) -> Solution {
    let mut alpha = start;
    let n = alpha.len();
    let sign = |row: usize| if program.positive[row] { 1.0 } else { -1.0 };
    let line = |row: usize| &program.kernel[row * n..(row + 1) * n];
    // yᵢ times the gradient.
    let mut slope: Vec<f64> = (0..n).map(|row| sign(row) * program.linear[row]).collect();
    for (row, value) in alpha.iter().enumerate().filter(|(_, value)| **value > 0.0) {
        let weight = sign(row) * value;
        for (slope, kernel) in slope.iter_mut().zip(line(row)) {
            *slope += weight * f64::from(*kernel);
        }
    }
    let mut steps = 0;
    loop {
        // Who may still move up, and who down, along y.
        let up = |row: usize, alpha: &[f64]| {
            if program.positive[row] {
                alpha[row] < program.most[row]
            } else {
                alpha[row] > 0.0
            }
        };
        let down = |row: usize, alpha: &[f64]| {
            if program.positive[row] {
                alpha[row] > 0.0
            } else {
                alpha[row] < program.most[row]
            }
        };
        let mut first: Option<usize> = None;
        for row in 0..n {
            if up(row, &alpha) && first.is_none_or(|first| slope[row] < slope[first]) {
                first = Some(row);
            }
        }
        let Some(first) = first else {
            return done(program, alpha, &slope, steps, 0.0);
        };
        let kernels = line(first);
        let (mut second, mut best, mut gap) = (None, 0.0, 0.0_f64);
        for row in 0..n {
            let apart = slope[row] - slope[first];
            if apart <= 0.0 || !down(row, &alpha) {
                continue;
            }
            gap = gap.max(apart);
            let gain = apart * apart / curvature(kernels[row], kernels[first], line(row)[row]);
            if gain > best {
                (second, best) = (Some(row), gain);
            }
        }
        let Some(second) = second.filter(|_| gap >= program.tol && steps < program.steps) else {
            return done(program, alpha, &slope, steps, gap);
        };
        let others = line(second);
        let wanted = (slope[second] - slope[first])
            / curvature(kernels[second], kernels[first], others[second]);
        let room = |row: usize, rises: bool| {
            if program.positive[row] == rises {
                program.most[row] - alpha[row]
            } else {
                alpha[row]
            }
        };
        let (room_first, room_second) = (room(first, true), room(second, false));
        let step = wanted.min(room_first).min(room_second);
        for (row, rises, room) in [(first, true, room_first), (second, false, room_second)] {
            let rises = program.positive[row] == rises;
            // At a bound exactly, so that it is seen to be there.
            alpha[row] = match (step >= room, rises) {
                (true, true) => program.most[row],
                (true, false) => 0.0,
                (false, true) => alpha[row] + step,
                (false, false) => alpha[row] - step,
            };
        }
        for ((slope, first), second) in slope.iter_mut().zip(kernels).zip(others) {
            *slope += step * (f64::from(*first) - f64::from(*second));
        }
        steps += 1;
    }
}

/// `Kᵢᵢ + Kⱼⱼ − 2 Kᵢⱼ`, kept above 0 as libsvm does.
fn curvature(between: f32, first: f32, second: f32) -> f64 {
    (f64::from(first) + f64::from(second) - 2.0 * f64::from(between)).max(1e-12)
}

/// The border: the mean slope of the rows between their bounds, or the middle of what the others allow.
#[expect(clippy::cast_precision_loss, reason = "row counts stay below 2^53")]
fn done(program: &Program<'_>, alpha: Vec<f64>, slope: &[f64], steps: usize, gap: f64) -> Solution {
    let (mut free, mut sum) = (0_usize, 0.0);
    let (mut above, mut below) = (f64::INFINITY, f64::NEG_INFINITY);
    for (row, value) in alpha.iter().enumerate() {
        let (at_most, at_0) = (*value >= program.most[row], *value <= 0.0);
        if !at_most && !at_0 {
            free += 1;
            sum += slope[row];
        } else if at_0 == program.positive[row] {
            above = above.min(slope[row]);
        } else {
            below = below.max(slope[row]);
        }
    }
    let rho = if free > 0 {
        sum / free as f64
    } else if above.is_finite() && below.is_finite() {
        f64::midpoint(above, below)
    } else if above.is_finite() {
        above
    } else {
        below
    };
    Solution {
        alpha,
        rho,
        steps,
        gap,
    }
}
