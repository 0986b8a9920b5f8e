//! The n rows of highest score, exactly, without sorting all rows.
//!
//! The anomalies stage keeps a quota: the n most anomalous rows of a day of 50 million. Each bucket keeps its own n
//! best, the driver merges the lists, and every row then knows its rank by a binary search. An approximate quantile
//! (t-digest, KLL) was the other candidate: it is smaller, but leaves a border to look at again and a quota that is
//! nearly n; with n at 1–3% of the rows the exact list fits.
//!
//! Order: score descending, then hash ascending. Scores tie often (all rows in one leaf pattern score alike), and ties
//! broken by arrival would make the day's result depend on the cluster; the content hash makes it a total order. A NaN
//! score never enters. `-0.0` counts as `0.0`. One row offered twice counts once, so the state is a semilattice.
//!
//! Cost: one compare for a row below the border; others are appended up to 2n and then cut back to n, in all about
//! `n·(1 + ln(N/n))` rows sorted of N. Memory: at most 2n × 32 bytes; on the wire 20 bytes a row.

mod model;
mod partial;

pub use model::Quota;
pub use partial::QuotaState;

const KIND: &str = "quota";
const VERSION: u32 = 1;

#[cfg(test)]
mod tests;
