//! The gateway as a process, from outside: what was promised to those who run it and to those who live from its events.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test panics and prints"
)]

mod admission;
mod batches;
mod brokers;
mod bursts;
mod certificates;
mod check;
mod cluster;
mod connections;
mod deploy;
mod descriptors;
mod dialects;
mod dialled;
mod docs;
mod faults;
mod flow;
mod formats;
mod full;
mod harm;
mod harness;
mod home_assistant;
mod identity;
mod notify;
mod privacy;
mod prometheus;
mod receivers;
mod refusals;
mod reload;
mod repair;
mod restart;
mod retry;
mod review;
mod rules_versions;
mod scripts;
mod shelved;
mod simulators;
mod spool;
mod terminal;
mod terminals;
mod tidy;
mod times;
mod tls;
mod top;
mod untrusted;
mod way_in;
