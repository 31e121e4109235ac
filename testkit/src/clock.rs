//! A clock that stands still until a test moves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use faceway_core::{Clock, Timestamp};

/// Clones show the same time.
#[derive(Clone, Debug)]
pub struct TestClock(Arc<Shown>);

#[derive(Debug, Default)]
struct Shown {
    /// Milliseconds since 1970.
    wall: AtomicI64,
    /// Milliseconds since the clock was made.
    passed: AtomicU64,
}

impl TestClock {
    /// A clock that shows `now`.
    pub fn at(now: Timestamp) -> Self {
        let clock = Self(Arc::default());
        clock.jump(now);
        clock
    }

    /// Shows `now` from here on. The time until then goes by; backwards is a [`Self::jump`].
    pub fn set(&self, now: Timestamp) {
        self.pass(now.since(self.now()));
        self.jump(now);
    }

    /// Sets the wall clock, without any time going by, as an administrator or a time server does.
    pub fn jump(&self, now: Timestamp) {
        self.0.wall.store(now.as_millis(), Ordering::SeqCst);
    }

    /// Lets time go by.
    pub fn advance(&self, by: Duration) {
        self.set(self.now().plus(by));
    }

    fn pass(&self, time: Duration) {
        let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.0.passed.fetch_add(time, Ordering::SeqCst);
    }
}

impl Default for TestClock {
    /// 2026-11-22T08:00:00Z.
    fn default() -> Self {
        Self::at(Timestamp::EPOCH.plus_millis(1_795_334_400_000))
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.wall.load(Ordering::SeqCst))
            .expect("only timestamps are stored in it")
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.passed.load(Ordering::SeqCst))
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
        assert_eq!(clock.monotonic(), Duration::from_secs(90));
    }

    #[test]
    fn a_jump_lets_no_time_go_by() {
        let clock = TestClock::default();
        clock.jump("2030-01-01T00:00:00Z".parse().unwrap());
        assert_eq!(clock.now().to_string(), "2030-01-01T00:00:00.000Z");
        assert_eq!(clock.monotonic(), Duration::ZERO);
        clock.set("2029-01-01T00:00:00Z".parse().unwrap());
        assert_eq!(clock.monotonic(), Duration::ZERO);
        clock.set("2029-01-01T00:00:05Z".parse().unwrap());
        assert_eq!(clock.monotonic(), Duration::from_secs(5));
    }
}
