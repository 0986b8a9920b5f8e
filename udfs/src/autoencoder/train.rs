//! Training: `AdamW` on batches, and when to stop.

use super::network::Network;
use crate::panel::{LANES, Line, fill};
use crate::rng::SplitMix64;
use crate::svm::rbf::exp;

/// Rows between two changes of the weights.
const BATCH: usize = 4 * LANES;
/// One row in so many is held out.
const HELD_OUT: usize = 10;
/// Adam's memory of gradients and of their squares (Kingma & Ba 2015).
const BETAS: [f32; 2] = [0.9, 0.999];

/// What is to leave the network, a row.
#[derive(Debug, Clone, Copy)]
pub enum Targets<'a> {
    /// What entered it: the loss is the mean squared difference.
    Inputs,
    /// A class, of the one number that leaves, the log odds: the loss is the logistic one, each row with its weight.
    Classes {
        /// The class of each row.
        positive: &'a [bool],
        /// The weight of each row.
        weights: &'a [f32],
    },
}

/// How long, and how fast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// Adam's rate.
    pub learning_rate: f32,
    /// The share by which weights shrink in a step, times the rate.
    pub weight_decay: f32,
    /// Passes at most.
    pub epochs: usize,
    /// Passes without a lesser error of the rows held out after which it ends; 0: no row is held out, and all passes are made.
    pub patience: usize,
    /// The seed of the order of rows.
    pub seed: u64,
}

/// What training gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// The kept weights.
    pub network: Network,
    /// Passes until them.
    pub epochs: usize,
    /// The mean loss of the rows held out (of all rows, where none is) with them; NaN where the weights grew beyond all bounds.
    pub loss: f64,
}

/// The logistic function, the same on every processor.
#[must_use]
pub fn sigmoid(odds: f32) -> f32 {
    let small = exp(-odds.abs());
    let part = small / (1.0 + small);
    if odds < 0.0 { part } else { 1.0 - part }
}

/// Trains a network on rows (row-major, as wide as what enters it; finite). Rows are as many as `targets` has; every tenth is held out.
#[must_use]
pub fn train(
    network: Network,
    rows: &[f32],
    targets: &Targets<'_>,
    schedule: &Schedule,
) -> Trained {
    let d = network.inputs();
    let count = rows.len() / d.max(1);
    let holds_out = schedule.patience > 0 && count >= HELD_OUT;
    let held = |row: &usize| row % HELD_OUT == HELD_OUT - 1;
    let mut order: Vec<usize> = (0..count).filter(|row| !(holds_out && held(row))).collect();
    let judged: Vec<usize> = if holds_out {
        (0..count).filter(held).collect()
    } else {
        order.clone()
    };
    let mut trainer = Trainer {
        rows,
        d,
        targets,
        activations: network.activations(),
        slopes: network.activations(),
        gradient: zeros(&network),
        first: zeros(&network),
        second: zeros(&network),
        powers: [1.0; 2],
        network,
    };
    let mut best = Trained {
        network: trainer.network.clone(),
        epochs: 0,
        loss: trainer.loss(&judged),
    };
    let mut draws = SplitMix64::stream(schedule.seed, u64::MAX);
    for epoch in 1..=schedule.epochs {
        for place in (1..order.len()).rev() {
            order.swap(place, draws.below(place + 1));
        }
        for batch in order.chunks(BATCH) {
            trainer.step(batch, schedule);
        }
        let last = epoch == schedule.epochs;
        if schedule.patience == 0 && !last {
            continue;
        }
        let loss = trainer.loss(&judged);
        if !loss.is_finite() {
            // Weights beyond all bounds do not come back.
            best.loss = f64::NAN;
            break;
        }
        if loss < best.loss || schedule.patience == 0 {
            best = Trained {
                network: trainer.network.clone(),
                epochs: epoch,
                loss,
            };
        } else if epoch - best.epochs >= schedule.patience {
            break;
        }
    }
    best
}

fn zeros(network: &Network) -> Network {
    let mut zeros = network.clone();
    for layer in &mut zeros.layers {
        layer.weights.fill(0.0);
        layer.biases.fill(0.0);
    }
    zeros
}

struct Trainer<'a> {
    rows: &'a [f32],
    d: usize,
    targets: &'a Targets<'a>,
    network: Network,
    activations: Vec<Vec<Line>>,
    slopes: Vec<Vec<Line>>,
    gradient: Network,
    /// Adam's means of gradients, and of their squares.
    first: Network,
    second: Network,
    /// The powers of [`BETAS`] so far.
    powers: [f32; 2],
}

