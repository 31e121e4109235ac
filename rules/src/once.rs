//! `once`: the first of each, then silence.

use std::collections::{HashMap, HashSet, VecDeque};

use faceway_core::{EventId, OnceMark, Sha256, Timestamp};

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

/// What the `once` of the routes have let pass: one for each lane, kept over reloads of the file and restarts. It is
/// bounded ([`KEYS_MAX`] for each route) and holds no value of an event, only digests.
#[derive(Debug, Default)]
pub struct OnceState {
    routes: HashMap<String, Openers>,
    /// What has passed since it was last asked for that.
    news: Vec<OnceMark>,
}

impl OnceState {
    /// Whether the event passes the `once` of a route. The same event asked again gets the same answer: one that passed
    /// passes again, so that a retry is not silenced by its own first attempt. An event that comes late (behind a
    /// parked one of its device) is silenced by one that passed within the time before or after it.
    pub fn admits(&mut self, route: &str, rule: &OnceRule, key: &str, asked: &Asked) -> bool {
        let key = digest(key);
        let admitted = self.openers(route).admits(rule, key, asked, KEYS_MAX);
        if admitted == Admitted::Now {
            self.news.push(OnceMark {
                route: route.into(),
                key,
                id: asked.id,
                received_at: asked.received_at,
                until: asked.received_at.plus(rule.within),
            });
        }
        admitted != Admitted::No
    }

    /// What has passed since the last call, to be kept.
    pub fn take_news(&mut self) -> Vec<OnceMark> {
        std::mem::take(&mut self.news)
    }

    /// Remembers what was kept.
    pub fn recall(&mut self, kept: impl IntoIterator<Item = OnceMark>) {
        for passed in kept {
            let openers = self.openers(&passed.route);
            let (id, received_at) = (passed.id, passed.received_at);
            openers.pass(passed.key, Asked { id, received_at });
            openers.bound(KEYS_MAX);
        }
    }

    fn openers(&mut self, route: &str) -> &mut Openers {
        if !self.routes.contains_key(route) {
            self.routes.insert(route.into(), Openers::default());
        }
        // It was put there if it was missing, so nothing is made here.
        self.routes.entry(route.into()).or_default()
    }

    /// Forgets routes that are in none of these any more.
    pub fn retain<'r>(&mut self, sets: impl IntoIterator<Item = &'r crate::RouteSet>) {
        let routes = sets.into_iter().flat_map(crate::RouteSet::routes);
        let names: HashSet<&str> = routes.map(|route| route.name.as_str()).collect();
        self.routes.retain(|name, _| names.contains(name.as_str()));
    }
}

/// A combination of values, without them.
type Key = [u8; 16];

fn digest(key: &str) -> Key {
    let digest = Sha256::of(key.as_bytes()).0;
    std::array::from_fn(|place| digest[place])
}

/// Whether an event passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admitted {
    No,
    /// It has passed before.
    Before,
    Now,
}

#[derive(Debug, Default)]
struct Openers {
    by_key: HashMap<Key, Opened>,
    /// Keys in the order in which they last let an event pass, with the number of that pass. Entries whose number is
    /// no longer the key's are stale.
    order: VecDeque<(Key, u64)>,
    passes: u64,
}

#[derive(Debug)]
struct Opened {
    events: VecDeque<Asked>,
    pass: u64,
}

impl Openers {
    fn admits(&mut self, rule: &OnceRule, key: Key, asked: &Asked, keys_max: usize) -> Admitted {
        if let Some(passed) = self.by_key.get(&key) {
            if passed.events.iter().any(|event| event.id == asked.id) {
                return Admitted::Before;
            }
            let apart = |event: &Asked| {
                let later = asked.received_at.since(event.received_at);
                later.max(event.received_at.since(asked.received_at))
            };
            if passed.events.iter().any(|event| apart(event) < rule.within) {
                return Admitted::No;
            }
        }
        self.pass(key, *asked);
        self.bound(keys_max);
        Admitted::Now
    }

    fn pass(&mut self, key: Key, asked: Asked) {
        self.passes += 1;
        let pass = self.passes;
        let passed = self.by_key.entry(key).or_insert(Opened {
            events: VecDeque::new(),
            pass,
        });
        passed.pass = pass;
        passed.events.push_back(asked);
        if passed.events.len() > OPENERS_MAX {
            passed.events.pop_front();
        }
        self.order.push_back((key, pass));
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
            let live = |(key, pass): &(Key, u64)| {
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
    fn what_was_kept_is_remembered() {
        let mut once = OnceState::default();
        assert!(once.admits("r", &rule(), "Nadia Kruse", &asked(1, 0)));
        assert!(!once.admits("r", &rule(), "Nadia Kruse", &asked(2, 10)));
        assert!(once.admits("s", &rule(), "Nadia Kruse", &asked(2, 10)));
        assert!(
            once.admits("r", &rule(), "Nadia Kruse", &asked(1, 0)),
            "asked again"
        );
        let news = once.take_news();
        let told: Vec<_> = news
            .iter()
            .map(|one| (one.route.as_str(), one.until))
            .collect();
        let until = |seconds| asked(0, seconds).received_at;
        assert_eq!(told, [("r", until(30)), ("s", until(40))]);
        assert!(once.take_news().is_empty());
        assert!(!format!("{news:?}{once:?}").contains("Nadia"));

        let mut again = OnceState::default();
        again.recall(news);
        let mut admits =
            |number, seconds| again.admits("r", &rule(), "Nadia Kruse", &asked(number, seconds));
        assert!(admits(1, 0), "one that passed passes again");
        assert!(!admits(3, 29));
        assert!(admits(4, 30));
        assert_eq!(again.take_news().len(), 1, "what is recalled is no news");
    }

    #[test]
    fn memory_is_bounded() {
        let mut openers = Openers::default();
        for number in 0..10_000_u32 {
            let key = digest(&(number % 500).to_string());
            let id = EventId::from_bytes([(number % 251) as u8; 16]);
            let received_at = Timestamp::from_seconds(i64::from(number) * 60).unwrap();
            openers.admits(&rule(), key, &Asked { id, received_at }, 100);
            assert!(openers.by_key.len() <= 100);
            assert!(openers.order.len() <= 201);
        }
        let busy = (0..1000).map(|number| asked((number % 250) as u8, number * 60));
        let mut openers = Openers::default();
        for asked in busy {
            openers.admits(&rule(), digest("k"), &asked, 100);
            assert!(openers.order.len() <= 201);
            assert!(openers.by_key[&digest("k")].events.len() <= OPENERS_MAX);
        }
    }

    #[test]
    fn the_oldest_goes_first() {
        let mut openers = Openers::default();
        let mut admits = |key: &str, number, seconds| {
            let admitted = openers.admits(&rule(), digest(key), &asked(number, seconds), 2);
            admitted != Admitted::No
        };
        assert!(admits("a", 1, 0));
        assert!(admits("b", 2, 1));
        assert!(admits("c", 3, 2), "a is forgotten");
        assert!(!admits("b", 4, 3));
        assert!(admits("a", 5, 4), "and passes again");
    }
}
