//! The log throttle ([`faceway_core::Throttle`]) for several threads. Lines are named by a word each.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<faceway_core::Throttle<&'static str, Instant>>);

impl Throttle {
    /// It has happened once more. How often since the last line, when a line is to be written now.
    pub(crate) fn note(&self, line: &'static str) -> Option<u64> {
        let mut throttle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        throttle.note(line, Instant::now())
    }
}
