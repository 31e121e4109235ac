//! When a connection is pinged, and when a ping that is not answered makes it a dead one.

use tokio::time::{Duration, Instant};

/// Of one connection.
pub(crate) struct Pings {
    every: Duration,
    answer_max: Duration,
    /// When the next one is due; or, while one is not answered, when the connection is dead.
    at: Instant,
    waiting: bool,
}

impl Pings {
    pub(crate) fn new(every: Duration, answer_max: Duration, now: Instant) -> Self {
        Self {
            every,
            answer_max,
            at: now + every,
            waiting: false,
        }
    }

    /// When something is to be done again.
    pub(crate) fn next(&self) -> Instant {
        self.at
    }

    /// Whether a ping is not answered.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// A ping was written.
    pub(crate) fn sent(&mut self, now: Instant) {
        self.waiting = true;
        self.at = now + self.answer_max;
    }

    /// `PINGRESP`.
    pub(crate) fn answered(&mut self, now: Instant) {
        self.waiting = false;
        self.at = now + self.every;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_has_so_long_and_then_the_next_is_due() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut pings = Pings::new(30 * second, 10 * second, now);
        assert_eq!(pings.next(), now + 30 * second);
        assert!(!pings.is_waiting());
        pings.sent(now + second);
        assert!(pings.is_waiting());
        assert_eq!(pings.next(), now + 11 * second);
        pings.answered(now + 2 * second);
        assert!(!pings.is_waiting());
        assert_eq!(pings.next(), now + 32 * second);
    }
}
