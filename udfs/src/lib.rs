//! Gleaner's functions: text features, sketches, detectors, near-dedup and the rule labeller, as pure kernels, and as
//! SQL functions over them ([`sql`]).
//!
//! Nothing here reads a file, a clock or unseeded randomness: the same rows give the same bytes, on one process or on
//! many. Kernels are free functions tested without Arrow; [`sql`] is the only module that knows the engine. Fitted
//! models reach a function by URI, through the loader that the process installed ([`model_cache`]).

pub mod api;
pub mod autoencoder;
pub mod dbscan;
pub mod detector;
pub mod drift;
pub mod embedder;
pub mod iforest;
pub mod kmeans;
pub mod learner;
pub mod metrics;
pub mod model_cache;
pub mod ocsvm;
mod panel;
pub mod pca;
pub mod quota;
pub mod rng;
pub mod scale;
pub mod sketch;
pub mod sql;
pub mod svm;
pub mod text;
pub mod threshold;
pub mod vector;

pub use sql::{aggregate_functions, described, scalar_functions, window_functions};