impl Trainer<'_> {
    fn load(&mut self, rows: &[usize]) {
        let mut gathered = Vec::with_capacity(rows.len() * self.d);
        for row in rows {
            gathered.extend_from_slice(&self.rows[row * self.d..(row + 1) * self.d]);
        }
        fill(&mut self.activations[0], &gathered);
        self.network.forward(&mut self.activations);
    }

    /// One change of the weights, by the mean loss of a batch.
    #[expect(clippy::cast_precision_loss, reason = "a batch is 128 rows")]
    fn step(&mut self, batch: &[usize], schedule: &Schedule) {
        for layer in &mut self.gradient.layers {
            layer.weights.fill(0.0);
            layer.biases.fill(0.0);
        }
        let last = self.slopes.len() - 1;
        let share = 1.0 / batch.len() as f32;
        for rows in batch.chunks(LANES) {
            self.load(rows);
            let outputs = &self.activations[last];
            let slopes = &mut self.slopes[last];
            match self.targets {
                Targets::Inputs => {
                    let factor = 2.0 * share / self.d as f32;
                    let all = slopes.iter_mut().zip(outputs).zip(&self.activations[0]);
                    for ((slopes, outputs), inputs) in all {
                        let lanes = slopes.iter_mut().zip(outputs).zip(inputs);
                        for (lane, ((slope, output), input)) in lanes.enumerate() {
                            let missed = if lane < rows.len() {
                                output - input
                            } else {
                                0.0
                            };
                            *slope = factor * missed;
                        }
                    }
                }
                Targets::Classes { positive, weights } => {
                    slopes[0] = [0.0; LANES];
                    for ((slope, odds), row) in slopes[0].iter_mut().zip(&outputs[0]).zip(rows) {
                        let wanted = f32::from(u8::from(positive[*row]));
                        *slope = share * weights[*row] * (sigmoid(*odds) - wanted);
                    }
                }
            }
            self.network
                .backward(&self.activations, &mut self.slopes, &mut self.gradient);
        }
        for (power, beta) in self.powers.iter_mut().zip(BETAS) {
            *power *= beta;
        }
        let rate = schedule.learning_rate;
        let correction = [1.0 - self.powers[0], 1.0 - self.powers[1]];
        let adam = |weight: &mut f32, g: f32, first: &mut f32, second: &mut f32| {
            *first = BETAS[0] * *first + (1.0 - BETAS[0]) * g;
            *second = BETAS[1] * *second + (1.0 - BETAS[1]) * (g * g);
            let step = (*first / correction[0]) / ((*second / correction[1]).sqrt() + 1e-8);
            *weight -= rate * step;
        };
        let layers = self.network.layers.iter_mut().zip(&self.gradient.layers);
        let means = self.first.layers.iter_mut().zip(&mut self.second.layers);
        for ((layer, gradient), (first, second)) in layers.zip(means) {
            let weights = layer.weights.iter_mut().zip(&gradient.weights);
            let means = first.weights.iter_mut().zip(&mut second.weights);
            for ((weight, g), (first, second)) in weights.zip(means) {
                *weight -= rate * schedule.weight_decay * *weight;
                adam(weight, *g, first, second);
            }
            let biases = layer.biases.iter_mut().zip(&gradient.biases);
            let means = first.biases.iter_mut().zip(&mut second.biases);
            for ((bias, g), (first, second)) in biases.zip(means) {
                adam(bias, *g, first, second);
            }
        }
    }

    /// The mean loss of rows.
    #[expect(clippy::cast_precision_loss, reason = "row counts stay below 2^53")]
    fn loss(&mut self, rows: &[usize]) -> f64 {
        let mut sum = 0.0;
        for rows in rows.chunks(LANES) {
            self.load(rows);
            let (inputs, outputs) = (
                &self.activations[0],
                &self.activations[self.slopes.len() - 1],
            );
            for (lane, row) in rows.iter().enumerate() {
                sum += match self.targets {
                    Targets::Inputs => {
                        let pairs = inputs.iter().zip(outputs);
                        let squares = pairs.map(|(x, y)| f64::from(y[lane] - x[lane]).powi(2));
                        squares.sum::<f64>() / self.d as f64
                    }
                    Targets::Classes { positive, weights } => {
                        let odds = outputs[0][lane];
                        let right = if positive[*row] { odds } else { -odds };
                        // What it costs is compared, not kept: a bound keeps the logarithm finite.
                        let chance = f64::from(sigmoid(right)).max(1e-30);
                        f64::from(weights[*row]) * -chance.ln()
                    }
                };
            }
        }
        sum / rows.len().max(1) as f64
    }
}
