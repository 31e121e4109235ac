//! The byte budget, and the reserve for a disk that is full all the same.
//!
//! A database that is full cannot even delete: deleting writes. So a file of ballast lies beside it; when the disk is
//! full it is removed, trimming has room, and as long as it is missing nothing is taken in. It is made again when there
//! is room for it.

use std::path::Path;

use faceway_segments::EVENT_OVERHEAD;
use rusqlite::Connection;
use rustix::fs::{FallocateFlags, fallocate};

use crate::disk::Disk;
use crate::health::Gauge;
use crate::settings::{DiskSettings, Limits, PAGE};
use crate::store::{Paths, Trouble, private_file};

/// Bytes of a segment that hold no event.
const HEADERS: u64 = 128;

/// The small files: the index of the write-ahead log, the mark, the lock.
const SMALL_FILES: u64 = 128 << 10;

/// With less than this left, a failure is taken for one of a full disk.
const NEARLY_FULL: u64 = PAGE * 64;

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
    /// Files of segments, what the one that is written to has left, and whether the next one has a file.
    segments: u64,
    segment_left: u64,
    has_next_segment: bool,
    /// What lies in quarantine, and its share.
    quarantine: u64,
    quarantine_max: u64,
    ballast: bool,
    start_reserve: bool,
    /// What the disk has left.
    free: u64,
    /// What was refused since there was room for all that came.
    refused: Wanted,
}

/// What a batch wants to add.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    /// In segments.
    pub(crate) events: u64,
    pub(crate) rows: u64,
    pub(crate) pictures: u64,
}

impl Wanted {
    /// Another event of so many bytes.
    pub(crate) fn add_event(&mut self, bytes: usize) {
        self.events += bytes as u64 + EVENT_OVERHEAD;
    }
}

