//! A detector as it is stored.

/// A scaler and the model that scores what it scaled.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Detector {
    /// `iforest`, `pca` or `kmeans`.
    #[prost(string, tag = "1")]
    pub kind: String,
    /// The scaler's sealed bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub scaler: Vec<u8>,
    /// The model's sealed bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub model: Vec<u8>,
}
