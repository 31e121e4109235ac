//! `once`: the first of each, then silence.

use std::collections::{HashMap, HashSet, VecDeque};

use faceway_core::{EventId, Timestamp};

use crate::decide::OnceRule;

/// How many combinations of values a route remembers. Beyond it the oldest is forgotten, and its next event passes.
pub const KEYS_MAX: usize = 100_000;

/// How many events a combination remembers that it let pass, for those that are asked again out of order.
const OPENERS_MAX: usize = 8;

/// What `once` needs to know of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its id.
    pub id: EventId,
    /// When the gateway had it. No other clock is asked, so that a replay comes out as the first time.
    pub received_at: Timestamp,
}

/// What the `once` of the routes have let pass: one for each lane, kept over reloads of the file. It is bounded
/// ([`KEYS_MAX`] for each route) and not stored: after a restart the first of each passes again.
#[derive(Default)]
pub struct OnceState(HashMap<String, Openers>);

/// It holds values of persons, so it says nothing of them.
impl std::fmt::Debug for OnceState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OnceState")
            .field("routes", &self.0.len())
            .finish_non_exhaustive()
    }
}

impl OnceState {
    /// Whether the event passes the `once` of a route. The same event asked again gets the same answer: one that passed
    /// passes again, so that a retry is not silenced by its own first attempt. An event that comes late (behind a
    /// parked one of its device) is silenced by one that passed within the time before or after it.
    pub fn admits(&mut self, route: &str, rule: &OnceRule, key: &str, asked: &Asked) -> bool {
        if !self.0.contains_key(route) {
            self.0.insert(route.into(), Openers::default());
        }
        let Some(openers) = self.0.get_mut(route) else {
            return true;
        };
        openers.admits(rule, key, asked, KEYS_MAX)
    }

    /// Forgets routes that are in none of these any more.
    pub fn retain<'r>(&mut self, sets: impl IntoIterator<Item = &'r crate::RouteSet>) {
        let routes = sets.into_iter().flat_map(crate::RouteSet::routes);
        let names: HashSet<&str> = routes.map(|route| route.name.as_str()).collect();
        self.0.retain(|name, _| names.contains(name.as_str()));
    }
}

#[derive(Default)]
struct Openers {
    by_key: HashMap<String, Passed>,
    /// Keys in the order in which they last let an event pass, with the number of that pass. Entries whose number is
    /// no longer the key's are stale.
    order: VecDeque<(String, u64)>,
    passes: u64,
}

struct Passed {
    events: VecDeque<Asked>,
    pass: u64,
}

impl Openers {
    fn admits(&mut self, rule: &OnceRule, key: &str, asked: &Asked, keys_max: usize) -> bool {
        if let Some(passed) = self.by_key.get(key) {
            if passed.events.iter().any(|event| event.id == asked.id) {
                return true;
            }
            let apart = |event: &Asked| {
                let later = asked.received_at.since(event.received_at);
                later.max(event.received_at.since(asked.received_at))
            };
            if passed.events.iter().any(|event| apart(event) < rule.within) {
                return false;
            }
        }
        self.pass(key, *asked);
        self.bound(keys_max);
        true
    }

    fn pass(&mut self, key: &str, asked: Asked) {
        self.passes += 1;
        let pass = self.passes;
        let passed = self.by_key.entry(key.into()).or_insert(Passed {
            events: VecDeque::new(),
            pass,
        });
        passed.pass = pass;
        passed.events.push_back(asked);
        if passed.events.len() > OPENERS_MAX {
            passed.events.pop_front();
        }
        self.order.push_back((key.into(), pass));
    }

    fn bound(&mut self, keys_max: usize) {
        while self.by_key.len() > keys_max {
            let Some((key, pass)) = self.order.pop_front() else {
                return;
            };
            if self
                .by_key
                .get(&key)
                .is_some_and(|passed| passed.pass == pass)
            {
                self.by_key.remove(&key);
            }
        }
        // A few busy keys must not fill the order with stale entries.
        if self.order.len() > 2 * keys_max.max(self.by_key.len()) {
            let by_key = &self.by_key;
            let live = |(key, pass): &(String, u64)| {
                by_key.get(key).is_some_and(|passed| passed.pass == *pass)
            };
            self.order.retain(live);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn asked(number: u8, seconds: i64) -> Asked {
        Asked {
            id: EventId::from_bytes([number; 16]),
            received_at: Timestamp::from_seconds(1_800_000_000 + seconds).unwrap(),
        }
    }

    fn rule() -> OnceRule {
        OnceRule {
            per: Vec::new(),
            within: Duration::from_secs(30),
        }
    }

    #[test]
    fn the_first_passes_then_silence() {
        let mut once = OnceState::default();
        let mut admits = |number, seconds| once.admits("r", &rule(), "k", &asked(number, seconds));
        assert!(admits(1, 0));
        assert!(!admits(2, 1));
        assert!(!admits(3, 29));
        assert!(admits(4, 30));
        assert!(!admits(5, 59));
    }

    #[test]
    fn a_retry_gets_the_same_answer() {
        let mut once = OnceState::default();
        let mut admits = |number, seconds| once.admits("r", &rule(), "k", &asked(number, seconds));
        assert!(admits(1, 0));
        assert!(admits(1, 0));
        assert!(!admits(2, 5));
        assert!(admits(4, 40));
        assert!(admits(1, 0), "parked before the next window opened");
        assert!(!admits(2, 5), "silenced then, silenced now");
    }

    #[test]
    fn one_that_comes_late_is_measured_by_its_own_time() {
        let mut once = OnceState::default();
        let mut admits = |number, seconds| once.admits("r", &rule(), "k", &asked(number, seconds));
        assert!(admits(9, 100));
        assert!(!admits(8, 80), "20 s before one that passed");
        assert!(admits(7, 60), "40 s before it");
        assert!(!admits(6, 119));
    }

    #[test]
    fn keys_and_routes_are_apart() {
        let mut once = OnceState::default();
        assert!(once.admits("r", &rule(), "k", &asked(1, 0)));
        assert!(once.admits("r", &rule(), "l", &asked(2, 0)));
        assert!(once.admits("s", &rule(), "k", &asked(3, 0)));
    }

    #[test]
    fn memory_is_bounded() {
        let mut openers = Openers::default();
        for number in 0..10_000_u32 {
            let key = (number % 500).to_string();
            let id = EventId::from_bytes([(number % 251) as u8; 16]);
            let received_at = Timestamp::from_seconds(i64::from(number) * 60).unwrap();
            openers.admits(&rule(), &key, &Asked { id, received_at }, 100);
            assert!(openers.by_key.len() <= 100);
            assert!(openers.order.len() <= 201);
        }
        let busy = (0..1000).map(|number| asked((number % 250) as u8, number * 60));
        let mut openers = Openers::default();
        for asked in busy {
            openers.admits(&rule(), "k", &asked, 100);
            assert!(openers.order.len() <= 201);
            assert!(openers.by_key["k"].events.len() <= OPENERS_MAX);
        }
    }

    #[test]
    fn the_oldest_goes_first() {
        let mut openers = Openers::default();
        let mut admits =
            |key: &str, number, seconds| openers.admits(&rule(), key, &asked(number, seconds), 2);
        assert!(admits("a", 1, 0));
        assert!(admits("b", 2, 1));
        assert!(admits("c", 3, 2), "a is forgotten");
        assert!(!admits("b", 4, 3));
        assert!(admits("a", 5, 4), "and passes again");
    }
}
