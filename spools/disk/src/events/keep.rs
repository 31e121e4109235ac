//! The writer's side of the segments: how they are opened, and how a group of events becomes durable.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use faceway_core::AppendError;
use faceway_segments::{Opened, Settings};
use rusqlite::Connection;

use super::disk::SegmentDisk;
use super::keeper::Keeper;
use crate::group::Group;
use crate::settings::PAGE;
use crate::shared::Shared;
use crate::store::{Trouble, unless_corrupt};
use crate::writer::Writer;

/// The segments, as the writer has them.
pub(crate) struct Segments {
    pub(crate) writer: faceway_segments::Writer,
    pub(crate) keeper: Keeper,
    /// Bytes of a segment's file.
    pub(crate) segment_bytes: u64,
    /// Whether the directory has the format that says that events stand in segments.
    pub(crate) has_format: bool,
    /// The next group begins a new segment.
    pub(crate) rotates: bool,
    /// Numbers of events that are not there although the database has their pictures.
    unnamed: Option<(u64, u64)>,
    disk: Arc<dyn faceway_segments::Disk>,
}

impl Segments {
    /// Opens the segments, and tells what was found.
    pub(crate) fn open(shared: &Arc<Shared>) -> std::io::Result<Self> {
        let limits = shared.settings.limits();
        let segment_bytes = segment_bytes(shared);
        let settings = Settings {
            segment_bytes,
            // One of another size would not be used.
            spares: limits.spares,
        };
        let disk = SegmentDisk::new(&shared.paths.log, Arc::clone(&shared.disk));
        let disk: Arc<dyn faceway_segments::Disk> = Arc::new(disk);
        let mut opened = faceway_segments::open(Arc::clone(&disk), settings)?;
        tell(shared, &opened);
        shared.events.begin(opened.reader);
        let keeper = Keeper::start(shared, Arc::clone(&disk))?;
        keeper.seal(opened.writer.seals());
        Ok(Self {
            writer: opened.writer,
            keeper,
            segment_bytes,
            has_format: false,
            rotates: false,
            unnamed: None,
            disk,
        })
    }

    /// Writes the files beside segments that are to leave at once.
    pub(crate) fn seal_now(&mut self) {
        let failed = self.keeper.take_failed();
        for seal in self.writer.seals().into_iter().chain(failed) {
            if seal.write(&*self.disk).is_err() {
                self.keeper.seal(vec![seal]);
            }
        }
    }

    /// The events of the group are not there, and the database may have their pictures.
    pub(crate) fn note_unnamed(&mut self, group: &Group) {
        let seqs = group.rows.first().zip(group.rows.last());
        if let Some((first, last)) = seqs.filter(|_| group.pictures) {
            let before = self.unnamed.map_or(first.seq, |(from, _)| from);
            self.unnamed = Some((before, last.seq));
        }
    }

    /// Whether pictures are to be freed that no event names.
    pub(crate) const fn has_unnamed(&self) -> bool {
        self.unnamed.is_some()
    }

    /// Begins a new segment when it is time. No group may be begun.
    pub(crate) fn rotate_when_due(&mut self) {
        if std::mem::take(&mut self.rotates) && self.writer.rotate() {
            // It is rare, and the segment may be old enough to leave.
            self.seal_now();
        }
    }

    /// Numbers below this are never given out.
    pub(crate) fn skip_to(&mut self, seq: u64) {
        // Else the active segment would be given up.
        if seq > self.writer.next_seq() {
            self.writer.skip_to(seq);
        }
    }
}

/// On a small disk segments are small: one must fit in, and the space of one must not be missing to all else.
fn segment_bytes(shared: &Shared) -> u64 {
    let free = shared.disk.free(&shared.paths.dir).unwrap_or(0);
    let fitting = (free / 16).max(1 << 20) / PAGE * PAGE;
    shared.settings.limits().segment.min(fitting)
}

