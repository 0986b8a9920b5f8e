//! The detectors on labelled outlier sets: what `gleaner evaluate outliers` reports.
//!
//! Each detector is fitted as a day's models are: on the 65,536 rows with the smallest keys (all rows of a smaller
//! set), without labels, and then scores all rows. All but the forests see the features as on a day, imputed, standardised
//! and clipped; the forests see them imputed and otherwise as they are, which is what published figures are about: a
//! standard forest does not see scale, and an extended one does.

use super::{auroc, average_precision};
use crate::autoencoder::AutoencoderParams;
use crate::detector::{FitParams, Kind, fit_kinds};
use crate::iforest::{IForestModel, IsolationForestParams};
use crate::kmeans::KMeansParams;
use crate::learner::{LearnerError, row_count, same_size};
use crate::rng::{SplitMix64, mix};
use crate::scale::Scaler;

const KIND: &str = "evaluate";
/// Rows that detectors are fitted on, as `gleaner run --fit-rows` has it by default.
const FIT_ROWS: usize = 65_536;

/// A detector under evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evaluated {
    /// The standard isolation forest.
    IsolationForest,
    /// The fully extended isolation forest: planes of all features.
    ExtendedIsolationForest,
    /// Distance from the nearest crowd.
    KMeans,
    /// PCA reconstruction error. It draws nothing; on a set of more than 65,536 rows the seed picks the rows.
    Pca,
    /// Distance to the nearest core row of DBSCAN. It draws nothing but the rows it is fitted on.
    Dbscan,
    /// One-class SVM, likewise.
    OneClassSvm,
    /// Reconstruction error of an autoencoder.
    Autoencoder,
}

impl Evaluated {
    /// All, in the order of reports.
    pub const ALL: [Self; 7] = [
        Self::IsolationForest,
        Self::ExtendedIsolationForest,
        Self::KMeans,
        Self::Pca,
        Self::Dbscan,
        Self::OneClassSvm,
        Self::Autoencoder,
    ];

    /// As in reports: `iforest`, `iforest_extended`, `kmeans`, `pca`, `dbscan`, `ocsvm`, `autoencoder`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IsolationForest => "iforest",
            Self::ExtendedIsolationForest => "iforest_extended",
            Self::KMeans => "kmeans",
            Self::Pca => "pca",
            Self::Dbscan => "dbscan",
            Self::OneClassSvm => "ocsvm",
            Self::Autoencoder => "autoencoder",
        }
    }
}

/// How well a detector ranked the outliers of a set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranking {
    /// See [`auroc`].
    pub auroc: f64,
    /// See [`average_precision`].
    pub average_precision: f64,
}

/// Fits a detector on rows (row-major, `d` features; what is not finite is imputed) with a seed, and measures how it
/// ranks the rows that `outlier` marks (one entry a row).
///
/// # Errors
/// [`LearnerError::Shape`] when the sizes do not fit, [`LearnerError::Fit`] with fewer than two rows, or when there is
/// no outlier, or nothing else.
pub fn rank_outliers(
    rows: &[f32],
    d: usize,
    outlier: &[bool],
    detector: Evaluated,
    seed: u64,
) -> Result<Ranking, LearnerError> {
    let scores = outlier_scores(rows, d, detector, seed)?;
    same_size(KIND, "labels", scores.len(), outlier.len())?;
    match (auroc(&scores, outlier), average_precision(&scores, outlier)) {
        (Some(auroc), Some(average_precision)) => Ok(Ranking {
            auroc,
            average_precision,
        }),
        _ => Err(LearnerError::Fit {
            learner: KIND,
            reason: "no row is an outlier, or every row is",
        }),
    }
}

/// The scores that [`rank_outliers`] measures, one a row: higher is more anomalous.
///
/// # Errors
/// As [`rank_outliers`].
pub fn outlier_scores(
    rows: &[f32],
    d: usize,
    detector: Evaluated,
    seed: u64,
) -> Result<Vec<f32>, LearnerError> {
    let count = row_count(KIND, rows.len(), d)?;
    let (keys, sample) = sample(rows, d, seed);
    let params = FitParams::default();
    let mut scores = vec![0.0; count];
    if let Evaluated::IsolationForest | Evaluated::ExtendedIsolationForest = detector {
        let extended = detector == Evaluated::ExtendedIsolationForest;
        let forest = IsolationForestParams {
            extension_level: if extended { d - 1 } else { 0 },
            seed,
            ..params.iforest
        };
        let scaler = Scaler::fit(&sample, d, &params.scaler.check()?)?;
        let (mut sample, mut rows) = (sample, rows.to_vec());
        scaler.impute(&mut sample, d)?;
        scaler.impute(&mut rows, d)?;
        IForestModel::fit(&keys, &sample, d, &forest.check()?)?.score(&rows, d, &mut scores)?;
        return Ok(scores);
    }
    let kind = match detector {
        Evaluated::KMeans => Kind::KMeans,
        Evaluated::Dbscan => Kind::Dbscan,
        Evaluated::OneClassSvm => Kind::OneClassSvm,
        Evaluated::Autoencoder => Kind::Autoencoder,
        _ => Kind::Pca,
    };
    let params = FitParams {
        kmeans: KMeansParams {
            seed,
            ..params.kmeans
        },
        autoencoder: AutoencoderParams {
            seed,
            ..params.autoencoder
        },
        ..params
    };
    for fitted in fit_kinds(&[kind], &keys, &sample, d, &params)? {
        fitted.score(rows, d, &mut scores)?;
    }
    Ok(scores)
}

/// The rows with the smallest keys, by key. A row's key follows from its place and the seed.
fn sample(rows: &[f32], d: usize, seed: u64) -> (Vec<u64>, Vec<f32>) {
    let salt = SplitMix64::new(seed).next_u64();
    let mut order: Vec<(u64, usize)> = (0..rows.len() / d)
        .map(|row| (mix(mix(row as u64) ^ salt), row))
        .collect();
    if order.len() > FIT_ROWS {
        order.select_nth_unstable(FIT_ROWS);
        order.truncate(FIT_ROWS);
    }
    order.sort_unstable();
    let sample = order
        .iter()
        .flat_map(|(_, row)| &rows[row * d..(row + 1) * d])
        .copied()
        .collect();
    (order.into_iter().map(|(key, _)| key).collect(), sample)
}
