//! One-class SVM: an anomaly is a row outside of the region that holds most of the sample.
//!
//! Schölkopf, Platt, Shawe-Taylor, Smola & Williamson (2001): the hyperplane, in the space of a radial kernel, that parts the
//! sample from the origin with the greatest margin, while a share `nu` of the rows may lie on the other side; at most `nu` of
//! the sample is outside, and at least `nu` of it are support vectors. The decision is `Σ αᵢ exp(−γ |x − sᵢ|²) − ρ`, above 0
//! inside; the score is its negative, so that above 0 is outside. The scale is libsvm's and scikit-learn's (`Σ α = nu · rows`).
//!
//! **Bounds.** The whole kernel matrix lies in memory while it is fitted: 64 MiB of the first 4,096 rows of the sample (those
//! with the smallest keys), and a score compares with the support vectors, a share `nu` of them or somewhat more.
//!
//! **Far rows tie.** Where all kernels vanish the score is `ρ` for every row, however far: a threshold still holds, a ranking
//! among the farthest does not exist. That is the method's.
//!
//! **Cost** (`cargo test --workspace --lib ocsvm_of -- --ignored --nocapture`): see `docs/detectors.md`.

mod model;
mod params;

pub use model::OneClassSvmModel;
pub use params::OneClassSvmParams;

const KIND: &str = "ocsvm";
const VERSION: u32 = 1;

#[cfg(test)]
mod tests;