fn tell(shared: &Shared, opened: &Opened) {
    let recovered = &opened.recovered;
    shared.readers.note_found(&recovered.damaged);
    let missing = recovered.missing.len() as u64;
    shared
        .gauge
        .set_missing(recovered.missing.iter().max().copied());
    if missing > 0 {
        shared
            .gauge
            .groups_lost
            .fetch_add(missing, Ordering::Relaxed);
        tracing::error!(
            segments = ?recovered.missing,
            "segments of the log are missing, and their events with them. Where these files (directory `log`) were moved or \
             left out of a copy, stop, put them back, and start again"
        );
    }
    if !recovered.without_header.is_empty() {
        tracing::error!(
            segments = ?recovered.without_header,
            "both headers of segments of the log are damaged; their events were found all the same"
        );
    }
    if recovered.torn_bytes > 0 {
        tracing::info!(
            bytes = recovered.torn_bytes,
            "the last group of the log was cut off; it was never acknowledged"
        );
    }
}

impl Writer {
    /// Makes the events of the group durable. Everything else of it is durable already.
    pub(crate) fn commit_events(&mut self, group: &mut Group) {
        let committed = if group.rows.is_empty() {
            if !group.probes {
                return;
            }
            self.segments.writer.probe()
        } else {
            self.segments.writer.commit().map(|_| ())
        };
        match committed {
            Ok(()) => group.has_probed = group.probes,
            Err(trouble) => self.lose_events(group, trouble.into()),
        }
        self.keep_ahead();
    }

    /// The next segment is made before a group has to wait for it, and full ones get their files.
    fn keep_ahead(&mut self) {
        let writer = &mut self.segments.writer;
        self.segments.keeper.seal(writer.seals());
        self.budget.set_segments(writer);
        if self.budget.fits_segment() {
            // What fails here is tried again, and told, when the segment is needed.
            _ = writer.prepare();
            self.budget.set_segments(writer);
        }
        let evicted = self.seen.evicted();
        if evicted > 0 {
            self.segments.keeper.remove(writer.forget_ids(evicted));
        }
    }

    /// Pictures of events that are not there are free from now on. Else no sweep would ever come to them.
    pub(crate) fn free_unnamed(
        &mut self,
        conn: &Connection,
        group: &mut Group,
    ) -> Result<(), Trouble> {
        let Some((first, last)) = self.segments.unnamed else {
            return Ok(());
        };
        let sql = "UPDATE image SET free = coalesce(free, ?) WHERE last BETWEEN ? AND ? \
                   AND NOT EXISTS (SELECT 1 FROM picture_hold WHERE picture_hold.sha256 = image.sha256)";
        let row = (self.age(), first.cast_signed(), last.cast_signed());
        unless_corrupt(conn, || conn.execute(sql, row))?;
        group.dirty = true;
        group.frees_unnamed = true;
        Ok(())
    }

    /// The group that freed them is durable.
    pub(crate) fn freed_unnamed(&mut self, group: &Group) {
        if group.frees_unnamed {
            self.segments.unnamed = None;
        }
    }

    fn lose_events(&mut self, group: &mut Group, trouble: Trouble) {
        let error = match trouble {
            Trouble::Full => {
                let shared = &self.shared;
                self.budget
                    .drop_ballast(&shared.paths.ballast, &shared.gauge);
                AppendError::Full
            }
            trouble => {
                if let Some(times) = self.shared.gauge.throttle.note("events") {
                    tracing::error!(
                        ?trouble,
                        times,
                        "a group of events could not be made durable"
                    );
                }
                self.failing.begin_events();
                self.drop_ballast_if_full();
                AppendError::Failing
            }
        };
        self.segments.note_unnamed(group);
        self.shared.gauge.set_accepting(Err(error));
        self.seen.rollback();
        group.fail_events(error);
    }
}

impl From<faceway_segments::Trouble> for Trouble {
    fn from(trouble: faceway_segments::Trouble) -> Self {
        match trouble {
            faceway_segments::Trouble::Full => Self::Full,
            other => Self::Io(other.to_string()),
        }
    }
}
