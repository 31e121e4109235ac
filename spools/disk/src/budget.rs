//! The byte budget, and the reserve for a disk that is full all the same.
//!
//! A database that is full cannot even delete: deleting writes. So a file of ballast lies beside it; when the disk is
//! full it is removed, trimming has room, and as long as it is missing nothing is taken in. It is made again when there
//! is room for it.

use std::path::Path;

use rusqlite::Connection;
use rustix::fs::{FallocateFlags, fallocate};

use crate::disk::Disk;
use crate::settings::{DiskSettings, Limits, PAGE};
use crate::store::{Paths, Trouble, private_file};

/// What a row costs beyond its body, with room for a page that is not quite full.
const ROW_OVERHEAD: u64 = 160;

/// The small files: the index of the write-ahead log, the mark, the lock.
const SMALL_FILES: u64 = 128 << 10;

/// What is occupied, as last measured.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    bytes_max: u64,
    free_min: u64,
    limits: Limits,
    /// Pages of the database, and how many of them hold nothing.
    pages: u64,
    empty: u64,
    wal: u64,
    packs: u64,
    ballast: bool,
    /// What the disk has left.
    free: u64,
    /// What was refused since there was room for all that came.
    refused: Wanted,
}

/// What somebody wants to add.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) rows: u64,
    pub(crate) pictures: u64,
}

impl Wanted {
    /// Another row with a body of so many bytes.
    pub(crate) fn add_row(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        self.rows += bytes + bytes / 8 + ROW_OVERHEAD;
    }
}

impl std::ops::Add for Wanted {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            rows: self.rows + other.rows,
            pictures: self.pictures + other.pictures,
        }
    }
}

impl Budget {
    pub(crate) fn new(settings: &DiskSettings) -> Self {
        Self {
            bytes_max: settings.bytes_max,
            free_min: settings.free_min,
            limits: settings.limits(),
            pages: 0,
            empty: 0,
            wal: 0,
            packs: 0,
            ballast: false,
            free: u64::MAX,
            refused: Wanted::default(),
        }
    }

    /// Looks how things are.
    pub(crate) fn measure(
        &mut self,
        conn: &Connection,
        paths: &Paths,
        packs: u64,
        disk: &dyn Disk,
    ) -> Result<(), Trouble> {
        self.measure_pages(conn)?;
        self.wal = std::fs::metadata(&paths.wal).map_or(0, |file| file.len());
        self.packs = packs;
        self.free = disk.free(&paths.dir)?;
        Ok(())
    }

    /// The part that changes inside a transaction.
    pub(crate) fn measure_pages(&mut self, conn: &Connection) -> Result<(), Trouble> {
        let pragma = |sql: &str| -> rusqlite::Result<i64> {
            conn.prepare_cached(sql)?.query_row([], |row| row.get(0))
        };
        self.pages = pragma("PRAGMA page_count")?.cast_unsigned();
        self.empty = pragma("PRAGMA freelist_count")?.cast_unsigned();
        Ok(())
    }

    /// Bytes that the spool occupies.
    pub(crate) fn occupied(&self) -> u64 {
        let ballast = if self.ballast { self.limits.ballast } else { 0 };
        self.pages * PAGE + self.wal + self.packs + ballast + SMALL_FILES
    }

    /// Bytes that the disk has left.
    pub(crate) fn free(&self) -> u64 {
        self.free
    }

    /// Whether there is room for `wanted`. Rows go into empty pages first, pictures never do.
    pub(crate) fn fits(&self, wanted: Wanted) -> bool {
        self.fits_after(wanted, 0)
    }

    /// The same when pictures of so many bytes have left.
    pub(crate) fn fits_after(&self, wanted: Wanted, given: u64) -> bool {
        let (packs, free) = (
            self.packs.saturating_sub(given),
            self.free.saturating_add(given),
        );
        let grow = wanted.rows.saturating_sub(self.empty * PAGE) + wanted.pictures;
        // The log will be as large as it may; the ballast is counted also while it is missing.
        let wal = self.wal.max(self.limits.wal_pages * PAGE);
        let occupied = self.pages * PAGE + wal + packs + self.limits.ballast + SMALL_FILES;
        let disk = self
            .free_min
            .saturating_add(grow)
            .saturating_add(wanted.rows);
        self.ballast && occupied + grow <= self.bytes_max && disk <= free
    }

    /// What the next append may need, to tell whether it would be taken: one of ordinary size, or as much as was refused
    /// last, so that a spool does not call itself ready between two refusals.
    pub(crate) fn probe(&self) -> Wanted {
        Wanted {
            rows: self.refused.rows.max(16 << 10),
            pictures: self.refused.pictures,
        }
    }

