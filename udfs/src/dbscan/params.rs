//! Hyper-parameters, checked.

use super::KIND;
use crate::learner::{Checked, LearnerError};

/// How DBSCAN is fitted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DbscanParams {
    /// The radius of a neighbourhood, in the units of the scaled features; above 0 and finite. `None`: the knee of the
    /// distances to the `min_samples`-th row.
    pub eps: Option<f32>,
    /// Rows within `eps`, the row itself included, that make a row core; 1 to 65,536. scikit-learn's name; `MinPts` of the paper.
    pub min_samples: usize,
    /// The most core rows that are kept; 1 to 1,048,576. A score costs a distance to each. A sample of no more rows is never thinned.
    pub max_cores: usize,
}

impl Default for DbscanParams {
    fn default() -> Self {
        Self {
            eps: None,
            min_samples: 16,
            max_cores: 16_384,
        }
    }
}

impl DbscanParams {
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
        if let Some(eps) = self.eps.filter(|eps| !(*eps > 0.0 && eps.is_finite())) {
            return outside("eps", "above 0 and finite", eps.to_string());
        }
        if !(1..=65_536).contains(&self.min_samples) {
            return outside("min_samples", "1 to 65536", self.min_samples.to_string());
        }
        if !(1..=1 << 20).contains(&self.max_cores) {
            return outside("max_cores", "1 to 1048576", self.max_cores.to_string());
        }
        Ok(Checked::new(self))
    }
}
