//! Gleaner's engine: a day of telemetry in, a labelled benign set out.
//!
//! ```text
//! stages/     the data path in reading order, each stage SQL and the glue around it
//! detection   the choice of detectors, quotas and thresholds
//! driver      a day: each stage, when what it reads has changed
//! embedding   embedders, as this process finds and loads them
//! labels/     labels by a language model, analysts' lists and verdicts
//! lift/       what a classifier gains from the benign set
//! export/     the product for others: data sets with their cards, classifiers
//! engine      tasks, in this process or on a Ballista cluster
//! plan/       the two plan nodes of our own: defensive reading, distributed writing
//! telemetry/  formats, schemas, quarantine
//! secure/     TLS, roles, tokens: who may call what on a port
//! storage/    local disks and S3: locations, credentials, checked reads
//! warehouse/  Delta tables, models, ledger, publishing a day whole
//! catalog     what queries see of a warehouse
//! serve/      the control plane: jobs, schedule, read-only queries
//! synth/      telemetry of any size, seeded
//! config/     gleaner.toml: defaults of flags, for all three programs
//! runtime     the threads that a program runs on
//! observe/    metrics, health, logs and spans
//! cli/        the `gleaner` command
//! ```

pub mod catalog;
pub mod categorical;
pub mod cli;
pub mod config;
pub mod detection;
pub mod doctor;
pub mod driver;
pub mod embedding;
pub mod engine;
pub mod error;
pub mod export;
pub mod faults;
pub mod labels;
pub mod lift;
pub mod logging;
pub mod observe;
pub mod options;
pub mod plan;
pub mod report;
pub mod runtime;
pub mod secure;
pub mod serve;
pub mod session;
pub mod stages;
pub mod storage;
pub mod synth;
pub mod telemetry;
pub mod warehouse;
