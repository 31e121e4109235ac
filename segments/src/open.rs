//! Finding again what was durable.
//!
//! Full segments have files beside them and are not read. The newest is read, and any other whose files are missing or
//! damaged. The segment that was written to when the program ended without closing is never written to again: what a
//! power cut left behind its end could be taken for records otherwise.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::frame::{HEAD, Head};
use crate::group::Group;
use crate::header::{FRAMES, Header};
use crate::index::{Ids, Index};
use crate::reader::{IdsFile, Reader, Shared};
use crate::record::{KIND_CLOSED, KIND_EVENT, decode};
use crate::segment::{Segment, ids_name, index_name, log_name, number_of};
use crate::walk::{Step, Walk};
use crate::writer::{Active, Writer};
use crate::{Disk, File, Settings};

/// A log that was opened.
pub struct Opened {
    /// Appends to it.
    pub writer: Writer,
    /// Reads it.
    pub reader: Reader,
    /// What was found.
    pub recovered: Recovered,
}

/// What was found at open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Records that were durable and are damaged: the number of each where its head is sound.
    pub damaged: Vec<Option<u64>>,
    /// Bytes of a group that was being written when the program or the power went: it was never answered.
    pub torn_bytes: u64,
    /// Segments whose files are missing.
    pub missing: Vec<u64>,
    /// Segments of which both headers are damaged; their records were found all the same.
    pub without_header: Vec<u64>,
}

/// Opens the log in a directory, or begins one.
///
/// # Errors
/// When the disk fails.
pub fn open(disk: Arc<dyn Disk>, settings: Settings) -> io::Result<Opened> {
    let mut opening = Opening::list(disk, settings)?;
    opening.identify()?;
    opening.take_in()?;
    Ok(opening.finish())
}

/// A segment's file, before it is known what is in it.
struct Candidate {
    number: u64,
    file: Arc<dyn File>,
    file_bytes: u64,
    header: Option<Header>,
}

struct Opening {
    disk: Arc<dyn Disk>,
    settings: Settings,
    candidates: Vec<Candidate>,
    spares: Vec<u64>,
    id_files: BTreeSet<u64>,
    recovered: Recovered,
    segments: Vec<Arc<Segment>>,
    to_seal: Vec<Arc<Segment>>,
    ids_files: Vec<IdsFile>,
    active: Option<Active>,
    /// The highest number that was ever used.
    newest: u64,
    next_seq: u64,
    previous_end: u64,
}

impl Opening {
    fn list(disk: Arc<dyn Disk>, settings: Settings) -> io::Result<Self> {
        let (mut logs, mut spares, mut id_files) = (BTreeSet::new(), Vec::new(), BTreeSet::new());
        let names = disk.names()?;
        for name in &names {
            logs.extend(number_of(name, "seg"));
            spares.extend(number_of(name, "spare"));
            id_files.extend(number_of(name, "ids"));
        }
        let is_left = |name: &&String| {
            let index = number_of(name, "idx");
            index.is_some_and(|number| !logs.contains(&number))
                || number_of(name, "gone").is_some()
                || is_half_written(name)
        };
        for name in names.iter().filter(is_left) {
            disk.remove(name)?;
        }
        let mut candidates = Vec::new();
        for number in logs {
            let file = disk.open(&log_name(number))?;
            let file_bytes = file.bytes()?;
            candidates.push(Candidate {
                number,
                file,
                file_bytes,
                header: None,
            });
        }
        Ok(Self {
            disk,
            settings,
            candidates,
            spares,
            id_files,
            recovered: Recovered::default(),
            segments: Vec::new(),
            to_seal: Vec::new(),
            ids_files: Vec::new(),
            active: None,
            newest: 0,
            next_seq: 1,
            previous_end: 0,
        })
    }

