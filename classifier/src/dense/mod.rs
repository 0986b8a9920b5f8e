//! Classifiers of rows of numbers, where labels exist: for API telemetry, whose features are dense.
//!
//! ```text
//! forest    random forest: trees over bins, each on a draw of the rows
//! svm       support vector machine with a radial kernel, and probabilities by Platt's scaling
//! tuned     an autoencoder trained on all traffic, whose encoder and a logistic head are fine-tuned on few labels
//! ```
//!
//! Each takes rows as they are (row-major `f32`, missing values NaN: the forest sends them where they gain more, the other two
//! impute and scale, and the scaler is part of the model), gives the probability that a row is positive, and is saved as bytes with a
//! version and a checksum. One thread a model, every draw from a seed; a row's probability is the same in any batch and on every processor.
//!
//! **Ours and not a library's.** The bins of the boosted trees, the solver of the one-class machine and the autoencoder's network are here already; what is
//! needed beside them is a page each, without a crate more. Libraries (`linfa`, `smartcore`) were not measured against them; `bench/api_detectors.py`
//! holds them beside scikit-learn.

use gleaner_udfs::scale::{Scaler, ScalerParams, Tails};

use crate::ClassifierError;

mod bytes;
pub mod forest;
pub mod svm;
pub mod tuned;

pub use forest::{ForestParams, RandomForest};
pub use svm::{Svm, SvmParams};
pub use tuned::{Tuned, TunedParams};

/// Scaled values are clipped at so many deviations, as those of the detectors.
const CLIP: f32 = 10.0;

/// Labelled rows.
#[derive(Debug, Clone, Copy)]
pub struct Labels<'a> {
    /// Row-major; missing values are NaN.
    pub rows: &'a [f32],
    /// Features a row.
    pub d: usize,
    /// The class of each row.
    pub positive: &'a [bool],
}

impl Labels<'_> {
    /// # Errors
    /// [`ClassifierError::Shape`] when the lists do not fit, [`ClassifierError::TooFew`] without two rows of each class.
    pub fn check(&self) -> Result<(), ClassifierError> {
        rows_of(self.rows, self.d, self.positive.len())?;
        let malicious = self.positive.iter().filter(|positive| **positive).count();
        let benign = self.positive.len() - malicious;
        if malicious < 2 || benign < 2 {
            return Err(ClassifierError::TooFew { benign, malicious });
        }
        Ok(())
    }

    /// A weight a row with which both classes weigh the same, and rows 1 on average.
    fn balance(&self) -> Vec<f32> {
        let positive = self.positive.iter().filter(|positive| **positive).count();
        let half = self.positive.len() as f64 / 2.0;
        let weights = [
            half / (self.positive.len() - positive) as f64,
            half / positive as f64,
        ];
        let weight = |positive: &bool| weights[usize::from(*positive)] as f32;
        self.positive.iter().map(weight).collect()
    }
}

fn rows_of(rows: &[f32], d: usize, count: usize) -> Result<(), ClassifierError> {
    let expected = count.saturating_mul(d);
    if d == 0 || rows.len() != expected {
        return Err(ClassifierError::Shape {
            what: "values of all rows",
            expected,
            got: rows.len(),
        });
    }
    Ok(())
}

fn same_width(expected: usize, got: usize) -> Result<(), ClassifierError> {
    if expected == got {
        return Ok(());
    }
    Err(ClassifierError::Shape {
        what: "features a row",
        expected,
        got,
    })
}

fn scaler(rows: &[f32], d: usize) -> Result<Scaler, ClassifierError> {
    let params = ScalerParams {
        tails: Tails::Clip(CLIP),
        ..ScalerParams::default()
    };
    Ok(Scaler::fit(rows, d, &params.check()?)?)
}

fn scaled(scaler: &Scaler, rows: &[f32], d: usize) -> Result<Vec<f32>, ClassifierError> {
    let mut out = vec![0.0; rows.len()];
    scaler.transform(rows, d, &mut out)?;
    Ok(out)
}

/// A fitted classifier of any of the three.
#[derive(Debug, Clone, PartialEq)]
pub enum Dense {
    /// Random forest.
    Forest(RandomForest),
    /// Support vector machine.
    Svm(Svm),
    /// Fine-tuned encoder.
    Tuned(Tuned),
}

impl Dense {
    /// As in reports: `random_forest`, `svm`, `semi_supervised`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Forest(_) => "random_forest",
            Self::Svm(_) => "svm",
            Self::Tuned(_) => "semi_supervised",
        }
    }

    /// Features a row.
    #[must_use]
    pub fn dimension(&self) -> usize {
        match self {
            Self::Forest(model) => model.d,
            Self::Svm(model) => model.d,
            Self::Tuned(model) => model.network.inputs(),
        }
    }

    /// The probability of each row (row-major, `d` features) that it is positive.
    ///
    /// # Errors
    /// [`ClassifierError::Shape`] when `d` is not the model's or `out` has not one place a row.
    pub fn score(&self, rows: &[f32], d: usize, out: &mut [f32]) -> Result<(), ClassifierError> {
        same_width(self.dimension(), d)?;
        rows_of(rows, d, out.len())?;
        match self {
            Self::Forest(model) => model.score(rows, out),
            Self::Svm(model) => model.score(rows, out)?,
            Self::Tuned(model) => model.score(rows, out)?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod beside;
#[cfg(test)]
mod tests;
