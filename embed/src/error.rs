//! What can go wrong, in one sentence each, with what to do. No message holds a text that was to be embedded.

/// An embedder that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// A name that is no embedder's.
    #[error("{0}")]
    Usage(String),
    /// A file of a model is not there.
    #[error("{url} has no {what}: {hint}")]
    Missing {
        /// The directory.
        url: String,
        /// Which file.
        what: &'static str,
        /// The command that gets it.
        hint: String,
    },
    /// A file that is not what it should be.
    #[error("{url}{file}: {why}")]
    Malformed {
        /// The directory.
        url: String,
        /// Below it.
        file: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// The files are not those that the address names.
    #[error(
        "the embedder at {url} is another than the one the run began with: every process must see the same files there; \
         put them back, or run again from the start"
    )]
    Changed {
        /// Where.
        url: String,
    },
    /// A file or store that cannot be read.
    #[error("{0}")]
    Read(String),
    /// ONNX Runtime.
    #[error("{0}")]
    Runtime(String),
    /// Loading or the first trial failed.
    #[error("{0}")]
    Load(String),
    /// An endpoint.
    #[error("{0}")]
    Endpoint(String),
}
