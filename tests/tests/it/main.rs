//! Gleaner as its users see it: the command, its warehouse, a cluster of its processes. One binary; every test has a
//! directory of its own.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    unreachable_pub,
    reason = "a test fails by panicking, and says what it skips"
)]

mod api_day;
mod bad_input;
mod browser;
mod cancelled;
mod closed;
mod closed_serve;
mod cloud;
mod cluster;
mod day;
mod deploy;
mod detectors;
mod directories;
mod disguises;
mod drift;
mod embedders;
mod embedders_day;
mod embedders_remote;
mod experiment;
mod exports;
mod exports_models;
mod faults;
mod functions;
mod injections;
mod known;
mod labels;
mod labels_batch;
mod labels_day;
mod labels_hostile;
mod labels_injected;
mod labels_precision;
mod labels_sigma;
mod labels_tables;
mod laws;
mod lift;
mod llm_peer;
mod llm_server;
mod matrix;
mod near_dup;
mod nodes;
mod observe;
mod peers;
mod pki;
mod probe;
mod processes;
mod proxy;
mod readers;
mod readme;
mod real;
mod report;
mod requests;
mod review;
mod review_access;
mod runbook;
mod s3;
mod s3_access;
mod s3_doctor;
mod s3_faults;
mod s3_identities;
mod scarce;
mod seaweed;
mod serve;
mod serve_sql;
mod sigv4;
mod support;
mod telemetry;
mod upstream;
mod upstream_one_task;
#[cfg(unix)]
#[cfg(unix)]
#[cfg(unix)]
#[cfg(unix)]
#[cfg(unix)]
#[cfg(unix)]
#[cfg(unix)]
#[cfg(unix)]
#[cfg(unix)]
#[cfg(unix)]
#[cfg(unix)]
#[cfg(unix)]
#[cfg(unix)]
#[cfg(target_os = "linux")]
#[cfg(unix)]
#[cfg(unix)]
#[cfg(unix)]
#[cfg(unix)]
