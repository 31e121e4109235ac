//! The log: one replicated stream.

mod append;
mod contract;
pub(crate) mod event;
pub(crate) mod follow;
pub(crate) mod known;
pub(crate) mod pieces;
pub(crate) mod quarantine;
pub(crate) mod read;
pub(crate) mod rules;
pub(crate) mod snapshot;
mod span;
