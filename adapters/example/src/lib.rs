//! The adapter to copy from.
