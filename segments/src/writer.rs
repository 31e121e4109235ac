//! Appending: one write and one sync a group.
//!
//! **After a failure** it is not known what the disk holds of the group, so its segment is given up where it was durable last.
//! The next group goes into a new segment, whose header says where the one before ends: so once anything else is
//! committed, the failed group is out of the log for good, and until then a restart may find it. Its numbers are never used
//! again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::frame::{ALIGN, GROUP_END, HEAD};
use crate::group::Group;
use crate::header::{FRAMES, Header};
use crate::index::Ids;
use crate::reader::{IdsFile, Reader, Shared};
use crate::record::Event;
use crate::segment::{Segment, SegmentInfo, gone_name, ids_name, index_name, log_name, spare_name};
use crate::{Disk, Settings, Trouble};

/// See the module.
pub struct Writer {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) settings: Settings,
    pub(crate) shared: Arc<Shared>,
    pub(crate) group: Group,
    pub(crate) next_seq: u64,
    pub(crate) active: Option<Active>,
    /// The number of the next segment.
    pub(crate) next_number: u64,
    /// Where the newest segment before that ends.
    pub(crate) previous_end: u64,
    /// Files that wait to be used again, by their number.
    pub(crate) spares: Vec<u64>,
    /// A file that has the next segment's name already, durably.
    pub(crate) is_prepared: bool,
    /// Segments that are full and have no files beside them yet.
    pub(crate) to_seal: Vec<Arc<Segment>>,
}

/// The segment that is written to.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) segment: Arc<Segment>,
    /// Where the next group begins.
    pub(crate) at: u64,
    /// Written before its first group; `None` when it is durable.
    pub(crate) header: Option<Header>,
}

/// What a commit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The last durable event.
    pub tail: u64,
    /// Whether a segment is full: see [`Writer::seals`].
    pub is_sealed: bool,
}

/// Writes the files beside a full segment: work that may be done by another thread, and again after a failure. Until it is
/// done, a start reads the segment.
#[derive(Debug)]
pub struct Seal {
    segment: Arc<Segment>,
    shared: Arc<Shared>,
}

impl Writer {
    /// The number that the next event gets.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Makes sure that numbers below this are never given out.
    pub fn skip_to(&mut self, seq: u64) {
        // A group that is begun has its numbers.
        if self.group.is_empty() {
            self.next_seq = self.next_seq.max(seq);
            self.leave_gap();
        }
    }

    /// Reads what is durable.
    pub fn reader(&self) -> Reader {
        Reader {
            shared: Arc::clone(&self.shared),
            disk: Arc::clone(&self.disk),
        }
    }

    /// Adds an event to the group; gives its number, which counts once the group is committed.
    ///
    /// # Errors
    /// When it is too large. The group goes on without it.
    pub fn push(&mut self, event: &Event<'_>) -> Result<u64, Trouble> {
        let seq = self.next_seq;
        self.group.push_event(seq, event)?;
        self.next_seq += 1;
        Ok(seq)
    }

    /// Forgets the group. Its numbers are not used again.
    pub fn abandon(&mut self) {
        if !self.group.is_empty() {
            self.group.clear();
            self.leave_gap();
        }
    }

    /// Forgets the group, of which no one was told: its numbers go to the next one.
    pub fn withdraw(&mut self) {
        if let Some(first) = self.group.frames().first() {
            self.next_seq = first.head.seq;
        }
        self.group.clear();
    }

    /// Makes the group durable.
    ///
    /// # Errors
    /// When the disk is full or fails. Nothing of the group counts, but what is found of it by a restart before the next
    /// commit.
    pub fn commit(&mut self) -> Result<Committed, Trouble> {
        if self.group.is_empty() {
            return Ok(self.committed());
        }
        let written = self.write();
        if written.is_err() {
            self.give_up();
        } else {
            self.publish();
        }
        self.group.clear();
        written.map(|()| self.committed())
    }

    /// Makes the next segment ready, so that no commit has to wait for it: worth calling when the active one is more than
    /// half full. Does nothing when that is done.
    ///
    /// # Errors
    /// When the disk is full or fails; a commit tries it again.
    pub fn prepare(&mut self) -> Result<(), Trouble> {
        if !self.is_prepared && self.is_half_full() {
            self.make_next(self.settings.segment_bytes)?;
        }
        Ok(())
    }

    /// Segments that are full, each once.
    pub fn seals(&mut self) -> Vec<Seal> {
        let shared = Arc::clone(&self.shared);
        let seal = |segment| Seal {
            segment,
            shared: Arc::clone(&shared),
        };
        self.to_seal.drain(..).map(seal).collect()
    }

