//! Hyper-parameters, checked.

use super::KIND;
use crate::learner::{Checked, LearnerError};

/// How k-means is fitted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KMeansParams {
    /// Clusters; 1 to 65,536. Fewer are made where the sample has fewer distinct rows.
    pub n_clusters: usize,
    /// Passes at most, a run; 1 to 10,000. A run that has not settled by then is used as it is.
    pub max_iter: usize,
    /// A run has settled when the centroids' squared movement, in all, is at most this share of a feature's mean
    /// variance; 0 to
    /// 1. With 0, when no row changes its cluster.
    pub tol: f64,
    /// Runs from different starts, of which the one of least inertia is kept; 1 to 100.
    pub n_init: usize,
    /// Swaps tried on each start before the passes; 0 to 10,000.
    pub local_search: usize,
    /// The largest clusters that together hold this share of the rows are crowds, and distances are measured from those
    /// alone; above 0, at most 1. With 1, every cluster is a crowd.
    pub crowd_share: f64,
    /// The seed of every draw.
    pub seed: u64,
}

impl Default for KMeansParams {
    fn default() -> Self {
        Self {
            n_clusters: 32,
            max_iter: 300,
            tol: 1e-4,
            n_init: 10,
            local_search: 64,
            crowd_share: 0.9,
            seed: 1,
        }
    }
}

impl KMeansParams {
    /// Checks every range.
    ///
    /// # Errors
    /// [`LearnerError::Parameter`] naming the first parameter outside of its range.
    pub fn check(self) -> Result<Checked<Self>, LearnerError> {
        let outside = |parameter, expected, got| {
            Err(LearnerError::Parameter {
                learner: KIND,
                parameter,
                expected,
                got,
            })
        };
        if !(1..=65_536).contains(&self.n_clusters) {
            return outside("n_clusters", "1 to 65536", self.n_clusters.to_string());
        }
        if !(1..=10_000).contains(&self.max_iter) {
            return outside("max_iter", "1 to 10000", self.max_iter.to_string());
        }
        if !(0.0..=1.0).contains(&self.tol) {
            return outside("tol", "0 to 1", self.tol.to_string());
        }
        if !(1..=100).contains(&self.n_init) {
            return outside("n_init", "1 to 100", self.n_init.to_string());
        }
        if self.local_search > 10_000 {
            return outside("local_search", "0 to 10000", self.local_search.to_string());
        }
        if !(self.crowd_share > 0.0 && self.crowd_share <= 1.0) {
            return outside(
                "crowd_share",
                "above 0, at most 1",
                self.crowd_share.to_string(),
            );
        }
        Ok(Checked::new(self))
    }
}
