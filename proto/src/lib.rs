//! What Gleaner writes or sends, as protocol-buffer messages: fitted models ([`learners`]) and the two plan
//! nodes that travel to executors ([`plan`]).
//!
//! [`control`] is the job service, [`scoring`] the one that scores what happens. The other messages are hand-written `prost` structs, so that a clone builds without `protoc`. A field's number is
//! its contract: numbers are never reused, and a reader ignores numbers that it does not know.

pub mod control;
pub mod detector;
pub mod learners;
pub mod plan;
pub mod scoring;
