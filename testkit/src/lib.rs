//! Suites for the three contracts, and what tests need.

pub mod adapter;
pub mod clock;
pub mod outbound;
pub mod platform;
pub mod receiver;
pub mod spool;
