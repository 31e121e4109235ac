//! The log throttle ([`faceway_core::Throttle`]) by tokio's clock, and one for several at a time.

use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// What was logged, and when.
pub(crate) type Throttle<Which> = faceway_core::Throttle<Which, Instant>;

/// The same, for several at a time.
#[derive(Debug)]
pub(crate) struct SharedThrottle<Which>(Mutex<Throttle<Which>>);

impl<Which> Default for SharedThrottle<Which> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<Which: Eq + Hash> SharedThrottle<Which> {
    /// [`Throttle::note`], now.
    pub(crate) fn note(&self, which: Which) -> Option<u64> {
        let mut throttle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        throttle.note(which, Instant::now())
    }
}
