//! One incarnation: until when it lives, and whether it may have duties. Decided by moments alone, so that a gateway that was
//! frozen knows of its end with the first question that it asks when it wakes.

use std::sync::Mutex;

use faceway_core::Timestamp;
use tokio::time::Instant;

use crate::lock;

use super::{CUT_OFF, VALID};

/// One start of a gateway.
#[derive(Debug)]
pub(crate) struct Life {
    /// Its name; no other one has it.
    pub(crate) incarnation: String,
    /// When it began, by the gateway's clock.
    pub(crate) since: Timestamp,
    /// The same, for measuring.
    pub(crate) began: Instant,
    pulse: Mutex<Pulse>,
}

#[derive(Clone, Copy, Debug)]
struct Pulse {
    valid_until: Instant,
    /// When the last ping was sent that was answered.
    answered_at: Instant,
    /// How often it has been cut off. A duty is of one of these times.
    times: u64,
    /// It never comes back.
    is_over: bool,
    acked: Acked,
}

/// A publish of the record that the servers have acknowledged.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Acked {
    pub(crate) seq: u64,
    /// When it began; absent before the first.
    pub(crate) began: Option<Instant>,
}

impl Life {
    /// An incarnation whose first record was published at `published`, and that has answered itself at `answered`.
    pub(crate) fn new(
        incarnation: String,
        since: Timestamp,
        published: Instant,
        seq: u64,
        answered: Instant,
    ) -> Self {
        let pulse = Pulse {
            valid_until: published + VALID,
            answered_at: answered,
            times: 0,
            is_over: false,
            acked: Acked {
                seq,
                began: Some(published),
            },
        };
        Self {
            incarnation,
            since,
            began: published,
            pulse: Mutex::new(pulse),
        }
    }

    /// None: before the first.
    pub(super) fn none() -> Self {
        let now = Instant::now();
        let none = Self::new(String::new(), Timestamp::EPOCH, now, 0, now);
        none.end();
        none
    }

    /// A publish that began at `began` is acknowledged. It counts from its beginning: the servers keep the record from then on.
    pub(crate) fn acked(&self, began: Instant, seq: u64, now: Instant) {
        let mut pulse = lock(&self.pulse);
        pulse.is_over |= now >= pulse.valid_until;
        if !pulse.is_over {
            pulse.valid_until = pulse.valid_until.max(began + VALID);
            if seq > pulse.acked.seq {
                pulse.acked = Acked {
                    seq,
                    began: Some(began),
                };
            }
        }
    }

    /// A ping that was sent at `sent` is answered.
    pub(crate) fn answered(&self, sent: Instant, now: Instant) {
        let mut pulse = lock(&self.pulse);
        if now >= pulse.answered_at + CUT_OFF {
            // Nothing may have looked meanwhile, as where the gateway was frozen.
            pulse.times += 1;
        }
        pulse.answered_at = pulse.answered_at.max(sent);
    }

    /// It ends now, whatever the servers keep of it.
    pub(crate) fn end(&self) {
        lock(&self.pulse).is_over = true;
    }

    /// Whether its record counts.
    pub(crate) fn is_valid(&self, now: Instant) -> bool {
        let pulse = lock(&self.pulse);
        !pulse.is_over && now < pulse.valid_until
    }

    /// In which of its times it may have duties; `None` while it may not.
    pub(crate) fn time(&self, now: Instant) -> Option<u64> {
        let pulse = lock(&self.pulse);
        let is_heard = now < pulse.answered_at + CUT_OFF;
        (!pulse.is_over && now < pulse.valid_until && is_heard).then_some(pulse.times)
    }

    /// The moment at which [`Life::time`] changes when nothing comes.
    pub(crate) fn deadline(&self) -> Instant {
        let pulse = lock(&self.pulse);
        pulse.valid_until.min(pulse.answered_at + CUT_OFF)
    }

    pub(crate) fn valid_until(&self) -> Instant {
        lock(&self.pulse).valid_until
    }

    pub(crate) fn last_acked(&self) -> Acked {
        lock(&self.pulse).acked
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(start: Instant, seconds: f64) -> Instant {
        start + Duration::from_secs_f64(seconds)
    }

    fn life(start: Instant) -> Life {
        Life::new("i".into(), Timestamp::EPOCH, start, 1, start)
    }

    #[test]
    fn a_record_is_valid_from_the_beginning_of_its_publish() {
        let start = Instant::now();
        let life = life(start);
        // It took four seconds: the servers may have kept it at its beginning.
        life.acked(at(start, 2.0), 2, at(start, 6.0));
        assert!(life.is_valid(at(start, 13.9)));
        assert!(!life.is_valid(at(start, 14.0)));
        // An older one that is acknowledged late takes nothing away.
        life.acked(at(start, 1.0), 3, at(start, 7.0));
        assert!(life.is_valid(at(start, 13.9)));
    }

    #[test]
    fn what_is_over_does_not_come_back() {
        let start = Instant::now();
        let late = life(start);
        late.acked(at(start, 11.0), 2, at(start, 12.1));
        assert!(!late.is_valid(at(start, 12.2)));
        late.acked(at(start, 12.3), 3, at(start, 12.4));
        assert!(!late.is_valid(at(start, 12.5)));
        let ended = life(start);
        ended.end();
        assert!(!ended.is_valid(start) && ended.time(start).is_none());
    }

    #[test]
    fn two_seconds_without_an_answer_take_every_duty() {
        let start = Instant::now();
        let life = life(start);
        assert_eq!(life.time(at(start, 1.9)), Some(0));
        assert_eq!(life.time(at(start, 2.0)), None);
        assert!(life.is_valid(at(start, 2.0)));
        life.answered(at(start, 1.0), at(start, 1.1));
        // Counted from when it was sent.
        assert_eq!(life.time(at(start, 2.9)), Some(0));
        assert_eq!(life.time(at(start, 3.0)), None);
        // Heard again: another time, so duties of before are lost, also where nothing had looked.
        life.answered(at(start, 4.0), at(start, 4.1));
        assert_eq!(life.time(at(start, 4.2)), Some(1));
        assert_eq!(life.deadline(), at(start, 6.0));
    }
}
