//! Hyper-parameters, checked.

use super::KIND;
use crate::learner::{Checked, LearnerError};

/// How a forest is grown. There is no `contamination`: the quota of the anomalies stage decides how many rows are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IsolationForestParams {
    /// Trees; 1 to 10,000. The score's noise falls with the root of it; beyond 100 little is gained.
    pub n_trees: usize,
    /// Rows a tree is grown on; 2 to 2²⁰. Small is right: anomalies are isolated best where they are not crowded.
    pub max_samples: usize,
    /// Levels after which a branch ends; 1 to 64. `None`: ⌈log₂ of the rows a tree gets⌉, the depth of a balanced tree.
    pub max_depth: Option<usize>,
    /// Coordinates of a cut, less one. 0: the standard forest. At most features − 1, the fully extended forest; larger
    /// values are refused when fitted.
    pub extension_level: usize,
    /// Whether a row is scored as if it had been in each tree's sample, so that what lies beyond all the tree saw is cut off from it (the
    /// module says how). For forests fitted on ordinary rows alone; standard forests only.
    pub insertion: bool,
    /// The seed of every draw.
    pub seed: u64,
}

impl Default for IsolationForestParams {
    /// The values of Liu, Ting & Zhou 2008.
    fn default() -> Self {
        Self {
            n_trees: 100,
            max_samples: 256,
            max_depth: None,
            extension_level: 0,
            insertion: false,
            seed: 1,
        }
    }
}

impl IsolationForestParams {
    /// Checks every range.
    ///
    /// # Errors
    /// [`LearnerError::Parameter`] naming the first parameter outside of its range.
    pub fn check(self) -> Result<Checked<Self>, LearnerError> {
        let within = |parameter, value: usize, low, high, expected| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(LearnerError::Parameter {
                    learner: KIND,
                    parameter,
                    expected,
                    got: value.to_string(),
                })
            }
        };
        within("n_trees", self.n_trees, 1, 10_000, "1 to 10000")?;
        within(
            "max_samples",
            self.max_samples,
            2,
            1 << 20,
            "2 to 2^20 rows",
        )?;
        within(
            "max_depth",
            self.max_depth.unwrap_or(1),
            1,
            64,
            "1 to 64 levels",
        )?;
        within(
            "extension_level",
            self.extension_level,
            0,
            usize::from(u16::MAX) - 1,
            "0 to features - 1",
        )?;
        if self.insertion && self.extension_level > 0 {
            return Err(LearnerError::Parameter {
                learner: KIND,
                parameter: "extension_level",
                expected: "0 where rows are scored as if inserted",
                got: self.extension_level.to_string(),
            });
        }
        Ok(Checked::new(self))
    }
}
