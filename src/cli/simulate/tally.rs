//! What simulated terminals have done, added up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::cli::words::grouped;

/// Counts of all terminals together.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    made: AtomicU64,
    taken: AtomicU64,
    lost: AtomicU64,
    twice: AtomicU64,
    failed: AtomicU64,
    last_failure: Mutex<Option<String>>,
}

impl Tally {
    /// Records that happened.
    pub(crate) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Records that were answered with success.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Records that found no room in their terminal.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Records that were sent once more although they had been taken.
    pub(crate) fn twice(&self) -> u64 {
        self.twice.load(Ordering::Relaxed)
    }

    /// Attempts that failed.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// What the last failed attempt was told.
    pub(crate) fn last_failure(&self) -> Option<String> {
        self.last_failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn saw_made(&self, count: u64) {
        self.made.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn saw_taken(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn saw_lost(&self, count: u64) {
        self.lost.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn saw_twice(&self) {
        self.twice.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn saw_failed(&self, why: String) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        *self
            .last_failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    /// All of it in a line.
    pub(crate) fn line(&self) -> String {
        let waiting = self.made().saturating_sub(self.taken() + self.lost());
        let mut line = format!(
            "{} made, {} taken, {} waiting",
            grouped(self.made()),
            grouped(self.taken()),
            grouped(waiting)
        );
        if self.lost() > 0 {
            line.push_str(&format!(", {} lost", grouped(self.lost())));
        }
        if let Some(last) = self.last_failure() {
            line.push_str(&format!(
                ", {} attempts failed (last: {last})",
                grouped(self.failed())
            ));
        }
        line
    }
}
