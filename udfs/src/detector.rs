//! A detector: a scaler and one of the models, as they are stored, scored and explained; and how they are fitted on a
//! day's sample: the three of command lines together ([`fit`]), or any of the six ([`fit_kinds`]).

use std::borrow::Cow;

use gleaner_proto::detector as wire;
use prost::Message;

use crate::api::{Categorical, N_API_FEATURES};
use crate::autoencoder::{AutoencoderModel, AutoencoderParams};
use crate::dbscan::{DbscanModel, DbscanParams};
use crate::iforest::{IForestModel, IsolationForestParams};
use crate::kmeans::{KMeansModel, KMeansParams};
use crate::learner::LearnerError;
use crate::ocsvm::{OneClassSvmModel, OneClassSvmParams};
use crate::pca::{Moments, PcaModel, PcaParams};
use crate::scale::{Scaler, ScalerParams, Tails};

/// Which model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Isolation forest.
    IsolationForest,
    /// PCA reconstruction error.
    Pca,
    /// Distance to the nearest centroid.
    KMeans,
    /// Distance to the nearest core row of DBSCAN.
    Dbscan,
    /// One-class support vector machine.
    OneClassSvm,
    /// Reconstruction error of an autoencoder.
    Autoencoder,
}

impl Kind {
    /// As in tables and functions: `iforest`, `pca`, `kmeans`, `dbscan`, `ocsvm`, `autoencoder`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::IsolationForest => "iforest",
            Self::Pca => "pca",
            Self::KMeans => "kmeans",
            Self::Dbscan => "dbscan",
            Self::OneClassSvm => "ocsvm",
            Self::Autoencoder => "autoencoder",
        }
    }

    /// The SQL function that scores a row, and the column that holds what it said: `iforest_score`, `pca_error` …
    #[must_use]
    pub fn score_column(self) -> &'static str {
        match self {
            Self::IsolationForest => "iforest_score",
            Self::Pca => "pca_error",
            Self::KMeans => "kmeans_distance",
            Self::Dbscan => "dbscan_distance",
            Self::OneClassSvm => "ocsvm_score",
            Self::Autoencoder => "autoencoder_error",
        }
    }

    /// The detector of a [name](Self::name).
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::EVERY.into_iter().find(|kind| kind.name() == name)
    }

    /// The three of command lines, in the order of tables.
    pub const ALL: [Self; 3] = [Self::IsolationForest, Self::Pca, Self::KMeans];
    /// All six: the three of [`Kind::ALL`] first.
    pub const EVERY: [Self; 6] = [
        Self::IsolationForest,
        Self::Pca,
        Self::KMeans,
        Self::Dbscan,
        Self::OneClassSvm,
        Self::Autoencoder,
    ];
}

#[derive(Debug, Clone, PartialEq)]
enum Model {
    IsolationForest(IForestModel),
    Pca(PcaModel),
    KMeans(KMeansModel),
    Dbscan(DbscanModel),
    OneClassSvm(OneClassSvmModel),
    Autoencoder(AutoencoderModel),
}

/// A fitted detector.
#[derive(Debug, Clone, PartialEq)]
pub struct Detector {
    scaler: Scaler,
    model: Model,
}

/// Rows scaled at a time: their scaled copies stay in cache.
const BLOCK_ROWS: usize = 256;

