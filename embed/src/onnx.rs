//! A sentence encoder as an ONNX graph: sessions, batches, pooling.
//!
//! One single-threaded session a worker: threads inside of a session gain less than they cost, and the engine already keeps one
//! task a core busy. A thread takes a session that rests, or makes one while there are fewer than cores. Sessions share their
//! packed weights.
//!
//! Texts of one number of tokens make a batch, so that nothing is padded and no result depends on who else is in it: see the
//! crate's documentation. Batches have up to [`BATCH_TEXTS`] texts and about [`BATCH_TOKENS`] tokens: larger ones fall out of the
//! cache and gain nothing.
//!
//! Memory: the model twice while a session is made, once after; 16 × 512 tokens of activations a session.

use std::sync::{Condvar, Mutex, PoisonError};

use gleaner_udfs::embedder::Embedder;
use gleaner_udfs::model_cache::sha256;
use gleaner_udfs::vector::cosine::normalise;
use ort::ep::CUDA;
use ort::session::builder::{GraphOptimizationLevel, PrepackedWeights};
use ort::session::{Session, SessionInputValue};
use ort::value::{Tensor, TensorElementType, ValueType};

use crate::Reader;
use crate::directory::{Directory, Pooling};
use crate::error::EmbedError;
use crate::runtime::{self, Device};
use crate::tokens::{Texts, Tokens};

/// Texts of a batch, at most.
const BATCH_TEXTS: usize = 16;
/// Tokens of a batch beyond which it takes no further text.
const BATCH_TOKENS: usize = 2048;
/// On a GPU a batch is worth more.
const CUDA_FACTOR: usize = 16;

/// An encoder.
pub(crate) struct Encoder {
    texts: Texts,
    pooling: Pooling,
    dimension: usize,
    plan: Plan,
    /// Whether a result would depend on the rest of its batch.
    alone: bool,
    device: Device,
    pool: Mutex<Pool>,
    returned: Condvar,
    sessions: usize,
    source: Source,
}

/// Sessions that rest, and how many there are.
struct Pool {
    idle: Vec<Session>,
    made: usize,
}

/// Where a session's graph comes from.
struct Source {
    url: String,
    sha256: String,
    reader: Reader,
    weights: PrepackedWeights,
    device: Device,
}

/// What the graph takes and gives.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Plan {
    inputs: Vec<(String, Input)>,
    output: String,
    /// The output is a vector a text already.
    is_pooled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    Ids,
    Mask,
    Types,
    Positions,
}

impl Encoder {
    pub(crate) fn new(directory: &Directory, reader: Reader) -> Result<Self, EmbedError> {
        let device = Device::configured()?;
        runtime::check(device)?;
        let texts = Texts::new(directory)?;
        let source = Source {
            url: format!("{}{}", directory.url, directory.model_file),
            sha256: directory.model_sha256.clone(),
            reader,
            weights: PrepackedWeights::new(),
            device,
        };
        let session = source.session(&directory.model)?;
        let malformed = |why: String| EmbedError::Malformed {
            url: directory.url.clone(),
            file: directory.model_file.to_owned(),
            why,
        };
        let plan = plan(&session).map_err(malformed)?;
        let marker = b"DynamicQuantizeLinear";
        let mut encoder = Self {
            texts,
            pooling: directory.pooling,
            dimension: 0,
            plan,
            alone: memchr::memmem::find(&directory.model, marker).is_some(),
            device,
            pool: Mutex::new(Pool {
                idle: vec![session],
                made: 1,
            }),
            returned: Condvar::new(),
            sessions: match device {
                Device::Cpu => std::thread::available_parallelism().map_or(1, usize::from),
                Device::Cuda => 1,
            },
            source,
        };
        // Only running it tells, where the graph names no number.
        let tokens = encoder
            .texts
            .tokens("whoami", true)
            .map_err(EmbedError::Load)?;
        let vector = encoder.run(&[&tokens]).map_err(EmbedError::Load)?;
        encoder.dimension = vector.len();
        Ok(encoder)
    }

    /// The vectors of texts of one number of tokens, before they are scaled.
    fn run(&self, batch: &[&Tokens]) -> Result<Vec<f32>, String> {
        let mut session = self.take().map_err(|e| e.to_string())?;
        let vectors = self.run_with(&mut session, batch);
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        pool.idle.push(session);
        drop(pool);
        self.returned.notify_one();
        vectors
    }

