//! Segment files: the append-only log of the disk engine.
//!
//! [`Writer`] appends groups of records: one write and one sync a group. [`Reader`] reads by sequence number, beside the
//! writer. [`open`] finds again what was durable, whatever happened to the program, and says what a disk has damaged.
//! `README.md` states the format byte by byte.
//!
//! **Invariants**
//! * A record that was committed is found again after a crash, unless its own bytes were damaged.
//! * A damaged byte costs the record that it hits.
//! * No record of a failed group is found beside one that was committed after it.
//! * Sequence numbers never go back.
//!
//! It knows no lanes, no rules and no clock, and it starts no thread: who uses it decides when to work.

mod disk;
mod frame;
mod group;
mod header;
mod index;
mod look;
mod open;
mod reader;
mod record;
mod scan;
mod segment;
mod walk;
mod writer;

pub use disk::{Disk, File, RealDisk};
pub use look::look;
pub use open::{Opened, Recovered, open};
pub use reader::{Found, Reader, Span};
pub use record::Event;
pub use segment::SegmentInfo;
pub use writer::{Committed, Seal, Writer};

/// How the log is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of a segment's file. A group that is larger gets a segment of its own size.
    pub segment_bytes: u64,
    /// How many emptied segments are kept for later ones: a file that was written before takes a sync ten times faster.
    pub spares: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            spares: 1,
        }
    }
}

/// Bytes that an event takes in a segment beyond its own, at most.
pub const EVENT_OVERHEAD: u64 = 80;

/// Why the log cannot do it now.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The disk has no space left. Nothing of the group is there.
    #[error("no space left")]
    Full,
    /// The disk fails. Nothing of the group counts.
    #[error("{0}")]
    Io(std::io::Error),
    /// One record is larger than a segment can ever be.
    #[error("a record of {0} bytes is too large")]
    TooLarge(u64),
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded => Self::Full,
            _ => Self::Io(error),
        }
    }
}
