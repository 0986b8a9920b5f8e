//! Hyper-parameters, checked.

use super::KIND;
use crate::learner::{Checked, LearnerError};

/// How an autoencoder is trained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AutoencoderParams {
    /// Numbers of the layers on both sides of the code; 1 to 1,024. `None`: half of the features, at least 8.
    pub hidden: Option<usize>,
    /// Numbers of the code; 1 to 1,024. `None`: a quarter of the features, at least 1.
    pub code: Option<usize>,
    /// The rate of Adam; 1e-6 to 1.
    pub learning_rate: f32,
    /// The share by which weights shrink in a step, times the rate; 0 to 1 (`AdamW`).
    pub weight_decay: f32,
    /// Passes over the rows at most; 1 to 10,000.
    pub epochs: usize,
    /// It ends after so many passes without a lesser error of the rows held out; 1 to 10,000.
    pub patience: usize,
    /// It is trained on so many rows, the first ones; 10 to 1,048,576.
    pub max_rows: usize,
    /// The seed of the first weights and of the order of rows.
    pub seed: u64,
}

impl Default for AutoencoderParams {
    fn default() -> Self {
        Self {
            hidden: None,
            code: None,
            learning_rate: 2e-3,
            weight_decay: 1e-4,
            epochs: 100,
            patience: 8,
            max_rows: 16_384,
            seed: 1,
        }
    }
}

impl AutoencoderParams {
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
        for (parameter, width) in [("hidden", self.hidden), ("code", self.code)] {
            if let Some(width) = width.filter(|width| !(1..=1_024).contains(width)) {
                return outside(parameter, "1 to 1024", width.to_string());
            }
        }
        if !(1e-6..=1.0).contains(&self.learning_rate) {
            return outside("learning_rate", "1e-6 to 1", self.learning_rate.to_string());
        }
        if !(0.0..=1.0).contains(&self.weight_decay) {
            return outside("weight_decay", "0 to 1", self.weight_decay.to_string());
        }
        for (parameter, number) in [("epochs", self.epochs), ("patience", self.patience)] {
            if !(1..=10_000).contains(&number) {
                return outside(parameter, "1 to 10000", number.to_string());
            }
        }
        if !(10..=1 << 20).contains(&self.max_rows) {
            return outside("max_rows", "10 to 1048576", self.max_rows.to_string());
        }
        Ok(Checked::new(self))
    }

    /// Numbers that enter and leave the layers, for `d` features.
    pub(super) fn widths(&self, d: usize) -> [usize; 5] {
        let hidden = self.hidden.unwrap_or_else(|| d.div_ceil(2).clamp(8, 1_024));
        let code = self.code.unwrap_or_else(|| d.div_ceil(4).clamp(1, 1_024));
        [d, hidden, code, hidden, d]
    }
}
