//! The bytes of mergeable states and fitted models.
//!
//! Every message travels inside [`Sealed`], which carries kind, version and checksum; the numbers of a message mean
//! what the module of its learner in `gleaner-udfs` says. Fields are only ever added; a change of meaning is a new
//! version. Written by hand instead of from a `.proto`: only this program reads them, and no `protoc` is needed.

/// The envelope of every state and model.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Sealed {
    /// Which message the body is.
    #[prost(string, tag = "1")]
    pub kind: String,
    /// The version of the body's meaning.
    #[prost(uint32, tag = "2")]
    pub version: u32,
    /// The first 8 bytes of BLAKE3 of the body, big-endian.
    #[prost(fixed64, tag = "3")]
    pub checksum: u64,
    /// The message.
    #[prost(bytes = "vec", tag = "4")]
    pub body: Vec<u8>,
}

/// A bottom-k sample of rows, in ascending order of key.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Sample {
    /// The most rows it keeps.
    #[prost(uint32, tag = "1")]
    pub k: u32,
    /// Features a row.
    #[prost(uint32, tag = "2")]
    pub d: u32,
    /// Keys, strictly ascending.
    #[prost(fixed64, repeated, tag = "3")]
    pub keys: Vec<u64>,
    /// Features, row-major, one row a key.
    #[prost(float, repeated, tag = "4")]
    pub features: Vec<f32>,
}

/// The n rows with the highest scores, best first.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Quota {
    /// The most rows it keeps.
    #[prost(uint64, tag = "1")]
    pub n: u64,
    /// Scores, descending.
    #[prost(float, repeated, tag = "2")]
    pub scores: Vec<f32>,
    /// 16 bytes of hash a row, big-endian; among equal scores ascending.
    #[prost(bytes = "vec", tag = "3")]
    pub hashes: Vec<u8>,
}

/// How each feature is imputed and scaled.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Scaler {
    /// Rows it was fitted on.
    #[prost(uint64, tag = "1")]
    pub rows: u64,
    /// 0: plain standardisation, 1: clipped at `limit` standard deviations, 2: signed log, then standardised.
    #[prost(uint32, tag = "2")]
    pub tails: u32,
    /// The limit, in standard deviations, where `tails` is 1.
    #[prost(float, tag = "3")]
    pub limit: f32,
    /// Median of the finite values, a feature.
    #[prost(float, repeated, tag = "4")]
    pub median: Vec<f32>,
    /// Mean, a feature.
    #[prost(double, repeated, tag = "5")]
    pub mean: Vec<f64>,
    /// Standard deviation, a feature; 0 where the feature is constant.
    #[prost(double, repeated, tag = "6")]
    pub deviation: Vec<f64>,
    /// Values of the sample that were imputed, a feature.
    #[prost(uint64, repeated, tag = "7")]
    pub imputed: Vec<u64>,
    /// What a scaled value is multiplied by, a feature; empty: by nothing.
    #[prost(float, repeated, tag = "8")]
    pub weight: Vec<f32>,
}

/// Count, mean and co-moments of rows.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Moments {
    /// Features a row.
    #[prost(uint32, tag = "1")]
    pub d: u32,
    /// Rows.
    #[prost(uint64, tag = "2")]
    pub rows: u64,
    /// Mean, a feature; empty when there are no rows.
    #[prost(double, repeated, tag = "3")]
    pub mean: Vec<f64>,
    /// Upper triangle of the sum of outer products of deviations, row by row; empty when there are no rows.
    #[prost(double, repeated, tag = "4")]
    pub comoment: Vec<f64>,
}

/// A fitted PCA.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Pca {
    /// Rows it was fitted on.
    #[prost(uint64, tag = "1")]
    pub rows: u64,
    /// Variance of all features together.
    #[prost(double, tag = "2")]
    pub total_variance: f64,
    /// Mean, a feature.
    #[prost(float, repeated, tag = "3")]
    pub mean: Vec<f32>,
    /// Variance along each kept component, descending.
    #[prost(double, repeated, tag = "4")]
    pub explained_variance: Vec<f64>,
    /// Unit components, row-major, one row a component.
    #[prost(float, repeated, tag = "5")]
    pub components: Vec<f32>,
}

/// What one pass of Lloyd's algorithm sums.
#[derive(Clone, PartialEq, prost::Message)]
pub struct KMeansPartial {
    /// Clusters.
    #[prost(uint32, tag = "1")]
    pub k: u32,
    /// Features a row.
    #[prost(uint32, tag = "2")]
    pub d: u32,
    /// Rows a cluster.
    #[prost(uint64, repeated, tag = "3")]
    pub counts: Vec<u64>,
    /// Sum of squared distances, a cluster.
    #[prost(double, repeated, tag = "4")]
    pub inertias: Vec<f64>,
    /// Sum of rows, row-major, one row a cluster.
    #[prost(double, repeated, tag = "5")]
    pub sums: Vec<f64>,
}

