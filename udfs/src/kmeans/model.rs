//! The fitted k-means: distances, contributions, bytes.

use super::{Centroids, KIND, KMeansPartial, VERSION};
use crate::learner::{LearnerError, open, row_count, same_size, seal, to_u32, to_usize};
use gleaner_proto::learners as wire;
use std::cmp::Reverse;

/// Rows of average distance that each cluster's spread is computed with, beside its own.
pub const PRIOR_ROWS: f64 = 10.0;

/// Where a row lies.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Nearest {
    /// The nearest crowd, by its number among all clusters.
    pub cluster: u32,
    /// The Euclidean distance of its centroid.
    pub distance: f32,
    /// The distance divided by the crowd's spread: 1 is ordinary.
    pub modified_distance: f32,
}

/// A fitted k-means.
#[derive(Debug, Clone, PartialEq)]
pub struct KMeansModel {
    centroids: Centroids,
    spread: Vec<f32>,
    counts: Vec<u64>,
    inertia: f64,
    iterations: u32,
    crowd_share: f64,
    /// The centroids of the crowds, and their numbers, ascending.
    crowds: Centroids,
    crowd_clusters: Vec<u32>,
}

impl KMeansModel {
    /// The model of some centroids and a pass with them, over the sample or over all rows.
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when the two do not fit, [`LearnerError::Fit`] when the pass saw no row.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "rows are scored in f32"
    )]
    pub fn of(
        centroids: Centroids,
        pass: &KMeansPartial,
        iterations: usize,
        crowd_share: f64,
    ) -> Result<Self, LearnerError> {
        same_size(KIND, "clusters", centroids.len(), pass.counts().len())?;
        let rows: u64 = pass.counts().iter().sum();
        if rows == 0 {
            return Err(LearnerError::Fit {
                learner: KIND,
                reason: "a pass without rows",
            });
        }
        let inertia: f64 = pass.inertias().iter().sum();
        let mean = inertia / rows as f64;
        let spread = pass
            .counts()
            .iter()
            .zip(pass.inertias())
            .map(|(count, inertia)| {
                let spread =
                    ((inertia + PRIOR_ROWS * mean) / (*count as f64 + PRIOR_ROWS)).sqrt() as f32;
                if spread > 0.0 { spread } else { 1.0 }
            });
        let spread = spread.collect();
        Self::assemble(
            centroids,
            spread,
            pass.counts().to_vec(),
            inertia,
            to_u32(iterations),
            crowd_share,
        )
    }

    #[expect(clippy::cast_precision_loss, reason = "row counts stay below 2^53")]
    fn assemble(
        centroids: Centroids,
        spread: Vec<f32>,
        counts: Vec<u64>,
        inertia: f64,
        iterations: u32,
        crowd_share: f64,
    ) -> Result<Self, LearnerError> {
        // Largest first, the earlier among equals, until they hold the share; at least one.
        let mut order: Vec<usize> = (0..counts.len()).collect();
        order.sort_by_key(|cluster| Reverse(counts[*cluster]));
        let wanted = crowd_share * counts.iter().sum::<u64>() as f64;
        let mut held = 0;
        order.retain(|cluster| {
            let short = held == 0 || (held as f64) < wanted;
            held += if short { counts[*cluster] } else { 0 };
            short
        });
        order.sort_unstable();
        let rows = order
            .iter()
            .flat_map(|cluster| centroids.row(*cluster).iter().copied())
            .collect();
        let crowds = Centroids::new(rows, centroids.dimension())?;
        let crowd_clusters = order.into_iter().map(to_u32).collect();
        Ok(Self {
            centroids,
            spread,
            counts,
            inertia,
            iterations,
            crowd_share,
            crowds,
            crowd_clusters,
        })
    }

    /// Features a row.
    #[must_use]
    pub const fn dimension(&self) -> usize {
        self.centroids.dimension()
    }

    /// The centroids.
    #[must_use]
    pub const fn centroids(&self) -> &Centroids {
        &self.centroids
    }

    /// Typical distance of a member, a cluster; never 0.
    #[must_use]
    pub fn spread(&self) -> &[f32] {
        &self.spread
    }

    /// Rows a cluster.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Sum of squared distances of the rows from their centroids.
    #[must_use]
    pub const fn inertia(&self) -> f64 {
        self.inertia
    }

    /// Passes made after the initialisation.
    #[must_use]
    pub const fn iterations(&self) -> u32 {
        self.iterations
    }

    /// The clusters that distances are measured from, ascending.
    #[must_use]
    pub fn crowds(&self) -> &[u32] {
        &self.crowd_clusters
    }

    /// The cluster of a row: its nearest centroid of all, crowd or not.
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when `row` does not have the model's features.
    pub fn cluster(&self, row: &[f32]) -> Result<u32, LearnerError> {
        same_size(KIND, "features a row", self.dimension(), row.len())?;
        Ok(to_u32(self.centroids.nearest(row).0))
    }

    /// How far a row is from the nearest crowd. A row with a NaN is at distance NaN.
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when `row` does not have the model's features.
    pub fn distance(&self, row: &[f32]) -> Result<Nearest, LearnerError> {
        same_size(KIND, "features a row", self.dimension(), row.len())?;
        Ok(self.locate(row))
    }

    fn locate(&self, row: &[f32]) -> Nearest {
        self.located(self.crowds.nearest(row))
    }

    fn located(&self, (crowd, squared): (usize, f32)) -> Nearest {
        let cluster = self.crowd_clusters[crowd];
        let distance = squared.sqrt();
        Nearest {
            cluster,
            distance,
            modified_distance: distance / self.spread[to_usize(cluster)],
        }
    }

    /// The distance of each row (row-major, `d` features) from its nearest crowd: the anomaly score. The plain one,
    /// which ranked outliers better than the modified one (see the module's head).
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when `d` is not the model's or `out` has not one place a row.
    pub fn score(&self, rows: &[f32], d: usize, out: &mut [f32]) -> Result<(), LearnerError> {
        self.each(rows, d, out, |near| near.distance)
    }

    /// How far each row (row-major, `d` features) is from its nearest crowd, and which that is.
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when `d` is not the model's or `out` has not one place a row.
    pub fn distances(
        &self,
        rows: &[f32],
        d: usize,
        out: &mut [Nearest],
    ) -> Result<(), LearnerError> {
        self.each(rows, d, out, |near| near)
    }

    fn each<T>(
        &self,
        rows: &[f32],
        d: usize,
        out: &mut [T],
        of: fn(Nearest) -> T,
    ) -> Result<(), LearnerError> {
        same_size(KIND, "features a row", self.dimension(), d)?;
        let count = row_count(KIND, rows.len(), d)?;
        same_size(KIND, "scores", count, out.len())?;
        self.crowds
            .each_nearest(rows, |row, near| out[row] = of(self.located(near)));
        Ok(())
    }

    /// The squared distance from the nearest crowd along each feature, into `out`: the explanation. They add up to the
    /// squared distance.
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when `row` or `out` does not have the model's features.
    pub fn contributions(&self, row: &[f32], out: &mut [f32]) -> Result<(), LearnerError> {
        same_size(KIND, "features a row", self.dimension(), row.len())?;
        same_size(KIND, "contributions", self.dimension(), out.len())?;
        let (crowd, _) = self.crowds.nearest(row);
        for ((out, value), centroid) in out.iter_mut().zip(row).zip(self.crowds.row(crowd)) {
            *out = (value - centroid) * (value - centroid);
        }
        Ok(())
    }

    /// Bytes: `4d + 14` a cluster, or so.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let message = wire::KMeans {
            d: to_u32(self.dimension()),
            centroids: self.centroids.rows().to_vec(),
            spread: self.spread.clone(),
            counts: self.counts.clone(),
            inertia: self.inertia,
            iterations: self.iterations,
            crowd_share: self.crowd_share,
        };
        seal(KIND, VERSION, &message)
    }

    /// Reads what [`KMeansModel::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`LearnerError::Damaged`] or [`LearnerError::Version`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LearnerError> {
        let damaged = |reason| LearnerError::Damaged {
            kind: KIND,
            reason,
            len: bytes.len(),
        };
        let message: wire::KMeans = open(KIND, VERSION, bytes)?;
        let centroids = Centroids::new(message.centroids, to_usize(message.d))
            .map_err(|_| damaged("centroids"))?;
        let k = centroids.len();
        if message.spread.len() != k || message.counts.len() != k || !message.inertia.is_finite() {
            return Err(damaged("numbers do not fit the centroids"));
        }
        if message
            .spread
            .iter()
            .any(|spread| !spread.is_finite() || *spread <= 0.0)
        {
            return Err(damaged("a spread is not positive"));
        }
        if !(message.crowd_share > 0.0 && message.crowd_share <= 1.0) {
            return Err(damaged("the crowds' share is not a share"));
        }
        let wire::KMeans {
            spread,
            counts,
            inertia,
            iterations,
            crowd_share,
            ..
        } = message;
        Self::assemble(centroids, spread, counts, inertia, iterations, crowd_share)
            .map_err(|_| damaged("no crowd"))
    }
}
