//! `gleaner serve`: the driver as a service. It takes jobs (days, and SQL of the user's), runs the schedule, and answers read-only
//! queries, and scores what happens.
//!
//! ```text
//! job        a job: what is to be done, and what became of it
//! ledger     every job as an object in the warehouse, written before anything is answered
//! jobs       the jobs that this process knows, and whoever watches them
//! lease      one server a warehouse
//! runner     one day at a time, the earliest first; SQL jobs beside it
//! schedule   a cron expression, and the days that it missed
//! sql_job    statements, parameters bound as values, a table of the user's
//! access     which path takes which role
//! scoring    scores of requests and command lines as they happen: the gRPC service of `proto/gleaner/v1/scoring.proto`
//! control    the gRPC service of `proto/gleaner/v1/control.proto`
//! query      Arrow Flight SQL over the warehouse's tables, limited
//! review     the page on which analysts give their verdicts
//! worker     the process that one query runs in
//! metrics    what is told of queue and schedule
//! client     the other side of both
//! ```
//!
//! **The ledger is the warehouse.** A job is an object below `_jobs/`, and a day's own state is the warehouse's as always. A server
//! that is killed leaves jobs that say `running`: the next one queues them again, and a day carries on after its last finished stage.
//! So nothing is lost with this process, and nothing has to be repaired by hand.
//!
//! **Days run one at a time, the earliest first**, because each is held against the days before it. A day that failed is tried
//! again after a pause, and days after it wait for as long.

pub mod access;
pub mod client;
pub mod control;
pub mod job;
pub mod jobs;
pub mod lease;
pub mod ledger;
pub mod metrics;
pub mod query;
pub mod review;
pub mod runner;
pub mod schedule;
pub mod scoring;
pub mod server;
pub mod sql_job;
pub mod worker;

pub use server::{Limits, Server};

/// Who calls: put into a request's extensions by whoever has checked a token or a certificate.
pub use crate::secure::Caller;
