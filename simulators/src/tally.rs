//! What a simulated source has done, added up.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// How records leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Posted, and answered.
    Pushed,
    /// Written to a websocket, which gives no answer.
    Streamed,
}

/// Counts of one way out of a source.
#[derive(Debug)]
pub(crate) struct Tally {
    way: Way,
    /// Why the source loses records, for the summary.
    why_lost: Cow<'static, str>,
    made: AtomicU64,
    taken: AtomicU64,
    lost: AtomicU64,
    twice: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
    last_failure: Mutex<Option<String>>,
}

impl Tally {
    /// Of a source that posts, and loses records because of `why_lost`.
    pub(crate) fn pushed(why_lost: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Way::Pushed, why_lost.into())
    }

    /// Of a source that has clients, or none.
    pub(crate) fn streamed() -> Self {
        Self::new(Way::Streamed, Cow::Borrowed(""))
    }

    fn new(way: Way, why_lost: Cow<'static, str>) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            way,
            why_lost,
            made: zero(),
            taken: zero(),
            lost: zero(),
            twice: zero(),
            dropped: zero(),
            failed: zero(),
            last_failure: Mutex::new(None),
        }
    }

    /// Records that happened.
    pub(crate) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Records that were answered with success, or written to at least one client.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Records that are gone for good and no client has.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    pub(crate) fn saw_made(&self, count: u64) {
        self.made.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn saw_taken(&self, count: u64) {
        self.taken.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn saw_lost(&self, count: u64) {
        self.lost.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn saw_twice(&self) {
        self.twice.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn saw_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn saw_failed(&self, why: String) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let last = self.last_failure.lock();
        *last.unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    /// All of it at one moment.
    pub(crate) fn counts(&self) -> Counts {
        let last = self.last_failure.lock();
        let last_failure = last.unwrap_or_else(PoisonError::into_inner).clone();
        Counts {
            way: self.way,
            why_lost: self.why_lost.clone(),
            made: self.made(),
            taken: self.taken(),
            lost: self.lost(),
            twice: self.twice.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            last_failure,
        }
    }
}

/// What one way out of a source has done by now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// How records leave.
    pub way: Way,
    /// Why the source loses records.
    pub why_lost: Cow<'static, str>,
    /// Records that happened.
    pub made: u64,
    /// Records that were answered with success, or written to at least one client.
    pub taken: u64,
    /// Records that are gone for good without having arrived.
    pub lost: u64,
    /// Records that were sent once more although they had been taken.
    pub twice: u64,
    /// Messages that a client did not get because it did not read.
    pub dropped: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// What the last failed attempt was told.
    pub last_failure: Option<String>,
}

impl Counts {
    /// Records that happened and are neither taken nor lost.
    pub const fn waiting(&self) -> u64 {
        self.made.saturating_sub(self.taken + self.lost)
    }
}
