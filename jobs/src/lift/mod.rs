//! The lift: what a classifier gains from the benign set, on tests that it knows nothing of.
//!
//! ```text
//! sets    labelled lines of one's own: Parquet, CSV, SQL, a warehouse's benign set
//! study   leakage out, training with and without the benign set, at full scale and at the baseline's size, measured on every test
//! ```

pub mod sets;
pub mod study;
