//! The trained autoencoder: scores, reasons, codes, bytes.

use super::network::{Layer, Network};
use super::train::{Schedule, Targets, train};
use super::{AutoencoderParams, KIND, VERSION};
use crate::learner::{Checked, LearnerError, open, row_count, same_size, seal, to_u32, to_usize};
use crate::panel::{LANES, Line, fill};
use gleaner_proto::learners as wire;

/// A trained autoencoder.
#[derive(Debug, Clone, PartialEq)]
pub struct AutoencoderModel {
    network: Network,
    /// The layer that makes the code, counted from 1.
    code: usize,
    rows: u64,
    epochs: u32,
    held_out: f64,
}

impl AutoencoderModel {
    /// Trains on the first `max_rows` of the rows (row-major, `d` features, finite: scaled), which should be in no order that
    /// means something: every tenth is held out.
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when `d` does not divide `rows`, [`LearnerError::Fit`] without two rows, with a value that is not
    /// finite, or when the training did not end in finite weights (values too large: scale and clip them).
    pub fn fit(
        rows: &[f32],
        d: usize,
        params: &Checked<AutoencoderParams>,
    ) -> Result<Self, LearnerError> {
        let count = row_count(KIND, rows.len(), d)?.min(params.max_rows);
        let rows = &rows[..count * d];
        let refused = |reason| LearnerError::Fit {
            learner: KIND,
            reason,
        };
        if count < 2 {
            return Err(refused("fewer than two rows"));
        }
        if rows.iter().any(|value| !value.is_finite()) {
            return Err(refused("a value is not finite: scale the rows first"));
        }
        let code = 2;
        let network = Network::new(&params.widths(d), code, params.seed)
            .ok_or_else(|| refused("a layer without numbers"))?;
        let schedule = Schedule {
            learning_rate: params.learning_rate,
            weight_decay: params.weight_decay,
            epochs: params.epochs,
            patience: params.patience,
            seed: params.seed,
        };
        let trained = train(network, rows, &Targets::Inputs, &schedule);
        let network = Network::of(trained.network.layers)
            .filter(|_| trained.loss.is_finite())
            .ok_or_else(|| {
                refused("the weights grew beyond all bounds: scale and clip the rows")
            })?;
        Ok(Self {
            network,
            code,
            rows: count as u64,
            epochs: to_u32(trained.epochs),
            held_out: trained.loss,
        })
    }

