//! A network of dense layers: what comes out, what it costs, and how each weight should change.
//!
//! Rows are lanes of a panel. Every number is a chain of fused multiply-adds in a fixed order, and a leaky rectifier bends between
//! layers, which needs no function of the platform: training, like scoring, gives the same bits on every processor.

use pulp::{Simd, WithSimd};

use super::KIND;
use crate::learner::{LearnerError, row_count, same_size};
use crate::panel::{LANES, Line, arch, fill};
use crate::rng::SplitMix64;

/// The slope of the rectifier below 0.
const LEAK: f32 = 0.01;
/// Partial sums of a product over lanes: one vector of the processors we know.
const PARTS: usize = 8;

/// A layer: `out = W·in + b`, bent by the rectifier or not.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Numbers that enter.
    pub inputs: usize,
    /// Row-major, one row a number that leaves.
    pub weights: Vec<f32>,
    /// One a number that leaves.
    pub biases: Vec<f32>,
    /// Whether what leaves is bent.
    pub bent: bool,
}

impl Layer {
    /// Numbers that leave.
    #[must_use]
    pub const fn outputs(&self) -> usize {
        self.biases.len()
    }
}

/// Layers, one after another.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    pub(super) layers: Vec<Layer>,
}

impl Network {
    /// A network of random weights: uniform with He's variance (He, Zhang, Ren & Sun 2015), biases 0; all layers but the last and
    /// that which makes width number `straight` are bent. `None` for fewer than two widths, or one of 0.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "widths of some hundred"
    )]
    pub fn new(widths: &[usize], straight: usize, seed: u64) -> Option<Self> {
        if widths.len() < 2 || widths.contains(&0) {
            return None;
        }
        let mut layers = vec![];
        for (place, pair) in widths.windows(2).enumerate() {
            let mut draws = SplitMix64::stream(seed, place as u64);
            let reach = (6.0 / pair[0] as f64).sqrt();
            layers.push(Layer {
                inputs: pair[0],
                weights: (0..pair[0] * pair[1])
                    .map(|_| ((2.0 * draws.next_f64() - 1.0) * reach) as f32)
                    .collect(),
                biases: vec![0.0; pair[1]],
                bent: place + 2 < widths.len() && place + 1 != straight,
            });
        }
        Some(Self { layers })
    }

    /// A network of given layers. `None` where they do not fit one another, hold nothing, or a number that is not finite.
    #[must_use]
    pub fn of(layers: Vec<Layer>) -> Option<Self> {
        let sound = |layer: &Layer| {
            layer.inputs > 0
                && layer.outputs() > 0
                && layer.inputs.checked_mul(layer.outputs()) == Some(layer.weights.len())
                && layer.weights.iter().all(|value| value.is_finite())
                && layer.biases.iter().all(|value| value.is_finite())
        };
        let fits = layers
            .windows(2)
            .all(|pair| pair[0].outputs() == pair[1].inputs);
        (!layers.is_empty() && fits && layers.iter().all(sound)).then_some(Self { layers })
    }

    /// The layers, in order.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Numbers that enter.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.layers.first().map_or(0, |layer| layer.inputs)
    }

    /// Numbers that leave.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(0, Layer::outputs)
    }

    /// Weights and biases.
    #[must_use]
    pub fn parameters(&self) -> usize {
        let sizes = self.layers.iter();
        sizes.map(|l| l.weights.len() + l.biases.len()).sum()
    }

    /// What leaves the network for each row (row-major), row-major, into `out`.
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when the rows are not as wide as what enters, or `out` is not as long as what leaves.
    pub fn apply(&self, rows: &[f32], out: &mut [f32]) -> Result<(), LearnerError> {
        let (d, width) = (self.inputs(), self.outputs());
        let count = row_count(KIND, rows.len(), d)?;
        same_size(KIND, "numbers that leave", count * width, out.len())?;
        let mut activations = self.activations();
        for (rows, out) in rows.chunks(LANES * d).zip(out.chunks_mut(LANES * width)) {
            fill(&mut activations[0], rows);
            self.forward(&mut activations);
            for (lane, out) in out.chunks_mut(width).enumerate() {
                for (number, line) in out.iter_mut().zip(&activations[self.layers.len()]) {
                    *number = line[lane];
                }
            }
        }
        Ok(())
    }

    /// Room for what a panel of rows becomes after each layer; the first is the panel itself.
    pub(super) fn activations(&self) -> Vec<Vec<Line>> {
        let widths = std::iter::once(self.inputs()).chain(self.layers.iter().map(Layer::outputs));
        widths.map(|width| vec![[0.0; LANES]; width]).collect()
    }

    /// What the rows of `activations[0]` become after each layer.
    pub(super) fn forward(&self, activations: &mut [Vec<Line>]) {
        for (place, layer) in self.layers.iter().enumerate() {
            let (before, after) = activations.split_at_mut(place + 1);
            arch().dispatch(Forward {
                layer,
                inputs: &before[place],
                outputs: &mut after[0],
            });
        }
    }

    /// Adds to `gradient` (of this network's shape) how a loss changes with each weight, summed over lanes. `slopes` holds room like
    /// `activations`; its last is how the loss changes with what leaves, and is 0 in lanes without a row.
    pub(super) fn backward(
        &self,
        activations: &[Vec<Line>],
        slopes: &mut [Vec<Line>],
        gradient: &mut Self,
    ) {
        for (place, layer) in self.layers.iter().enumerate().rev() {
            let (before, after) = slopes.split_at_mut(place + 1);
            arch().dispatch(Backward {
                layer,
                inputs: &activations[place],
                slopes: &after[0],
                // What enters the network does not change.
                before: (place > 0).then(|| &mut before[place]),
                bent: place > 0 && self.layers[place - 1].bent,
                gradient: &mut gradient.layers[place],
            });
        }
    }
}

