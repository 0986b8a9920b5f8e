//! Embedders: what turns texts into vectors of length 1, named by an address, loaded once a process.
//!
//! The built-in lexical embedding lives in this crate ([`crate::text::lexical`]). Everything else (an ONNX encoder, a static model,
//! an endpoint) needs files or a network, which this crate does not touch: the process installs a [`Provider`], as it does for
//! fitted models ([`crate::model_cache`]). A function gets an *address* as a literal, `KIND:IDENTITY@LOCATION`: the identity is the
//! SHA-256 of what decides the vectors, and whoever loads the embedder verifies it, so that two processes with one address
//! give the same vectors.
//!
//! Single flight: threads that ask for one embedder at the same time wait for one load. A process keeps [`CAPACITY`] of
//! them, the oldest goes first.

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};

use crate::text::lexical::{DIM, Lexical};

/// How many embedders a process keeps: they may take gigabytes.
pub const CAPACITY: usize = 2;

/// The address of the built-in embedding.
pub const LEXICAL: &str = "lexical";

/// Turns texts into vectors.
pub trait Embedder: Send + Sync {
    /// Components of a vector.
    fn dimension(&self) -> usize;

    /// The vectors of `texts`, row-major, `texts.len() × dimension()`, each of length 1, or of zeros for a text without a word.
    /// A text's vector does not depend on the others'.
    ///
    /// # Errors
    /// A sentence without any of the texts.
    fn embed(&self, texts: &[&str]) -> Result<Vec<f32>, String>;
}

/// Loads the embedder behind an address.
pub type Provider = Box<dyn Fn(&str) -> Result<Arc<dyn Embedder>, String> + Send + Sync>;

type Slot = Arc<OnceLock<Result<Arc<dyn Embedder>, String>>>;

static PROVIDER: OnceLock<Provider> = OnceLock::new();
static CACHE: LazyLock<Mutex<VecDeque<(String, Slot)>>> = LazyLock::new(Mutex::default);
static CONFIGURED: OnceLock<String> = OnceLock::new();

/// Installs the process's provider; later calls change nothing.
pub fn install_provider(provider: Provider) {
    let _ = PROVIDER.set(provider);
}

/// Sets the address that `embed(text)` stands for in queries planned by this process; later calls change nothing.
pub fn configure(address: &str) {
    let _ = CONFIGURED.set(address.to_owned());
}

/// The address that `embed(text)` stands for: the configured one, or [`LEXICAL`].
#[must_use]
pub fn configured() -> &'static str {
    CONFIGURED.get().map_or(LEXICAL, String::as_str)
}

/// The embedder behind `address`.
///
/// # Errors
/// When there is no provider, or it cannot load the embedder. A failure is not cached.
pub fn load(address: &str) -> Result<Arc<dyn Embedder>, String> {
    if address == LEXICAL {
        return Ok(Arc::new(LexicalEmbedder));
    }
    let slot = slot(address);
    let loaded = slot.get_or_init(|| {
        let provider = PROVIDER
            .get()
            .ok_or_else(|| format!("this process knows no embedder but {LEXICAL:?}"))?;
        provider(address)
    });
    if loaded.is_err() {
        let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
        cache.retain(|(k, s)| k != address || !Arc::ptr_eq(s, &slot));
    }
    loaded.clone()
}

/// Keeps an embedder that the caller has loaded itself, as if it had come from the provider.
pub fn keep(address: &str, embedder: Arc<dyn Embedder>) {
    let _ = slot(address).set(Ok(embedder));
}

fn slot(address: &str) -> Slot {
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, slot)) = cache.iter().find(|(k, _)| k == address) {
        return Arc::clone(slot);
    }
    if cache.len() >= CAPACITY {
        cache.pop_front();
    }
    let slot = Slot::default();
    cache.push_back((address.to_owned(), Arc::clone(&slot)));
    slot
}

struct LexicalEmbedder;

impl Embedder for LexicalEmbedder {
    fn dimension(&self) -> usize {
        DIM
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<f32>, String> {
        let lexical = Lexical::default();
        let mut vectors = Vec::with_capacity(texts.len() * DIM);
        let mut vector = Box::new([0.0; DIM]);
        for text in texts {
            lexical.embed(text, &mut vector);
            vectors.extend_from_slice(vector.as_slice());
        }
        Ok(vectors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    static LOADS: AtomicUsize = AtomicUsize::new(0);

    struct Constant;

    impl Embedder for Constant {
        fn dimension(&self) -> usize {
            2
        }

        fn embed(&self, texts: &[&str]) -> Result<Vec<f32>, String> {
            Ok([1.0, 0.0].repeat(texts.len()))
        }
    }

    #[test]
    fn an_embedder_is_loaded_once_and_a_failure_is_tried_again() {
        install_provider(Box::new(|address| {
            let n = LOADS.fetch_add(1, Ordering::SeqCst);
            // The first load fails.
            std::thread::sleep(std::time::Duration::from_millis(20));
            if n == 0 || address == "bad" {
                Err("not there".to_owned())
            } else {
                Ok(Arc::new(Constant))
            }
        }));
        assert_eq!(load("a").err().as_deref(), Some("not there"));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert_eq!(load("a").unwrap().embed(&["x", "y"]).unwrap().len(), 4));
            }
        });
        assert_eq!(LOADS.load(Ordering::SeqCst), 2);
        assert_eq!(load(LEXICAL).unwrap().dimension(), DIM);
    }
}
