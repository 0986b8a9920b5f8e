//! Few labels: an encoder that was trained on all traffic, fine-tuned with a logistic head.
//!
//! An autoencoder learns from rows without labels what rows are like; its encoder then needs few labels to learn which of them are
//! positive, since it has few directions to choose from. All layers are trained on, at the same rate, for a fixed number of passes: so few rows spare none to be held out.

use gleaner_udfs::autoencoder::network::Network;
use gleaner_udfs::autoencoder::train::{Schedule, Targets, sigmoid, train};
use gleaner_udfs::autoencoder::{AutoencoderModel, AutoencoderParams};
use gleaner_udfs::scale::Scaler;

use super::Labels;
use crate::ClassifierError;

/// How an encoder is trained and fine-tuned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TunedParams {
    /// The autoencoder.
    pub autoencoder: AutoencoderParams,
    /// Adam's rate of the fine-tuning.
    pub learning_rate: f32,
    /// The share by which weights shrink in a step, times the rate.
    pub weight_decay: f32,
    /// Steps of the fine-tuning, at least: passes over the labelled rows follow from it.
    pub steps: usize,
    /// Whether both classes weigh the same.
    pub balanced: bool,
}

impl Default for TunedParams {
    fn default() -> Self {
        Self {
            autoencoder: AutoencoderParams::default(),
            learning_rate: 2e-3,
            weight_decay: 1e-2,
            steps: 400,
            balanced: true,
        }
    }
}

/// A fine-tuned encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuned {
    pub(super) scaler: Scaler,
    /// The encoder's layers and the head.
    pub(super) network: Network,
}

impl Tuned {
    /// Trains an autoencoder on traffic (row-major, `labels.d` features, missing values NaN; no labels), and fine-tunes its encoder.
    ///
    /// # Errors
    /// As [`Labels::check`]; [`ClassifierError::Learner`] when the traffic cannot be trained on.
    pub fn fit(
        traffic: &[f32],
        labels: &Labels<'_>,
        params: &TunedParams,
    ) -> Result<Self, ClassifierError> {
        labels.check()?;
        let scaler = super::scaler(traffic, labels.d)?;
        let rows = super::scaled(&scaler, traffic, labels.d)?;
        let model = AutoencoderModel::fit(&rows, labels.d, &params.autoencoder.check()?)?;
        Self::tune(&scaler, &model, labels, params)
    }

    /// Fine-tunes the encoder of an autoencoder that was trained on what `scaler` scaled.
    ///
    /// # Errors
    /// As [`Labels::check`]; [`ClassifierError::Shape`] when the labelled rows are of another width; [`ClassifierError::Learner`] when the weights grow
    /// beyond all bounds.
    pub fn tune(
        scaler: &Scaler,
        model: &AutoencoderModel,
        labels: &Labels<'_>,
        params: &TunedParams,
    ) -> Result<Self, ClassifierError> {
        labels.check()?;
        super::same_width(model.dimension(), labels.d)?;
        let refused = || {
            ClassifierError::Learner(
                "semi-supervised: the weights grew beyond all bounds".to_owned(),
            )
        };
        let seed = params.autoencoder.seed;
        let head =
            Network::new(&[model.code_width(), 1], 0, seed.wrapping_add(1)).ok_or_else(refused)?;
        let layers = model.encoder().iter().chain(head.layers()).cloned();
        let network = Network::of(layers.collect()).ok_or_else(refused)?;
        let rows = super::scaled(scaler, labels.rows, labels.d)?;
        let weights = if params.balanced {
            labels.balance()
        } else {
            vec![1.0; labels.positive.len()]
        };
        // A pass is a step for each 128 rows.
        let a_pass = labels.positive.len().div_ceil(128);
        let schedule = Schedule {
            learning_rate: params.learning_rate,
            weight_decay: params.weight_decay,
            epochs: params.steps.div_ceil(a_pass).max(4),
            patience: 0,
            seed,
        };
        let targets = Targets::Classes {
            positive: labels.positive,
            weights: &weights,
        };
        let trained = train(network, &rows, &targets, &schedule);
        Ok(Self {
            scaler: scaler.clone(),
            network: Network::of(trained.network.layers().to_vec()).ok_or_else(refused)?,
        })
    }

    pub(super) fn score(&self, rows: &[f32], out: &mut [f32]) -> Result<(), ClassifierError> {
        let d = self.network.inputs();
        let scaled = super::scaled(&self.scaler, rows, d)?;
        self.network.apply(&scaled, out)?;
        for out in out {
            *out = sigmoid(*out);
        }
        Ok(())
    }
}
