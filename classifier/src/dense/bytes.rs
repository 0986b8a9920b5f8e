//! Classifiers of rows as bytes: a message with a version and a checksum.

use gleaner_udfs::autoencoder::network::{Layer, Network};
use gleaner_udfs::model_cache::sha256;
use gleaner_udfs::scale::Scaler;
use prost::Message;

use super::{Dense, RandomForest, Svm, Tuned};
use crate::ClassifierError;
use crate::boosting::{LEAF, Node};
use crate::model::SavedTree;

const VERSION: u32 = 1;

#[derive(Clone, PartialEq, Message)]
struct Saved {
    #[prost(uint32, tag = "1")]
    version: u32,
    /// SHA-256 of the message without it.
    #[prost(string, tag = "2")]
    checksum: String,
    /// As in reports.
    #[prost(string, tag = "3")]
    kind: String,
    #[prost(uint32, tag = "4")]
    d: u32,
    /// Sealed; empty for a forest.
    #[prost(bytes = "vec", tag = "5")]
    scaler: Vec<u8>,
    #[prost(message, repeated, tag = "6")]
    trees: Vec<SavedTree>,
    /// Support vectors, or weights layer by layer.
    #[prost(float, repeated, tag = "7")]
    values: Vec<f32>,
    /// Coefficients, or biases layer by layer.
    #[prost(float, repeated, tag = "8")]
    others: Vec<f32>,
    /// gamma, rho, slope and intercept.
    #[prost(double, repeated, tag = "9")]
    numbers: Vec<f64>,
    /// Numbers that enter each layer, and those that leave the last.
    #[prost(uint32, repeated, tag = "10")]
    widths: Vec<u32>,
    /// Which layers are bent.
    #[prost(bool, repeated, tag = "11")]
    bent: Vec<bool>,
}

impl Dense {
    /// As bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut saved = Saved {
            version: VERSION,
            kind: self.name().to_owned(),
            d: self.dimension() as u32,
            ..Saved::default()
        };
        match self {
            Self::Forest(model) => {
                saved.trees = model.trees.iter().map(|tree| SavedTree::of(tree)).collect();
            }
            Self::Svm(model) => {
                saved.scaler = model.scaler.to_bytes();
                saved.values.clone_from(&model.support);
                saved.others.clone_from(&model.coefficients);
                let [slope, intercept] = model.platt;
                saved.numbers = vec![f64::from(model.gamma), model.rho, slope, intercept];
            }
            Self::Tuned(model) => {
                saved.scaler = model.scaler.to_bytes();
                saved.widths.push(model.network.inputs() as u32);
                for layer in model.network.layers() {
                    saved.widths.push(layer.outputs() as u32);
                    saved.bent.push(layer.bent);
                    saved.values.extend_from_slice(&layer.weights);
                    saved.others.extend_from_slice(&layer.biases);
                }
            }
        }
        saved.checksum = sha256(&saved.encode_to_vec());
        saved.encode_to_vec()
    }

    /// From the bytes of [`Dense::to_bytes`].
    ///
    /// # Errors
    /// [`ClassifierError::Damaged`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ClassifierError> {
        let damaged = ClassifierError::Damaged;
        let mut saved = Saved::decode(bytes).map_err(|_| damaged("it cannot be decoded"))?;
        let written = std::mem::take(&mut saved.checksum);
        if saved.version != VERSION {
            return Err(damaged("it is of another version"));
        }
        if sha256(&saved.encode_to_vec()) != written {
            return Err(damaged("its checksum differs"));
        }
        let read = match saved.kind.as_str() {
            "random_forest" => forest(&saved).map(Self::Forest),
            "svm" => svm(saved).map(Self::Svm),
            "semi_supervised" => tuned(&saved).map(Self::Tuned),
            _ => None,
        };
        read.ok_or_else(|| damaged("its parts do not fit"))
    }
}

fn forest(saved: &Saved) -> Option<RandomForest> {
    let trees: Option<Vec<Vec<Node>>> = saved.trees.iter().map(SavedTree::nodes).collect();
    let trees = trees?;
    let within = |node: &Node| node.column == LEAF || node.column < saved.d;
    let sound = |tree: &Vec<Node>| !tree.is_empty() && tree.iter().all(within);
    (saved.d > 0 && !trees.is_empty() && trees.iter().all(sound)).then_some(RandomForest {
        d: saved.d as usize,
        trees,
    })
}

fn svm(saved: Saved) -> Option<Svm> {
    let scaler = Scaler::from_bytes(&saved.scaler).ok()?;
    let d = saved.d as usize;
    let [gamma, rho, slope, intercept] = saved.numbers.as_slice() else {
        return None;
    };
    let sizes = scaler.dimension() == d
        && !saved.others.is_empty()
        && saved.others.len().checked_mul(d) == Some(saved.values.len());
    let finite = saved
        .values
        .iter()
        .chain(&saved.others)
        .all(|v| v.is_finite())
        && saved.numbers.iter().all(|v| v.is_finite())
        && *gamma > 0.0;
    (sizes && finite).then_some(Svm {
        d,
        scaler,
        gamma: *gamma as f32,
        rho: *rho,
        platt: [*slope, *intercept],
        support: saved.values,
        coefficients: saved.others,
    })
}

fn tuned(saved: &Saved) -> Option<Tuned> {
    let scaler = Scaler::from_bytes(&saved.scaler).ok()?;
    let (mut weights, mut biases) = (saved.values.as_slice(), saved.others.as_slice());
    let mut layers = vec![];
    for (pair, bent) in saved.widths.windows(2).zip(&saved.bent) {
        let (inputs, outputs) = (pair[0] as usize, pair[1] as usize);
        let (of, rest) = weights.split_at_checked(inputs.checked_mul(outputs)?)?;
        let (bias, others) = biases.split_at_checked(outputs)?;
        (weights, biases) = (rest, others);
        layers.push(Layer {
            inputs,
            weights: of.to_vec(),
            biases: bias.to_vec(),
            bent: *bent,
        });
    }
    let network = Network::of(layers)?;
    let fits = weights.is_empty()
        && biases.is_empty()
        && saved.bent.len() + 1 == saved.widths.len()
        && network.outputs() == 1
        && network.inputs() == saved.d as usize
        && scaler.dimension() == network.inputs();
    fits.then_some(Tuned { scaler, network })
}
