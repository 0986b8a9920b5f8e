//! Logistic regression over hashed n-grams, with an L2 penalty: the second family of classifiers.
//!
//! **What.** Minimises `Σ wᵢ ln(1 + exp(-yᵢ f(xᵢ))) + |β|² / (2 C)` over the weights β; the intercept is not penalised. By L-BFGS (Liu & Nocedal
//! 1989) with 10 pairs and a backtracking line search: the objective is convex and smooth, so the end does not depend on
//! a seed, and a test checks that the gradient vanishes there. A stochastic descent was left out: its end depends on the order of
//! the rows.
//!
//! **Cost.** One pass over the rows' n-grams an iteration; 20 vectors of as many numbers as there are n-grams in two rows or more (42 MB at most).

use crate::text::{BUCKETS, Lines};

/// Pairs that the curvature is estimated from.
const PAIRS: usize = 10;
/// The most iterations; some fifty are usual.
const ITERATIONS: usize = 200;
/// N-grams in fewer training rows than this have no weight: a row's own n-grams tell nothing of other rows.
const MIN_ROWS: u32 = 2;
/// The search ends when the gradient's length is this share of what it was at zero.
const TOLERANCE: f64 = 1e-4;

/// Rows to fit on: `rows` of `lines`, `malicious` and `weights` by position in `rows`.
#[derive(Debug, Clone, Copy)]
pub struct Training<'a> {
    /// The lines.
    pub lines: &'a Lines,
    /// Which of them.
    pub rows: &'a [usize],
    /// Labels.
    pub malicious: &'a [bool],
    /// Weights, above 0.
    pub weights: &'a [f32],
}

impl Training<'_> {
    /// # Errors
    /// [`crate::ClassifierError::Shape`] when the lists do not fit, [`crate::ClassifierError::TooFew`] without two rows of each class.
    pub fn check(&self) -> Result<(), crate::ClassifierError> {
        for (what, got) in [
            ("labels", self.malicious.len()),
            ("weights", self.weights.len()),
        ] {
            if got != self.rows.len() {
                return Err(crate::ClassifierError::Shape {
                    what,
                    expected: self.rows.len(),
                    got,
                });
            }
        }
        if let Some(row) = self.rows.iter().find(|row| **row >= self.lines.len()) {
            return Err(crate::ClassifierError::Shape {
                what: "a row of the lines",
                expected: self.lines.len(),
                got: *row,
            });
        }
        let malicious = self.malicious.iter().filter(|m| **m).count();
        let benign = self.rows.len() - malicious;
        if malicious < 2 || benign < 2 {
            return Err(crate::ClassifierError::TooFew { benign, malicious });
        }
        Ok(())
    }
}

/// A fitted model: one weight a bucket, and the intercept last.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    pub(crate) weights: Vec<f32>,
}

impl Linear {
    /// Fits with inverse regularisation `c` (scikit-learn's `C`), above 0.
    ///
    /// # Errors
    /// As [`Training::check`].
    pub fn fit(training: &Training<'_>, c: f64) -> Result<Self, crate::ClassifierError> {
        training.check()?;
        let (problem, buckets) = Problem::of(training, 1.0 / c);
        let fitted = minimise(&problem);
        let mut weights = vec![0.0; BUCKETS + 1];
        for (bucket, weight) in buckets.iter().zip(&fitted) {
            weights[*bucket as usize] = *weight as f32;
        }
        weights[BUCKETS] = fitted.last().copied().unwrap_or(0.0) as f32;
        Ok(Self { weights })
    }

    /// The log odds of malice of a line's n-grams.
    #[must_use]
    pub fn log_odds(&self, buckets: &[u32], values: &[f32]) -> f64 {
        let weight = |bucket: usize| f64::from(self.weights.get(bucket).copied().unwrap_or(0.0));
        let sum: f64 = buckets
            .iter()
            .zip(values)
            .map(|(bucket, value)| weight(*bucket as usize) * f64::from(*value))
            .sum();
        sum + weight(BUCKETS)
    }
}

/// The training rows with the n-grams that count numbered anew: vectors are as long as there are such n-grams.
struct Problem {
    ends: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f32>,
    /// The label's sign, and the row's weight.
    labels: Vec<(f64, f64)>,
    /// Columns; the intercept comes after them.
    n: usize,
    penalty: f64,
}

