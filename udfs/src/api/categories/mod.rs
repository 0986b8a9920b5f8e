//! Categorical values as numbers, beside how rare they are: one-hot, hashed, or as learned vectors.
//!
//! ```text
//! layout    which columns a choice appends to a row, their names and weights
//! sample    what is learned from: a uniform sample of requests, a state that merges
//! embed     vectors of endpoints, from what calls what
//! encoder   the fitted model: fills the columns of a row
//! words     a column as the reason of an anomaly
//! ```
//!
//! The number of columns follows from the choice alone, so that a query can be planned before anything is learned. The encoder
//! is a model of its own beside the detectors: with the detectors of an earlier day goes the encoder of that day, whose columns
//! are what they know.

pub mod embed;
pub mod encoder;
pub mod layout;
pub mod sample;
pub mod words;

pub use encoder::Encoder;
pub use layout::{Block, Categorical, Column, Field, How};
pub use sample::CategorySample;

#[cfg(test)]
mod tests;