    /// Lets go of segments of which all events are below `seq`, the oldest first. The ids of their events stay known.
    /// Gives the names of files that are to be removed, by [`Disk::remove`]: that takes a while, and may be done by another
    /// thread.
    ///
    /// # Errors
    /// When the disk fails; it may be tried again.
    pub fn trim(&mut self, seq: u64) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        while let Some(segment) = self.removable(seq) {
            let number = segment.number;
            let is_spare = segment.file_bytes() == self.settings.segment_bytes
                && self.spares.len() < self.settings.spares;
            // Renamed in their order, so that a segment that is missing between others was lost.
            if is_spare {
                self.disk.rename(&log_name(number), &spare_name(number))?;
                self.spares.push(number);
            } else {
                self.disk.rename(&log_name(number), &gone_name(number))?;
                names.push(gone_name(number));
            }
            names.push(index_name(number));
            self.shared.write().remove(0);
        }
        Ok(names)
    }

    /// The oldest segment, if all its events are below `seq` and it is neither written to nor waits for its files.
    fn removable(&self, seq: u64) -> Option<Arc<Segment>> {
        let oldest = self.shared.read().first().cloned()?;
        let is_active =
            (self.active.as_ref()).is_some_and(|active| active.segment.number == oldest.number);
        let waits = (self.to_seal.iter()).any(|segment| segment.number == oldest.number);
        let is_below = oldest.read().index.last_seq < seq;
        // Where its ids are not written yet, they would be forgotten.
        let has_ids = oldest.read().ids.runs.is_empty();
        (is_below && !is_active && !waits && has_ids).then_some(oldest)
    }

    /// Lets go of the ids of events below `seq` that have left. Gives the names of files to remove.
    pub fn forget_ids(&self, seq: u64) -> Vec<String> {
        let oldest = self.shared.oldest().unwrap_or(u64::MAX);
        let mut gone = Vec::new();
        self.shared.ids_mut().retain(|file| {
            let stays = file.last_seq >= seq || file.number >= oldest;
            if !stays {
                gone.push(ids_name(file.number));
            }
            stays
        });
        gone
    }

    /// The segment that is written to, once it holds an event.
    pub fn active(&self) -> Option<SegmentInfo> {
        let active = self.active.as_ref().map(|active| active.segment.info());
        active.filter(|segment| segment.events > 0)
    }

    /// Whether a segment is written to: then [`Writer::close`] leaves in it where the numbers end.
    pub const fn is_active(&self) -> bool {
        self.active.is_some()
    }

    /// Lets the next group begin a new segment, so that the one that is written to can leave. `false` when a group is begun, or
    /// there is nothing to leave.
    pub fn rotate(&mut self) -> bool {
        let can = self.group.is_empty() && self.active().is_some();
        if can {
            self.give_up();
        }
        can
    }

    /// The oldest segment, if [`Writer::trim`] would let go of it once its events are no longer needed: it is not written to,
    /// and its files are beside it.
    pub fn oldest(&self) -> Option<SegmentInfo> {
        self.removable(u64::MAX).map(|segment| segment.info())
    }

    /// Bytes that the segment that is written to has left for a group.
    pub fn left(&self) -> u64 {
        let active = self.active.as_ref();
        active.map_or(0, |active| match active.at < GROUP_END {
            true => active.segment.file_bytes().saturating_sub(active.at),
            false => 0,
        })
    }

    /// Whether a file waits for the next segment, so that beginning it takes no space.
    pub fn has_next(&self) -> bool {
        self.is_prepared || !self.spares.is_empty()
    }

    /// Bytes of all segments' files, with those that are kept for later.
    pub fn bytes(&self) -> u64 {
        let segments = self.shared.read();
        let ready = self.spares.len() as u64 + u64::from(self.is_prepared);
        let used: u64 = segments.iter().map(|segment| segment.file_bytes()).sum();
        used + ready * self.settings.segment_bytes
    }

    /// Ends in order: the next start need not look for anything, and goes on in the same segment.
    ///
    /// # Errors
    /// When the disk fails: then the next start reads the last segment.
    pub fn close(&mut self) -> Result<(), Trouble> {
        self.group.clear();
        if self.active.is_none() {
            return Ok(());
        }
        self.probe()
    }

    /// Writes and syncs a record that says nothing, to learn whether the disk works again. A group that is begun is forgotten.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn probe(&mut self) -> Result<(), Trouble> {
        self.group.clear();
        self.group.push_closed(self.next_seq - 1)?;
        self.commit().map(|_| ())
    }

    fn committed(&self) -> Committed {
        Committed {
            tail: self.shared.tail.load(Ordering::Acquire),
            is_sealed: !self.to_seal.is_empty(),
        }
    }

    fn write(&mut self) -> Result<(), Trouble> {
        let bytes = self.group.len();
        if self.active.is_none() || self.left() < bytes {
            self.begin_segment(bytes)?;
        }
        let Some(active) = &self.active else {
            return Err(Trouble::Io(io::Error::other("no segment is open")));
        };
        let file = &active.segment.file;
        if let Some(header) = &active.header {
            file.write_at(&header.encode(), 0)?;
        }
        file.write_at(self.group.finish(active.segment.id, active.at), active.at)?;
        Ok(file.sync()?)
    }

    /// What is durable becomes visible.
    fn publish(&mut self) {
        let Some(active) = &mut self.active else {
            return;
        };
        let segment = &active.segment;
        if active.header.take().is_some() {
            // Before this nothing in it counts.
            self.shared.write().push(Arc::clone(segment));
        }
        let mut inner = segment.write();
        for frame in self.group.frames() {
            if let Some((id, at)) = frame.stamp {
                inner
                    .index
                    .add(active.at + frame.offset, frame.head.seq, at);
                inner.ids.add(frame.head.seq, id);
            }
        }
        active.at += self.group.len();
        inner.end = active.at;
        let tail = match inner.index.events {
            0 => self.shared.tail.load(Ordering::Relaxed),
            _ => inner.index.last_seq,
        };
        drop(inner);
        // Last: who sees the tail finds the event.
        self.shared.tail.store(tail, Ordering::Release);
    }

    /// The active segment is not written to any more.
    fn give_up(&mut self) {
        let Some(active) = self.active.take() else {
            return;
        };
        if active.header.is_some() {
            // Nothing in it counts: the same number is begun anew, in a fresh file and under another id.
            self.next_number = active.segment.number;
        } else {
            self.previous_end = active.at;
            self.to_seal.push(active.segment);
        }
    }

    /// Events of one segment have numbers without gaps.
    fn leave_gap(&mut self) {
        let has_events = |active: &Active| active.segment.read().index.events > 0;
        if self.active.as_ref().is_some_and(has_events) {
            self.give_up();
        }
    }

    fn begin_segment(&mut self, group_bytes: u64) -> Result<(), Trouble> {
        self.give_up();
        let bytes = self.settings.segment_bytes.max(FRAMES + group_bytes);
        if bytes > self.settings.segment_bytes {
            // What is prepared is too short; it is made anew with this length.
            self.is_prepared = false;
        }
        if !self.is_prepared {
            self.make_next(bytes)?;
        }
        let number = self.next_number;
        let file = self.disk.open(&log_name(number))?;
        let file_bytes = file.bytes()?;
        let mut events = self
            .group
            .frames()
            .iter()
            .filter(|frame| frame.stamp.is_some());
        let header = Header {
            number,
            id: self.disk.random(),
            first_seq: events.next().map_or(self.next_seq, |frame| frame.head.seq),
            next_seq: self.next_seq,
            previous_end: self.previous_end,
            oldest: self.shared.oldest().unwrap_or(number),
        };
        self.is_prepared = false;
        self.next_number = number + 1;
        self.active = Some(Active {
            segment: Arc::new(Segment::new(&header, file, file_bytes)),
            at: FRAMES,
            header: Some(header),
        });
        Ok(())
    }

    /// Gives the next segment a file. Its name is durable before anything is committed in it: a power cut would take the
    /// records with the name.
    fn make_next(&mut self, bytes: u64) -> Result<(), Trouble> {
        let name = log_name(self.next_number);
        let spare = self.spares.last().copied();
        match spare.filter(|_| bytes == self.settings.segment_bytes) {
            Some(number) => {
                self.disk.rename(&spare_name(number), &name)?;
                self.spares.pop();
            }
            None => drop(self.disk.create(&name, bytes)?),
        }
        self.disk.sync_names()?;
        self.is_prepared = true;
        Ok(())
    }

    fn is_half_full(&self) -> bool {
        (self.active.as_ref()).is_some_and(|active| active.at * 2 > active.segment.file_bytes())
    }
}

