//! DBSCAN as a detector: an anomaly is a row that no dense row reaches.
//!
//! Density-based clustering (Ester, Kriegel, Sander & Xu 1996) calls a row *core* when at least `min_samples` rows of the
//! sample, itself included, lie within `eps` of it; a row that is not within `eps` of any core row is *noise*. What a new row
//! needs to know of the sample is its core rows alone, so they are the model, and the score is the distance to the nearest
//! core row divided by `eps`: above 1 is noise, for the rows of the sample exactly as DBSCAN labels them, for new rows by the
//! same rule. Which cluster a row is in plays no part in it, so clusters are not made.
//!
//! **`eps`** is given, or found: the knee of the sorted distances to the `min_samples`-th row (the k-distance plot of the
//! paper), by Kneedle's largest distance from the chord (Satopää, Albrecht, Irwin & Raghavan 2011), with the distances of
//! [`KNEE_ROWS`] rows to all. A curve that is flat at 0 (more copies than `min_samples`) has its knee at the least positive distance.
//!
//! **Bounded.** A sample of 65,536 rows may have as many core rows, and a score compares with all of them. So at most
//! `max_cores` are kept: those that a farthest-first traversal meets first (Gonzalez 1985), which for any number leaves the
//! dropped ones at most twice as far from a kept one as is possible. The radius that remains is measured:
//! [`DbscanModel::slack`] says by how much, in units of `eps`, a score may be too high; it is never too low. Without slack
//! (as many kept as there are distinct core rows), the answers are DBSCAN's own. In many features thinning is poor: of 62,222
//! core rows in 60 features, 4,096 leave a slack of 0.99, with which "above 1" means little. So the default keeps 16,384, and
//! whoever wants DBSCAN's own answers fits on a sample of no more rows (as `detector` does), where the slack is 0.
//!
//! **Distances** are chains of `f32` (see `vector::distances`), in the fit as in the score, so that the two never disagree
//! about a row at the border; a pair whose distance is within a millionth of `eps` may be judged otherwise than in `f64`.
//!
//! **Cost.** Neighbours are counted until a row has `min_samples`: in a dense sample a small part of all pairs. Memory: the
//! sample twice.

mod fit;
mod model;
mod params;

pub use model::DbscanModel;
pub use params::DbscanParams;

const KIND: &str = "dbscan";
const VERSION: u32 = 1;

/// Rows whose distances make the curve that has the knee.
pub const KNEE_ROWS: usize = 2_048;

#[cfg(test)]
mod tests;
