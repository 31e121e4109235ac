//! Reading by sequence number, beside the writer and without waiting for it.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::Disk;
use crate::index::{Ids, Run};
use crate::record::Event;
use crate::scan::{Wanted, Windows, read_segment};
use crate::segment::{Segment, SegmentInfo, ids_name};

/// What reader and writer share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Ascending by number.
    segments: RwLock<Vec<Arc<Segment>>>,
    /// The last durable event.
    pub(crate) tail: AtomicU64,
    /// Files of ids, also those of segments that have left.
    ids: RwLock<Vec<IdsFile>>,
    windows: Windows,
}

/// What is known of a file of ids.
#[derive(Debug)]
pub(crate) struct IdsFile {
    pub(crate) number: u64,
    pub(crate) last_seq: u64,
    /// Where each run begins: its first number, and its place in the file.
    places: Vec<(u64, u64)>,
}

impl IdsFile {
    pub(crate) fn new(number: u64, ids: &Ids) -> Self {
        Self {
            number,
            last_seq: ids.last_seq(),
            places: ids.places(),
        }
    }

    /// Where the run with this number begins.
    fn place(&self, seq: u64) -> Option<u64> {
        let behind = self.places.partition_point(|(first, _)| *first <= seq);
        let run = behind.checked_sub(1).filter(|_| seq <= self.last_seq)?;
        self.places.get(run).map(|(_, place)| *place)
    }

    /// The run that has this number, or else the next one: its first number, where it begins, and the number behind its last.
    fn run_from(&self, seq: u64) -> Option<(u64, u64, u64)> {
        let behind = self.places.partition_point(|(first, _)| *first <= seq);
        let runs = behind.saturating_sub(1)..self.places.len();
        runs.map(|at| (self.places[at].0, self.places[at].1, self.end(at)))
            .find(|(_, _, end)| *end > seq)
    }

    /// The number behind the last one of a run.
    fn end(&self, at: usize) -> u64 {
        let (first, place) = self.places[at];
        match self.places.get(at + 1) {
            Some((_, next)) => first + Ids::in_run(*next - place),
            None => self.last_seq + 1,
        }
    }
}

impl Shared {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Vec<Arc<Segment>>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Vec<Arc<Segment>>> {
        (self.segments.write()).unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the oldest segment.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.read().first().map(|segment| segment.number)
    }

    pub(crate) fn ids(&self) -> RwLockReadGuard<'_, Vec<IdsFile>> {
        self.ids.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ids_mut(&self) -> RwLockWriteGuard<'_, Vec<IdsFile>> {
        self.ids.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads events. Clones are cheap.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(crate) shared: Arc<Shared>,
    pub(crate) disk: Arc<dyn Disk>,
}

/// What stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// The event of this number.
    Event(u64, Event<'a>),
    /// The event of this number is damaged, or was torn by a power cut that left others of its group.
    Damaged(u64),
}

/// Where the events of a time stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first of them; 0 when there are none.
    pub first_seq: u64,
    /// The last of them.
    pub last_seq: u64,
    /// How many they are.
    pub events: u64,
}

impl Span {
    fn add(&mut self, first_seq: u64, last_seq: u64) {
        if self.events == 0 {
            self.first_seq = first_seq;
        }
        self.last_seq = last_seq;
        self.events += last_seq - first_seq + 1;
    }
}

impl Reader {
    /// The last durable event; 0 when there is none.
    pub fn tail(&self) -> u64 {
        self.shared.tail.load(Ordering::Acquire)
    }

    /// The lowest event that may be there; everything below it has left. One above [`Reader::tail`] when nothing is there.
    pub fn first(&self) -> u64 {
        let segments = self.shared.read();
        let first = segments.iter().find_map(|segment| {
            let first = segment.read().index.first_seq;
            (first > 0).then_some(first)
        });
        first.unwrap_or_else(|| self.tail() + 1)
    }

