//! The fitted scaler.

use super::{Constant, KIND, Scale, ScalerParams, Tails, VERSION};
use crate::learner::{Checked, LearnerError, open, row_count, same_size, seal};
use gleaner_proto::learners as wire;

/// The most standard deviations a scaled value can be from the mean, whatever the parameters.
pub const LIMIT: f32 = 1e9;

/// A fitted scaler: of each feature the median, which replaces what is missing, what it is measured from, and in what.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaler {
    rows: u64,
    tails: Tails,
    median: Vec<f32>,
    mean: Vec<f64>,
    /// 0 where the feature is constant.
    deviation: Vec<f64>,
    imputed: Vec<u64>,
    /// What a scaled value is multiplied by; empty where it is nothing.
    weight: Vec<f32>,
}

impl Scaler {
    /// Fits on rows (row-major, `d` features). Standard deviations are those of the sample itself (divided by n), as in
    /// scikit-learn's `StandardScaler`.
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when `d` does not divide `rows`, [`LearnerError::Fit`] without any row.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a sample has fewer than 2^53 rows"
    )]
    pub fn fit(
        rows: &[f32],
        d: usize,
        params: &Checked<ScalerParams>,
    ) -> Result<Self, LearnerError> {
        let count = row_count(KIND, rows.len(), d)?;
        if count == 0 {
            return Err(LearnerError::Fit {
                learner: KIND,
                reason: "no rows",
            });
        }
        let tails = params.tails;
        let mut scaler = Self {
            rows: count as u64,
            tails,
            median: Vec::with_capacity(d),
            mean: Vec::with_capacity(d),
            deviation: Vec::with_capacity(d),
            imputed: Vec::with_capacity(d),
            weight: vec![],
        };
        let mut column = Vec::with_capacity(count);
        for feature in 0..d {
            let values = rows.iter().skip(feature).step_by(d);
            column.clear();
            column.extend(values.clone().copied().filter(|value| value.is_finite()));
            let imputed = count - column.len();
            let median = median(&mut column);
            // In the order of the rows, which the sample sorts by key: the sums are the same on every run.
            let imputed_values =
                values.map(|value| unfold(if value.is_finite() { *value } else { median }, tails));
            let mean = imputed_values.clone().sum::<f64>() / count as f64;
            let variance = imputed_values
                .clone()
                .map(|value| (value - mean).powi(2))
                .sum::<f64>()
                / count as f64;
            let first = imputed_values.clone().next();
            let constant = imputed_values.clone().all(|value| Some(value) == first);
            let standard = (mean, variance.sqrt());
            let (center, width) = match params.scale {
                Scale::Standard => standard,
                Scale::MinMax => {
                    let least = imputed_values.clone().fold(f64::INFINITY, f64::min);
                    let most = imputed_values.clone().fold(f64::NEG_INFINITY, f64::max);
                    (least, most - least)
                }
                Scale::Robust => robust(imputed_values.collect()).unwrap_or(standard),
            };
            scaler.median.push(median);
            scaler.mean.push(center);
            scaler.deviation.push(match params.constant {
                Constant::Unit if constant && imputed < count => 1.0,
                _ if constant => 0.0,
                _ => width,
            });
            scaler.imputed.push(imputed as u64);
        }
        Ok(scaler)
    }

    /// The same scaler, which multiplies each scaled (and clipped) value by its feature's weight: how much the feature counts in
    /// distances. Empty: no weights.
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when there is not one weight a feature, [`LearnerError::Parameter`] when one is not in (0, 1].
    pub fn weighted(mut self, weight: Vec<f32>) -> Result<Self, LearnerError> {
        if !weight.is_empty() {
            same_size(KIND, "weights", self.dimension(), weight.len())?;
        }
        if let Some(bad) = weight.iter().find(|w| !is_weight(**w)) {
            return Err(LearnerError::Parameter {
                learner: KIND,
                parameter: "weight",
                expected: "above 0 and at most 1",
                got: bad.to_string(),
            });
        }
        self.weight = weight;
        Ok(self)
    }

    /// Features a row.
    #[must_use]
    pub const fn dimension(&self) -> usize {
        self.median.len()
    }

    /// Values of the sample that were imputed, a feature.
    #[must_use]
    pub fn imputed(&self) -> &[u64] {
        &self.imputed
    }

    /// What replaces a value that is not finite, a feature.
    #[must_use]
    pub fn median(&self) -> &[f32] {
        &self.median
    }

    /// The features without any variation in the sample.
    pub fn constant(&self) -> impl Iterator<Item = usize> + '_ {
        self.deviation
            .iter()
            .enumerate()
            .filter(|(_, deviation)| **deviation == 0.0)
            .map(|(feature, _)| feature)
    }

    /// Scales rows (row-major, `d` features) into `out`, of the same size. The result is always finite.
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when `d` is not the scaler's or `out` is not as long as `rows`.
    pub fn transform(&self, rows: &[f32], d: usize, out: &mut [f32]) -> Result<(), LearnerError> {
        same_size(KIND, "features a row", self.dimension(), d)?;
        row_count(KIND, rows.len(), d)?;
        same_size(KIND, "scaled values", rows.len(), out.len())?;
        let limit = if let Tails::Clip(limit) = self.tails {
            limit
        } else {
            LIMIT
        };
        for (row, out) in rows.chunks_exact(d).zip(out.chunks_exact_mut(d)) {
            let columns = self.median.iter().zip(&self.mean).zip(&self.deviation);
            for ((value, out), ((median, mean), deviation)) in row.iter().zip(out).zip(columns) {
                let value = if value.is_finite() { *value } else { *median };
                *out = scaled(unfold(value, self.tails), *mean, *deviation).clamp(-limit, limit);
            }
        }
        if !self.weight.is_empty() {
            for out in out.chunks_exact_mut(d) {
                for (value, weight) in out.iter_mut().zip(&self.weight) {
                    *value *= weight;
                }
            }
        }
        Ok(())
    }

    /// Replaces values that are not finite by the median and leaves the others as they are: what a standard isolation
    /// forest wants.
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when `d` is not the scaler's or does not divide `rows`.
    pub fn impute(&self, rows: &mut [f32], d: usize) -> Result<(), LearnerError> {
        same_size(KIND, "features a row", self.dimension(), d)?;
        row_count(KIND, rows.len(), d)?;
        for row in rows.chunks_exact_mut(d) {
            for (value, median) in row.iter_mut().zip(&self.median) {
                if !value.is_finite() {
                    *value = *median;
                }
            }
        }
        Ok(())
    }

    /// Bytes: 28 a feature.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let (tails, limit) = match self.tails {
            Tails::Keep => (0, 0.0),
            Tails::Clip(limit) => (1, limit),
            Tails::SignedLog => (2, 0.0),
        };
        let message = wire::Scaler {
            rows: self.rows,
            tails,
            limit,
            median: self.median.clone(),
            mean: self.mean.clone(),
            deviation: self.deviation.clone(),
            imputed: self.imputed.clone(),
            weight: self.weight.clone(),
        };
        seal(KIND, VERSION, &message)
    }

    /// Reads what [`Scaler::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`LearnerError::Damaged`] or [`LearnerError::Version`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LearnerError> {
        let damaged = |reason| LearnerError::Damaged {
            kind: KIND,
            reason,
            len: bytes.len(),
        };
        let message: wire::Scaler = open(KIND, VERSION, bytes)?;
        let tails = match message.tails {
            0 => Tails::Keep,
            1 => Tails::Clip(message.limit),
            2 => Tails::SignedLog,
            _ => return Err(damaged("unknown treatment of tails")),
        };
        let params = ScalerParams {
            tails,
            ..ScalerParams::default()
        };
        params
            .check()
            .map_err(|_| damaged("clip outside of its range"))?;
        let d = message.median.len();
        if d == 0
            || [
                message.mean.len(),
                message.deviation.len(),
                message.imputed.len(),
            ] != [d; 3]
        {
            return Err(damaged("columns differ in length"));
        }
        let finite = message.median.iter().all(|value| value.is_finite())
            && message.mean.iter().all(|value| value.is_finite())
            && message
                .deviation
                .iter()
                .all(|value| value.is_finite() && *value >= 0.0);
        if !finite {
            return Err(damaged("values are not finite"));
        }
        let weighted = message.weight.is_empty() || message.weight.len() == d;
        if !weighted || !message.weight.iter().all(|w| is_weight(*w)) {
            return Err(damaged("weights do not fit"));
        }
        Ok(Self {
            rows: message.rows,
            tails,
            median: message.median,
            mean: message.mean,
            deviation: message.deviation,
            imputed: message.imputed,
            weight: message.weight,
        })
    }
}

fn is_weight(weight: f32) -> bool {
    weight > 0.0 && weight <= 1.0
}

/// The lower median; 0 when there is no value.
fn median(values: &mut [f32]) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = (values.len() - 1) / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}

fn unfold(value: f32, tails: Tails) -> f64 {
    let value = f64::from(value);
    if tails == Tails::SignedLog {
        value.abs().ln_1p().copysign(value)
    } else {
        value
    }
}

#[expect(clippy::cast_possible_truncation, reason = "clamped by the caller")]
fn scaled(value: f64, mean: f64, deviation: f64) -> f32 {
    if deviation > 0.0 {
        ((value - mean) / deviation) as f32
    } else {
        0.0
    }
}

/// Median and the distance of the quartiles / 1.349; `None` where the quartiles are equal.
fn robust(mut values: Vec<f64>) -> Option<(f64, f64)> {
    values.sort_by(f64::total_cmp);
    let at = |quarters: usize| values.get(quarters * (values.len() - 1) / 4).copied();
    let (low, middle, high) = (at(1)?, at(2)?, at(3)?);
    (high > low).then(|| (middle, (high - low) / 1.349))
}