impl Detector {
    /// Which model it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match &self.model {
            Model::IsolationForest(_) => Kind::IsolationForest,
            Model::Pca(_) => Kind::Pca,
            Model::KMeans(_) => Kind::KMeans,
            Model::Dbscan(_) => Kind::Dbscan,
            Model::OneClassSvm(_) => Kind::OneClassSvm,
            Model::Autoencoder(_) => Kind::Autoencoder,
        }
    }

    /// The stored form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let model = match &self.model {
            Model::IsolationForest(model) => model.to_bytes(),
            Model::Pca(model) => model.to_bytes(),
            Model::KMeans(model) => model.to_bytes(),
            Model::Dbscan(model) => model.to_bytes(),
            Model::OneClassSvm(model) => model.to_bytes(),
            Model::Autoencoder(model) => model.to_bytes(),
        };
        wire::Detector {
            kind: self.kind().name().to_owned(),
            scaler: self.scaler.to_bytes(),
            model,
        }
        .encode_to_vec()
    }

    /// Reads the stored form of a detector of that kind.
    ///
    /// # Errors
    /// When it is damaged or of another kind.
    pub fn from_bytes(kind: Kind, bytes: &[u8]) -> Result<Self, String> {
        let stored = wire::Detector::decode(bytes).map_err(|e| format!("not a detector: {e}"))?;
        if stored.kind != kind.name() {
            return Err(format!(
                "expected a model of kind {}, got {:?}",
                kind.name(),
                stored.kind
            ));
        }
        let scaler = Scaler::from_bytes(&stored.scaler).map_err(|e| e.to_string())?;
        let model = match kind {
            Kind::IsolationForest => {
                IForestModel::from_bytes(&stored.model).map(Model::IsolationForest)
            }
            Kind::Pca => PcaModel::from_bytes(&stored.model).map(Model::Pca),
            Kind::KMeans => KMeansModel::from_bytes(&stored.model).map(Model::KMeans),
            Kind::Dbscan => DbscanModel::from_bytes(&stored.model).map(Model::Dbscan),
            Kind::OneClassSvm => {
                OneClassSvmModel::from_bytes(&stored.model).map(Model::OneClassSvm)
            }
            Kind::Autoencoder => {
                AutoencoderModel::from_bytes(&stored.model).map(Model::Autoencoder)
            }
        };
        Ok(Self {
            scaler,
            model: model.map_err(|e| e.to_string())?,
        })
    }

    /// Scores rows (row-major, `d` features; missing values are NaN): higher is more anomalous.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn score(&self, rows: &[f32], d: usize, out: &mut [f32]) -> Result<(), LearnerError> {
        let mut scaled = vec![0.0; rows.len().min(BLOCK_ROWS * d)];
        for (rows, out) in rows
            .chunks(BLOCK_ROWS * d.max(1))
            .zip(out.chunks_mut(BLOCK_ROWS))
        {
            let scaled = &mut scaled[..rows.len()];
            self.scaler.transform(rows, d, scaled)?;
            match &self.model {
                Model::IsolationForest(model) => {
                    let seen = model.dimension();
                    model.score(&first_columns(scaled, d, seen), seen.min(d), out)?;
                }
                Model::Pca(model) => model.score(scaled, d, out)?,
                Model::KMeans(model) => model.score(scaled, d, out)?,
                Model::Dbscan(model) => model.score(scaled, d, out)?,
                Model::OneClassSvm(model) => model.score(scaled, d, out)?,
                Model::Autoencoder(model) => model.score(scaled, d, out)?,
            }
        }
        Ok(())
    }

    /// The features that made a row stand out, the strongest first, with their shares; at most `n`.
    ///
    /// # Errors
    /// When the row is not as wide as the model.
    pub fn explain(&self, row: &[f32], n: usize) -> Result<Vec<(usize, f32)>, LearnerError> {
        let mut scaled = vec![0.0; row.len()];
        let mut shares = vec![0.0; row.len()];
        self.scaler.transform(row, row.len(), &mut scaled)?;
        match &self.model {
            Model::IsolationForest(model) => {
                let seen = model.dimension().min(row.len());
                model.explain(&scaled[..seen], &mut shares[..seen])?;
            }
            Model::Pca(model) => model.residuals(&scaled, &mut shares)?,
            Model::KMeans(model) => model.contributions(&scaled, &mut shares)?,
            Model::Dbscan(model) => model.contributions(&scaled, &mut shares)?,
            Model::OneClassSvm(model) => model.contributions(&scaled, &mut shares)?,
            Model::Autoencoder(model) => model.errors(&scaled, &mut shares)?,
        }
        let mut order: Vec<usize> = (0..shares.len()).filter(|&i| shares[i] > 0.0).collect();
        order.sort_by(|&a, &b| shares[b].total_cmp(&shares[a]).then(a.cmp(&b)));
        order.truncate(n);
        Ok(order.into_iter().map(|i| (i, shares[i])).collect())
    }
}

/// What the detectors are fitted with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FitParams {
    /// Missing values and scale.
    pub scaler: ScalerParams,
    /// Which columns follow the features of a request, and so how much they count; of other rows [`Categorical::Rarity`].
    pub categorical: Categorical,
    /// Isolation forest.
    pub iforest: IsolationForestParams,
    /// PCA.
    pub pca: PcaParams,
    /// k-means.
    pub kmeans: KMeansParams,
    /// k-means is fitted on so many rows of the sample, those with the smallest keys.
    pub kmeans_rows: usize,
    /// DBSCAN.
    pub dbscan: DbscanParams,
    /// DBSCAN is fitted on so many rows likewise. As many core rows are kept, so that its answers are DBSCAN's own.
    pub dbscan_rows: usize,
    /// One-class SVM.
    pub ocsvm: OneClassSvmParams,
    /// Autoencoder.
    pub autoencoder: AutoencoderParams,
}

impl Default for FitParams {
    fn default() -> Self {
        Self {
            // Measured on nine outlier sets: clipping at ten deviations lifts the mean AUROC of PCA from 0.671 to 0.706 and
            // of k-means from 0.825 to 0.845. Without it a rare 0/1 feature alone outweighs all others.
            scaler: ScalerParams {
                tails: Tails::Clip(10.0),
                ..ScalerParams::default()
            },
            iforest: IsolationForestParams::default(),
            pca: PcaParams::default(),
            categorical: Categorical::default(),
            // Three starts of 16,384 rows: a second or two; ten starts of all rows are within 2% of it.
            kmeans: KMeansParams {
                n_init: 3,
                max_iter: 100,
                ..KMeansParams::default()
            },
            kmeans_rows: 16_384,
            dbscan: DbscanParams::default(),
            dbscan_rows: 16_384,
            ocsvm: OneClassSvmParams::default(),
            autoencoder: AutoencoderParams::default(),
        }
    }
}

