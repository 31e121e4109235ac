//! A clock on the wall that can be set, over the made-up time of a life.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use faceway_core::{Clock, Timestamp};
use tokio::time::Instant;

/// Clones show the same time.
#[derive(Clone)]
pub(crate) struct WallClock(Arc<Mutex<Wall>>);

struct Wall {
    shown: Timestamp,
    /// When it was set, by the made-up time of this life.
    set_at: Option<Instant>,
}

impl WallClock {
    pub(crate) fn new() -> Self {
        let shown = Timestamp::from_seconds(1_795_334_400).unwrap_or(Timestamp::EPOCH);
        let set_at = None;
        Self(Arc::new(Mutex::new(Wall { shown, set_at })))
    }

    /// A life begins: the clock goes with its time.
    pub(crate) fn begin(&self) {
        let mut wall = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wall.set_at = Some(Instant::now());
    }

    /// Sets it, forward or back.
    pub(crate) fn jump(&self, millis: i64) {
        let now = self.now();
        let mut wall = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wall.shown = now.plus_millis(millis);
        wall.set_at = Some(Instant::now());
    }

    /// A life ends: the clock keeps what it shows.
    pub(crate) fn stop(&self) {
        let now = self.now();
        let mut wall = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wall.shown = now;
        wall.set_at = None;
    }
}

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        let wall = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = wall.set_at.map_or(Duration::ZERO, |at| at.elapsed());
        wall.shown.plus(since)
    }

    fn monotonic(&self) -> Duration {
        let wall = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wall.set_at.map_or(Duration::ZERO, |at| at.elapsed())
    }
}