impl Problem {
    /// The problem, and the bucket of each of its columns.
    fn of(training: &Training<'_>, penalty: f64) -> (Self, Vec<u32>) {
        let grams = &training.lines.grams;
        let mut rows = vec![0_u32; BUCKETS];
        for row in training.rows {
            for bucket in grams.row(*row).0 {
                rows[*bucket as usize] += 1;
            }
        }
        let mut column = vec![u32::MAX; BUCKETS];
        let mut buckets = vec![];
        for (bucket, rows) in rows.iter().enumerate() {
            if *rows >= MIN_ROWS {
                column[bucket] = buckets.len() as u32;
                buckets.push(bucket as u32);
            }
        }
        let mut problem = Self {
            ends: vec![],
            columns: vec![],
            values: vec![],
            labels: vec![],
            n: buckets.len(),
            penalty,
        };
        for ((row, malicious), weight) in training
            .rows
            .iter()
            .zip(training.malicious)
            .zip(training.weights)
        {
            let (row_buckets, values) = grams.row(*row);
            for (bucket, value) in row_buckets.iter().zip(values) {
                let column = column[*bucket as usize];
                if column != u32::MAX {
                    problem.columns.push(column);
                    problem.values.push(*value);
                }
            }
            problem.ends.push(problem.columns.len());
            let sign = if *malicious { 1.0 } else { -1.0 };
            problem.labels.push((sign, f64::from(*weight)));
        }
        (problem, buckets)
    }

    /// The objective, and its gradient into `gradient`.
    fn value(&self, weights: &[f64], gradient: &mut [f64]) -> f64 {
        let mut value = 0.0;
        for (gradient, weight) in gradient.iter_mut().zip(weights) {
            *gradient = self.penalty * weight;
            value += 0.5 * self.penalty * weight * weight;
        }
        let intercept = weights[self.n];
        value -= 0.5 * self.penalty * intercept * intercept;
        gradient[self.n] = 0.0;
        let mut start = 0;
        for (end, (sign, sample)) in self.ends.iter().zip(&self.labels) {
            let (columns, values) = (&self.columns[start..*end], &self.values[start..*end]);
            start = *end;
            let mut score = intercept;
            for (column, x) in columns.iter().zip(values) {
                score += weights[*column as usize] * f64::from(*x);
            }
            let margin = sign * score;
            // ln(1 + e^-m), without overflow.
            value += sample * ((-margin.abs()).exp().ln_1p() + (-margin).max(0.0));
            let slope = -sign * sample * sigmoid(-margin);
            for (column, x) in columns.iter().zip(values) {
                gradient[*column as usize] += slope * f64::from(*x);
            }
            gradient[self.n] += slope;
        }
        value
    }
}

/// The logistic function.
#[must_use]
pub fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    rho: f64,
}

fn minimise(problem: &Problem) -> Vec<f64> {
    let mut weights = vec![0.0; problem.n + 1];
    let mut gradient = vec![0.0; problem.n + 1];
    let mut value = problem.value(&weights, &mut gradient);
    let first = dot(&gradient, &gradient).sqrt();
    let mut pairs: Vec<Pair> = vec![];
    for _ in 0..ITERATIONS {
        if dot(&gradient, &gradient).sqrt() <= TOLERANCE * first {
            break;
        }
        let direction = direction(&gradient, &pairs);
        let slope = dot(&direction, &gradient);
        // The first step is as long as the gradient says in no unit of its own: start at length 1.
        let mut length = if pairs.is_empty() {
            (1.0 / dot(&direction, &direction).sqrt()).min(1.0)
        } else {
            1.0
        };
        let mut next = vec![0.0; weights.len()];
        let mut next_gradient = vec![0.0; weights.len()];
        let mut found = None;
        for _ in 0..40 {
            for ((next, weight), step) in next.iter_mut().zip(&weights).zip(&direction) {
                *next = length.mul_add(*step, *weight);
            }
            let tried = problem.value(&next, &mut next_gradient);
            // Armijo's condition.
            if tried <= value + 1e-4 * length * slope {
                found = Some(tried);
                break;
            }
            length *= 0.5;
        }
        // No step improves: as near as numbers get.
        let Some(tried) = found else { break };
        let step: Vec<f64> = next.iter().zip(&weights).map(|(a, b)| a - b).collect();
        let change: Vec<f64> = next_gradient
            .iter()
            .zip(&gradient)
            .map(|(a, b)| a - b)
            .collect();
        let curvature = dot(&step, &change);
        if curvature > 1e-12 * dot(&change, &change) {
            if pairs.len() == PAIRS {
                pairs.remove(0);
            }
            pairs.push(Pair {
                step,
                change,
                rho: 1.0 / curvature,
            });
        }
        weights = next;
        gradient = next_gradient;
        value = tried;
    }
    weights
}

