//! Embedders beside the built-in lexical one: ONNX sentence encoders, static models, and OpenAI-compatible endpoints.
//!
//! ```text
//! address       what a user names, and what travels in a plan
//! directory     a model's files: found, hashed, their settings read
//! tokens        tokenizer.json: texts into token ids
//! runtime       libonnxruntime: found, its version looked at, loaded once
//! onnx          a sentence encoder: sessions, batches, pooling
//! static_model  a table of token vectors
//! endpoint      POST /embeddings
//! ```
//!
//! Why ONNX Runtime, loaded when it is asked for: it is the one format that covers Jina Embeddings V2 code (`ALiBi`, a gated MLP,
//! q/k `LayerNorm`), `MiniLM`, BGE and E5, and was the fastest route measured (193 lines a CPU-second of `MiniLM` in fp32, against 99
//! of tract and 77 of candle). A `gleaner` without it works as before: nothing is linked.
//!
//! **A text's vector does not depend on its company.** Only texts of the same number of tokens share a batch, so nothing is ever
//! padded, and ONNX Runtime computes each row of a matrix product alike however many rows there are: the same bits alone and in a
//! batch of sixteen (tested). A model that scales its activations over the whole batch (dynamic int8) runs one text at a time.
//! Another processor, or another version of ONNX Runtime, may differ in the last bits; a vector once stored in the warehouse stays.
//!
//! Nothing here reads a path by itself: the process hands in a [`Reader`], which knows local files and S3.

pub mod address;
pub mod directory;
mod endpoint;
pub mod error;
mod onnx;
pub mod runtime;
mod static_model;
mod tokens;

use std::sync::Arc;

use gleaner_udfs::embedder::{Embedder, LEXICAL};
use gleaner_udfs::vector::near_duplicates::LEXICAL_THRESHOLD;

pub use address::{Address, Endpoints, Location};
pub use endpoint::{API_KEY, ENDPOINTS};
pub use error::EmbedError;
pub use runtime::{DEVICE, Device, RUNTIME};

/// Default cosine from which a line covers another, for every embedder but the lexical one (chosen on `MiniLM` over canonical
/// texts).
pub const THRESHOLD: f32 = 0.85;

/// Reads an object, `file://` or `s3://`, while the caller waits; `None` when there is none.
pub type Reader = Arc<dyn Fn(&str) -> Result<Option<Vec<u8>>, String> + Send + Sync>;

/// What an embedder needs of its process.
#[derive(Clone)]
pub struct Process {
    /// Reads models.
    pub reader: Reader,
    /// Which endpoints texts may be sent to.
    pub endpoints: Endpoints,
}

/// An embedder that was looked at: it works here.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// Names it, for any process.
    pub address: String,
    /// Its name in the warehouse: `KIND:SHA-256`, or the endpoint and the model.
    pub name: String,
    /// Components of a vector.
    pub dimension: usize,
    /// Default cosine from which a line covers another.
    pub threshold: f32,
}

impl Resolved {
    /// The built-in lexical embedding.
    #[must_use]
    pub fn lexical() -> Self {
        Self {
            address: LEXICAL.to_owned(),
            name: LEXICAL.to_owned(),
            dimension: gleaner_udfs::text::lexical::DIM,
            threshold: LEXICAL_THRESHOLD,
        }
    }

    /// Whether it is the built-in one.
    #[must_use]
    pub fn is_lexical(&self) -> bool {
        self.name == LEXICAL
    }
}

/// Finds what `spec` names (`lexical`, a directory's path or URL, an endpoint's URL with `#model`), gives it its address, and
/// tries it on a word. Reads and hashes all of a model's files.
///
/// # Errors
/// What is missing, in one sentence, with what gets it.
pub fn resolve(spec: &Location, process: &Process) -> Result<Resolved, EmbedError> {
    let (address, embedder) = match spec {
        Location::Lexical => return Ok(Resolved::lexical()),
        Location::Directory { url, max_tokens } => {
            let found = directory::Directory::read(url, *max_tokens, &process.reader)?;
            let address = Address {
                kind: found.kind.name().to_owned(),
                identity: found.identity(),
                location: spec.clone(),
            };
            (address, embedder(&found, &process.reader)?)
        }
        Location::Endpoint { url, model } => {
            let address = Address {
                kind: "endpoint".to_owned(),
                identity: String::new(),
                location: spec.clone(),
            };
            (address, asked(url, model, process)?)
        }
    };
    embedder.embed(&["whoami"]).map_err(EmbedError::Load)?;
    let resolved = Resolved {
        address: address.to_string(),
        name: address.name(),
        dimension: embedder.dimension(),
        threshold: THRESHOLD,
    };
    // The first query finds it there.
    gleaner_udfs::embedder::keep(&resolved.address, embedder);
    Ok(resolved)
}

/// Loads what an address names, and verifies that it is that.
///
/// # Errors
/// A sentence: what is missing or other than the address says.
pub fn load(address: &str, process: &Process) -> Result<Arc<dyn Embedder>, EmbedError> {
    let address: Address = address.parse()?;
    match &address.location {
        Location::Lexical => gleaner_udfs::embedder::load(LEXICAL).map_err(EmbedError::Load),
        Location::Directory { url, max_tokens } => {
            let found = directory::Directory::read(url, *max_tokens, &process.reader)?;
            if found.identity() != address.identity || found.kind.name() != address.kind {
                return Err(EmbedError::Changed { url: url.clone() });
            }
            embedder(&found, &process.reader)
        }
        Location::Endpoint { url, model } => asked(url, model, process),
    }
}

fn embedder(
    directory: &directory::Directory,
    reader: &Reader,
) -> Result<Arc<dyn Embedder>, EmbedError> {
    Ok(match directory.kind {
        directory::Kind::Onnx => Arc::new(onnx::Encoder::new(directory, Arc::clone(reader))?),
        directory::Kind::Static => Arc::new(static_model::StaticModel::new(directory)?),
    })
}

fn asked(url: &str, model: &str, process: &Process) -> Result<Arc<dyn Embedder>, EmbedError> {
    process.endpoints.allow(url)?;
    Ok(Arc::new(endpoint::Endpoint::new(url, model)?))
}

/// Lets the functions of this process load embedders.
pub fn install(process: Process) {
    gleaner_udfs::embedder::install_provider(Box::new(move |address| {
        load(address, &process).map_err(|e| e.to_string())
    }));
}
