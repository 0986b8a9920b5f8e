//! The fitted DBSCAN: scores, contributions, bytes.

use super::{KIND, VERSION};
use crate::kmeans::Centroids;
use crate::learner::{LearnerError, open, row_count, same_size, seal, to_u32, to_usize};
use gleaner_proto::learners as wire;

/// The score of a squared distance from the nearest core row.
pub(super) fn score_of(squared: f32, eps: f32) -> f32 {
    squared.sqrt() / eps
}

/// A fitted DBSCAN: core rows and the radius of their neighbourhoods.
#[derive(Debug, Clone, PartialEq)]
pub struct DbscanModel {
    pub(super) cores: Centroids,
    pub(super) eps: f32,
    pub(super) min_samples: u64,
    /// Rows it was fitted on; core rows among them, and noise.
    pub(super) rows: u64,
    pub(super) core_rows: u64,
    pub(super) noise: u64,
    pub(super) slack: f32,
}

impl DbscanModel {
    /// Features a row.
    #[must_use]
    pub const fn dimension(&self) -> usize {
        self.cores.dimension()
    }

    /// The radius of a neighbourhood, in the units of the rows.
    #[must_use]
    pub const fn eps(&self) -> f32 {
        self.eps
    }

    /// Rows that make a neighbourhood dense.
    #[must_use]
    pub const fn min_samples(&self) -> u64 {
        self.min_samples
    }

    /// Core rows of the sample.
    #[must_use]
    pub const fn core_rows(&self) -> u64 {
        self.core_rows
    }

    /// Core rows that scores are measured from; fewer than [`DbscanModel::core_rows`] where there are copies or too many.
    #[must_use]
    pub const fn kept(&self) -> usize {
        self.cores.len()
    }

    /// Rows of the sample that are noise, before core rows were dropped.
    #[must_use]
    pub const fn noise(&self) -> u64 {
        self.noise
    }

    /// Rows of the sample.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// By how much a score may be above DBSCAN's own, because only [`DbscanModel::kept`] core rows are kept; 0: by nothing.
    #[must_use]
    pub const fn slack(&self) -> f32 {
        self.slack
    }

    /// The distance of each row (row-major, `d` features) to its nearest core row, divided by `eps`: above 1 is noise. A row
    /// with a NaN scores NaN.
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when `d` is not the model's or `out` has not one place a row.
    pub fn score(&self, rows: &[f32], d: usize, out: &mut [f32]) -> Result<(), LearnerError> {
        same_size(KIND, "features a row", self.dimension(), d)?;
        let count = row_count(KIND, rows.len(), d)?;
        same_size(KIND, "scores", count, out.len())?;
        self.cores.each_nearest(rows, |row, (_, squared)| {
            out[row] = score_of(squared, self.eps);
        });
        Ok(())
    }

    /// The squared distance from the nearest core row along each feature, into `out`: the explanation. They add up to the
    /// squared distance.
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when `row` or `out` does not have the model's features.
    pub fn contributions(&self, row: &[f32], out: &mut [f32]) -> Result<(), LearnerError> {
        same_size(KIND, "features a row", self.dimension(), row.len())?;
        same_size(KIND, "contributions", self.dimension(), out.len())?;
        let (core, _) = self.cores.nearest(row);
        for ((out, value), core) in out.iter_mut().zip(row).zip(self.cores.row(core)) {
            *out = (value - core) * (value - core);
        }
        Ok(())
    }

    /// Bytes: `4d` a kept core row.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let message = wire::Dbscan {
            d: to_u32(self.dimension()),
            cores: self.cores.rows().to_vec(),
            eps: self.eps,
            min_samples: self.min_samples,
            rows: self.rows,
            core_rows: self.core_rows,
            noise: self.noise,
            slack: self.slack,
        };
        seal(KIND, VERSION, &message)
    }

    /// Reads what [`DbscanModel::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`LearnerError::Damaged`] or [`LearnerError::Version`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LearnerError> {
        let damaged = |reason| LearnerError::Damaged {
            kind: KIND,
            reason,
            len: bytes.len(),
        };
        let message: wire::Dbscan = open(KIND, VERSION, bytes)?;
        let cores =
            Centroids::new(message.cores, to_usize(message.d)).map_err(|_| damaged("core rows"))?;
        if !(message.eps > 0.0 && message.eps.is_finite()) {
            return Err(damaged("eps is not above 0"));
        }
        if !(message.slack >= 0.0 && message.slack.is_finite()) {
            return Err(damaged("the slack is not a number from 0 on"));
        }
        let fits = message.core_rows >= cores.len() as u64
            && message.core_rows.saturating_add(message.noise) <= message.rows;
        if !fits {
            return Err(damaged("numbers of rows do not fit"));
        }
        Ok(Self {
            cores,
            eps: message.eps,
            min_samples: message.min_samples,
            rows: message.rows,
            core_rows: message.core_rows,
            noise: message.noise,
            slack: message.slack,
        })
    }
}
