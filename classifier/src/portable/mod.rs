//! A classifier in forms that other programs read: documented JSON, and ONNX.
//!
//! Neither reads command lines: both take the numbers of [`crate::space::Space`], which an export writes, so that how a line becomes numbers is
//! written once. `docs/exports.md` has the schema and a few lines of Python for each.

pub mod json;
pub mod onnx;