    /// Finds which files are segments. A file that was made ready and never used has an old header, or none.
    fn identify(&mut self) -> io::Result<()> {
        let mut seq = 0;
        for candidate in &mut self.candidates {
            let mut bytes = [0; FRAMES as usize];
            let read = candidate.file.read_at(&mut bytes, 0)?;
            let header = Header::decode(&bytes[..read]);
            candidate.header = match header {
                Some(header) if header.number == candidate.number => Some(header),
                // One that was used before under another number, and not since.
                Some(_) => None,
                None => by_frames(candidate, seq)?.inspect(|header| {
                    self.recovered.without_header.push(header.number);
                }),
            };
            if let Some(header) = &candidate.header {
                seq = seq.max(header.first_seq.saturating_sub(1));
            }
        }
        let headers = self.candidates.iter().filter_map(|one| one.header);
        let (newest, oldest) = headers.fold((0, 0), |(newest, oldest), header| {
            (header.number.max(newest), header.oldest.max(oldest))
        });
        if newest > 0 {
            self.newest = newest;
            // What was let go of, and came back with the power.
            let is_left = |one: &Candidate| one.number < oldest;
            for left in self.candidates.iter().filter(|one| is_left(one)) {
                self.disk.remove(&log_name(left.number))?;
            }
            self.candidates.retain(|one| !is_left(one));
            let there = |number| self.candidates.iter().any(|one| one.number == number);
            // Segments leave from the oldest on, so what is missing behind one that is there was lost.
            let first = self.candidates.first().map_or(newest, |one| one.number);
            let missing = (first..newest).filter(|number| !there(*number));
            self.recovered.missing = missing.collect();
        }
        Ok(())
    }

    fn take_in(&mut self) -> io::Result<()> {
        self.load_left_ids()?;
        let candidates = std::mem::take(&mut self.candidates);
        let mut used = Vec::new();
        for candidate in candidates {
            match candidate.header {
                Some(header) => used.push((candidate, header)),
                // Made ready; it is made anew when its turn comes.
                None if candidate.number > self.newest => {}
                None => self.recovered.missing.push(candidate.number),
            }
        }
        let headers: Vec<Header> = used.iter().map(|(_, header)| *header).collect();
        for (at, (candidate, header)) in used.into_iter().enumerate() {
            let next = headers.get(at + 1);
            let end = next
                .filter(|next| next.number == header.number + 1 && next.previous_end > 0)
                .map(|next| next.previous_end);
            // Also where nothing of its first group is left.
            let next_seq = header.first_seq.max(header.next_seq);
            self.next_seq = self.next_seq.max(next_seq);
            match (next, end) {
                (None, _) => self.take_newest(&candidate, header)?,
                (Some(_), end) => self.take_full(&candidate, header, end)?,
            }
        }
        Ok(())
    }

    /// Ids of segments that have left.
    fn load_left_ids(&mut self) -> io::Result<()> {
        let logs: BTreeSet<u64> = self.candidates.iter().map(|one| one.number).collect();
        for number in self.id_files.difference(&logs).copied().collect::<Vec<_>>() {
            let (ids, _) = self.read_ids(number)?;
            self.keep_ids(number, &ids);
        }
        Ok(())
    }

    fn keep_ids(&mut self, number: u64, ids: &Ids) {
        // Numbers never go back, also when the events are gone.
        self.next_seq = self.next_seq.max(ids.last_seq() + 1);
        self.ids_files.push(IdsFile::new(number, ids));
    }

    fn read_ids(&self, number: u64) -> io::Result<(Ids, bool)> {
        if !self.id_files.contains(&number) {
            return Ok((Ids::default(), false));
        }
        let bytes = read_file(&*self.disk, &ids_name(number))?;
        Ok(Ids::decode(&bytes))
    }

    /// A segment behind which another one was begun.
    fn take_full(
        &mut self,
        candidate: &Candidate,
        header: Header,
        end: Option<u64>,
    ) -> io::Result<()> {
        let number = header.number;
        if let Some((index, index_end)) = self.read_index(number, header.id)?
            && end.is_none_or(|end| end == index_end)
        {
            let (ids, is_whole) = self.read_ids(number)?;
            if is_whole || index.events == 0 {
                self.keep_ids(number, &ids);
                self.add(candidate, header, index_end, index, Ids::default());
                return Ok(());
            }
        }
        let file_end = end
            .unwrap_or(candidate.file_bytes)
            .min(candidate.file_bytes);
        let scanned = Scanned::of(candidate, header, file_end)?;
        self.tell_losses(&scanned);
        let end = end.unwrap_or(scanned.end);
        let segment = self.add(candidate, header, end, scanned.index, scanned.ids);
        self.to_seal.push(segment);
        Ok(())
    }