    /// Features a row.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.network.inputs()
    }

    /// Numbers of a code.
    #[must_use]
    pub fn code_width(&self) -> usize {
        self.encoder().last().map_or(0, Layer::outputs)
    }

    /// The layers that make the code.
    #[must_use]
    pub fn encoder(&self) -> &[Layer] {
        &self.network.layers()[..self.code]
    }

    /// Weights and biases.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.network.parameters()
    }

    /// Rows it was trained on, the held-out tenth included.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// Passes over them until the kept weights.
    #[must_use]
    pub const fn epochs(&self) -> u32 {
        self.epochs
    }

    /// The mean error of the rows held out: what an ordinary row scores.
    #[must_use]
    pub const fn held_out(&self) -> f64 {
        self.held_out
    }

    /// What each panel of rows becomes: `found(first row, rows, activations)`.
    fn each(&self, rows: &[f32], d: usize, mut found: impl FnMut(usize, usize, &[Vec<Line>])) {
        let mut activations = self.network.activations();
        for (place, some) in rows.chunks(LANES * d).enumerate() {
            fill(&mut activations[0], some);
            self.network.forward(&mut activations);
            found(place * LANES, some.len() / d, &activations);
        }
    }

    /// The mean squared error of each row (row-major, `d` features). A row with a NaN scores NaN.
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when `d` is not the model's or `out` has not one place a row.
    #[expect(clippy::cast_precision_loss, reason = "some hundred features")]
    pub fn score(&self, rows: &[f32], d: usize, out: &mut [f32]) -> Result<(), LearnerError> {
        same_size(KIND, "features a row", self.dimension(), d)?;
        let count = row_count(KIND, rows.len(), d)?;
        same_size(KIND, "scores", count, out.len())?;
        self.each(rows, d, |first, lanes, activations| {
            let mut sums = [0.0_f32; LANES];
            if let [inputs, .., outputs] = activations {
                for (inputs, outputs) in inputs.iter().zip(outputs) {
                    for ((sum, input), output) in sums.iter_mut().zip(inputs).zip(outputs) {
                        *sum += (output - input) * (output - input);
                    }
                }
            }
            for (out, sum) in out[first..first + lanes].iter_mut().zip(sums) {
                *out = sum / d as f32;
            }
        });
        Ok(())
    }

    /// The squared error of each feature, into `out`: the explanation. Their mean is the score.
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when `row` or `out` does not have the model's features.
    pub fn errors(&self, row: &[f32], out: &mut [f32]) -> Result<(), LearnerError> {
        same_size(KIND, "features a row", self.dimension(), row.len())?;
        same_size(KIND, "errors", self.dimension(), out.len())?;
        self.each(row, row.len(), |_, _, activations| {
            if let [inputs, .., outputs] = activations {
                for ((out, input), output) in out.iter_mut().zip(inputs).zip(outputs) {
                    *out = (output[0] - input[0]) * (output[0] - input[0]);
                }
            }
        });
        Ok(())
    }

    /// The code of each row (row-major, `d` features), row-major, [`AutoencoderModel::code_width`] numbers each.
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when `d` is not the model's or `out` has not one code a row.
    pub fn codes(&self, rows: &[f32], d: usize, out: &mut [f32]) -> Result<(), LearnerError> {
        same_size(KIND, "features a row", self.dimension(), d)?;
        let count = row_count(KIND, rows.len(), d)?;
        let width = self.code_width();
        same_size(KIND, "numbers of codes", count * width, out.len())?;
        self.each(rows, d, |first, lanes, activations| {
            for lane in 0..lanes {
                let code = &mut out[(first + lane) * width..][..width];
                for (number, line) in code.iter_mut().zip(&activations[self.code]) {
                    *number = line[lane];
                }
            }
        });
        Ok(())
    }

    /// Bytes: 4 a weight.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let layers = self.network.layers();
        let widths = std::iter::once(self.dimension()).chain(layers.iter().map(Layer::outputs));
        let message = wire::Autoencoder {
            widths: widths.map(to_u32).collect(),
            code: to_u32(self.code),
            weights: layers.iter().flat_map(|l| l.weights.clone()).collect(),
            biases: layers.iter().flat_map(|l| l.biases.clone()).collect(),
            rows: self.rows,
            epochs: self.epochs,
            held_out: self.held_out,
        };
        seal(KIND, VERSION, &message)
    }

    /// Reads what [`AutoencoderModel::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`LearnerError::Damaged`] or [`LearnerError::Version`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LearnerError> {
        let damaged = |reason| LearnerError::Damaged {
            kind: KIND,
            reason,
            len: bytes.len(),
        };
        let message: wire::Autoencoder = open(KIND, VERSION, bytes)?;
        let code = to_usize(message.code);
        let widths: Vec<usize> = message.widths.iter().map(|w| to_usize(*w)).collect();
        if code == 0 || code + 1 >= widths.len() || widths.first() != widths.last() {
            return Err(damaged("widths and code do not fit"));
        }
        let (mut weights, mut biases) = (message.weights.as_slice(), message.biases.as_slice());
        let mut layers = vec![];
        for (place, pair) in widths.windows(2).enumerate() {
            let size = pair[0].checked_mul(pair[1]);
            let parts = size.and_then(|size| weights.split_at_checked(size));
            let (Some((of, rest)), Some((bias, others))) =
                (parts, biases.split_at_checked(pair[1]))
            else {
                return Err(damaged("too few weights"));
            };
            (weights, biases) = (rest, others);
            layers.push(Layer {
                inputs: pair[0],
                weights: of.to_vec(),
                biases: bias.to_vec(),
                bent: place + 2 < widths.len() && place + 1 != code,
            });
        }
        if !(weights.is_empty() && biases.is_empty() && message.held_out.is_finite()) {
            return Err(damaged("more weights than layers"));
        }
        let network = Network::of(layers).ok_or_else(|| damaged("weights"))?;
        Ok(Self {
            network,
            code,
            rows: message.rows,
            epochs: message.epochs,
            held_out: message.held_out,
        })
    }
}
