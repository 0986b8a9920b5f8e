//! Classifiers of command lines, what they gain from a benign set (the *lift*), and which lines are worth a label.
//!
//! ```text
//! text       a line as hashed n-grams and as the catalog's features
//! boosting   gradient-boosted trees over features and chosen n-grams
//! linear     logistic regression over all hashed n-grams: the second family
//! model      either of them, fitted, scored, saved
//! dense      classifiers of rows of numbers: random forest, support vector machine, a pre-trained encoder fine-tuned
//! space      what they read of a line, as numbered columns
//! portable   either of them as JSON and as ONNX
//! measures   AUC, true positives at low false-positive rates, calibration; bootstrap intervals, a paired test
//! leakage    training lines that a test knows: equal, of one template, or near-duplicates
//! known      lines that are labelled already: what a choice passes over
//! choice     which lines to label: unguided, guided by a classifier, and at random
//! ```
//!
//! Pure and deterministic: no I/O, no clock, every draw from a seed; one thread a model, so that the sums have one order.
//!
//! **Why trees of our own.** `forust-ml` wants dense columns of `f64` and turns on features of crates that the whole workspace shares
//! (`serde_json`'s exact floats), which would rebuild all of it; on one thread it takes twice as long, and five times the memory
//! (`docs/lift.md`). Command lines are sparse: a line has some hundred of
//! the thousands of n-grams that tell classes apart. `bench/boosting.py` holds ours beside `XGBoost`.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "rows and columns are far below 2^32; scores and features need no more digits than f32 has"
)]

pub mod api;
pub mod boosting;
pub mod choice;
mod columns;
pub mod dense;
pub mod known;
pub mod leakage;
pub mod linear;
pub mod measures;
pub mod model;
pub mod portable;
pub mod roc;
pub mod space;
pub mod text;

/// Why a classifier cannot be fitted, or its bytes not be read. Messages hold numbers and names, never a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClassifierError {
    /// One class is missing, or there are too few rows.
    #[error(
        "cannot train: {benign} benign and {malicious} malicious rows; expected at least 2 of each"
    )]
    TooFew {
        /// Rows labelled benign.
        benign: usize,
        /// Rows labelled malicious.
        malicious: usize,
    },
    /// Lists of different lengths, or a row that is not there.
    #[error("{what}: expected {expected}, got {got}")]
    Shape {
        /// What was counted.
        what: &'static str,
        /// What it must be.
        expected: usize,
        /// What it is.
        got: usize,
    },
    /// The bytes of a saved classifier are not what this program wrote.
    #[error("not a saved classifier of this version: {0}")]
    Damaged(&'static str),
    /// A learner of `gleaner-udfs` refused.
    #[error("{0}")]
    Learner(String),
    /// An embedder failed.
    #[error("{0}")]
    Embedder(String),
}

impl From<gleaner_udfs::learner::LearnerError> for ClassifierError {
    fn from(error: gleaner_udfs::learner::LearnerError) -> Self {
        Self::Learner(error.to_string())
    }
}
