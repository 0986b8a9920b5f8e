//! Jobs.
pub mod engine;
pub mod error;
pub mod plan;
pub mod session;
#[path = "telemetry_stub.rs"]
pub mod telemetry;
pub mod warehouse;
