//! Principal components: an anomaly is a row that the main directions of variation cannot rebuild.
//!
//! Command-line features are strongly correlated; the leading components hold what ordinary lines share. A row's
//! squared distance from their subspace, its *reconstruction error* (the Q statistic of Jackson & Mudholkar 1979), is
//! large where features combine as they normally do not, also when each alone is ordinary. That complements k-means
//! (far from every crowd) and the forest (few cuts away).
//!
//! **Shape.** [`Moments`] sums count, mean and co-moments of scaled rows, in a map-only pass over all rows or over the
//! sample; states merge by the formula of Chan, Golub & `LeVeque` 1979. [`PcaModel::fit`] decomposes the covariance on
//! the driver.
//!
//! **Why not `linfa_reduction::Pca`.** It fits from a dataset in memory, never from a covariance, so it cannot use
//! merged states. And its truncated SVD (LOBPCG) is not exact enough here: with half of the components, its largest
//! angle to a dense eigendecomposition (over components whose variance is 0.1% apart) was 1e-13 or less on
//! `annthyroid`, `mammography`, `pima` and `satellite`, but 0.27 on `breastw`, 0.82 on `cardio` and 0.68 rad on
//! `shuttle`, without an error. What it builds on, `linfa_linalg`'s dense symmetric solver, takes a covariance and
//! stayed within 1e-11 of LAPACK on all seven (eigenvalues within 2e-15 of the largest), so [`symmetric_eigen`] uses
//! that.
//!
//! **Cost** (115 features, one core). Moments: `d²/2` multiply-adds a row, 0.75 µs, and `8d²` bytes. Fitting: `O(d³)`,
//! 2 ms; 0.13 s for 384 features, 3 s for 768. A row's error: `2·k·d` multiply-adds, 0.8 µs with 20 components.

mod eigen;
mod model;
mod params;
mod partial;

pub use eigen::symmetric_eigen;
pub use model::PcaModel;
pub use params::{Components, PcaParams};
pub use partial::Moments;

const KIND: &str = "pca";
const VERSION: u32 = 1;

#[cfg(test)]
mod tests;
