//! Parameters, checked.

use super::KIND;
use crate::learner::{Checked, LearnerError};

/// What is done about heavy tails.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Tails {
    /// Nothing: `(x − mean) / deviation`.
    #[default]
    Keep,
    /// The scaled value is clipped at ± this many standard deviations; 0.5 to 10⁶.
    Clip(f32),
    /// `sign(x)·ln(1 + |x|)` comes before the scaling: for features whose ratios matter, like lengths and counts.
    SignedLog,
}

/// How rows are scaled.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ScalerParams {
    /// What is done about heavy tails.
    pub tails: Tails,
}

impl ScalerParams {
    /// Checks every range.
    ///
    /// # Errors
    /// [`LearnerError::Parameter`] when the clip is not in 0.5..=10⁶ deviations (NaN is not).
    pub fn check(self) -> Result<Checked<Self>, LearnerError> {
        match self.tails {
            Tails::Clip(limit) if !(0.5..=1e6).contains(&limit) => Err(LearnerError::Parameter {
                learner: KIND,
                parameter: "clip",
                expected: "0.5 to 1e6 standard deviations",
                got: limit.to_string(),
            }),
            _ => Ok(Checked::new(self)),
        }
    }
}
