//! One segment, as reader and writer share it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::File;
use crate::header::{FRAMES, Header};
use crate::index::{Ids, Index};

/// See the module.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) id: u64,
    pub(crate) file: Arc<dyn File>,
    /// Bytes that the file takes.
    file_bytes: AtomicU64,
    inner: RwLock<Inner>,
}

/// What grows with every group.
#[derive(Debug)]
pub(crate) struct Inner {
    /// Where the last durable frame ends.
    pub(crate) end: u64,
    pub(crate) index: Index,
    /// Only until they are written beside the segment.
    pub(crate) ids: Ids,
}

/// What is known of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its number.
    pub number: u64,
    /// The first event in it; 0 when there is none.
    pub first_seq: u64,
    /// The last one; where there is none, the one before.
    pub last_seq: u64,
    /// How many events it has.
    pub events: u64,
    /// The lowest and the highest time of its events, in milliseconds since 1970.
    pub times: Option<(i64, i64)>,
    /// Bytes of its records.
    pub used: u64,
    /// Bytes of its file.
    pub file_bytes: u64,
}

impl Segment {
    /// One without records.
    pub(crate) fn new(header: &Header, file: Arc<dyn File>, file_bytes: u64) -> Self {
        Self {
            number: header.number,
            id: header.id,
            file,
            file_bytes: AtomicU64::new(file_bytes),
            inner: RwLock::new(Inner {
                end: FRAMES,
                index: Index::behind(header.first_seq.saturating_sub(1)),
                ids: Ids::default(),
            }),
        }
    }

    pub(crate) fn found(self, end: u64, index: Index, ids: Ids) -> Self {
        Self {
            inner: RwLock::new(Inner { end, index, ids }),
            ..self
        }
    }

    pub(crate) fn file_bytes(&self) -> u64 {
        self.file_bytes.load(Ordering::Relaxed)
    }

    /// Gives the space behind the last record back, where it is worth it. It is never written to again.
    pub(crate) fn cut(&self) {
        let end = self.read().end;
        let is_much = end < self.file_bytes() / 4 * 3;
        // A failure costs only the space.
        if is_much && self.file.truncate(end).is_ok() {
            self.file_bytes.store(end, Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn info(&self) -> SegmentInfo {
        let inner = self.read();
        SegmentInfo {
            number: self.number,
            first_seq: inner.index.first_seq,
            last_seq: inner.index.last_seq,
            events: inner.index.events,
            times: inner.index.times(),
            used: inner.end,
            file_bytes: self.file_bytes(),
        }
    }
}

/// Names of files.
pub(crate) fn log_name(number: u64) -> String {
    format!("{number:016}.seg")
}

pub(crate) fn index_name(number: u64) -> String {
    format!("{number:016}.idx")
}

pub(crate) fn ids_name(number: u64) -> String {
    format!("{number:016}.ids")
}

pub(crate) fn spare_name(number: u64) -> String {
    format!("{number:016}.spare")
}

/// A segment that has left, and is still to be removed.
pub(crate) fn gone_name(number: u64) -> String {
    format!("{number:016}.gone")
}

/// The number in a name of this kind.
pub(crate) fn number_of(name: &str, kind: &str) -> Option<u64> {
    let number = name.strip_suffix(kind)?.strip_suffix('.')?;
    let is_ours = number.len() == 16 && number.bytes().all(|byte| byte.is_ascii_digit());
    is_ours.then(|| number.parse().ok())?
}
