//! What the pings of owners say: which of them have ended although their records still stand.
//!
//! "No responders" alone says little: it is also the answer where servers do not see each other. It counts when it is the
//! answer for [`DEAD`], longer than an owner works without hearing itself, and when in all that time the leader of MEMBERS saw
//! every server that keeps it, the server of the owner is one of them, and the owner's record was not renewed.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::client::HEARD;
use crate::members::CUT_OFF;

/// How long an owner has no subscription before it counts as ended.
pub(super) const DEAD: Duration = Duration::from_secs(4);
/// The stretch ends when a server is unheard of: what is left of it has to be as long as an owner may work.
const _: () = assert!(DEAD.as_millis() >= (CUT_OFF.as_millis() + HEARD.as_millis()));
/// Two answers are of one stretch when no more lies between them.
const GAP: Duration = Duration::from_millis(1500);

/// One ping of an owner, and what was seen at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    /// The answer was "no responders".
    pub(super) no_responders: bool,
    /// The leader of MEMBERS saw all its servers, and the owner's is among them.
    pub(super) servers: bool,
    /// The number of the owner's record.
    pub(super) number: u64,
}

/// Owners that do not answer.
#[derive(Debug, Default)]
pub(super) struct Pings(HashMap<String, Stretch>);

#[derive(Clone, Copy, Debug)]
struct Stretch {
    since: Instant,
    last: Instant,
    number: u64,
}

impl Pings {
    pub(super) fn hear(&mut self, incarnation: &str, heard: Heard, now: Instant) {
        if !heard.no_responders || !heard.servers {
            self.0.remove(incarnation);
            return;
        }
        let begun = Stretch {
            since: now,
            last: now,
            number: heard.number,
        };
        let stretch = self.0.entry(incarnation.to_owned()).or_insert(begun);
        let goes_on =
            stretch.number == heard.number && now.saturating_duration_since(stretch.last) <= GAP;
        if goes_on {
            stretch.last = now;
        } else {
            *stretch = begun;
        }
    }

    /// Whether this incarnation has ended.
    pub(super) fn is_dead(&self, incarnation: &str, now: Instant) -> bool {
        self.0.get(incarnation).is_some_and(|stretch| {
            now.saturating_duration_since(stretch.last) <= GAP
                && stretch.last.saturating_duration_since(stretch.since) >= DEAD
        })
    }

    /// Forgets what is not asked any more.
    pub(super) fn forget(&mut self, now: Instant) {
        self.0
            .retain(|_, stretch| now.saturating_duration_since(stretch.last) <= GAP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENT: Heard = Heard {
        no_responders: true,
        servers: true,
        number: 7,
    };

    /// What pings every half second say; whether the owner is dead after the last of them.
    fn dead(heard: impl IntoIterator<Item = Heard>) -> bool {
        let start = Instant::now();
        let (mut pings, mut now) = (Pings::default(), start);
        for one in heard {
            pings.hear("i", one, now);
            now += Duration::from_millis(500);
        }
        pings.is_dead("i", now)
    }

    #[test]
    fn four_seconds_without_responders_end_an_owner() {
        assert!(!dead([SILENT; 8]));
        assert!(dead([SILENT; 9]));
    }

    #[test]
    fn each_doubt_begins_the_stretch_anew() {
        let doubts = [
            // It answered, or said nothing at all.
            Heard {
                no_responders: false,
                ..SILENT
            },
            // A server was away: "no responders" is also what a partition looks like.
            Heard {
                servers: false,
                ..SILENT
            },
        ];
        for doubt in doubts {
            let mut heard = [SILENT; 12];
            heard[6] = doubt;
            assert!(!dead(heard), "{doubt:?}");
        }
        // Its record was renewed: the servers at which this gateway asks do not see the owner's.
        let renewed = |n: usize| Heard {
            number: 7 + n as u64 / 4,
            ..SILENT
        };
        assert!(!dead((0..40).map(renewed)));
    }

    #[test]
    fn answers_that_are_far_apart_say_nothing_of_the_time_between() {
        let start = Instant::now();
        let mut pings = Pings::default();
        for n in 0..20 {
            pings.hear("i", SILENT, start + Duration::from_secs(2 * n));
        }
        assert!(!pings.is_dead("i", start + Duration::from_secs(38)));
        // And old answers say nothing of now.
        for n in 0..9 {
            pings.hear("j", SILENT, start + Duration::from_millis(500 * n));
        }
        assert!(pings.is_dead("j", start + Duration::from_millis(4100)));
        assert!(!pings.is_dead("j", start + Duration::from_millis(6000)));
    }
}
