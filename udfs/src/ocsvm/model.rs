//! The fitted one-class SVM: fit, scores, reasons, bytes.

use super::{KIND, OneClassSvmParams, VERSION};
use crate::learner::{Checked, LearnerError, open, row_count, same_size, seal, to_u32, to_usize};
use crate::svm::rbf::{Expansion, kernel_matrix};
use crate::svm::smo::{Program, solve};
use gleaner_proto::learners as wire;

/// Steps of the solver for each row, at most: some ten are usual.
const STEPS_A_ROW: usize = 1_000;

/// A fitted one-class SVM.
#[derive(Debug, Clone, PartialEq)]
pub struct OneClassSvmModel {
    d: usize,
    /// Row-major.
    support: Vec<f32>,
    alpha: Vec<f32>,
    gamma: f32,
    rho: f64,
    nu: f64,
    rows: u64,
}

impl OneClassSvmModel {
    /// Fits on the first `max_rows` of the rows (row-major, `d` features, finite: scaled).
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when `d` does not divide `rows`, [`LearnerError::Fit`] without two rows or with a value that is
    /// not finite.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "some thousand rows; rows are scored in f32"
    )]
    pub fn fit(
        rows: &[f32],
        d: usize,
        params: &Checked<OneClassSvmParams>,
    ) -> Result<Self, LearnerError> {
        let n = row_count(KIND, rows.len(), d)?.min(params.max_rows);
        let rows = &rows[..n * d];
        let refused = |reason| LearnerError::Fit {
            learner: KIND,
            reason,
        };
        if n < 2 {
            return Err(refused("fewer than two rows"));
        }
        if rows.iter().any(|value| !value.is_finite()) {
            return Err(refused("a value is not finite: scale the rows first"));
        }
        let gamma = params.gamma.unwrap_or_else(|| scale(rows, d));
        let kernel = kernel_matrix(rows, d, gamma);
        // Any feasible start will do; libsvm's, so that ties end alike.
        let total = params.nu * n as f64;
        let start = (0..n).map(|row| (total - row as f64).clamp(0.0, 1.0));
        let solution = solve(
            &Program {
                kernel: &kernel,
                positive: &vec![true; n],
                linear: &vec![0.0; n],
                most: &vec![1.0; n],
                tol: params.tol,
                steps: STEPS_A_ROW * n,
            },
            start.collect(),
        );
        let (mut support, mut alpha) = (vec![], vec![]);
        for (row, coefficient) in rows.chunks_exact(d).zip(&solution.alpha) {
            if *coefficient as f32 > 0.0 {
                support.extend_from_slice(row);
                alpha.push(*coefficient as f32);
            }
        }
        Ok(Self {
            d,
            support,
            alpha,
            gamma,
            rho: solution.rho,
            nu: params.nu,
            rows: n as u64,
        })
    }

    /// Features a row.
    #[must_use]
    pub const fn dimension(&self) -> usize {
        self.d
    }

    /// Support vectors.
    #[must_use]
    pub const fn support_vectors(&self) -> usize {
        self.alpha.len()
    }

    /// The kernel's factor of squared distances.
    #[must_use]
    pub const fn gamma(&self) -> f32 {
        self.gamma
    }

    /// The decision's border, which is the score of a row infinitely far away.
    #[must_use]
    pub const fn rho(&self) -> f64 {
        self.rho
    }

    /// Rows it was fitted on.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    fn expansion(&self) -> Expansion<'_> {
        Expansion {
            support: &self.support,
            coefficients: &self.alpha,
            d: self.d,
            gamma: self.gamma,
        }
    }

    /// The negative decision of each row (row-major, `d` features): above 0 is outside. A row with a NaN scores NaN.
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when `d` is not the model's or `out` has not one place a row.
    #[expect(clippy::cast_possible_truncation, reason = "scores are f32")]
    pub fn score(&self, rows: &[f32], d: usize, out: &mut [f32]) -> Result<(), LearnerError> {
        same_size(KIND, "features a row", self.d, d)?;
        let count = row_count(KIND, rows.len(), d)?;
        same_size(KIND, "scores", count, out.len())?;
        self.expansion()
            .sums(rows, |row, sum| out[row] = (self.rho - sum) as f32);
        Ok(())
    }

    /// How far the row is, squared, from the support vectors near it along each feature, into `out`: the explanation.
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when `row` or `out` does not have the model's features.
    pub fn contributions(&self, row: &[f32], out: &mut [f32]) -> Result<(), LearnerError> {
        same_size(KIND, "features a row", self.d, row.len())?;
        same_size(KIND, "contributions", self.d, out.len())?;
        self.expansion().apart(row, out);
        Ok(())
    }

    /// Bytes: `4d + 4` a support vector.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let message = wire::OneClassSvm {
            d: to_u32(self.d),
            support: self.support.clone(),
            alpha: self.alpha.clone(),
            gamma: self.gamma,
            rho: self.rho,
            nu: self.nu,
            rows: self.rows,
        };
        seal(KIND, VERSION, &message)
    }

    /// Reads what [`OneClassSvmModel::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`LearnerError::Damaged`] or [`LearnerError::Version`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LearnerError> {
        let damaged = |reason| LearnerError::Damaged {
            kind: KIND,
            reason,
            len: bytes.len(),
        };
        let message: wire::OneClassSvm = open(KIND, VERSION, bytes)?;
        let d = to_usize(message.d);
        let sizes = d > 0
            && !message.alpha.is_empty()
            && message.alpha.len().checked_mul(d) == Some(message.support.len());
        if !sizes {
            return Err(damaged("sizes do not fit"));
        }
        let sound = message.support.iter().all(|value| value.is_finite())
            && message
                .alpha
                .iter()
                .all(|alpha| *alpha > 0.0 && *alpha <= 1.0)
            && message.gamma > 0.0
            && message.gamma.is_finite()
            && message.rho.is_finite()
            && message.nu > 0.0
            && message.nu <= 1.0;
        if !sound {
            return Err(damaged("numbers are outside of their ranges"));
        }
        Ok(Self {
            d,
            support: message.support,
            alpha: message.alpha,
            gamma: message.gamma,
            rho: message.rho,
            nu: message.nu,
            rows: message.rows,
        })
    }
}

/// 1 / (features · variance of all values); 1 where nothing varies.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a scale; f32 has digits enough"
)]
fn scale(rows: &[f32], d: usize) -> f32 {
    let n = rows.len() as f64;
    let mean = rows.iter().map(|value| f64::from(*value)).sum::<f64>() / n;
    let squares = rows.iter().map(|value| (f64::from(*value) - mean).powi(2));
    let variance = squares.sum::<f64>() / n;
    let gamma = (1.0 / (d as f64 * variance)) as f32;
    if gamma > 0.0 && gamma.is_finite() {
        gamma
    } else {
        1.0
    }
}