impl Seal {
    /// Writes both files. What is half written at a crash is made again.
    ///
    /// # Errors
    /// When the disk is full or fails; it may be tried again, and costs only time at the next start.
    pub fn write(&self, disk: &dyn Disk) -> io::Result<()> {
        let number = self.segment.number;
        let (index, ids) = {
            let inner = self.segment.read();
            (
                inner.index.encode(self.segment.id, inner.end),
                inner.ids.clone(),
            )
        };
        if !ids.runs.is_empty() {
            write_file(disk, &ids_name(number), &ids.encode())?;
        }
        write_file(disk, &index_name(number), &index)?;
        disk.sync_names()?;
        if !ids.runs.is_empty() {
            let mut files = self.shared.ids_mut();
            files.push(IdsFile::new(number, &ids));
        }
        self.segment.write().ids = Ids::default();
        self.segment.cut();
        Ok(())
    }
}

/// A file that is there as a whole or not at all.
pub(crate) fn write_file(disk: &dyn Disk, name: &str, bytes: &[u8]) -> io::Result<()> {
    let new = format!("{name}.new");
    let file = disk.create(&new, bytes.len() as u64)?;
    file.write_at(bytes, 0)?;
    file.sync()?;
    disk.rename(&new, name)
}

const _: () = assert!(FRAMES.is_multiple_of(ALIGN) && HEAD.is_multiple_of(ALIGN));
