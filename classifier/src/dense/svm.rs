//! Support vector machine of two classes with a radial kernel (Cortes & Vapnik 1995), and its probabilities.
//!
//! The program and its solver are libsvm's ([`gleaner_udfs::svm`]). Decisions become probabilities by a logistic function fitted to those of
//! five-fold cross-validation (Platt 2000, by Newton's method as Lin, Lin & Weng 2007), since decisions of the rows that a machine was
//! fitted on are too sure of themselves.
//!
//! **Bounds.** The kernel matrix lies in memory, so at most `max_rows` rows are taken: up to a half of each class, the first ones; of the rest as many as fit.

use gleaner_udfs::autoencoder::train::sigmoid;
use gleaner_udfs::scale::Scaler;
use gleaner_udfs::svm::rbf::{Expansion, kernel_matrix};
use gleaner_udfs::svm::smo::{Program, solve};

use super::Labels;
use crate::ClassifierError;

/// Folds of the cross-validation.
const FOLDS: usize = 5;
/// Steps of the solver for each row, at most.
const STEPS_A_ROW: usize = 1_000;

/// How a machine is fitted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SvmParams {
    /// The price of a row on the wrong side; above 0.
    pub c: f64,
    /// The kernel's factor of squared distances; `None`: 1 / (features · variance of all scaled values).
    pub gamma: Option<f32>,
    /// Whether both classes weigh the same.
    pub balanced: bool,
    /// Rows at most.
    pub max_rows: usize,
    /// By how much a pair of rows may violate the conditions of the optimum.
    pub tol: f64,
}

impl Default for SvmParams {
    fn default() -> Self {
        Self {
            c: 1.0,
            gamma: None,
            balanced: false,
            max_rows: 4_096,
            tol: 1e-3,
        }
    }
}

/// A fitted machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Svm {
    pub(super) d: usize,
    pub(super) scaler: Scaler,
    /// Row-major, scaled.
    pub(super) support: Vec<f32>,
    /// Signed.
    pub(super) coefficients: Vec<f32>,
    pub(super) gamma: f32,
    pub(super) rho: f64,
    /// Platt's slope and intercept: the log odds are `slope · decision + intercept`.
    pub(super) platt: [f64; 2],
}

/// Decisions: what is fitted on some rows.
struct Machine {
    support: Vec<f32>,
    coefficients: Vec<f32>,
    rho: f64,
}

impl Machine {
    fn fit(rows: &[f32], d: usize, positive: &[bool], most: &[f64], gamma: f32, tol: f64) -> Self {
        let n = positive.len();
        let kernel = kernel_matrix(rows, d, gamma);
        let solution = solve(
            &Program {
                kernel: &kernel,
                positive,
                linear: &vec![-1.0; n],
                most,
                tol,
                steps: STEPS_A_ROW * n,
            },
            vec![0.0; n],
        );
        let (mut support, mut coefficients) = (vec![], vec![]);
        let all = rows.chunks_exact(d).zip(&solution.alpha).zip(positive);
        for ((row, alpha), positive) in all.filter(|((_, alpha), _)| **alpha as f32 > 0.0) {
            support.extend_from_slice(row);
            coefficients.push(if *positive { *alpha } else { -alpha } as f32);
        }
        Self {
            support,
            coefficients,
            rho: solution.rho,
        }
    }

    fn decisions(&self, rows: &[f32], d: usize, gamma: f32, mut found: impl FnMut(usize, f64)) {
        let expansion = Expansion {
            support: &self.support,
            coefficients: &self.coefficients,
            d,
            gamma,
        };
        expansion.sums(rows, |row, sum| found(row, sum - self.rho));
    }
}

