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

/// What a feature is measured from, and in what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scale {
    /// From the mean, in standard deviations (scikit-learn's `StandardScaler`).
    #[default]
    Standard,
    /// From the least value, in the range of the sample: 0 to 1 (`MinMaxScaler`).
    MinMax,
    /// From the median, in the distance of the quartiles / 1.349, which is a standard deviation of what is normally distributed; in
    /// standard deviations where the quartiles are equal, as of most flags.
    Robust,
}

/// What becomes of a feature that has one value in the sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Constant {
    /// It is 0 in every row, also where a later one differs.
    #[default]
    Zero,
    /// It is measured from its one value, in its own unit (a deviation of 1, as in scikit-learn's `StandardScaler`), so that what is new is
    /// seen: for samples of ordinary rows alone. A feature that is missing in every row of the sample stays 0: of it nothing is
    /// known.
    Unit,
}

/// How rows are scaled.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ScalerParams {
    /// What a feature is measured from, and in what.
    pub scale: Scale,
    /// What is done about heavy tails.
    pub tails: Tails,
    /// What becomes of a feature that does not vary.
    pub constant: Constant,
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
