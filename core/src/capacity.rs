//! How much a spool has used and left, and what of it does not work.

use crate::AppendError;

/// How much room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Bytes that the spool occupies.
    pub bytes: u64,
    /// Bytes that the disk has left.
    pub free: u64,
    /// Entries in quarantine.
    pub quarantined: u64,
    /// Bytes that they take up of their share.
    pub quarantine_bytes: u64,
    /// What was found damaged since the start: rows, and commits that are lost.
    pub damaged: u64,
    /// Writes behind the intake that failed since the start.
    pub failures: u64,
    /// What does not work although events are kept.
    pub degraded: Option<Degraded>,
    /// Pictures that were found damaged since the engine was opened.
    pub damaged_pictures: u64,
    /// `Ok` when an append would be taken now; after a refusal, when what was refused would be.
    pub accepting: Result<(), AppendError>,
}

/// What does not work in a spool that keeps events all the same. It needs an operator before it becomes worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Degraded {
    /// The log grows until the spool is full.
    #[error("the write-ahead log cannot be folded into the database")]
    Folding,
    /// Their events are gone unless the files are put back. It ends when everything older has left the log.
    #[error("segments of the log are missing, and their events with them")]
    Missing,
}