impl Svm {
    /// Fits a machine.
    ///
    /// # Errors
    /// As [`Labels::check`]; [`ClassifierError::Learner`] where a parameter is out of its range.
    pub fn fit(labels: &Labels<'_>, params: &SvmParams) -> Result<Self, ClassifierError> {
        labels.check()?;
        let sound = params.c > 0.0
            && params.c.is_finite()
            && params.gamma.is_none_or(|g| g > 0.0 && g.is_finite())
            && params.tol > 0.0
            && params.max_rows >= 4;
        if !sound {
            let message = "svm: c, gamma and tol must be above 0, max_rows at least 4";
            return Err(ClassifierError::Learner(message.to_owned()));
        }
        let d = labels.d;
        let scaler = super::scaler(labels.rows, d)?;
        let taken = taken(labels.positive, params.max_rows);
        let gather = |rows: &[usize]| -> Vec<f32> {
            let rows = rows
                .iter()
                .flat_map(|row| &labels.rows[row * d..(row + 1) * d]);
            rows.copied().collect()
        };
        let rows = super::scaled(&scaler, &gather(&taken), d)?;
        let positive: Vec<bool> = taken.iter().map(|row| labels.positive[*row]).collect();
        let few = Labels {
            rows: &rows,
            d,
            positive: &positive,
        };
        let most: Vec<f64> = if params.balanced {
            few.balance()
                .iter()
                .map(|w| params.c * f64::from(*w))
                .collect()
        } else {
            vec![params.c; positive.len()]
        };
        let gamma = params.gamma.unwrap_or_else(|| scale(&rows, d));
        let machine = Machine::fit(&rows, d, &positive, &most, gamma, params.tol);
        let decisions = validated(&few, &most, gamma, params.tol);
        Ok(Self {
            d,
            scaler,
            support: machine.support,
            coefficients: machine.coefficients,
            gamma,
            rho: machine.rho,
            platt: platt(&decisions, &positive),
        })
    }

    /// Support vectors.
    #[must_use]
    pub const fn support_vectors(&self) -> usize {
        self.coefficients.len()
    }

    /// The decision of each row (row-major, the model's features; missing values NaN): above 0 is positive, and the ranks are those of the probabilities
    /// without ties at the ends.
    ///
    /// # Errors
    /// [`ClassifierError::Shape`] when the rows are not whole.
    pub fn decisions(&self, rows: &[f32]) -> Result<Vec<f64>, ClassifierError> {
        let count = rows.len() / self.d;
        super::rows_of(rows, self.d, count)?;
        let scaled = super::scaled(&self.scaler, rows, self.d)?;
        let mut out = vec![0.0; count];
        let expansion = Expansion {
            support: &self.support,
            coefficients: &self.coefficients,
            d: self.d,
            gamma: self.gamma,
        };
        expansion.sums(&scaled, |row, sum| out[row] = sum - self.rho);
        Ok(out)
    }

    pub(super) fn score(&self, rows: &[f32], out: &mut [f32]) -> Result<(), ClassifierError> {
        for (out, decision) in out.iter_mut().zip(self.decisions(rows)?) {
            *out = sigmoid((self.platt[0] * decision + self.platt[1]) as f32);
        }
        Ok(())
    }
}

/// The first rows of each class: a half of `most` each, or what the other leaves; in their order.
fn taken(positive: &[bool], most: usize) -> Vec<usize> {
    let count = |wanted: bool| positive.iter().filter(|p| **p == wanted).count();
    let (negatives, positives) = (count(false), count(true));
    let of_positives = positives.min((most / 2).max(most.saturating_sub(negatives)));
    let mut left = [negatives.min(most - of_positives), of_positives];
    let mut taken = vec![];
    for (row, positive) in positive.iter().enumerate() {
        let left = &mut left[usize::from(*positive)];
        if *left > 0 {
            *left -= 1;
            taken.push(row);
        }
    }
    taken
}

