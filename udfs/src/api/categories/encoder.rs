//! The fitted encoder: what a request's categorical values are as numbers.

use std::collections::{BTreeMap, HashMap};

use prost::Message;

use super::embed::{self, MIN_CALLS, Vector, most_frequent};
use super::layout::{Block, Categorical, DIMENSIONS, How};
use super::sample::{CategorySample, values};
use crate::api::features::Surroundings;
use crate::api::request::{Request, pair_hash};
use crate::learner::{LearnerError, open, seal};

const KIND: &str = "api categories";
const VERSION: u32 = 1;

/// A fitted encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoder {
    choice: Categorical,
    /// The column of each frequent value, a block; empty where the block is not one-hot.
    frequent: Vec<HashMap<u64, usize>>,
    vectors: HashMap<u64, Vector>,
}

#[derive(Clone, PartialEq, Message)]
struct FrequentMessage {
    /// Of the most frequent value first.
    #[prost(fixed64, repeated, tag = "1")]
    values: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct EncoderMessage {
    /// [`Categorical::name`].
    #[prost(string, tag = "1")]
    choice: String,
    /// One a block.
    #[prost(message, repeated, tag = "2")]
    frequent: Vec<FrequentMessage>,
    /// Endpoints with a vector, ascending.
    #[prost(fixed64, repeated, tag = "3")]
    endpoints: Vec<u64>,
    /// Their vectors.
    #[prost(float, repeated, tag = "4")]
    vectors: Vec<f32>,
}

impl Encoder {
    /// Learns what the choice needs from a sample of a day's requests.
    #[must_use]
    pub fn learn(choice: Categorical, sample: &CategorySample) -> Self {
        let of_block = |block: &Block| {
            if block.how != How::OneHot {
                return HashMap::new();
            }
            let counts = sample.counts(block.field);
            // What occurs once or twice is "other": so that others are something that the detectors have seen.
            let values = most_frequent(&counts, block.columns - 1, MIN_CALLS);
            values.into_iter().zip(0..).collect()
        };
        let embeds = choice.blocks().iter().any(|b| b.how == How::Embedding);
        let vectors = if embeds {
            embed::learn(sample)
        } else {
            BTreeMap::new()
        };
        Self {
            choice,
            frequent: choice.blocks().iter().map(of_block).collect(),
            vectors: vectors.into_iter().collect(),
        }
    }

    /// What it encodes by.
    #[must_use]
    pub const fn choice(&self) -> Categorical {
        self.choice
    }

    /// Numbers of a row: the catalog's features, then the encoder's columns.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.choice.width()
    }

    /// Endpoints with a vector of their own.
    #[must_use]
    pub fn endpoints(&self) -> usize {
        self.vectors.len()
    }

    /// Fills the columns of `row` (of [`Self::width`] numbers, or less where the caller holds less) that follow the catalog's features.
    /// What a request does not have is NaN, and imputed by the scaler; what was never seen is "other", and its vector zeros.
    pub fn encode(&self, request: &Request<'_>, around: &Surroundings<'_>, row: &mut [f32]) {
        if self.choice.blocks().is_empty() {
            return;
        }
        let values = values(request, around.template);
        for ((place, block), frequent) in
            self.choice.blocks().iter().enumerate().zip(&self.frequent)
        {
            let Some(columns) = row.get_mut(block.first..block.first + block.columns) else {
                return;
            };
            let Some(value) = values[block.field as usize] else {
                columns.fill(f32::NAN);
                continue;
            };
            columns.fill(0.0);
            let last = block.columns - 1;
            match block.how {
                How::OneHot => {
                    columns[frequent.get(&value).copied().unwrap_or(last).min(last)] = 1.0;
                }
                How::Hashed => hashed(place, value, columns),
                How::Embedding => match self.vectors.get(&value) {
                    Some(vector) => columns[..DIMENSIONS].copy_from_slice(vector),
                    None => columns[last] = 1.0,
                },
            }
        }
    }

    /// Equal encoders, equal bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let frequent = |of: &HashMap<u64, usize>| {
            let mut order: Vec<(usize, u64)> = of.iter().map(|(value, at)| (*at, *value)).collect();
            order.sort_unstable();
            FrequentMessage {
                values: order.into_iter().map(|(_, value)| value).collect(),
            }
        };
        let vectors: BTreeMap<&u64, &Vector> = self.vectors.iter().collect();
        let message = EncoderMessage {
            choice: self.choice.name().to_owned(),
            frequent: self.frequent.iter().map(frequent).collect(),
            endpoints: vectors.keys().map(|endpoint| **endpoint).collect(),
            vectors: vectors.values().flat_map(|v| v.iter().copied()).collect(),
        };
        seal(KIND, VERSION, &message)
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// When the bytes are damaged, or of a newer version of this program.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LearnerError> {
        let message: EncoderMessage = open(KIND, VERSION, bytes)?;
        Self::from_message(message).ok_or(LearnerError::Damaged {
            kind: KIND,
            reason: "a table is not as written",
            len: bytes.len(),
        })
    }

    fn from_message(message: EncoderMessage) -> Option<Self> {
        let choice = Categorical::from_name(&message.choice)?;
        let blocks = choice.blocks();
        let fits = |(of, block): (&FrequentMessage, &Block)| of.values.len() < block.columns;
        if message.frequent.len() != blocks.len()
            || !message.frequent.iter().zip(blocks).all(fits)
            || message.vectors.len() != message.endpoints.len() * DIMENSIONS
            || !message.vectors.iter().all(|v| v.is_finite())
        {
            return None;
        }
        let vector = |numbers: &[f32]| Vector::try_from(numbers).ok();
        let vectors: Option<HashMap<u64, Vector>> = message
            .endpoints
            .iter()
            .zip(message.vectors.chunks_exact(DIMENSIONS))
            .map(|(endpoint, numbers)| Some((*endpoint, vector(numbers)?)))
            .collect();
        let frequent = message.frequent.into_iter();
        Some(Self {
            choice,
            frequent: frequent
                .map(|of| of.values.into_iter().zip(0..).collect())
                .collect(),
            vectors: vectors?,
        })
    }
}

/// Two columns of a value, each with a sign: two values that share one of them seldom share the other.
fn hashed(field: usize, value: u64, columns: &mut [f32]) {
    for turn in 0..2 {
        let hash = pair_hash(pair_hash(field as u64 + 1, turn), value);
        let at = usize::try_from((hash >> 8) % columns.len().max(1) as u64).unwrap_or_default();
        let sign = if hash & 1 == 0 { 1.0 } else { -1.0 };
        if let Some(column) = columns.get_mut(at) {
            *column += sign * std::f32::consts::FRAC_1_SQRT_2;
        }
    }
}
