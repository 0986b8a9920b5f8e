//! A static model as `model2vec` makes them: a vector a token, and a text's is their (weighted) mean, scaled to length 1.
//!
//! Written here and not taken from the crate `model2vec-rs`: its package names no licence, and the kernel is a page. Held to the
//! vectors of Python's `model2vec` (cosine 1 to six digits).
//!
//! Cost: the tokenizer's, about 3 µs a line; the table stays in memory (30 MB for 29,528 × 256).

use gleaner_udfs::embedder::Embedder;
use gleaner_udfs::vector::cosine::normalise;
use half::f16;
use safetensors::{Dtype, SafeTensors};

use crate::directory::Directory;
use crate::error::EmbedError;
use crate::tokens::Texts;

/// Tensor names of the table, as `model2vec` and sentence-transformers write them.
const TABLES: [&str; 2] = ["embeddings", "embedding.weight"];

/// Whether these are the weights of a static model: a table of token vectors and little else.
pub(crate) fn is_static(bytes: &[u8]) -> bool {
    SafeTensors::deserialize(bytes).is_ok_and(|tensors| {
        let names = tensors.names();
        names.len() <= 3
            && TABLES
                .iter()
                .any(|table| names.iter().any(|name| name == table))
    })
}

/// A static model.
pub(crate) struct StaticModel {
    texts: Texts,
    /// Row-major, a row a token.
    table: Vec<f32>,
    dimension: usize,
    /// Of each token; empty: 1.
    weights: Vec<f32>,
    /// Row of each token; empty: its id.
    mapping: Vec<usize>,
    unknown: Option<u32>,
}

impl StaticModel {
    pub(crate) fn new(directory: &Directory) -> Result<Self, EmbedError> {
        let malformed = |why: String| EmbedError::Malformed {
            url: directory.url.clone(),
            file: directory.model_file.to_owned(),
            why,
        };
        let tensors =
            SafeTensors::deserialize(&directory.model).map_err(|e| malformed(e.to_string()))?;
        let table = TABLES.iter().find_map(|name| tensors.tensor(name).ok());
        let table = table.ok_or_else(|| malformed("no table of token vectors".to_owned()))?;
        let &[rows, dimension] = table.shape() else {
            return Err(malformed(
                "the table of token vectors is no matrix".to_owned(),
            ));
        };
        if rows == 0 || dimension == 0 {
            return Err(malformed("the table of token vectors is empty".to_owned()));
        }
        let floats = |tensor: &safetensors::tensor::TensorView<'_>| {
            floats(tensor.dtype(), tensor.data()).ok_or_else(|| {
                malformed(format!(
                    "{:?} values are not supported: F32, F16 and I8 are",
                    tensor.dtype()
                ))
            })
        };
        let weights = tensors
            .tensor("weights")
            .ok()
            .map(|t| floats(&t))
            .transpose()?
            .unwrap_or_default();
        let mapping = match tensors.tensor("mapping") {
            Ok(tensor) => integers(tensor.dtype(), tensor.data())
                .ok_or_else(|| malformed("the tensor `mapping` holds no integers".to_owned()))?,
            Err(_) => vec![],
        };
        if mapping.iter().any(|row| *row >= rows) {
            return Err(malformed(
                "the tensor `mapping` points beyond the table".to_owned(),
            ));
        }
        let texts = Texts::new(directory)?;
        Ok(Self {
            unknown: unknown(&directory.tokenizer).and_then(|token| texts.id(&token)),
            texts,
            table: floats(&table)?,
            dimension,
            weights,
            mapping,
        })
    }

    fn row(&self, id: u32) -> Option<(&[f32], f32)> {
        let id = usize::try_from(id).ok()?;
        let row = if self.mapping.is_empty() {
            id
        } else {
            *self.mapping.get(id)?
        };
        let weight = if self.weights.is_empty() {
            1.0
        } else {
            *self.weights.get(id)?
        };
        let start = row.checked_mul(self.dimension)?;
        Some((self.table.get(start..start + self.dimension)?, weight))
    }
}

impl Embedder for StaticModel {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<f32>, String> {
        let mut vectors = vec![0.0; texts.len() * self.dimension];
        for (text, vector) in texts.iter().zip(vectors.chunks_exact_mut(self.dimension)) {
            for id in self.texts.tokens(text, false)?.ids {
                if Some(id) == self.unknown {
                    continue;
                }
                let (row, weight) = self.row(id).ok_or(
                    "a token beyond the model's table: tokenizer.json is of another model",
                )?;
                for (sum, value) in vector.iter_mut().zip(row) {
                    *sum += value * weight;
                }
            }
            normalise(vector);
        }
        Ok(vectors)
    }
}

/// The tokenizer's unknown token, which stands for nothing.
fn unknown(tokenizer: &[u8]) -> Option<String> {
    let json: serde_json::Value = serde_json::from_slice(tokenizer).ok()?;
    let model = json.get("model")?;
    if let Some(token) = model.get("unk_token").and_then(|t| t.as_str()) {
        return Some(token.to_owned());
    }
    let id = usize::try_from(model.get("unk_id")?.as_u64()?).ok()?;
    Some(model.get("vocab")?.get(id)?.get(0)?.as_str()?.to_owned())
}

fn floats(kind: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    match kind {
        Dtype::F32 => Some(
            bytes
                .as_chunks()
                .0
                .iter()
                .map(|b| f32::from_le_bytes(*b))
                .collect(),
        ),
        Dtype::F16 => Some(
            bytes
                .as_chunks()
                .0
                .iter()
                .map(|b| f16::from_le_bytes(*b).to_f32())
                .collect(),
        ),
        Dtype::F64 => {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "vectors are single precision"
            )]
            let values = bytes
                .as_chunks()
                .0
                .iter()
                .map(|b| f64::from_le_bytes(*b) as f32);
            Some(values.collect())
        }
        Dtype::I8 => Some(bytes.iter().map(|b| f32::from(b.cast_signed())).collect()),
        _ => None,
    }
}

fn integers(kind: Dtype, bytes: &[u8]) -> Option<Vec<usize>> {
    match kind {
        Dtype::I64 => {
            let values = bytes
                .as_chunks()
                .0
                .iter()
                .map(|b| usize::try_from(i64::from_le_bytes(*b)).ok());
            values.collect()
        }
        Dtype::I32 => {
            let values = bytes
                .as_chunks()
                .0
                .iter()
                .map(|b| usize::try_from(i32::from_le_bytes(*b)).ok());
            values.collect()
        }
        _ => None,
    }
}