struct Forward<'a> {
    layer: &'a Layer,
    inputs: &'a [Line],
    outputs: &'a mut [Line],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "it must be compiled with its caller's instruction set"
    )]
    fn with_simd<S: Simd>(self, _: S) {
        let weights = self.layer.weights.chunks_exact(self.layer.inputs);
        for ((output, weights), bias) in
            self.outputs.iter_mut().zip(weights).zip(&self.layer.biases)
        {
            let mut sums = [*bias; LANES];
            for (input, weight) in self.inputs.iter().zip(weights) {
                for (sum, value) in sums.iter_mut().zip(input) {
                    *sum = weight.mul_add(*value, *sum);
                }
            }
            if self.layer.bent {
                for sum in &mut sums {
                    *sum = if *sum < 0.0 { *sum * LEAK } else { *sum };
                }
            }
            *output = sums;
        }
    }
}

struct Backward<'a> {
    layer: &'a Layer,
    inputs: &'a [Line],
    /// How the loss changes with what leaves the layer (before it is bent).
    slopes: &'a [Line],
    /// How it changes with what enters it, before that was bent.
    before: Option<&'a mut Vec<Line>>,
    /// Whether what enters was bent.
    bent: bool,
    gradient: &'a mut Layer,
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "it must be compiled with its caller's instruction set"
    )]
    fn with_simd<S: Simd>(self, _: S) {
        let d = self.layer.inputs;
        let gradients = self.gradient.weights.chunks_exact_mut(d);
        let biases = &mut self.gradient.biases;
        for ((slopes, gradients), bias) in self.slopes.iter().zip(gradients).zip(biases) {
            for (gradient, inputs) in gradients.iter_mut().zip(self.inputs) {
                let mut parts = [0.0_f32; PARTS];
                let (slopes, _) = slopes.as_chunks::<PARTS>();
                let (inputs, _) = inputs.as_chunks::<PARTS>();
                for (slopes, inputs) in slopes.iter().zip(inputs) {
                    for ((part, slope), input) in parts.iter_mut().zip(slopes).zip(inputs) {
                        *part = slope.mul_add(*input, *part);
                    }
                }
                *gradient += folded(parts);
            }
            let mut parts = [0.0_f32; PARTS];
            for slopes in slopes.as_chunks::<PARTS>().0 {
                for (part, slope) in parts.iter_mut().zip(slopes) {
                    *part += slope;
                }
            }
            *bias += folded(parts);
        }
        let Some(before) = self.before else {
            return;
        };
        for (input, (before, value)) in before.iter_mut().zip(self.inputs).enumerate() {
            let mut sums = [0.0_f32; LANES];
            let weights = self.layer.weights.iter().skip(input).step_by(d);
            for (slopes, weight) in self.slopes.iter().zip(weights) {
                for (sum, slope) in sums.iter_mut().zip(slopes) {
                    *sum = weight.mul_add(*slope, *sum);
                }
            }
            if self.bent {
                // What came out below 0 was bent, and only that is below 0.
                for (sum, value) in sums.iter_mut().zip(value) {
                    *sum = if *value < 0.0 { *sum * LEAK } else { *sum };
                }
            }
            *before = sums;
        }
    }
}

