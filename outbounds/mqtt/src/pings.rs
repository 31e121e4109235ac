//! Pings. A broker reads in order, so its answer shows also that the connection has outlived what was sent before it.

use tokio::time::{Duration, Instant};

/// How long messages wait for the answer to a ping. A broker that is slower, or answers none, gets them all the same.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(2);

/// Of one connection.
pub(crate) struct Pings {
    every: Duration,
    answer_max: Duration,
    /// When the next one is due; or, while one is not answered, when the connection is dead.
    at: Instant,
    sent: u64,
    answered: u64,
    /// The ping behind the last of our own messages, and until when others wait for its answer.
    fence: Option<(u64, Instant)>,
}

impl Pings {
    pub(crate) fn new(every: Duration, answer_max: Duration, now: Instant) -> Self {
        Self {
            every,
            answer_max,
            at: now + every,
            sent: 0,
            answered: 0,
            fence: None,
        }
    }

    /// When something is to be done again.
    pub(crate) fn next(&self) -> Instant {
        self.at
    }

    /// Whether a ping is not answered.
    pub(crate) fn is_waiting(&self) -> bool {
        self.sent > self.answered
    }

    /// A ping was written.
    pub(crate) fn sent(&mut self, now: Instant) {
        if !self.is_waiting() {
            self.at = now + self.answer_max;
        }
        self.sent += 1;
    }

    /// A ping was written behind a message of our own.
    pub(crate) fn fenced(&mut self, now: Instant) {
        self.sent(now);
        self.fence = Some((self.sent, now + WAIT_MAX));
    }

    /// Whether a message of our own was sent that the connection may not have outlived yet.
    pub(crate) fn is_fenced(&self) -> bool {
        self.fence.is_some()
    }

    /// Until when other messages are to wait for that.
    pub(crate) fn waits_until(&self, now: Instant) -> Option<Instant> {
        let until = self.fence.map(|(_, until)| until);
        until.filter(|until| *until > now)
    }

    /// `PINGRESP`. Whether the connection has outlived what was fenced.
    pub(crate) fn answered(&mut self, now: Instant) -> bool {
        // One that was not asked for answers nothing.
        self.answered = self.sent.min(self.answered + 1);
        self.at = match self.is_waiting() {
            true => now + self.answer_max,
            false => now + self.every,
        };
        let outlived = self.fence.is_some_and(|(fence, _)| self.answered >= fence);
        if outlived {
            self.fence = None;
        }
        outlived
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_the_ping_behind_it_lets_a_message_pass() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut pings = Pings::new(30 * second, 10 * second, now);
        assert!(!pings.answered(now), "nobody asked");
        assert_eq!(pings.next(), now + 30 * second);
        pings.sent(now);
        pings.fenced(now + second);
        assert!(pings.is_fenced() && pings.is_waiting());
        let until = now + second + WAIT_MAX;
        assert_eq!(pings.waits_until(now + second), Some(until));
        assert_eq!(pings.waits_until(until), None, "and still it is fenced");
        assert_eq!(pings.next(), now + 10 * second, "the first is older");
        assert!(!pings.answered(now + second), "that is for the first");
        pings.fenced(now + second);
        assert!(!pings.answered(now + second), "another message has gone");
        assert!(pings.answered(now + 2 * second));
        assert!(!pings.is_fenced() && !pings.is_waiting());
        assert_eq!(pings.next(), now + 32 * second);
    }
}
