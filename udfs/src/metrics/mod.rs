//! Measures of scores: how well they rank labelled outliers ([`auroc`], [`average_precision`]), how alike two rankings
//! are ([`rank_correlation`]), what a threshold does ([`Confusion`], [`curve`]), what that says of the detectors ([`rank_outliers`]), how near-dedup agrees
//! with labelled pairs ([`Agreement`]) and with edits made by rule ([`Edit`]), how far values have moved from those of
//! another day ([`Deciles`]), and how sure a share is ([`clopper_pearson`]).
//!
//! All are exact, and functions of the values alone: rows of equal score are one group, never ordered by arrival.
//! Cost: one sort each.

mod binomial;
mod curves;
mod edits;
mod outliers;
mod pairs;
mod ranking;
mod stability;

pub use binomial::{Interval, clopper_pearson};
pub use curves::{Confusion, CurvePoint, curve};
pub use edits::Edit;
pub use outliers::{Evaluated, Ranking, outlier_scores, rank_outliers};
pub use pairs::{Agreement, Judged, Texts};
pub use ranking::{auroc, average_precision, rank_correlation};
pub use stability::{DRIFTED, Deciles, Stability};

#[cfg(test)]
mod tests;