    fn take(&self) -> Result<Session, EmbedError> {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(session) = pool.idle.pop() {
                return Ok(session);
            }
            if pool.made < self.sessions {
                pool.made += 1;
                break;
            }
            pool = self
                .returned
                .wait(pool)
                .unwrap_or_else(PoisonError::into_inner);
        }
        drop(pool);
        let made = self.source.again();
        if made.is_err() {
            let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
            pool.made -= 1;
            drop(pool);
            // Somebody may wait for the session that was not made.
            self.returned.notify_one();
        }
        made
    }

    fn run_with(&self, session: &mut Session, batch: &[&Tokens]) -> Result<Vec<f32>, String> {
        let (rows, length) = (batch.len(), batch.first().map_or(0, |t| t.ids.len()));
        let failed = |e: ort::Error| format!("ONNX Runtime: {e}");
        let mut inputs: Vec<(&str, SessionInputValue<'_>)> = vec![];
        for (name, input) in &self.plan.inputs {
            let values: Vec<i64> = match input {
                Input::Ids => batch
                    .iter()
                    .flat_map(|t| t.ids.iter().map(|id| i64::from(*id)))
                    .collect(),
                Input::Types => batch
                    .iter()
                    .flat_map(|t| t.types.iter().map(|id| i64::from(*id)))
                    .collect(),
                Input::Mask => vec![1; rows * length],
                Input::Positions => (0..rows).flat_map(|_| (0_i64..).take(length)).collect(),
            };
            let tensor = Tensor::from_array(([rows, length], values)).map_err(failed)?;
            inputs.push((name, tensor.into()));
        }
        let outputs = session.run(inputs).map_err(failed)?;
        let output = outputs
            .get(&self.plan.output)
            .ok_or("ONNX Runtime gave no output")?;
        let (shape, values) = output.try_extract_tensor::<f32>().map_err(failed)?;
        let shape: Vec<usize> = shape
            .iter()
            .map(|n| usize::try_from(*n).unwrap_or_default())
            .collect();
        let width = shape.last().copied().unwrap_or_default();
        let tokens = if self.plan.is_pooled {
            vec![rows, width]
        } else {
            vec![rows, length, width]
        };
        if shape != tokens || width == 0 {
            return Err(format!(
                "the model gave {shape:?} for {rows} texts of {length} tokens"
            ));
        }
        if self.plan.is_pooled {
            return Ok(values.to_vec());
        }
        let mut vectors = vec![0.0; rows * width];
        for (text, vector) in values
            .chunks_exact(length * width)
            .zip(vectors.chunks_exact_mut(width))
        {
            pool(self.pooling, text, vector);
        }
        Ok(vectors)
    }
}

impl Embedder for Encoder {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<f32>, String> {
        let tokens = texts.iter().map(|text| self.texts.tokens(text, true));
        let tokens: Vec<Tokens> = tokens.collect::<Result<_, _>>()?;
        // The longest first: memory grows once.
        let mut order: Vec<usize> = (0..texts.len())
            .filter(|i| !tokens[*i].ids.is_empty())
            .collect();
        order.sort_by_key(|i| (std::cmp::Reverse(tokens[*i].ids.len()), *i));
        let factor = if self.device == Device::Cuda {
            CUDA_FACTOR
        } else {
            1
        };
        let mut vectors = vec![0.0; texts.len() * self.dimension];
        let mut rest = order.as_slice();
        while let Some(first) = rest.first() {
            let length = tokens[*first].ids.len();
            let most = if self.alone {
                1
            } else {
                (factor * BATCH_TOKENS / length).clamp(1, factor * BATCH_TEXTS)
            };
            let same = rest
                .iter()
                .take(most)
                .take_while(|i| tokens[**i].ids.len() == length)
                .count();
            let (batch, others) = rest.split_at(same);
            rest = others;
            let members: Vec<&Tokens> = batch.iter().map(|i| &tokens[*i]).collect();
            let found = self.run(&members)?;
            if found.len() != batch.len() * self.dimension {
                return Err(format!(
                    "the model gave vectors of another width than {}",
                    self.dimension
                ));
            }
            for (i, found) in batch.iter().zip(found.chunks_exact(self.dimension)) {
                let vector = &mut vectors[i * self.dimension..(i + 1) * self.dimension];
                vector.copy_from_slice(found);
                normalise(vector);
            }
        }
        Ok(vectors)
    }
}

impl Source {
    /// Another session of the same graph.
    fn again(&self) -> Result<Session, EmbedError> {
        let bytes = (self.reader)(&self.url).map_err(EmbedError::Read)?;
        match bytes {
            Some(bytes) if sha256(&bytes) == self.sha256 => self.session(&bytes),
            _ => Err(EmbedError::Changed {
                url: self.url.clone(),
            }),
        }
    }

