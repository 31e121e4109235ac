//! Folding the write-ahead log into the database: by the writer and not by SQLite, which would say nothing when it fails.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::store::{Trouble, fold};
use crate::writer::Writer;

/// After a failure the next group does not try again at once: each try costs a sync that fails.
const PAUSE: Duration = Duration::from_secs(1);

impl Writer {
    /// Folds the log in when it has become long, as far as readers allow.
    pub(crate) fn fold_when_due(&mut self, conn: &Connection) {
        let pages = self.shared.log_pages.load(Ordering::Relaxed);
        let now = Instant::now();
        let is_due = pages >= self.shared.settings.limits().wal_pages;
        if is_due && self.fold_after.is_none_or(|after| now >= after) {
            self.fold_after = (!self.fold(conn)).then(|| now + PAUSE);
        }
    }

    /// Folds the log in as far as readers allow. `false` when that fails.
    pub(crate) fn fold(&self, conn: &Connection) -> bool {
        let fold = || {
            self.shared.disk.before_fold()?;
            let sql = "PRAGMA wal_checkpoint(PASSIVE)";
            conn.query_row(sql, [], |_| Ok(())).map_err(Trouble::from)
        };
        let folded = fold();
        self.shared.gauge.folded(&folded);
        folded.is_ok()
    }

    /// Folds all of the log in and empties it.
    pub(crate) fn fold_all(&self, conn: &Connection) -> Result<(), Trouble> {
        let begun = self.shared.disk.before_fold().map_err(Trouble::from);
        let folded = begun.and_then(|()| fold(conn));
        // A reader is no failure of the disk, and is told by who wanted the log to be empty.
        if !matches!(&folded, Err(Trouble::InUse)) {
            self.shared.gauge.folded(&folded);
        }
        folded
    }
}