impl std::ops::Add for Wanted {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            events: self.events + other.events,
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
            segments: 0,
            segment_left: 0,
            has_next_segment: false,
            quarantine: 0,
            quarantine_max: settings.quarantine_bytes_max,
            ballast: false,
            start_reserve: false,
            free: u64::MAX,
            refused: Wanted::default(),
        }
    }

    /// Looks how things are beside the database.
    pub(crate) fn measure(
        &mut self,
        paths: &Paths,
        packs: u64,
        disk: &dyn Disk,
    ) -> Result<(), Trouble> {
        self.packs = packs;
        self.free = disk.free(&paths.dir)?;
        Ok(())
    }

    /// Looks how long the write-ahead log is.
    pub(crate) fn measure_log(&mut self, paths: &Paths) {
        self.wal = std::fs::metadata(&paths.wal).map_or(0, |file| file.len());
    }

    /// Pages of the database, and those that are empty.
    #[cfg(debug_assertions)]
    pub(crate) const fn pages(&self) -> (u64, u64) {
        (self.pages, self.empty)
    }

    /// Only what the disk has left.
    pub(crate) fn look_at_free(&mut self, paths: &Paths, disk: &dyn Disk) {
        self.free = disk.free(&paths.dir).unwrap_or(0);
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
        let of = |is_there, bytes| if is_there { bytes } else { 0 };
        let reserves = of(self.ballast, self.limits.ballast)
            + of(self.start_reserve, self.limits.start_reserve);
        self.pages * PAGE + self.wal + self.packs + self.segments + reserves + SMALL_FILES
    }

    /// Looks how the segments are.
    pub(crate) fn set_segments(&mut self, writer: &faceway_segments::Writer) {
        self.segments = writer.bytes();
        self.segment_left = writer.left();
        self.has_next_segment = writer.has_next();
    }

    /// Bytes of a segment's file, where they are not those that follow from the settings.
    pub(crate) fn set_segment_bytes(&mut self, bytes: u64) {
        self.limits.segment = bytes;
    }

    /// A segment leaves with this group.
    pub(crate) fn segment_leaves(&mut self, bytes: u64) {
        if !self.has_next_segment && self.limits.spares > 0 && bytes == self.limits.segment {
            self.has_next_segment = true;
        } else {
            self.segments = self.segments.saturating_sub(bytes);
        }
    }

    /// Whether there is room for the file of another segment.
    pub(crate) fn fits_segment(&self) -> bool {
        let wanted = Wanted {
            pictures: self.limits.segment,
            ..Wanted::default()
        };
        self.fits(wanted)
    }

    /// Bytes of the file that a group of events makes necessary.
    fn segment_for(&self, events: u64) -> u64 {
        let is_there = events <= self.segment_left
            || (self.has_next_segment && events <= self.limits.segment - HEADERS);
        if events == 0 || is_there {
            return 0;
        }
        self.limits.segment.max(events + HEADERS)
    }

    fn growth(&self, wanted: Wanted) -> u64 {
        let rows = wanted.rows.saturating_sub(self.empty * PAGE);
        rows + wanted.pictures + self.segment_for(wanted.events)
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
        // What is left of the quarantine's share is taken as if it were used.
        let aside = self.quarantine_max.saturating_sub(self.quarantine);
        let packs = self.packs.saturating_sub(given);
        let grow = self.growth(wanted);
        // The log will be as large as it may; the reserves are counted also while they are missing.
        let wal = self.wal.max(self.limits.wal_pages * PAGE);
        let reserves = self.limits.ballast + self.limits.start_reserve;
        let occupied =
            self.pages * PAGE + wal + packs + self.segments + reserves + SMALL_FILES + aside;
        let free = self.free.saturating_add(given);
        occupied + grow <= self.bytes_max && self.fits_in(wanted, free)
    }

    /// Whether the disk has room for `wanted`. For unreadable bodies nothing else counts: their share is set aside.
    pub(crate) fn fits_on_disk(&self, wanted: Wanted) -> bool {
        self.fits_in(wanted, self.free)
    }

    fn fits_in(&self, wanted: Wanted, free: u64) -> bool {
        let grow = self.growth(wanted);
        let disk = self
            .free_min
            .saturating_add(grow)
            .saturating_add(wanted.rows);
        self.ballast && disk <= free
    }

    /// Takes note of how much lies in quarantine.
    pub(crate) fn set_quarantine(&mut self, bytes: u64) {
        self.quarantine = bytes;
    }

    /// What the next append may need, to tell whether it would be taken: one of ordinary size, or as much as was refused
    /// last, so that a spool does not call itself ready between two refusals.
    pub(crate) fn probe(&self) -> Wanted {
        Wanted {
            events: self.refused.events.max(16 << 10),
            rows: self.refused.rows,
            pictures: self.refused.pictures,
        }
    }

    /// Takes note of what found no room. A batch that is larger than the headroom says nothing about others.
    pub(crate) fn refuse(&mut self, wanted: Wanted) {
        self.refused.events = (self.refused.events).max(wanted.events.min(self.limits.headroom));
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
            events: self.limits.headroom,
            rows: self.limits.headroom / 4,
            pictures,
        }
    }

    /// Whether the file should become shorter: for pictures, for others on this disk, because the log took more than its
    /// part, or because a quarter is empty. Otherwise not for rows: they use the empty pages as they are.
    pub(crate) fn wants_vacuum(&self) -> bool {
        let headroom = self.headroom();
        let for_pictures = Wanted {
            events: 0,
            rows: 0,
            ..headroom
        };
        let short = !self.ballast
            // Else appends were refused with the file half empty.
            || !self.fits(Wanted::default())
            || self.free < self.free_min.saturating_add(headroom.rows)
            || (self.packs > 0 && !self.fits(for_pictures));
        self.empty > 0 && (short || self.empty > 1024.max(self.pages / 4))
    }

    /// Whether the reserve is there.
    pub(crate) fn has_ballast(&self) -> bool {
        self.ballast
    }

    /// The disk is full: the reserve is for trimming.
    pub(crate) fn drop_ballast(&mut self, path: &Path, gauge: &Gauge) {
        if std::mem::replace(&mut self.ballast, false)
            && let Some(times) = gauge.throttle.note("reserve given up")
        {
            tracing::warn!(
                times,
                "the disk is full; the reserve is given up until there is room again"
            );
        }
        if let Err(error) = std::fs::remove_file(path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            gauge.failed();
            if let Some(times) = gauge.throttle.note("reserve stays") {
                tracing::warn!(%error, times, "the reserve cannot be removed");
            }
        }
    }

    /// Some failures are a full disk in disguise (a shared-memory file that cannot grow).
    pub(crate) fn drop_ballast_if_full(&mut self, paths: &Paths, disk: &dyn Disk, gauge: &Gauge) {
        if disk.free(&paths.dir).is_ok_and(|free| free < NEARLY_FULL) {
            self.drop_ballast(&paths.ballast, gauge);
        }
    }

    /// Makes both reserves when there is room for them: first that of the start, as without it a gateway that ended on a
    /// full disk could not start again.
    pub(crate) fn make_reserves(&mut self, paths: &Paths, gauge: &Gauge) {
        if !self.start_reserve && self.free >= 2 * self.limits.start_reserve {
            let made = allocate(&paths.start_reserve, self.limits.start_reserve);
            match made {
                Ok(()) => self.start_reserve = true,
                Err(_) => drop(std::fs::remove_file(&paths.start_reserve)),
            }
        }
        self.make_ballast(&paths.ballast, gauge);
    }

    fn make_ballast(&mut self, path: &Path, gauge: &Gauge) {
        if self.ballast {
            return;
        }
        // Else the file of the next segment would not fit beside it, and the reserve would go again at once.
        let next = self.limits.headroom / 8;
        let wanted = self.limits.ballast + next + self.segment_for(next);
        if self.free < self.free_min.saturating_add(wanted) {
            return;
        }
        match allocate(path, self.limits.ballast) {
            Ok(()) => self.ballast = true,
            Err(error) => {
                gauge.failed();
                if let Some(times) = gauge.throttle.note("reserve not made") {
                    tracing::warn!(%error, times, "the reserve cannot be made");
                }
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
            quarantine_bytes_max: 0,
        });
        budget.ballast = true;
        budget
    }

    #[test]
    fn rows_use_empty_pages_and_pictures_do_not() {
        let mut budget = budget();
        // All but the log, the ballast, the reserve of the start and the small files.
        budget.pages = (14 << 10) - (2 << 20) / 4096 - (128 << 10) / 4096;
        let rows = |rows| Wanted {
            rows,
            ..Wanted::default()
        };
        assert!(!budget.fits(rows(1)));
        budget.empty = 256;
        assert!(budget.fits(rows(1 << 20)));
        assert!(!budget.fits(rows((1 << 20) + 1)));
        let pictures = Wanted {
            pictures: 1,
            ..Wanted::default()
        };
        assert!(!budget.fits(pictures));
    }

    #[test]
    fn a_log_that_took_more_than_its_part_makes_the_file_shorter() {
        let mut budget = budget();
        (budget.pages, budget.empty) = (12 << 10, 512);
        assert!(!budget.wants_vacuum());
        budget.wal = 64 << 20;
        assert!(budget.wants_vacuum());
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
