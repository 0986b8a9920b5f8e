//! Vectors: cosine, and near-duplicates by it.
//!
//! What: [`cosine`] holds the dot product, [`products`] those of many vectors with many others, [`near_duplicates`] the
//! deterministic greedy leader that decides which of the candidates with one guard key are kept, [`rethreshold`] decides again at another threshold. Vectors have length 1 (see
//! `text::lexical`), so the dot product is the cosine.
//!
//! Why exact and not an index: an approximate index would make the answer depend on its build order, and misses some; blocks of
//! products are within the processor's reach of what history there is (a million lines against a hundred thousand).

pub mod cosine;
pub(crate) mod distances;
pub mod near_duplicates;
pub mod products;
pub mod rethreshold;