    fn session(&self, graph: &[u8]) -> Result<Session, EmbedError> {
        let environment = runtime::environment()?;
        let build = || -> Result<Session, ort::Error> {
            let mut builder = Session::builder(&environment)?
                .with_optimization_level(GraphOptimizationLevel::Level3)?
                .with_intra_threads(1)?
                .with_inter_threads(1)?
                .with_intra_op_spinning(false)?
                .with_prepacked_weights(&self.weights)?
                .with_no_environment_execution_providers()?;
            if self.device == Device::Cuda {
                // TF32 would round each factor to 10 bits.
                let cuda = CUDA::default().with_tf32(false).build().error_on_failure();
                builder = builder.with_execution_providers([cuda])?;
            }
            builder.commit_from_memory(graph)
        };
        build().map_err(|e| {
            EmbedError::Runtime(format!(
                "{}: ONNX Runtime cannot load it: {e}; get the file again, or a newer ONNX Runtime",
                self.url
            ))
        })
    }
}

/// What the graph's inputs mean, and which output holds the vectors.
fn plan(session: &Session) -> Result<Plan, String> {
    let mut inputs = vec![];
    for input in session.inputs() {
        let meaning = match input.name() {
            "input_ids" => Input::Ids,
            "attention_mask" => Input::Mask,
            "token_type_ids" => Input::Types,
            "position_ids" => Input::Positions,
            other => {
                return Err(format!(
                    "an input {other:?} is not known: a sentence encoder takes input_ids, attention_mask, token_type_ids"
                ));
            }
        };
        if !matches!(
            input.dtype(),
            ValueType::Tensor {
                ty: TensorElementType::Int64,
                ..
            }
        ) {
            return Err(format!(
                "the input {} does not take 64-bit integers: export the graph again",
                input.name()
            ));
        }
        inputs.push((input.name().to_owned(), meaning));
    }
    let dimensions = |kind: &ValueType| match kind {
        ValueType::Tensor {
            ty: TensorElementType::Float32,
            shape,
            ..
        } => Some(shape.len()),
        _ => None,
    };
    let outputs: Vec<(&str, usize)> = session
        .outputs()
        .iter()
        .filter_map(|o| Some((o.name(), dimensions(o.dtype())?)))
        .collect();
    let named = ["last_hidden_state", "token_embeddings"];
    let hidden = outputs
        .iter()
        .find(|(name, n)| *n == 3 && named.contains(name));
    let hidden = hidden.or_else(|| outputs.iter().find(|(_, n)| *n == 3));
    let chosen = hidden.or_else(|| outputs.iter().find(|(_, n)| *n == 2));
    let &(output, n) = chosen.ok_or("no output of 32-bit floats with a vector a token or a text: use the model's fp32 or int8 graph")?;
    if !inputs.iter().any(|(_, input)| *input == Input::Ids) {
        return Err("no input input_ids".to_owned());
    }
    Ok(Plan {
        inputs,
        output: output.to_owned(),
        is_pooled: n == 2,
    })
}

/// One vector of `tokens`, row-major, as wide as `out`. Sums are in double precision, in the order of the tokens.
fn pool(how: Pooling, tokens: &[f32], out: &mut [f32]) {
    let width = out.len();
    let rows = tokens.chunks_exact(width);
    match how {
        Pooling::Cls => out.copy_from_slice(&tokens[..width]),
        Pooling::Last => out.copy_from_slice(&tokens[tokens.len() - width..]),
        Pooling::Max => {
            out.copy_from_slice(&tokens[..width]);
            for row in rows.skip(1) {
                for (most, value) in out.iter_mut().zip(row) {
                    *most = most.max(*value);
                }
            }
        }
        Pooling::Mean => {
            let mut sums = vec![0.0_f64; width];
            let mut n = 0.0;
            for row in rows {
                n += 1.0;
                for (sum, value) in sums.iter_mut().zip(row) {
                    *sum += f64::from(*value);
                }
            }
            for (mean, sum) in out.iter_mut().zip(sums) {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "back to the tokens' own precision"
                )]
                {
                    *mean = (sum / n) as f32;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pooling_is_the_hand_computed_one() {
        let tokens = [1.0, -2.0, 3.0, 5.0, 2.0, 0.0];
        let pooled = |how| {
            let mut out = [0.0_f32; 2];
            pool(how, &tokens, &mut out);
            out.map(f32::to_bits)
        };
        let bits = |vector: [f32; 2]| vector.map(f32::to_bits);
        assert_eq!(pooled(Pooling::Mean), bits([2.0, 1.0]));
        assert_eq!(pooled(Pooling::Cls), bits([1.0, -2.0]));
        assert_eq!(pooled(Pooling::Max), bits([3.0, 5.0]));
        assert_eq!(pooled(Pooling::Last), bits([2.0, 0.0]));
    }
}
