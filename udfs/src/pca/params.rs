//! Hyper-parameters, checked.

use super::KIND;
use crate::learner::{Checked, LearnerError};

/// How many components are kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Components {
    /// This many; 1 to the number of features.
    Count(usize),
    /// As few as explain this share of the variance; above 0, at most 1. Below 1, at least one is left out.
    Share(f64),
}

/// How a PCA is fitted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PcaParams {
    /// How many components are kept.
    pub n_components: Components,
}

impl Default for PcaParams {
    /// 95% of the variance.
    fn default() -> Self {
        Self {
            n_components: Components::Share(0.95),
        }
    }
}

impl PcaParams {
    /// Checks every range; that a count is at most the number of features is checked by the fit.
    ///
    /// # Errors
    /// [`LearnerError::Parameter`] when the count is 0, or the share is not in (0, 1] (NaN is not).
    pub fn check(self) -> Result<Checked<Self>, LearnerError> {
        let outside = |expected, got| LearnerError::Parameter {
            learner: KIND,
            parameter: "n_components",
            expected,
            got,
        };
        match self.n_components {
            Components::Count(0) => Err(outside("at least 1", "0".to_owned())),
            Components::Share(share) if !(share > 0.0 && share <= 1.0) => Err(outside(
                "a share of the variance in (0, 1]",
                share.to_string(),
            )),
            _ => Ok(Checked::new(self)),
        }
    }
}
