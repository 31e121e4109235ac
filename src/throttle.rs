//! The log throttle: what happens again and again is logged at once the first time, then at most once a minute with how
//! many there were. So an operator sees it, and nothing fills the disk.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The same is told again after this.
const PAUSE: Duration = Duration::from_secs(60);
/// So many different ones are known at a time; beyond that some are told sooner than after the pause.
const KNOWN_MAX: usize = 256;

/// What was told, and when.
#[derive(Debug)]
pub(crate) struct Throttle<Which>(HashMap<Which, Told>);

/// The same, for several at a time.
#[derive(Debug)]
pub(crate) struct SharedThrottle<Which>(Mutex<Throttle<Which>>);

#[derive(Debug)]
struct Told {
    at: Instant,
    since: u64,
}

impl<Which> Default for Throttle<Which> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<Which: Eq + Hash> Throttle<Which> {
    /// It has happened once more. How often since it was last told, when it is to be told now.
    pub(crate) fn note(&mut self, which: Which, now: Instant) -> Option<u64> {
        if self.0.len() >= KNOWN_MAX && !self.0.contains_key(&which) {
            self.0.clear();
        }
        match self.0.get_mut(&which) {
            Some(told) if now < told.at + PAUSE => {
                told.since += 1;
                None
            }
            Some(told) => {
                let times = told.since + 1;
                *told = Told { at: now, since: 0 };
                Some(times)
            }
            None => {
                self.0.insert(which, Told { at: now, since: 0 });
                Some(1)
            }
        }
    }
}

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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{KNOWN_MAX, PAUSE, Throttle};

    #[test]
    fn the_first_is_told_and_then_one_a_minute_with_how_many_there_were() {
        let mut told = Throttle::default();
        let now = Instant::now();
        let second = Duration::from_secs(1);
        assert_eq!(told.note("wrong", now), Some(1));
        assert_eq!(told.note("wrong", now + second), None);
        assert_eq!(told.note("wrong", now + PAUSE - second), None);
        assert_eq!(told.note("other", now), Some(1), "another");
        assert_eq!(told.note("wrong", now + PAUSE), Some(3));
        assert_eq!(told.note("wrong", now + PAUSE + second), None);
    }

    #[test]
    fn what_is_known_is_bounded() {
        let mut told = Throttle::default();
        let now = Instant::now();
        for n in 0..10 * KNOWN_MAX {
            assert_eq!(told.note(n, now), Some(1));
        }
        assert!(told.0.len() <= KNOWN_MAX);
    }
}