/// Fits the three detectors, in the order of [`Kind::ALL`], on a sample: `keys` (ascending) and `rows` (row-major, `d`
/// features, missing values NaN).
///
/// # Errors
/// When a parameter is out of range, or there are too few rows.
pub fn fit(
    keys: &[u64],
    rows: &[f32],
    d: usize,
    params: &FitParams,
) -> Result<[Detector; 3], LearnerError> {
    let [a, b, c] = Kind::ALL;
    let sample = Sample::of(keys, rows, d, params)?;
    Ok([sample.fit(a)?, sample.fit(b)?, sample.fit(c)?])
}

/// Fits some detectors, in the order asked for, on a sample as [`fit`] takes it. They share its scaler.
///
/// # Errors
/// As [`fit`]; DBSCAN also when no row of the sample is core.
pub fn fit_kinds(
    kinds: &[Kind],
    keys: &[u64],
    rows: &[f32],
    d: usize,
    params: &FitParams,
) -> Result<Vec<Detector>, LearnerError> {
    let sample = Sample::of(keys, rows, d, params)?;
    kinds.iter().map(|kind| sample.fit(*kind)).collect()
}

/// A sample, scaled.
struct Sample<'a> {
    keys: Vec<u64>,
    inputs: Vec<f32>,
    d: usize,
    scaler: Scaler,
    params: &'a FitParams,
}

impl<'a> Sample<'a> {
    fn of(
        keys: &[u64],
        rows: &[f32],
        d: usize,
        params: &'a FitParams,
    ) -> Result<Self, LearnerError> {
        if keys.len() == 1 {
            // A day of one line: it is its own neighbour, and nothing stands out.
            return Self::of(&[keys[0], keys[0]], &[rows, rows].concat(), d, params);
        }
        let scaler = Scaler::fit(rows, d, &params.scaler.check()?)?
            .weighted(params.categorical.weights())?;
        let mut inputs = vec![0.0; rows.len()];
        scaler.transform(rows, d, &mut inputs)?;
        Ok(Self {
            keys: keys.to_vec(),
            inputs,
            d,
            scaler,
            params,
        })
    }

    /// The rows with the smallest keys.
    fn first(&self, rows: usize) -> &[f32] {
        &self.inputs[..self.inputs.len().min(rows.saturating_mul(self.d))]
    }

    fn fit(&self, kind: Kind) -> Result<Detector, LearnerError> {
        let (inputs, d, params) = (&self.inputs, self.d, self.params);
        let model = match kind {
            Kind::IsolationForest => {
                // A forest cuts one column at a time, each as readily as any other: of columns that encode one value most cuts
                // would be lost on them (measured: docs/api.md), and how rare a value is, is all that such a cut can find.
                let seen = if params.categorical.encodes() {
                    N_API_FEATURES.min(d)
                } else {
                    d
                };
                let inputs = first_columns(inputs, d, seen);
                Model::IsolationForest(IForestModel::fit(
                    &self.keys,
                    &inputs,
                    seen,
                    &params.iforest.check()?,
                )?)
            }
            Kind::Pca => {
                let mut moments = Moments::new(d)?;
                moments.add(inputs, d)?;
                Model::Pca(PcaModel::fit(&moments, &params.pca.check()?)?)
            }
            Kind::KMeans => {
                let few = self.first(params.kmeans_rows);
                // Fewer lines than clusters: every line may be a centroid of its own.
                let clusters = params.kmeans.n_clusters.min(few.len() / d.max(1)).max(1);
                let kmeans = KMeansParams {
                    n_clusters: clusters,
                    ..params.kmeans
                };
                Model::KMeans(KMeansModel::fit(few, d, &kmeans.check()?)?)
            }
            Kind::Dbscan => {
                let few = self.first(params.dbscan_rows);
                // A sample of fewer rows than a neighbourhood would have no core row whatever eps.
                let dbscan = DbscanParams {
                    min_samples: params.dbscan.min_samples.min(few.len() / d.max(1)).max(1),
                    ..params.dbscan
                };
                Model::Dbscan(DbscanModel::fit(few, d, &dbscan.check()?)?)
            }
            Kind::OneClassSvm => {
                Model::OneClassSvm(OneClassSvmModel::fit(inputs, d, &params.ocsvm.check()?)?)
            }
            Kind::Autoencoder => Model::Autoencoder(AutoencoderModel::fit(
                inputs,
                d,
                &params.autoencoder.check()?,
            )?),
        };
        Ok(Detector {
            scaler: self.scaler.clone(),
            model,
        })
    }
}

/// The first `seen` of `d` columns of rows.
fn first_columns(rows: &[f32], d: usize, seen: usize) -> Cow<'_, [f32]> {
    if seen >= d {
        return Cow::Borrowed(rows);
    }
    let rows = rows.chunks_exact(d);
    Cow::Owned(rows.flat_map(|row| &row[..seen]).copied().collect())
}

#[cfg(test)]
mod tests;
