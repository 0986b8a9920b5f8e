//! Measures of scores: how well they rank labelled outliers ([`auroc`], [`average_precision`]), how alike two rankings
//! are ([`rank_correlation`]), and how far a day's values have moved from another day's ([`Deciles`]).
//!
//! All are exact, and functions of the values alone: rows of equal score are one group, never ordered by arrival.
//! Cost: one sort each.

mod ranking;

pub use ranking::{auroc, average_precision, rank_correlation};

#[cfg(test)]
mod tests;
