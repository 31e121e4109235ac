//! A wall clock that stands still until a test moves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use faceway_core::{Clock, Timestamp};

/// Clones show the same time.
#[derive(Clone, Debug)]
pub struct TestClock(Arc<AtomicI64>);

impl TestClock {
    /// A clock that shows `now`.
    pub fn at(now: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(now.as_millis())))
    }

    /// Shows `now` from here on; backwards is allowed, as real clocks do that too.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_millis(), Ordering::SeqCst);
    }

    /// Moves forward.
    pub fn advance(&self, by: Duration) {
        self.set(self.now().plus(by));
    }
}

impl Default for TestClock {
    /// 2026-11-22T08:00:00Z.
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(1_795_334_400_000)))
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
            .expect("only timestamps are stored in it")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use faceway_core::Clock as _;

    use super::TestClock;

    #[test]
    fn clones_move_together() {
        let clock = TestClock::default();
        assert_eq!(clock.now().to_string(), "2026-11-22T08:00:00.000Z");
        clock.clone().advance(Duration::from_secs(90));
        assert_eq!(clock.now().to_string(), "2026-11-22T08:01:30.000Z");
    }
}
