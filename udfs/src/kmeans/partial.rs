//! One pass of Lloyd's algorithm, mergeable.

use super::{Centroids, KIND, VERSION};
use crate::learner::{LearnerError, open, row_count, same_size, seal, to_u32, to_usize};
use gleaner_proto::learners as wire;

const STATE: &str = "kmeans pass";

/// Rows, sums and squared distances of each cluster, over the rows of one pass with given centroids.
///
/// Merging is commutative to the bit and associative to rounding, so parts merge in a fixed order; rows are summed one
/// by one in f64, so that the batch size is no part of the result. The state of no rows is the identity.
#[derive(Debug, Clone, PartialEq)]
pub struct KMeansPartial {
    k: usize,
    d: usize,
    counts: Vec<u64>,
    inertias: Vec<f64>,
    sums: Vec<f64>,
}

impl KMeansPartial {
    /// The pass over no rows, for `k` clusters of `d` features.
    ///
    /// # Errors
    /// [`LearnerError::Parameter`] when `k` is not in 1..=65,536 or `d` is not in 1..=65,535.
    pub fn new(k: usize, d: usize) -> Result<Self, LearnerError> {
        let outside = |parameter, expected, got: usize| {
            Err(LearnerError::Parameter {
                learner: KIND,
                parameter,
                expected,
                got: got.to_string(),
            })
        };
        if !(1..=65_536).contains(&k) {
            return outside("n_clusters", "1 to 65536", k);
        }
        if !(1..=65_535).contains(&d) {
            return outside("d", "1 to 65535 features", d);
        }
        Ok(Self {
            k,
            d,
            counts: vec![0; k],
            inertias: vec![0.0; k],
            sums: vec![0.0; k * d],
        })
    }

    /// Adds rows (row-major, as many features as the centroids), each to the cluster of its nearest centroid.
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when rows, centroids and state do not fit each other.
    pub fn add(&mut self, rows: &[f32], centroids: &Centroids) -> Result<(), LearnerError> {
        self.add_seen(rows, centroids, |_, _| ())
    }

    /// As [`KMeansPartial::add`], showing each row's cluster and squared distance.
    pub(super) fn add_seen(
        &mut self,
        rows: &[f32],
        centroids: &Centroids,
        mut seen: impl FnMut(usize, f32),
    ) -> Result<(), LearnerError> {
        same_size(KIND, "clusters", self.k, centroids.len())?;
        same_size(KIND, "features a row", self.d, centroids.dimension())?;
        row_count(KIND, rows.len(), self.d)?;
        centroids.each_nearest(rows, |row, (cluster, squared)| {
            self.counts[cluster] += 1;
            self.inertias[cluster] += f64::from(squared);
            let row = &rows[row * self.d..(row + 1) * self.d];
            for (sum, value) in self.sums[cluster * self.d..].iter_mut().zip(row) {
                *sum += f64::from(*value);
            }
            seen(cluster, squared);
        });
        Ok(())
    }

    /// Adds everything that `other` saw, which must be of the same centroids.
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when the two differ in `k` or `d`.
    pub fn merge(&mut self, other: &Self) -> Result<(), LearnerError> {
        same_size(KIND, "clusters", self.k, other.k)?;
        same_size(KIND, "features a row", self.d, other.d)?;
        for (ours, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *ours += theirs;
        }
        let sums = self.inertias.iter_mut().chain(&mut self.sums);
        for (ours, theirs) in sums.zip(other.inertias.iter().chain(&other.sums)) {
            *ours += theirs;
        }
        Ok(())
    }

    /// Rows a cluster.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Sum of squared distances, a cluster.
    #[must_use]
    pub fn inertias(&self) -> &[f64] {
        &self.inertias
    }

    /// The centroids of the next pass: means of the clusters. A cluster without rows stays where it is.
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when `previous` does not fit, [`LearnerError::Fit`] when a row was not finite.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "rows are scored in f32"
    )]
    pub fn centroids(&self, previous: &Centroids) -> Result<Centroids, LearnerError> {
        same_size(KIND, "clusters", self.k, previous.len())?;
        same_size(KIND, "features a row", self.d, previous.dimension())?;
        let mut rows = previous.rows().to_vec();
        let clusters = rows
            .chunks_exact_mut(self.d)
            .zip(self.sums.chunks_exact(self.d))
            .zip(&self.counts);
        for ((row, sums), count) in clusters.filter(|(_, count)| **count > 0) {
            for (value, sum) in row.iter_mut().zip(sums) {
                *value = (sum / *count as f64) as f32;
            }
        }
        Centroids::new(rows, self.d)
    }

    /// Bytes: 8 a cluster and feature.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let message = wire::KMeansPartial {
            k: to_u32(self.k),
            d: to_u32(self.d),
            counts: self.counts.clone(),
            inertias: self.inertias.clone(),
            sums: self.sums.clone(),
        };
        seal(STATE, VERSION, &message)
    }

    /// Reads what [`KMeansPartial::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`LearnerError::Damaged`] or [`LearnerError::Version`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LearnerError> {
        let damaged = |reason| LearnerError::Damaged {
            kind: STATE,
            reason,
            len: bytes.len(),
        };
        let message: wire::KMeansPartial = open(STATE, VERSION, bytes)?;
        let (k, d) = (to_usize(message.k), to_usize(message.d));
        let fits = message.counts.len() == k
            && message.inertias.len() == k
            && Some(message.sums.len()) == k.checked_mul(d);
        if !fits || !(1..=65_536).contains(&k) || !(1..=65_535).contains(&d) {
            return Err(damaged("numbers do not fit k and d"));
        }
        Ok(Self {
            k,
            d,
            counts: message.counts,
            inertias: message.inertias,
            sums: message.sums,
        })
    }
}
