//! Autoencoder: an anomaly is a row that a network with a narrow middle cannot rebuild.
//!
//! `d → hidden → code → hidden → d` (by default half and a quarter of the features), leaky rectifiers in the hidden layers, code
//! and output straight; trained to give back what it is given, by `AdamW` (Loshchilov & Hutter 2019) on batches of 128 rows; a tenth of the
//! rows is held out, and the weights with the least error on it are kept. The score is the mean squared error of a row, the squared errors by
//! feature are its reasons. Where PCA rebuilds what lies near a plane, this rebuilds what lies near a bent surface. The code
//! ([`AutoencoderModel::codes`]) and the layers that make it ([`AutoencoderModel::encoder`]) serve classifiers with few labels.
//!
//! **Trained here and not by a library.** `candle` 0.9 and `burn` 0.22 were measured in this workspace. candle's core and its optimiser
//! are 23 s of a cold build, but turn on features of `half`, `bytemuck`, `yoke` and `zerofrom`, so that arrow, `DataFusion` and all
//! above them are built anew; burn also brings a second `ndarray`. Neither promises the same weights on another processor or with
//! another number of threads. What is needed of them is one page ([`network`]) whose gradients a test holds against differences,
//! and which gives the same bits on every processor: sums in one order, no function of the platform but the square root, which IEEE 754
//! defines. One thread: the numbers of threads and cores play no part. `bench/candle` trains the same network with candle.
//!
//! **Cost**: six operations a weight, row and pass; see `docs/detectors.md`.

mod model;
pub mod network;
mod params;
pub mod train;

pub use model::AutoencoderModel;
pub use params::AutoencoderParams;

const KIND: &str = "autoencoder";
const VERSION: u32 = 1;

#[cfg(test)]
mod tests;
