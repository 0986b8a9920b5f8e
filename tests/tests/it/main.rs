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
mod api_detectors;
mod api_evaluate;
#[cfg(unix)]
mod api_faults;
mod bad_input;
mod browser;
mod cancelled;
mod categories;
mod closed;
mod closed_serve;
#[cfg(unix)]
mod cloud;
mod cluster;
mod day;
#[cfg(unix)]
mod deploy;
mod detectors;
mod directories;
mod disguises;
mod drift;
mod embedders;
mod embedders_day;
#[cfg(unix)]
mod embedders_remote;
mod experiment;
mod exports;
mod exports_models;
#[cfg(unix)]
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
#[cfg(unix)]
mod observe;
#[cfg(unix)]
mod peers;
mod pki;
mod probe;
mod processes;
#[cfg(unix)]
mod proxy;
mod readers;
mod readme;
mod real;
mod report;
mod report_api;
mod requests;
mod review;
mod review_access;
#[cfg(unix)]
mod runbook;
#[cfg(unix)]
mod s3;
#[cfg(unix)]
mod s3_access;
#[cfg(unix)]
mod s3_doctor;
#[cfg(unix)]
mod s3_faults;
#[cfg(unix)]
mod s3_identities;
#[cfg(target_os = "linux")]
mod scarce;
mod scoring;
mod scoring_limits;
#[cfg(unix)]
mod seaweed;
mod serve;
mod serve_sql;
#[cfg(unix)]
mod sigv4;
mod support;
mod telemetry;
#[cfg(unix)]
mod upstream;
#[cfg(unix)]
mod upstream_one_task;
mod verdicts;