/// The sum of eight, in one order.
#[inline(always)]
#[expect(clippy::inline_always, reason = "as its caller")]
fn folded(p: [f32; PARTS]) -> f32 {
    ((p[0] + p[4]) + (p[2] + p[6])) + ((p[1] + p[5]) + (p[3] + p[7]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::panel::tests::rough;

    /// Half the squared length of what leaves, over all lanes, in f64.
    fn loss(network: &Network, rows: &[f32]) -> f64 {
        let mut activations = network.activations();
        fill(&mut activations[0], rows);
        network.forward(&mut activations);
        let last = activations.last().unwrap().as_flattened();
        last.iter().map(|v| f64::from(*v).powi(2) / 2.0).sum()
    }

    fn gradient(network: &Network, rows: &[f32]) -> Network {
        let mut activations = network.activations();
        fill(&mut activations[0], rows);
        network.forward(&mut activations);
        let mut slopes = network.activations();
        let last = slopes.len() - 1;
        slopes[last].clone_from(&activations[last]);
        let mut gradient = network.clone();
        for layer in &mut gradient.layers {
            layer.weights.fill(0.0);
            layer.biases.fill(0.0);
        }
        network.backward(&activations, &mut slopes, &mut gradient);
        gradient
    }

    #[test]
    fn the_gradient_is_what_a_small_change_of_each_weight_does() {
        let mut network = Network::new(&[5, 7, 2, 6, 4], 2, 3).unwrap();
        for layer in &mut network.layers {
            layer.biases = rough(layer.outputs());
        }
        let rows = rough(LANES * 5);
        let found = gradient(&network, &rows);
        let mut checked = 0;
        for layer in 0..4 {
            let weights = network.layers[layer].weights.len();
            for place in 0..weights + network.layers[layer].biases.len() {
                let at = |network: &mut Network, by: f32| {
                    let layer = &mut network.layers[layer];
                    if place < weights {
                        layer.weights[place] += by;
                    } else {
                        layer.biases[place - weights] += by;
                    }
                };
                let step = 1e-3_f32;
                let (mut up, mut down) = (network.clone(), network.clone());
                at(&mut up, step);
                at(&mut down, -step);
                let measured = (loss(&up, &rows) - loss(&down, &rows)) / (2.0 * f64::from(step));
                let told = &found.layers[layer];
                let told = f64::from(if place < weights {
                    told.weights[place]
                } else {
                    told.biases[place - weights]
                });
                // A rectifier may bend within the step, in a lane or two.
                let near = 0.01 * told.abs() + 0.5;
                assert!((measured - told).abs() < near, "{measured} {told}");
                checked += usize::from(told.abs() > 5.0);
            }
        }
        assert!(checked > 40, "{checked} gradients that matter");
    }

    #[test]
    fn every_processor_finds_the_same_outputs_and_gradients_to_the_bit() {
        let network = Network::new(&[19, 11, 3], 0, 5).unwrap();
        let layer = &network.layers[0];
        assert!(layer.bent);
        let inputs: Vec<Line> = rough(19 * LANES).as_chunks::<LANES>().0.to_vec();
        let slopes: Vec<Line> = rough(30 * LANES).as_chunks::<LANES>().0[19..].to_vec();
        let found = |arch: pulp::Arch| {
            let mut outputs = vec![[0.0; LANES]; 11];
            arch.dispatch(Forward {
                layer,
                inputs: &inputs,
                outputs: &mut outputs,
            });
            let (mut before, mut gradient) = (vec![[0.0; LANES]; 19], layer.clone());
            arch.dispatch(Backward {
                layer,
                inputs: &inputs,
                slopes: &slopes,
                before: Some(&mut before),
                bent: true,
                gradient: &mut gradient,
            });
            let all = outputs.as_flattened().iter();
            let all = all.chain(before.as_flattened()).chain(&gradient.weights);
            let all = all.chain(&gradient.biases).map(|v| v.to_bits());
            all.collect::<Vec<u32>>()
        };
        assert_eq!(found(arch()), found(pulp::Arch::Scalar));
        assert_eq!(found(pulp::Arch::new()), found(pulp::Arch::Scalar));
    }

    #[test]
    fn layers_that_do_not_fit_are_no_network() {
        let layer = |inputs, outputs| Layer {
            inputs,
            weights: vec![1.0; inputs * outputs],
            biases: vec![0.0; outputs],
            bent: false,
        };
        assert!(Network::of(vec![layer(3, 2), layer(2, 3)]).is_some());
        assert!(Network::of(vec![layer(3, 2), layer(3, 3)]).is_none());
        assert!(Network::of(vec![]).is_none());
        let mut broken = layer(2, 2);
        broken.weights[1] = f32::NAN;
        assert!(Network::of(vec![broken]).is_none());
        assert!(Network::new(&[3], 0, 1).is_none() && Network::new(&[3, 0], 0, 1).is_none());
    }
}
