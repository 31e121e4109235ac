//! What the engine is told, and the sizes that follow from it.

use std::path::PathBuf;
use std::time::Duration;

/// Where the spool lives and how much it may keep.
#[derive(Clone, Debug)]
pub struct DiskSettings {
    /// The directory. It is made when it is missing, readable by the owner only, and belongs to one gateway at a time.
    pub dir: PathBuf,
    /// Bytes that the spool may occupy, pictures and reserve included.
    pub bytes_max: u64,
    /// Bytes that the disk must have left.
    pub free_min: u64,
    /// How long events are kept after every lane is through with them.
    pub history: Duration,
    /// How long pictures are kept after every lane is through with their events.
    pub images: Duration,
    /// How long unreadable bodies are kept.
    pub quarantine: Duration,
    /// Bytes of `bytes_max` that are set aside for unreadable bodies; those of one inbound may use half of it.
    pub quarantine_bytes_max: u64,
}

/// Who asks the system.
fn user() -> String {
    format!("user {}", rustix::process::geteuid().as_raw())
}

/// Rounded up, as it is an amount to be freed.
fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}

/// Why the spool does not open. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be made, read or written.
    #[error(
        "spool directory {dir}: {reason}; make it writable for {}, or name another one",
        user()
    )]
    Directory {
        /// Which.
        dir: String,
        /// What the system said. It is in the text, so it is no source: it would be told twice.
        reason: std::io::Error,
    },
    /// Another process has it open.
    #[error(
        "spool directory {dir} is in use by another gateway; stop that one or name another directory"
    )]
    InUse {
        /// Which.
        dir: String,
    },
    /// A later version of the program wrote it.
    #[error(
        "spool directory {dir} has format {found}, this program knows up to {known}; run the newer program again"
    )]
    Newer {
        /// Which.
        dir: String,
        /// The version that the directory has.
        found: i64,
        /// The newest that this program can read.
        known: i64,
    },
    /// The disk has no room to open it.
    #[error(
        "the disk is full: free {} at {dir}, then start again; nothing is lost, do not move the directory away",
        megabytes(*.needed)
    )]
    Full {
        /// Which directory.
        dir: String,
        /// Bytes that have to be free.
        needed: u64,
    },
    /// The database is gone and something of the spool is still there.
    #[error(
        "spool directory {dir}: spool.db is missing or empty, and beside it lies what belongs to it ({remains}). Put \
         spool.db back (with spool.db-wal, if there is one) from where it went or from a copy; what the directory still \
         holds can be saved with `faceway spool salvage --to NEW-DIRECTORY`. To begin anew without it, move the directory \
         away"
    )]
    Missing {
        /// Which directory.
        dir: String,
        /// What is still there.
        remains: String,
    },
    /// The header of the write-ahead log is damaged, so that SQLite would throw the log away.
    #[error(
        "spool directory {dir}: the header of spool.db-wal is damaged, and events that were accepted lie behind it. \
         `faceway spool salvage --to NEW-DIRECTORY` saves what can be read; to go on without them, move spool.db-wal \
         away and keep it"
    )]
    Log {
        /// Which directory.
        dir: String,
    },
    /// The database cannot be read.
    #[error(
        "spool database in {dir}: {reason}; `faceway spool check` tells what is damaged, `faceway spool salvage --to \
         NEW-DIRECTORY` saves what can be read. To begin anew, move the directory away and keep it"
    )]
    Database {
        /// Which directory.
        dir: String,
        /// What SQLite said.
        reason: String,
    },
}

/// Sizes that follow from the byte budget, so that a small spool is not eaten up by its own reserves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The reserve that is given up on a full disk, so that trimming has room.
    pub(crate) ballast: u64,
    /// The reserve that only the start of a gateway may use.
    pub(crate) start_reserve: u64,
    /// A pack of pictures is closed at this size.
    pub(crate) pack: u64,
    /// The write-ahead log is folded into the database at this many pages.
    pub(crate) wal_pages: u64,
    /// History gives way when less than this is left of the budget, before an append has to wait for it.
    pub(crate) headroom: u64,
    /// Bytes of a segment of the log.
    pub(crate) segment: u64,
    /// Emptied segments that are kept for later ones.
    pub(crate) spares: usize,
}

/// Bytes of a database page: SQLite's default. 16 KiB pages were slower for rows of 1 KB (spools/disk/README.md).
pub(crate) const PAGE: u64 = 4096;

/// Appends that may be on their way at a time, in bytes.
pub(crate) const IN_FLIGHT_BYTES_MAX: u32 = 64 << 20;

/// A group of operations that is made durable together.
pub(crate) const GROUP_EVENTS_MAX: usize = 1024;
/// The same in bytes.
pub(crate) const GROUP_BYTES_MAX: usize = 8 << 20;

/// Ids that are remembered after their events have left: 18 MB of memory, 29 MB on disk.
pub(crate) const IDS_MAX: usize = 1_800_000;

impl DiskSettings {
    pub(crate) fn limits(&self) -> Limits {
        let share = |parts: u64, least: u64, most: u64| (self.bytes_max / parts).clamp(least, most);
        Limits {
            ballast: share(16, 64 << 10, 32 << 20),
            start_reserve: share(32, 128 << 10, 2 << 20),
            pack: share(64, 256 << 10, 64 << 20),
            wal_pages: share(16 * PAGE, 64, 8000),
            headroom: share(32, 64 << 10, GROUP_BYTES_MAX as u64),
            segment: share(16, 1 << 20, 64 << 20) / PAGE * PAGE,
            // Elsewhere the space of one is worth more than the faster sync.
            spares: usize::from(self.bytes_max >= 1 << 30),
        }
    }
}
