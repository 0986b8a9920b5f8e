//! Measures of scores: how well they rank labelled outliers ([`auroc`], [`average_precision`]), how alike two rankings
//! are ([`rank_correlation`]), what that says of the detectors ([`rank_outliers`]), how near-dedup agrees
//! with labelled pairs ([`Agreement`]) and with edits made by rule ([`Edit`]), and how far values have moved from those of
//! another day ([`Deciles`]).
//!
//! All are exact, and functions of the values alone: rows of equal score are one group, never ordered by arrival.
//! Cost: one sort each.

mod edits;
mod outliers;
mod pairs;
mod ranking;
mod stability;

pub use edits::Edit;
pub use outliers::{Evaluated, Ranking, outlier_scores, rank_outliers};
pub use pairs::{Agreement, Judged, Texts};
pub use ranking::{auroc, average_precision, rank_correlation};
pub use stability::{DRIFTED, Deciles, Stability};

#[cfg(test)]
mod tests;