    /// The segments, the oldest first.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        (self.shared.read().iter())
            .map(|segment| segment.info())
            .collect()
    }

    /// Gives what stands from `from_seq` up to `through_seq` to `take`, in order, until that says `false`.
    /// An event that is not given, and not given as damaged, has left or was never there.
    ///
    /// # Errors
    /// When the disk fails: then what was given before is true all the same.
    pub fn read(
        &self,
        from_seq: u64,
        through_seq: u64,
        take: impl FnMut(Found<'_>) -> bool,
    ) -> io::Result<()> {
        self.read_wanted(Wanted::Through(from_seq, through_seq), take)
    }

    /// The same of these numbers, which ascend. What stands close together is read in one go.
    ///
    /// # Errors
    /// When the disk fails: then what was given before is true all the same.
    pub fn pick(&self, seqs: &[u64], take: impl FnMut(Found<'_>) -> bool) -> io::Result<()> {
        self.read_wanted(Wanted::These(seqs), take)
    }

    fn read_wanted(
        &self,
        wanted: Wanted<'_>,
        mut take: impl FnMut(Found<'_>) -> bool,
    ) -> io::Result<()> {
        let wanted = wanted.up_to(self.tail());
        let mut next = wanted.from(0);
        while let Some(from_seq) = next {
            let Some(segment) = self.segment_of(from_seq) else {
                break;
            };
            match read_segment(&segment, wanted, &self.shared.windows, &mut take)? {
                Some(last_seq) => next = wanted.from(last_seq.max(from_seq) + 1),
                None => break,
            }
        }
        Ok(())
    }

    /// Gives what stands under this number to `take`; `None` when it has left or was never there.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn get<T>(&self, seq: u64, take: impl FnOnce(Found<'_>) -> T) -> io::Result<Option<T>> {
        let (mut take, mut taken) = (Some(take), None);
        self.pick(&[seq], |found| {
            taken = take.take().map(|take| take(found));
            false
        })?;
        Ok(taken)
    }

    /// Where the events that came in from `since` until before `until` stand. Reads only blocks in which there are others too;
    /// a damaged event counts as one of that time.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn span(&self, since: i64, until: i64) -> io::Result<Span> {
        let segments = self.shared.read().clone();
        let mut span = Span::default();
        for segment in segments {
            let stretches: Vec<_> = segment.read().index.stretches(since, until).collect();
            for stretch in stretches {
                if stretch.is_whole {
                    span.add(stretch.first_seq, stretch.last_seq);
                    continue;
                }
                self.read(stretch.first_seq, stretch.last_seq, |found| {
                    match found {
                        Found::Event(_, event) if event.at < since || event.at >= until => {}
                        Found::Event(seq, _) | Found::Damaged(seq) => span.add(seq, seq),
                    }
                    true
                })?;
            }
        }
        Ok(span)
    }

    /// The id of the event with this number, also when it has left; `None` when it is not known any more.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn id(&self, seq: u64) -> io::Result<Option<[u8; 16]>> {
        let segment = self.segment_of(seq);
        // Ids are in memory until their file is there, so nearly none has to be read out of its event.
        if let Some(id) = segment.and_then(|segment| segment.read().ids.id(seq)) {
            return Ok(Some(id));
        }
        let place = (self.shared.ids().iter())
            .find_map(|file| file.place(seq).map(|place| (file.number, place)));
        let run = match place {
            Some((number, at)) => self.run(number, at)?,
            None => None,
        };
        match run.and_then(|run| run.id(seq)) {
            Some(id) => Ok(Some(id)),
            None => self.id_in_event(seq),
        }
    }

    fn id_in_event(&self, seq: u64) -> io::Result<Option<[u8; 16]>> {
        let id = self.get(seq, |found| match found {
            Found::Event(_, event) => Some(event.id),
            Found::Damaged(_) => None,
        });
        id.map(Option::flatten)
    }

    /// The first known ids from this number on that have a file: the number of the first, and 16 bytes for each. `None` when there
    /// are none.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn ids_from(&self, seq: u64) -> io::Result<Option<(u64, Vec<u8>)>> {
        let mut from = seq;
        loop {
            let run = (self.shared.ids().iter())
                .filter_map(|file| Some((file.run_from(from)?, file.number)))
                .min();
            let Some(((_, at, end), number)) = run else {
                return Ok(None);
            };
            if let Some(ids) = self.run(number, at)?.and_then(|run| run.from(from)) {
                return Ok(Some(ids));
            }
            // A run that is damaged or gone says nothing.
            from = end;
        }
    }

    /// Gives all known ids from this number on to `take`, ascending: the number of the first, and 16 bytes for each.
    ///
    /// # Errors
    /// When the disk fails: then what was given before is true all the same.
    pub fn each_id(&self, seq: u64, mut take: impl FnMut(u64, &[u8])) -> io::Result<()> {
        let mut from = seq;
        loop {
            // Those of segments that have no files yet.
            let in_memory = self.shared.read().clone().into_iter();
            let in_memory = in_memory.filter_map(|segment| segment.read().ids.from(from));
            let Some((first, ids)) = in_memory.chain(self.ids_from(from)?).min() else {
                return Ok(());
            };
            take(first, &ids);
            from = first + (ids.len() / 16) as u64;
        }
    }

    /// The number of the event with this id, looked for in all files of ids, the newest first: it takes a while. Ids of a
    /// segment that has no files yet are not looked at.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn find(&self, id: [u8; 16]) -> io::Result<Option<u64>> {
        let mut places: Vec<(u64, u64, u64)> = Vec::new();
        for file in self.shared.ids().iter() {
            let runs = file.places.iter();
            places.extend(runs.map(|(first, place)| (*first, file.number, *place)));
        }
        places.sort_unstable();
        for (first, number, place) in places.into_iter().rev() {
            let Some(run) = self.run(number, place)? else {
                continue;
            };
            let ids = run.ids.as_chunks().0;
            if let Some(at) = ids.iter().position(|known| *known == id) {
                return Ok(Some(first + at as u64));
            }
        }
        Ok(None)
    }

    /// A run of ids in a file; `None` when it is damaged or was forgotten.
    fn run(&self, number: u64, place: u64) -> io::Result<Option<Run>> {
        let file = match self.disk.open(&ids_name(number)) {
            // It was forgotten in between.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let mut bytes = vec![0; Ids::RUN_BYTES];
        let read = file.read_at(&mut bytes, place)?;
        Ok(Ids::run(&bytes[..read]))
    }

    /// The segment that has this event, or else the next one above.
    fn segment_of(&self, seq: u64) -> Option<Arc<Segment>> {
        let segments = self.shared.read();
        let at = segments.partition_point(|segment| {
            let index = &segment.read().index;
            index.last_seq < seq
        });
        segments.get(at).cloned()
    }
}