    /// Takes note of what found no room. A batch that is larger than the headroom says nothing about others.
    pub(crate) fn refuse(&mut self, wanted: Wanted) {
        self.refused.rows = self.refused.rows.max(wanted.rows.min(self.limits.headroom));
        self.refused.pictures = self
            .refused
            .pictures
            .max(wanted.pictures.min(self.limits.headroom));
    }

    /// There is room for what was refused.
    pub(crate) fn forget_refused(&mut self) {
        self.refused = Wanted::default();
    }

    /// What should be left so that appends need not wait for trimming.
    pub(crate) fn headroom(&self) -> Wanted {
        let pictures = if self.packs > 0 {
            self.limits.headroom
        } else {
            0
        };
        Wanted {
            rows: self.limits.headroom,
            pictures,
        }
    }

    /// Whether the file should become shorter: for pictures, for others on this disk, or because a quarter is empty.
    /// Not for rows: they use the empty pages as they are.
    pub(crate) fn wants_vacuum(&self) -> bool {
        let headroom = self.headroom();
        let for_pictures = Wanted {
            rows: 0,
            ..headroom
        };
        let short = !self.ballast
            || self.free < self.free_min.saturating_add(headroom.rows)
            || (self.packs > 0 && !self.fits(for_pictures));
        self.empty > 0 && (short || self.empty > 1024.max(self.pages / 4))
    }

    /// Whether the reserve is there.
    pub(crate) fn has_ballast(&self) -> bool {
        self.ballast
    }

    /// The disk is full: the reserve is for trimming.
    pub(crate) fn drop_ballast(&mut self, path: &Path) {
        if std::mem::replace(&mut self.ballast, false) {
            tracing::warn!("the disk is full; the reserve is given up until there is room again");
        }
        if let Err(error) = std::fs::remove_file(path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "the reserve cannot be removed");
        }
    }

    /// Some failures are a full disk in disguise (a shared-memory file that cannot grow).
    pub(crate) fn drop_ballast_if_full(&mut self, paths: &Paths, disk: &dyn Disk) {
        if disk.free(&paths.dir).is_ok_and(|free| free < PAGE * 64) {
            self.drop_ballast(&paths.ballast);
        }
    }

    /// Makes the reserve when there is room for it.
    pub(crate) fn make_ballast(&mut self, path: &Path) {
        if self.ballast {
            return;
        }
        let wanted = self.limits.ballast + self.limits.headroom / 8;
        if self.free < self.free_min.saturating_add(wanted) {
            return;
        }
        match allocate(path, self.limits.ballast) {
            Ok(()) => self.ballast = true,
            Err(error) => {
                tracing::warn!(%error, "the reserve cannot be made");
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

fn allocate(path: &Path, bytes: u64) -> std::io::Result<()> {
    let file = private_file().open(path)?;
    if file.metadata()?.len() == bytes {
        return Ok(());
    }
    file.set_len(0)?;
    if fallocate(&file, FallocateFlags::empty(), 0, bytes).is_err() {
        // Not every file system can; then it is written. That is slow, and happens once.
        let mut writer = &file;
        std::io::copy(
            &mut std::io::Read::take(std::io::repeat(0xFA), bytes),
            &mut writer,
        )?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::{Budget, Wanted};
    use crate::settings::DiskSettings;
    use std::time::Duration;

    fn budget() -> Budget {
        let mut budget = Budget::new(&DiskSettings {
            dir: "x".into(),
            bytes_max: 64 << 20,
            free_min: 1 << 20,
            history: Duration::ZERO,
            images: Duration::ZERO,
            quarantine: Duration::ZERO,
        });
        budget.ballast = true;
        budget
    }

    #[test]
    fn rows_use_empty_pages_and_pictures_do_not() {
        let mut budget = budget();
        budget.pages = (14 << 10) - (128 << 10) / 4096;
        let rows = |rows| Wanted { rows, pictures: 0 };
        assert!(!budget.fits(rows(1)));
        budget.empty = 256;
        assert!(budget.fits(rows(1 << 20)));
        assert!(!budget.fits(rows((1 << 20) + 1)));
        let pictures = Wanted {
            rows: 0,
            pictures: 1,
        };
        assert!(!budget.fits(pictures));
    }

    #[test]
    fn nothing_fits_under_free_min_or_without_the_reserve() {
        let mut budget = budget();
        assert!(budget.fits(Wanted::default()));
        budget.free = (1 << 20) - 1;
        assert!(!budget.fits(Wanted::default()));
        budget.free = u64::MAX;
        budget.ballast = false;
        assert!(!budget.fits(Wanted::default()));
    }
}
