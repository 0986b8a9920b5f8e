//! The fitted PCA: fit, reconstruction error, residuals, bytes.

use super::{Components, KIND, Moments, PcaParams, VERSION, symmetric_eigen};
use crate::learner::{Checked, LearnerError, open, row_count, same_size, seal};
use gleaner_proto::learners as wire;

/// A fitted PCA.
#[derive(Debug, Clone, PartialEq)]
pub struct PcaModel {
    rows: u64,
    total_variance: f64,
    mean: Vec<f32>,
    explained_variance: Vec<f64>,
    /// Row-major, one row a component.
    components: Vec<f32>,
}

impl PcaModel {
    /// Decomposes the covariance of the rows that `moments` saw.
    ///
    /// A share of the variance keeps no component where nothing varies, and a share below 1 leaves at least one out.
    ///
    /// # Errors
    /// [`LearnerError::Fit`] with fewer than two rows or values that were not finite, [`LearnerError::Parameter`] when
    /// more components than features are asked for.
    pub fn fit(moments: &Moments, params: &Checked<PcaParams>) -> Result<Self, LearnerError> {
        let d = moments.dimension();
        let (mean, covariance) = moments.covariance()?;
        let (values, vectors) = symmetric_eigen(&covariance, d)?;
        let total_variance: f64 = values.iter().sum();
        let kept = match params.n_components {
            Components::Count(count) if count > d => {
                return Err(LearnerError::Parameter {
                    learner: KIND,
                    parameter: "n_components",
                    expected: "at most the number of features",
                    got: format!("{count} with {d} features"),
                });
            }
            Components::Count(count) => count,
            Components::Share(share) => {
                // A little slack, so that a share that is reached exactly is not missed by rounding.
                let wanted = share * total_variance * (1.0 - 1e-12);
                let mut explained = 0.0;
                let count = values
                    .iter()
                    .take_while(|value| {
                        let more = explained < wanted;
                        explained += *value;
                        more
                    })
                    .count();
                // With all of them there is no error left to score by but rounding.
                if share < 1.0 { count.min(d - 1) } else { count }
            }
        };
        Ok(Self {
            rows: moments.rows(),
            total_variance,
            mean: narrow(&mean),
            explained_variance: values[..kept].to_vec(),
            components: narrow(&vectors[..kept * d]),
        })
    }

    /// Features a row.
    #[must_use]
    pub const fn dimension(&self) -> usize {
        self.mean.len()
    }

    /// Components kept.
    #[must_use]
    pub const fn n_components(&self) -> usize {
        self.explained_variance.len()
    }

    /// Unit components, row-major, one row a component, by descending variance.
    #[must_use]
    pub fn components(&self) -> &[f32] {
        &self.components
    }

    /// Variance along each component, descending.
    #[must_use]
    pub fn explained_variance(&self) -> &[f64] {
        &self.explained_variance
    }

    /// Share of all variance along each component; zeros where nothing varies.
    #[must_use]
    pub fn explained_variance_ratio(&self) -> Vec<f64> {
        let total = if self.total_variance > 0.0 {
            self.total_variance
        } else {
            1.0
        };
        self.explained_variance
            .iter()
            .map(|variance| variance / total)
            .collect()
    }

    /// The squared residual of each feature, `(c − WᵀW·c)²` with `c = row − mean`, into `out`: the explanation. They
    /// add up to the [`PcaModel::reconstruction_error`].
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when `row` or `out` does not have the model's features.
    pub fn residuals(&self, row: &[f32], out: &mut [f32]) -> Result<(), LearnerError> {
        same_size(KIND, "features a row", self.dimension(), row.len())?;
        same_size(KIND, "residuals", self.dimension(), out.len())?;
        self.subtract_projection(row, out);
        for residual in out {
            *residual *= *residual;
        }
        Ok(())
    }

    /// The squared Euclidean distance of a row from the components' subspace; NaN for a row with a NaN. For rows scaled
    /// to deviation 1, its mean over ordinary rows is the variance that the components do not explain.
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when `row` does not have the model's features.
    pub fn reconstruction_error(&self, row: &[f32]) -> Result<f32, LearnerError> {
        let mut error = [0.0];
        self.score(row, row.len(), &mut error)?;
        Ok(error[0])
    }

    /// The reconstruction error of each row (row-major, `d` features).
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when `d` is not the model's or `out` has not one place a row.
    pub fn score(&self, rows: &[f32], d: usize, out: &mut [f32]) -> Result<(), LearnerError> {
        same_size(KIND, "features a row", self.dimension(), d)?;
        let count = row_count(KIND, rows.len(), d)?;
        same_size(KIND, "scores", count, out.len())?;
        let mut residual = vec![0.0; d];
        for (row, error) in rows.chunks_exact(d).zip(out) {
            self.subtract_projection(row, &mut residual);
            *error = dot(&residual, &residual);
        }
        Ok(())
    }

    /// `out = c − Σ (w·c) w`. The residual itself, and not `|c|² − |Wc|²`, in which a small error would drown.
    fn subtract_projection(&self, row: &[f32], out: &mut [f32]) {
        for ((out, value), mean) in out.iter_mut().zip(row).zip(&self.mean) {
            *out = value - mean;
        }
        // One after another on what is left (modified Gram–Schmidt), which for orthogonal components is the same and
        // loses less.
        for component in self.components.chunks_exact(self.dimension()) {
            let along = dot(component, out);
            for (out, weight) in out.iter_mut().zip(component) {
                *out -= along * weight;
            }
        }
    }

    /// Bytes: `4d` a component.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let message = wire::Pca {
            rows: self.rows,
            total_variance: self.total_variance,
            mean: self.mean.clone(),
            explained_variance: self.explained_variance.clone(),
            components: self.components.clone(),
        };
        seal(KIND, VERSION, &message)
    }

    /// Reads what [`PcaModel::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`LearnerError::Damaged`] or [`LearnerError::Version`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LearnerError> {
        let damaged = |reason| LearnerError::Damaged {
            kind: KIND,
            reason,
            len: bytes.len(),
        };
        let message: wire::Pca = open(KIND, VERSION, bytes)?;
        let (d, kept) = (message.mean.len(), message.explained_variance.len());
        if d == 0 || kept > d || message.components.len() != d * kept {
            return Err(damaged("sizes do not fit"));
        }
        let finite = message
            .mean
            .iter()
            .chain(&message.components)
            .all(|value| value.is_finite())
            && message
                .explained_variance
                .iter()
                .all(|value| value.is_finite() && *value >= 0.0)
            && message.total_variance.is_finite();
        if !finite {
            return Err(damaged("numbers are not finite"));
        }
        Ok(Self {
            rows: message.rows,
            total_variance: message.total_variance,
            mean: message.mean,
            explained_variance: message.explained_variance,
            components: message.components,
        })
    }
}

/// A dot product in 16 fixed lanes: as fast as vector instructions allow, and the same sum on every processor.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a_blocks, a_rest) = a.as_chunks::<16>();
    let (b_blocks, b_rest) = b.as_chunks::<16>();
    let mut lanes = [0.0_f32; 16];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    for ((lane, a), b) in lanes.iter_mut().zip(a_rest).zip(b_rest) {
        *lane += a * b;
    }
    lanes.iter().sum()
}

#[expect(clippy::cast_possible_truncation, reason = "rows are scored in f32")]
fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}
