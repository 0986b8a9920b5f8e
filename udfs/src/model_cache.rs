//! Fitted models, loaded once a process.
//!
//! A function gets a model's URI, because a model as a literal is rendered into names and plans (17 s instead of
//! 0.8 s for 2 MB, measured) and one inside a function's instance can hang a cluster. This crate does no I/O: the
//! process installs a [`Loader`]. The last segment of a URI is the SHA-256 of the object, and is verified.
//!
//! Single flight: threads that ask for one model at the same time wait for one load. The cache holds
//! [`CAPACITY`] models, the oldest goes first; a day's detectors are five, so a day never loads one twice.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};

use sha2::{Digest, Sha256};

/// How many models a process keeps.
pub const CAPACITY: usize = 32;

/// Reads the object behind a URI.
pub type Loader = Box<dyn Fn(&str) -> Result<Vec<u8>, String> + Send + Sync>;

type Slot = Arc<OnceLock<Result<Arc<dyn Any + Send + Sync>, String>>>;

static LOADER: OnceLock<Loader> = OnceLock::new();
static CACHE: LazyLock<Mutex<VecDeque<(String, Slot)>>> = LazyLock::new(Mutex::default);

/// Installs the process's loader; later calls change nothing.
pub fn install_loader(loader: Loader) {
    let _ = LOADER.set(loader);
}

/// The model behind `uri`, decoded by `decode` on first use.
///
/// # Errors
/// When there is no loader, the object cannot be read, its hash is another, or it does not decode; the message
/// names the URI. A failure is not cached.
pub fn load<M: Any + Send + Sync>(
    uri: &str,
    decode: impl FnOnce(&[u8]) -> Result<M, String>,
) -> Result<Arc<M>, String> {
    let key = format!("{}|{uri}", std::any::type_name::<M>());
    let slot = slot(&key);
    let loaded = slot.get_or_init(|| {
        let bytes = read(uri)?;
        let model = decode(&bytes).map_err(|e| format!("{uri}: {e}"))?;
        Ok(Arc::new(model) as Arc<dyn Any + Send + Sync>)
    });
    match loaded {
        Ok(model) => Arc::clone(model)
            .downcast()
            .map_err(|_| format!("{uri}: two models under one key")),
        Err(e) => {
            let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
            cache.retain(|(k, s)| k != &key || !Arc::ptr_eq(s, &slot));
            Err(e.clone())
        }
    }
}

fn slot(key: &str) -> Slot {
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, slot)) = cache.iter().find(|(k, _)| k == key) {
        return Arc::clone(slot);
    }
    if cache.len() >= CAPACITY {
        cache.pop_front();
    }
    let slot = Slot::default();
    cache.push_back((key.to_owned(), Arc::clone(&slot)));
    slot
}

fn read(uri: &str) -> Result<Vec<u8>, String> {
    let loader = LOADER.get().ok_or("this process has no model loader")?;
    let bytes = loader(uri).map_err(|e| format!("{uri}: {e}"))?;
    let expected = uri.rsplit('/').next().unwrap_or_default();
    let found = sha256(&bytes);
    if found != expected {
        return Err(format!("{uri}: damaged: its SHA-256 is {found}"));
    }
    Ok(bytes)
}

/// Lower-case hex SHA-256: the name of a model.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Lower-case hex.
fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes
        .iter()
        .flat_map(|b| [b >> 4, b & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]));
    digits.collect()
}
