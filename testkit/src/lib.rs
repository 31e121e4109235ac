//! Suites for the three contracts, and what tests need.

pub mod adapter;
pub mod broker;
pub mod clock;
pub mod lines;
pub mod memory;
pub mod outbound;
pub mod platform;
pub mod receiver;
pub mod simulator;
pub mod spool;
