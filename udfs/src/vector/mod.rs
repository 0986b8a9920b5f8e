//! Vectors: cosine, and near-duplicates by it.
//!
//! What: [`cosine`] holds the dot product, [`near_duplicates`] the deterministic greedy leader that decides which of the
//! candidates with one guard key are kept. Vectors have length 1 (see `text::lexical`), so the dot product is the cosine.
//!
//! Why exact and not an index: comparisons happen only within one guard key, where there are few lines; an approximate
//! index would make the answer depend on its build order.

pub mod cosine;
pub mod near_duplicates;