/// A fitted k-means.
#[derive(Clone, PartialEq, prost::Message)]
pub struct KMeans {
    /// Features a row.
    #[prost(uint32, tag = "1")]
    pub d: u32,
    /// Centroids, row-major, one row a cluster.
    #[prost(float, repeated, tag = "2")]
    pub centroids: Vec<f32>,
    /// Typical distance of a member from its centroid, a cluster.
    #[prost(float, repeated, tag = "3")]
    pub spread: Vec<f32>,
    /// Rows a cluster.
    #[prost(uint64, repeated, tag = "4")]
    pub counts: Vec<u64>,
    /// Sum of squared distances of the rows it was fitted on.
    #[prost(double, tag = "5")]
    pub inertia: f64,
    /// Passes made.
    #[prost(uint32, tag = "6")]
    pub iterations: u32,
    /// Share of the rows that the clusters distances are measured from hold.
    #[prost(double, tag = "7")]
    pub crowd_share: f64,
}

/// A fitted isolation forest; the nodes of all trees one after another.
#[derive(Clone, PartialEq, prost::Message)]
pub struct IsolationForest {
    /// Features a row.
    #[prost(uint32, tag = "1")]
    pub d: u32,
    /// Rows each tree was grown on.
    #[prost(uint32, tag = "2")]
    pub samples: u32,
    /// Coordinates a split looks at, less one: 0 is the standard forest.
    #[prost(uint32, tag = "3")]
    pub extension_level: u32,
    /// Nodes a tree.
    #[prost(uint32, repeated, tag = "4")]
    pub tree_sizes: Vec<u32>,
    /// Rows of the tree's sample that reach the node.
    #[prost(uint32, repeated, tag = "5")]
    pub node_rows: Vec<u32>,
    /// Left child, counted from the node itself (the right child follows it); 0 at a leaf.
    #[prost(uint32, repeated, tag = "6")]
    pub left: Vec<u32>,
    /// Coordinates of the splits, extension level + 1 each, in order of the inner nodes.
    #[prost(uint32, repeated, tag = "7")]
    pub feature: Vec<u32>,
    /// Threshold (standard) or the hyperplane's point (extended), one a coordinate.
    #[prost(float, repeated, tag = "8")]
    pub point: Vec<f32>,
    /// The hyperplane's normal, one a coordinate; empty in a standard forest.
    #[prost(float, repeated, tag = "9")]
    pub normal: Vec<f32>,
    /// Of each node, features that were drawn and had one value in it; empty where rows are not scored as if inserted.
    #[prost(uint32, repeated, tag = "10")]
    pub draws: Vec<u32>,
    /// Those features, node by node.
    #[prost(uint32, repeated, tag = "11")]
    pub draw_feature: Vec<u32>,
    /// Their values.
    #[prost(float, repeated, tag = "12")]
    pub draw_value: Vec<f32>,
    /// Least value of the cut's feature in the node, an inner node.
    #[prost(float, repeated, tag = "13")]
    pub low: Vec<f32>,
    /// Its greatest.
    #[prost(float, repeated, tag = "14")]
    pub high: Vec<f32>,
}

/// A fitted DBSCAN.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Dbscan {
    /// Features a row.
    #[prost(uint32, tag = "1")]
    pub d: u32,
    /// Kept core rows, row-major.
    #[prost(float, repeated, tag = "2")]
    pub cores: Vec<f32>,
    /// Radius of a neighbourhood.
    #[prost(float, tag = "3")]
    pub eps: f32,
    /// Rows that make a neighbourhood dense.
    #[prost(uint64, tag = "4")]
    pub min_samples: u64,
    /// Rows it was fitted on.
    #[prost(uint64, tag = "5")]
    pub rows: u64,
    /// Core rows among them.
    #[prost(uint64, tag = "6")]
    pub core_rows: u64,
    /// Noise among them.
    #[prost(uint64, tag = "7")]
    pub noise: u64,
    /// By how much a score may be too high, since not all core rows are kept.
    #[prost(float, tag = "8")]
    pub slack: f32,
}

/// A fitted one-class SVM.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OneClassSvm {
    /// Features a row.
    #[prost(uint32, tag = "1")]
    pub d: u32,
    /// Support vectors, row-major.
    #[prost(float, repeated, tag = "2")]
    pub support: Vec<f32>,
    /// Their coefficients, above 0 and at most 1.
    #[prost(float, repeated, tag = "3")]
    pub alpha: Vec<f32>,
    /// The kernel's factor of squared distances.
    #[prost(float, tag = "4")]
    pub gamma: f32,
    /// The decision's border.
    #[prost(double, tag = "5")]
    pub rho: f64,
    /// Share of the rows that may lie outside.
    #[prost(double, tag = "6")]
    pub nu: f64,
    /// Rows it was fitted on.
    #[prost(uint64, tag = "7")]
    pub rows: u64,
}

/// A fitted autoencoder: its layers, one after another.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Autoencoder {
    /// Numbers that enter each layer, and at the end those that leave the last.
    #[prost(uint32, repeated, tag = "1")]
    pub widths: Vec<u32>,
    /// Which of the widths is the code's.
    #[prost(uint32, tag = "2")]
    pub code: u32,
    /// Weights, layer by layer, row-major, one row a number that leaves.
    #[prost(float, repeated, tag = "3")]
    pub weights: Vec<f32>,
    /// Biases, layer by layer.
    #[prost(float, repeated, tag = "4")]
    pub biases: Vec<f32>,
    /// Rows it was trained on.
    #[prost(uint64, tag = "5")]
    pub rows: u64,
    /// Passes over them until the kept weights.
    #[prost(uint32, tag = "6")]
    pub epochs: u32,
    /// Mean error of the rows held out.
    #[prost(double, tag = "7")]
    pub held_out: f64,
}
