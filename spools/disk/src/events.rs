//! Where events are kept. All other modules reach events through this one.
//!
//! `inspect/` proves and saves dead directories, so it has statements of its own.

pub(crate) mod table;