/// Each row's decision by a machine that was fitted without it. A fold takes every fifth row of each class.
fn validated(labels: &Labels<'_>, most: &[f64], gamma: f32, tol: f64) -> Vec<f64> {
    let (d, mut seen) = (labels.d, [0_usize; 2]);
    let folds: Vec<usize> = labels
        .positive
        .iter()
        .map(|positive| {
            let seen = &mut seen[usize::from(*positive)];
            *seen += 1;
            *seen % FOLDS
        })
        .collect();
    let mut out = vec![0.0; folds.len()];
    for fold in 0..FOLDS {
        let rows = |wanted: bool| -> Vec<usize> {
            let places = 0..folds.len();
            places
                .filter(|row| (folds[*row] == fold) == wanted)
                .collect()
        };
        let (held, kept) = (rows(true), rows(false));
        let gather = |rows: &[usize]| -> Vec<f32> {
            let rows = rows
                .iter()
                .flat_map(|row| &labels.rows[row * d..(row + 1) * d]);
            rows.copied().collect()
        };
        let positive: Vec<bool> = kept.iter().map(|row| labels.positive[*row]).collect();
        let most: Vec<f64> = kept.iter().map(|row| most[*row]).collect();
        let machine = Machine::fit(&gather(&kept), d, &positive, &most, gamma, tol);
        machine.decisions(&gather(&held), d, gamma, |place, decision| {
            out[held[place]] = decision;
        });
    }
    out
}

/// Slope and intercept of the log odds of decisions, by Newton's method with backtracking; labels are drawn towards the middle as if each class had a row
/// more on the other side.
fn platt(decisions: &[f64], positive: &[bool]) -> [f64; 2] {
    let positives = positive.iter().filter(|p| **p).count() as f64;
    let negatives = positive.len() as f64 - positives;
    let targets = [
        1.0 / (negatives + 2.0),
        (positives + 1.0) / (positives + 2.0),
    ];
    let rows = || {
        let rows = decisions.iter().zip(positive);
        rows.map(|(decision, positive)| (*decision, targets[usize::from(*positive)]))
    };
    let loss = |[a, b]: [f64; 2]| -> f64 {
        let terms = rows().map(|(decision, target)| {
            let odds = a * decision + b;
            // ln(1 + exp(odds)) − target · odds, without overflow.
            odds.max(0.0) + (-odds.abs()).exp().ln_1p() - target * odds
        });
        terms.sum()
    };
    let mut at = [0.0, ((positives + 1.0) / (negatives + 1.0)).ln()];
    let mut value = loss(at);
    for _ in 0..100 {
        let (mut h, mut g) = ([1e-12, 0.0, 1e-12], [0.0; 2]);
        for (decision, target) in rows() {
            let p = 1.0 / (1.0 + (-(at[0] * decision + at[1])).exp());
            let (curve, slope) = (p * (1.0 - p), p - target);
            h[0] += decision * decision * curve;
            h[1] += decision * curve;
            h[2] += curve;
            g[0] += decision * slope;
            g[1] += slope;
        }
        if g[0].abs() < 1e-5 && g[1].abs() < 1e-5 {
            break;
        }
        let determinant = h[0] * h[2] - h[1] * h[1];
        let step = [
            -(h[2] * g[0] - h[1] * g[1]) / determinant,
            -(h[0] * g[1] - h[1] * g[0]) / determinant,
        ];
        let downhill = g[0] * step[0] + g[1] * step[1];
        let mut share = 1.0;
        loop {
            let next = [at[0] + share * step[0], at[1] + share * step[1]];
            let lower = loss(next);
            if lower < value + 1e-4 * share * downhill {
                (at, value) = (next, lower);
                break;
            }
            share /= 2.0;
            if share < 1e-10 {
                return at;
            }
        }
    }
    at
}

/// 1 / (features · variance of all values); 1 where nothing varies.
fn scale(rows: &[f32], d: usize) -> f32 {
    let n = rows.len() as f64;
    let mean = rows.iter().map(|value| f64::from(*value)).sum::<f64>() / n;
    let squares = rows.iter().map(|value| (f64::from(*value) - mean).powi(2));
    let gamma = (n / (d as f64 * squares.sum::<f64>())) as f32;
    if gamma > 0.0 && gamma.is_finite() {
        gamma
    } else {
        1.0
    }
}