    fn take_newest(&mut self, candidate: &Candidate, header: Header) -> io::Result<()> {
        let scanned = Scanned::of(candidate, header, candidate.file_bytes)?;
        let first_write = match scanned.last_group {
            // The header was written with it.
            FRAMES => 0,
            at => at,
        };
        write_again(&*candidate.file, first_write..scanned.end)?;
        let is_clean = scanned.is_closed;
        self.tell_losses(&scanned);
        self.previous_end = scanned.end;
        // Else each crash would keep the space of a whole segment. A failure costs only that.
        let is_cut = !is_clean && candidate.file.truncate(scanned.end).is_ok();
        let candidate = &Candidate {
            file: Arc::clone(&candidate.file),
            file_bytes: if is_cut {
                scanned.end
            } else {
                candidate.file_bytes
            },
            ..*candidate
        };
        let segment = self.add(candidate, header, scanned.end, scanned.index, scanned.ids);
        if is_clean {
            self.active = Some(Active {
                segment,
                at: scanned.end,
                header: None,
            });
        } else {
            self.to_seal.push(segment);
        }
        Ok(())
    }

    /// What is missing of the last group may never have been durable, unless the segment was closed behind it.
    fn tell_losses(&mut self, scanned: &Scanned) {
        self.next_seq = self.next_seq.max(scanned.highest + 1);
        for loss in &scanned.losses {
            if scanned.is_closed || loss.at < scanned.last_group {
                self.recovered.damaged.push(loss.seq);
            } else {
                self.recovered.torn_bytes += loss.bytes;
            }
        }
    }

    fn add(
        &mut self,
        candidate: &Candidate,
        header: Header,
        end: u64,
        index: Index,
        ids: Ids,
    ) -> Arc<Segment> {
        self.next_seq = self.next_seq.max(index.last_seq + 1);
        let file = Arc::clone(&candidate.file);
        let segment = Segment::new(&header, file, candidate.file_bytes);
        let segment = Arc::new(segment.found(end, index, ids));
        self.segments.push(Arc::clone(&segment));
        segment
    }