/// The two loops of L-BFGS: the gradient times the estimated inverse curvature, downhill.
fn direction(gradient: &[f64], pairs: &[Pair]) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut alphas = vec![];
    for pair in pairs.iter().rev() {
        let alpha = pair.rho * dot(&pair.step, &direction);
        for (d, c) in direction.iter_mut().zip(&pair.change) {
            *d -= alpha * c;
        }
        alphas.push(alpha);
    }
    if let Some(last) = pairs.last() {
        let scale = 1.0 / (last.rho * dot(&last.change, &last.change));
        for d in &mut direction {
            *d *= scale;
        }
    }
    for (pair, alpha) in pairs.iter().zip(alphas.iter().rev()) {
        let beta = pair.rho * dot(&pair.change, &direction);
        for (d, s) in direction.iter_mut().zip(&pair.step) {
            *d += (alpha - beta) * s;
        }
    }
    direction
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> (Lines, Vec<bool>) {
        let texts: Vec<String> = (0..60)
            .map(|n| {
                if n % 3 == 0 {
                    format!("rundll32 evil{n}.dll,Start /payload {}", "x".repeat(n % 7))
                } else {
                    format!("git commit -m change{n} --path src/{}", "y".repeat(n % 5))
                }
            })
            .collect();
        let malicious = (0..60).map(|n| n % 3 == 0 || n == 7).collect();
        (Lines::read(&texts, &[], 0).unwrap(), malicious)
    }

    #[test]
    fn the_gradient_vanishes_at_the_end() {
        let (lines, malicious) = lines();
        let rows: Vec<usize> = (0..60).collect();
        let weights = vec![1.0; 60];
        let training = Training {
            lines: &lines,
            rows: &rows,
            malicious: &malicious,
            weights: &weights,
        };
        let (problem, _) = Problem::of(&training, 0.1);
        let zeros = vec![0.0; problem.n + 1];
        let (mut at_zero, mut at_end) = (zeros.clone(), zeros.clone());
        let before = problem.value(&zeros, &mut at_zero);
        let end = minimise(&problem);
        let after = problem.value(&end, &mut at_end);
        assert!(after < before);
        assert!(dot(&at_end, &at_end).sqrt() <= TOLERANCE * dot(&at_zero, &at_zero).sqrt());
        // The gradient is that of the objective: a small step along one weight changes it by as much.
        let busiest = (0..problem.n).max_by(|a, b| at_zero[*a].abs().total_cmp(&at_zero[*b].abs()));
        let mut moved = zeros;
        moved[busiest.unwrap()] = 1e-6;
        let slope = (problem.value(&moved, &mut at_end) - before) / 1e-6;
        assert!((slope - at_zero[busiest.unwrap()]).abs() < 1e-4 * slope.abs());
    }

    #[test]
    fn a_row_of_weight_two_is_two_rows() {
        let (lines, malicious) = lines();
        let mut rows: Vec<usize> = (0..60).collect();
        let mut weights = vec![1.0; 60];
        weights[5] = 2.0;
        let fit = |rows: &[usize], malicious: &[bool], weights: &[f32]| {
            let training = Training {
                lines: &lines,
                rows,
                malicious,
                weights,
            };
            Linear::fit(&training, 10.0).unwrap()
        };
        let weighted = fit(&rows, &malicious, &weights);
        rows.push(5);
        let mut labels = malicious.clone();
        labels.push(malicious[5]);
        let doubled = fit(&rows, &labels, &[1.0; 61]);
        let (buckets, values) = lines.grams.row(5);
        let difference = weighted.log_odds(buckets, values) - doubled.log_odds(buckets, values);
        assert!(difference.abs() < 5e-2, "{difference}");
    }

    #[test]
    fn one_class_is_no_training_set() {
        let (lines, _) = lines();
        let training = Training {
            lines: &lines,
            rows: &[0, 1, 2],
            malicious: &[false, false, true],
            weights: &[1.0; 3],
        };
        let refused = Linear::fit(&training, 1.0);
        let expected = crate::ClassifierError::TooFew {
            benign: 2,
            malicious: 1,
        };
        assert_eq!(refused, Err(expected));
    }
}
