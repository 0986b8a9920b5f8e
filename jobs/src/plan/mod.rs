//! The two plan nodes that `DataFusion` and Ballista lack, and how they travel.
//!
//! [`mod@scan`] reads telemetry defensively: `DataFusion`'s own readers fail a query on one bad line. [`mod@write`] writes
//! a Parquet file for each partition under a name of its own and returns a manifest row for it: Ballista's `COPY`
//! writes in one task with no commit. [`codec`] carries both; everything else travels by Ballista's codecs.

pub mod codec;
pub mod scan;
pub mod whole;
pub mod write;
