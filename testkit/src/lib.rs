//! Suites for the three contracts, and what tests need.
