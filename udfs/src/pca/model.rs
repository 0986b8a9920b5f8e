//! The fitted PCA: fit, reconstruction error, residuals, bytes.

use pulp::bytemuck::cast_slice;
use pulp::{Simd, WithSimd};

use super::{Components, KIND, Moments, PcaParams, VERSION, symmetric_eigen};
use crate::learner::{Checked, LearnerError, open, row_count, same_size, seal};
use crate::panel::{LANES, Line, VECTORS, arch, fill};
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
        let mut scratch = self.scratch();
        self.project(row, &mut scratch);
        for (out, line) in out.iter_mut().zip(&scratch.panel) {
            *out = line[0] * line[0];
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
        let mut scratch = self.scratch();
        for (rows, out) in rows.chunks(LANES * d).zip(out.chunks_mut(LANES)) {
            let errors = self.project(rows, &mut scratch);
            out.copy_from_slice(&errors[..out.len()]);
        }
        Ok(())
    }

    fn scratch(&self) -> Scratch {
        Scratch {
            panel: vec![[0.0; LANES]; self.dimension()],
            along: vec![[0.0; LANES]; self.n_components()],
        }
    }

    /// Leaves the residuals `c − Σ (w·c) w` of up to [`LANES`] rows in the panel; returns their squared lengths. The residual
    /// itself, and not `|c|² − |Wc|²`, in which a small error would drown.
    fn project(&self, rows: &[f32], scratch: &mut Scratch) -> Line {
        fill(&mut scratch.panel, rows);
        arch().dispatch(Projection {
            model: self,
            scratch,
        })
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

/// Rows, one a lane, and what they measure along each component.
struct Scratch {
    panel: Vec<Line>,
    along: Vec<Line>,
}

struct Projection<'a> {
    model: &'a PcaModel,
    scratch: &'a mut Scratch,
}

impl WithSimd for Projection<'_> {
    type Output = Line;

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "it must be compiled with its caller's instruction set"
    )]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        let Scratch { panel, along } = self.scratch;
        let d = self.model.dimension();
        let components = &self.model.components;
        for (line, mean) in panel.iter_mut().zip(&self.model.mean) {
            for value in line {
                *value -= mean;
            }
        }
        let mut errors = [0.0; LANES];
        let span = VECTORS * S::F32_LANES;
        for first in (0..LANES).step_by(span) {
            let lanes = first..first + span;
            // Two at a time, so that a vector of values is loaded once for both.
            for (components, along) in components.chunks(2 * d).zip(along.chunks_mut(2)) {
                let (one, two) = components.split_at(d);
                let two = if two.is_empty() { one } else { two };
                let mut sums = [[simd.splat_f32s(0.0); VECTORS]; 2];
                for ((line, one), two) in panel.iter().zip(one).zip(two) {
                    let values: &[S::f32s] = cast_slice(&line[lanes.clone()]);
                    let weights = [simd.splat_f32s(*one), simd.splat_f32s(*two)];
                    for (sums, weight) in sums.iter_mut().zip(weights) {
                        for (sum, value) in sums.iter_mut().zip(values) {
                            *sum = simd.mul_add_f32s(weight, *value, *sum);
                        }
                    }
                }
                for (along, sums) in along.iter_mut().zip(&sums) {
                    along[lanes.clone()].copy_from_slice(cast_slice(sums));
                }
            }
            let mut lengths = [simd.splat_f32s(0.0); VECTORS];
            for (feature, lines) in panel.chunks_mut(2).enumerate() {
                let feature = 2 * feature;
                let mut rest = [[simd.splat_f32s(0.0); VECTORS]; 2];
                for (rest, line) in rest.iter_mut().zip(&*lines) {
                    rest.copy_from_slice(cast_slice(&line[lanes.clone()]));
                }
                for (component, along) in components.chunks_exact(d).zip(&*along) {
                    let along: &[S::f32s] = cast_slice(&along[lanes.clone()]);
                    for (rest, weight) in rest.iter_mut().zip(&component[feature..]) {
                        let weight = simd.splat_f32s(*weight);
                        for (rest, along) in rest.iter_mut().zip(along) {
                            *rest = simd.negate_mul_add_f32s(weight, *along, *rest);
                        }
                    }
                }
                for (line, rest) in lines.iter_mut().zip(&rest) {
                    line[lanes.clone()].copy_from_slice(cast_slice(rest));
                    for (length, rest) in lengths.iter_mut().zip(rest) {
                        *length = simd.mul_add_f32s(*rest, *rest, *length);
                    }
                }
            }
            errors[lanes].copy_from_slice(cast_slice(&lengths));
        }
        errors
    }
}

#[expect(clippy::cast_possible_truncation, reason = "rows are scored in f32")]
fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::panel::tests::rough;

    #[test]
    fn every_processor_finds_the_same_errors_to_the_bit() {
        for (kept, d) in [(1, 2), (3, 5), (50, 101)] {
            let model = PcaModel {
                rows: 1,
                total_variance: 1.0,
                mean: rough(d),
                explained_variance: vec![1.0; kept],
                components: rough(kept * d),
            };
            let errors = |arch: pulp::Arch| {
                let mut scratch = model.scratch();
                fill(&mut scratch.panel, &rough(LANES * d));
                let errors = arch.dispatch(Projection {
                    model: &model,
                    scratch: &mut scratch,
                });
                errors.map(f32::to_bits)
            };
            assert_eq!(errors(arch()), errors(pulp::Arch::Scalar));
        }
    }
}
