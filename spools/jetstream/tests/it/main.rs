//! The engine against real servers. The tests share one cluster of three; each has a site of its own. Those that stop servers
//! start their own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends by a panic"
)]

mod append;
mod common;
mod contract;
mod cut_off;
mod duties;
mod faults;
mod full;
mod janitor;
mod large;
mod login;
mod owners;
mod proof;
mod rules;
mod seen;
