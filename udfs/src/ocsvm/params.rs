//! Hyper-parameters, checked.

use super::KIND;
use crate::learner::{Checked, LearnerError};

/// How a one-class SVM is fitted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OneClassSvmParams {
    /// The share of the rows that may lie outside, and the least share that are support vectors; above 0, at most 1.
    pub nu: f64,
    /// The kernel's factor of squared distances, above 0 and finite. `None`: 1 / (features · variance of all values), as
    /// scikit-learn's `scale`.
    pub gamma: Option<f32>,
    /// By how much a pair of rows may violate the conditions of the optimum; 1e-9 to 1.
    pub tol: f64,
    /// It is fitted on so many rows, the first ones; 2 to 16,384. The kernel matrix takes 4 bytes a pair.
    pub max_rows: usize,
}

impl Default for OneClassSvmParams {
    fn default() -> Self {
        Self {
            nu: 0.05,
            gamma: None,
            tol: 1e-4,
            max_rows: 4_096,
        }
    }
}

impl OneClassSvmParams {
    /// Checks every range.
    ///
    /// # Errors
    /// [`LearnerError::Parameter`] naming the first parameter outside of its range.
    pub fn check(self) -> Result<Checked<Self>, LearnerError> {
        let outside = |parameter, expected, got| {
            Err(LearnerError::Parameter {
                learner: KIND,
                parameter,
                expected,
                got,
            })
        };
        if !(self.nu > 0.0 && self.nu <= 1.0) {
            return outside("nu", "above 0, at most 1", self.nu.to_string());
        }
        if let Some(gamma) = self.gamma.filter(|g| !(*g > 0.0 && g.is_finite())) {
            return outside("gamma", "above 0 and finite", gamma.to_string());
        }
        if !(1e-9..=1.0).contains(&self.tol) {
            return outside("tol", "1e-9 to 1", self.tol.to_string());
        }
        if !(2..=16_384).contains(&self.max_rows) {
            return outside("max_rows", "2 to 16384", self.max_rows.to_string());
        }
        Ok(Checked::new(self))
    }
}
