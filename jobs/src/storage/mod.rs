//! Where data is: local files and S3, for `DataFusion`, for Delta tables and for ourselves.
//!
//! ```text
//! location     what a user gives: a path, file:///…, s3://bucket/prefix
//! settings     region, endpoint, certificates: from environment and profile
//! credentials  AWS's chain, cached, renewed before their end
//! checked      reads that are verified against `checksums` in the object's metadata
//! registry     one client a bucket, of allowed buckets
//! directories  the local directories that queries may name
//! reader       somebody else's object as a stream or a temporary file
//! io_thread    small objects for synchronous code
//! ```
//!
//! A process that touches no `s3://` URL reads no setting and asks nobody for credentials.

mod checked;
mod checksums;
mod credentials;
mod directories;
mod io_thread;
mod location;
mod reader;
mod registry;
mod settings;

use std::sync::{Arc, OnceLock};

use datafusion::execution::object_store::ObjectStoreRegistry;
use object_store::ObjectStore;
use object_store::path::Path;
use url::Url;

pub use checked::{Checked, upload};
pub use checksums::CHECKSUMS;
pub use credentials::Credentials;
pub use directories::Directories;
pub use location::{Location, Place};
pub use reader::{ObjectReader, fetch};
pub use registry::{Buckets, Registry, S3};
pub use settings::Settings;

pub(crate) use credentials::tail;
pub(crate) use settings::CONNECT_TIMEOUT;

use io_thread::IoThread;

/// What can go wrong with places and their settings. Messages say what to do; none holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// A place or bucket that is not to be had.
    #[error("{0}")]
    Usage(String),
    /// Environment or profile.
    #[error("{0}")]
    Settings(String),
    /// No credentials, or none that hold.
    #[error("{0}")]
    Credentials(String),
    /// An object that did not arrive as it was written, however often it was asked for.
    #[error("{path} arrived damaged: {why}; run again, and if that does not help, replace it")]
    Damaged {
        /// Its path in the bucket.
        path: String,
        /// What does not fit.
        why: String,
    },
    /// The object store.
    #[error("{what}: {source}")]
    Store {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: object_store::Error,
    },
}

/// Modules that write secrets to the log, `aws_config` even as warnings (what a `credential_process` printed). The logger of
/// every process has them switched off.
pub const SECRETIVE_LOGS: [&str; 4] = [
    "aws_config",
    "aws_runtime",
    "aws_sigv4",
    "aws_smithy_runtime",
];

static PROCESS: OnceLock<Storage> = OnceLock::new();

/// Limits this process to some buckets and local directories; without effect once [`process`] was asked for.
pub fn limit(buckets: Buckets, directories: Directories) {
    let _ = PROCESS.set(Storage::with(Registry::within(buckets, directories)));
}

/// The storage of this process: of every bucket and directory, unless [`limit`] said otherwise.
pub fn process() -> &'static Storage {
    PROCESS.get_or_init(|| Storage::new(Buckets::Any))
}

/// The storage of this process; clones share it.
#[derive(Clone, Debug)]
pub struct Storage {
    registry: Arc<Registry>,
    io: Arc<IoThread>,
}

impl Storage {
    /// All local files and the allowed buckets. Nothing is read or asked before the first use of S3.
    #[must_use]
    pub fn new(buckets: Buckets) -> Self {
        Self::with(Registry::new(buckets))
    }

    /// The same over a registry made otherwise.
    #[must_use]
    pub fn with(registry: Registry) -> Self {
        let registry = Arc::new(registry);
        Self {
            io: Arc::new(IoThread::new(Arc::clone(&registry))),
            registry,
        }
    }

    /// Reads the settings of S3 now: to be awaited at the start of a process that will use it. Without it the first use
    /// reads them, on a thread of its own, while its caller waits.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub async fn prepare(&self) -> Result<S3, StorageError> {
        self.registry.prepare().await
    }

    /// For `RuntimeEnvBuilder::with_object_store_registry`.
    #[must_use]
    pub fn registry(&self) -> Arc<dyn ObjectStoreRegistry> {
        Arc::clone(&self.registry) as _
    }

    /// The store of a place, and the place's path in it.
    ///
    /// # Errors
    /// When the bucket is not allowed, or the settings of S3 are wrong.
    pub fn object_store(
        &self,
        location: &Location,
    ) -> Result<(Arc<dyn ObjectStore>, Path), StorageError> {
        let store = match location.place() {
            Place::Local(_) => self.registry.local(),
            Place::S3 { bucket, .. } => self.registry.bucket(bucket)?,
        };
        Ok((store, location.prefix()?))
    }

    /// Whether a local file may be used, for who opens it without an object store.
    ///
    /// # Errors
    /// When it is in no directory of this process.
    pub fn allow_local(&self, path: &std::path::Path) -> Result<(), StorageError> {
        self.registry.directories().allow(path)
    }

    /// Reads a small object, `file://` or `s3://`, while the calling thread waits, which may be one of a runtime's.
    ///
    /// # Errors
    /// A sentence: the bucket or directory is not allowed, or the object is not there or cannot be read.
    pub fn read_blocking(&self, url: &str) -> Result<Vec<u8>, String> {
        self.find_blocking(url)?
            .ok_or_else(|| format!("{url}: there is no such object"))
    }

    /// The same, `None` where there is no such object.
    ///
    /// # Errors
    /// A sentence: the bucket or directory is not allowed, or the object cannot be read.
    pub fn find_blocking(&self, url: &str) -> Result<Option<Vec<u8>>, String> {
        let parsed = Url::parse(url).map_err(|e| format!("{url:?} is not a URL: {e}"))?;
        if parsed.scheme() == "file" {
            let path = parsed.to_file_path().map_err(|()| {
                format!("{url:?} is not a file URL: expected file:///absolute/path")
            })?;
            self.allow_local(&path).map_err(|e| e.to_string())?;
            return match std::fs::read(&path) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(e) => Err(format!("{}: {e}", path.display())),
            };
        }
        self.io.read(parsed)
    }
}
