//! Reading by sequence number, beside the writer and without waiting for it.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::header::FRAMES;
use crate::record::{EventView, KIND_EVENT, decode};
use crate::segment::{Segment, SegmentInfo};
use crate::walk::{Step, Walk};

/// Bytes that a look for one event reads first.
const ONE_EVENT: usize = 16 << 10;

/// What reader and writer share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Ascending by number.
    segments: RwLock<Vec<Arc<Segment>>>,
    /// The last durable event.
    pub(crate) tail: AtomicU64,
}

impl Shared {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Vec<Arc<Segment>>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Vec<Arc<Segment>>> {
        (self.segments.write()).unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads events. Clones are cheap.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(crate) shared: Arc<Shared>,
}

/// What stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// An event.
    Event(EventView<'a>),
    /// The event of this number is damaged, or was torn by a power cut that left others of its group.
    Damaged(u64),
}

/// Where the events of a time may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first number.
    pub first_seq: u64,
    /// The last one.
    pub last_seq: u64,
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
        mut take: impl FnMut(Found<'_>) -> bool,
    ) -> io::Result<()> {
        let through_seq = through_seq.min(self.tail());
        let mut from_seq = from_seq;
        while from_seq <= through_seq {
            let Some(segment) = self.segment_of(from_seq) else {
                break;
            };
            match read_segment(&segment, from_seq, through_seq, WINDOW, &mut take)? {
                Some(last) => from_seq = last + 1,
                None => break,
            }
        }
        Ok(())
    }

    /// Gives the event of this number to `take`; `None` when it has left, was never there, or is damaged.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn get<T>(&self, seq: u64, take: impl FnOnce(EventView<'_>) -> T) -> io::Result<Option<T>> {
        let segment = self.segment_of(seq).filter(|_| seq <= self.tail());
        let Some(segment) = segment else {
            return Ok(None);
        };
        let (mut take, mut taken) = (Some(take), None);
        read_segment(&segment, seq, seq, ONE_EVENT, &mut |found| {
            if let Found::Event(event) = found {
                taken = take.take().map(|take| take(event));
            }
            false
        })?;
        Ok(taken)
    }

    /// Where the events that came in from `since` until before `until` may stand, in pieces of some 64 KiB, ascending.
    pub fn spans(&self, since: i64, until: i64) -> Vec<Span> {
        let mut spans = Vec::new();
        for segment in self.shared.read().iter() {
            let inner = segment.read();
            spans.extend(
                (inner.index.stretches(since, until)).map(|(first, last)| Span {
                    first_seq: first,
                    last_seq: last,
                }),
            );
        }
        spans
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

/// Bytes at once when many are read.
const WINDOW: usize = 256 << 10;

/// Gives the number up to which all was read, or `None` when `take` had enough.
///
/// Events of a segment have numbers without gaps: one that is not met is one of which no head is left.
fn read_segment(
    segment: &Segment,
    from_seq: u64,
    through_seq: u64,
    window: usize,
    take: &mut impl FnMut(Found<'_>) -> bool,
) -> io::Result<Option<u64>> {
    let (place, end, first, last) = {
        let inner = segment.read();
        let index = &inner.index;
        if index.events == 0 {
            return Ok(Some(index.last_seq.max(from_seq)));
        }
        let place = index.place(from_seq).unwrap_or(FRAMES);
        (place, inner.end, index.first_seq, index.last_seq)
    };
    let through_seq = through_seq.min(last);
    let mut next = from_seq.max(first);
    let mut walk = Walk::new(&*segment.file, segment.id, place, end).reading(window);
    while let Some(step) = walk.step()? {
        let (head, is_sound) = match step {
            Step::Frame { head, .. } => (head, true),
            Step::Damaged { head, .. } => (head, false),
            Step::Gap(_) => continue,
        };
        if head.kind != KIND_EVENT || head.seq < next {
            continue;
        }
        let missing = next..head.seq.min(through_seq + 1);
        if !missing.into_iter().all(|seq| take(Found::Damaged(seq))) {
            return Ok(None);
        }
        if head.seq > through_seq {
            return Ok(Some(through_seq));
        }
        let event = is_sound.then(|| decode(head.seq, walk.body())).flatten();
        let found = event.map_or(Found::Damaged(head.seq), Found::Event);
        if !take(found) {
            return Ok(None);
        }
        next = head.seq + 1;
    }
    let is_done = (next..=through_seq).all(|seq| take(Found::Damaged(seq)));
    Ok(is_done.then_some(through_seq.max(from_seq)))
}