    fn read_index(&self, number: u64, id: u64) -> io::Result<Option<(Index, u64)>> {
        let name = index_name(number);
        match read_file(&*self.disk, &name) {
            Ok(bytes) => Ok(Index::decode(&bytes, id)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn finish(self) -> Opened {
        let shared = Arc::new(Shared::default());
        *shared.write() = self.segments;
        *shared.ids_mut() = self.ids_files;
        // Also when the last events have left: the tail never goes back.
        shared.tail.store(self.next_seq - 1, Ordering::Release);
        let reader = Reader {
            shared: Arc::clone(&shared),
            disk: Arc::clone(&self.disk),
        };
        let writer = Writer {
            disk: self.disk,
            settings: self.settings,
            shared,
            group: Group::default(),
            next_seq: self.next_seq,
            active: self.active,
            // Above all that left something: the ids of a segment that is gone would be taken for those of its namesake.
            next_number: 1 + self
                .spares
                .iter()
                .chain(&self.id_files)
                .copied()
                .fold(self.newest, u64::max),
            previous_end: self.previous_end,
            spares: self.spares,
            is_prepared: false,
            to_seal: self.to_seal,
        };
        Opened {
            writer,
            reader,
            recovered: self.recovered,
        }
    }
}

/// What reading a segment shows.
#[derive(Debug, Default)]
struct Scanned {
    index: Index,
    ids: Ids,
    /// Where the last frame ends.
    end: u64,
    /// Where the group of the last frame begins.
    last_group: u64,
    /// The highest number that a head names.
    highest: u64,
    /// Whether the last frame says that the segment was closed.
    is_closed: bool,
    /// What is damaged before the last frame.
    losses: Vec<Loss>,
}

#[derive(Clone, Copy, Debug)]
struct Loss {
    at: u64,
    bytes: u64,
    seq: Option<u64>,
}

impl Scanned {
    fn of(candidate: &Candidate, header: Header, end: u64) -> io::Result<Self> {
        let mut scanned = Self {
            end: FRAMES,
            last_group: FRAMES,
            index: Index::behind(header.first_seq.saturating_sub(1)),
            ..Self::default()
        };
        let mut walk = Walk::new(&*candidate.file, header.id, FRAMES, end);
        let mut gap = None;
        while let Some(step) = walk.step()? {
            match step {
                // At the end of the file it is what was never written.
                Step::Gap(range) => {
                    gap = Some(Loss {
                        at: range.start,
                        bytes: range.end - range.start,
                        seq: None,
                    });
                }
                Step::Frame { offset, head } => {
                    scanned.losses.extend(gap.take());
                    scanned.pass(offset, head);
                    let event = (head.kind == KIND_EVENT).then(|| decode(walk.body()));
                    if let Some(event) = event.flatten() {
                        scanned.begin(header);
                        scanned.index.add(offset, head.seq, event.at);
                        scanned.ids.add(head.seq, event.id);
                    }
                }
                Step::Damaged { offset, head } => {
                    scanned.losses.extend(gap.take());
                    scanned.pass(offset, head);
                    scanned.losses.push(Loss {
                        at: offset,
                        bytes: head.total(),
                        seq: (head.kind == KIND_EVENT).then_some(head.seq),
                    });
                }
            }
        }
        if scanned.index.events > 0 {
            scanned.index.last_seq = scanned.highest;
        }
        Ok(scanned)
    }

    /// Where its first events are lost, reading tells it.
    fn begin(&mut self, header: Header) {
        if self.index.events == 0
            && let Some(first_seq) = header.begins_with()
        {
            self.index.begin(FRAMES, first_seq);
        }
    }

    fn pass(&mut self, offset: u64, head: Head) {
        self.end = offset + head.total();
        self.last_group = head.group_at();
        self.is_closed = head.kind == KIND_CLOSED;
        // Also of a damaged event: its number is never given out again.
        self.highest = self.highest.max(head.seq);
    }
}

/// Both headers are damaged, or the file was never used: its frames tell which. Those of an earlier use have numbers that
/// have left the log, or are below `seq`.
fn by_frames(candidate: &Candidate, seq: u64) -> io::Result<Option<Header>> {
    let mut bytes = vec![0; 1 << 20];
    let read = candidate.file.read_at(&mut bytes, FRAMES)?;
    let heads = bytes[..read].chunks_exact(8).enumerate();
    let found = heads.into_iter().find_map(|(at, _)| {
        let bytes = bytes[at * 8..read].first_chunk::<{ HEAD as usize }>()?;
        Head::decode_any(bytes).filter(|(_, head)| head.seq > seq)
    });
    Ok(found.map(|(id, head)| Header {
        number: candidate.number,
        id,
        first_seq: head.seq,
        previous_end: 0,
        oldest: 0,
        next_seq: 0,
    }))
}

/// Makes the last group durable: the program may have ended before its sync, or the sync failed, and what is read may be in
/// memory only. A sync alone would not write again what a failed one has dropped.
fn write_again(file: &dyn File, group: Range<u64>) -> io::Result<()> {
    if group.is_empty() {
        return Ok(());
    }
    let mut bytes = vec![0; (group.end - group.start) as usize];
    let read = file.read_at(&mut bytes, group.start)?;
    file.write_at(&bytes[..read], group.start)?;
    file.sync()
}

/// See [`crate::writer::write_file`].
fn is_half_written(name: &str) -> bool {
    let name = name.strip_suffix(".new").unwrap_or_default();
    number_of(name, "idx").or(number_of(name, "ids")).is_some()
}

fn read_file(disk: &dyn Disk, name: &str) -> io::Result<Vec<u8>> {
    let file = disk.open(name)?;
    let bytes = usize::try_from(file.bytes()?).unwrap_or(usize::MAX);
    let mut read = vec![0; bytes];
    let length = file.read_at(&mut read, 0)?;
    read.truncate(length);
    Ok(read)
}
