//! Whether an event is for this lane's outbound, by the rules that are for it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use faceway_core::{Lease, Passed};
use faceway_rules::{Asked, OnceState, RouteSet};
use metrics::{Counter, counter};
use serde_json::Value;

use super::rulebook::{RuleBook, Rules};

/// Asks the rules for one lane.
pub(super) struct Decider {
    name: String,
    book: Arc<RuleBook>,
    /// The lane's standing in each of the book's rules.
    places: Places,
    once: Once,
    /// Events that are counted and not through: a released event comes again.
    counted: HashSet<u64>,
}

/// What `once` has let pass in one lane. It outlives the lane's work, which begins anew when its outbound changes.
pub(super) type Once = Arc<Mutex<OnceState>>;

/// By the address of the rules, which live as long as the book.
type Places = HashMap<usize, Place>;

/// A lane in one of the book's rules.
struct Place {
    /// The lane's outbound in the rules; `None` when no rule can name it.
    outbound: Option<usize>,
    counters: Counters,
}

/// Whether an event is for this lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Routed {
    /// It is to be delivered here.
    Here,
    /// It is through.
    Elsewhere,
}

/// Every lane asks about every event. So that each event counts once, a route is counted by the lane of the first
/// outbound that it names, and an event without a route by the lane of the first outbound of all.
struct Counters {
    routed: Vec<Option<Counter>>,
    unrouted: Option<Counter>,
}

impl Decider {
    pub(super) fn new(name: &str, book: Arc<RuleBook>, once: Once) -> Self {
        Self {
            name: name.to_owned(),
            places: places(name, &book),
            book,
            once,
            counted: HashSet::new(),
        }
    }

    /// Takes another book; what `once` remembers stays.
    pub(super) fn replace(&mut self, book: Arc<RuleBook>) {
        if Arc::ptr_eq(&book, &self.book) {
            return;
        }
        self.places = places(&self.name, &book);
        self.book = book;
        let rules = self.book.texts();
        lock(&self.once).retain(rules.iter().map(|rules| &rules.set));
    }

    /// What `once` has let pass since the last call, to be kept.
    pub(super) fn passed(&self) -> Vec<Passed> {
        lock(&self.once).take_news()
    }

    /// The rules will not be asked about this event again, unless it is replayed.
    pub(super) fn through(&mut self, seq: u64) {
        self.counted.remove(&seq);
    }

    pub(super) fn decide(&mut self, lease: &Lease) -> Routed {
        if lease.routed {
            return Routed::Here;
        }
        let rules = self.book.rules_for(&self.name, lease.seq);
        let place = self.places.get(&Arc::as_ptr(rules).addr());
        let Some((place, outbound)) = place.and_then(|place| Some((place, place.outbound?))) else {
            return Routed::Elsewhere;
        };
        let rules = &rules.set;
        // Revealed to the rules, which give back nothing but yes or no.
        let Ok(event) = rules.view(lease.body.reveal()) else {
            // What cannot be read is rendered, and so buried with that reason, where somebody sees it.
            return Routed::Here;
        };
        let asked = Asked {
            id: lease.id,
            received_at: lease.received_at,
        };
        let admission = rules.admits(outbound, &event, &asked, &mut lock(&self.once));
        if self.counted.insert(lease.seq) {
            place.counters.count(&admission.matched, &event, rules);
        }
        if admission.admitted {
            Routed::Here
        } else {
            self.through(lease.seq);
            Routed::Elsewhere
        }
    }
}

fn places(name: &str, book: &RuleBook) -> Places {
    let place = |rules: &Arc<Rules>| {
        let outbound = rules.set.outbound(name);
        let counters = Counters::new(&rules.set, outbound);
        (Arc::as_ptr(rules).addr(), Place { outbound, counters })
    };
    book.texts().into_iter().map(place).collect()
}

/// Nobody else has it at the same time.
pub(super) fn lock(once: &Once) -> std::sync::MutexGuard<'_, OnceState> {
    once.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Counters {
    fn new(rules: &RouteSet, outbound: Option<usize>) -> Self {
        let route = |route: &faceway_rules::Route| {
            let here = outbound.is_some() && route.to.first().copied() == outbound;
            here.then(|| counter!("faceway_routed_total", "route" => route.name.clone()))
        };
        let unrouted = (outbound == Some(0)).then(|| counter!("faceway_unrouted_total"));
        Self {
            routed: rules.routes().iter().map(route).collect(),
            unrouted,
        }
    }

    fn count(&self, matched: &[usize], event: &Value, rules: &RouteSet) {
        for route in matched {
            if let Some(Some(counter)) = self.routed.get(*route) {
                counter.increment(1);
            }
        }
        if let Some(unrouted) = &self.unrouted
            && matched.is_empty()
            && rules.decide(event).matched.is_empty()
        {
            unrouted.increment(1);
        }
    }
}
