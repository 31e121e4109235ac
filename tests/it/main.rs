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
mod check;
mod dialled;
mod faults;
mod flow;
mod formats;
mod full;
mod harness;
mod privacy;
mod repair;
mod restart;
mod retry;
mod review;
mod simulators;
mod terminals;
mod tidy;
mod tls;
