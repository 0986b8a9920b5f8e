//! Gleaner as its users see it: the command, its warehouse, a cluster of its processes. One binary; every test has a
//! directory of its own.

mod bad_input;
mod cluster;
mod day;
mod functions;
mod laws;
mod nodes;
mod readers;
mod real;
mod support;
mod telemetry;
