//! A detector as it is stored.

/// A scaler and the model that scores what it scaled.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Detector {
    /// `iforest`, `pca`, `kmeans`, `dbscan`, `ocsvm` or `autoencoder`.
    #[prost(string, tag = "1")]
    pub kind: String,
    /// The scaler's sealed bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub scaler: Vec<u8>,
    /// The model's sealed bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub model: Vec<u8>,
}

/// How scores and features were spread on the day that detectors were fitted on.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Baseline {
    /// The detectors' scores, in the order of tables.
    #[prost(message, repeated, tag = "1")]
    pub scores: Vec<Deciles>,
    /// The features, in the order of the catalog.
    #[prost(message, repeated, tag = "2")]
    pub features: Vec<Deciles>,
}

/// How values are spread.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Deciles {
    /// Borders between bins, ascending.
    #[prost(float, repeated, tag = "1")]
    pub cuts: Vec<f32>,
    /// Values a bin, the missing ones last.
    #[prost(uint64, repeated, tag = "2")]
    pub counts: Vec<u64>,
}
