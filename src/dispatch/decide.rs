//! Whether an event is for this lane's outbound, by the rules that are for it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use faceway_core::Lease;
use faceway_rules::{Asked, OnceState, RouteSet};
use metrics::{Counter, counter};
use serde_json::Value;

use super::rulebook::{Edition, RuleBook};

/// Asks the rules for one lane.
pub(super) struct Decider {
    name: String,
    book: Arc<RuleBook>,
    /// The lane's standing in each edition of the book.
    places: Vec<Place>,
    once: OnceState,
    /// Events that are counted and not through: a released event comes again.
    counted: HashSet<u64>,
    /// Events up to here go by the edition behind it: those that the lane has not seen when the rules in force were made,
    /// as it is newer than they are or was asked to go through them again.
    floor: Arc<AtomicU64>,
}

/// A lane in one edition of the rules.
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
    pub(super) fn new(name: &str, book: Arc<RuleBook>, floor: Arc<AtomicU64>) -> Self {
        Self {
            name: name.to_owned(),
            places: places(name, &book),
            book,
            once: OnceState::default(),
            counted: HashSet::new(),
            floor,
        }
    }

    /// Takes another book; what `once` remembers stays.
    pub(super) fn replace(&mut self, book: Arc<RuleBook>) {
        if Arc::ptr_eq(&book, &self.book) {
            return;
        }
        let editions = book.editions().iter();
        self.once.retain(editions.map(|edition| &*edition.rules));
        self.places = places(&self.name, &book);
        self.book = book;
    }

    /// The rules will not be asked about this event again, unless it is replayed.
    pub(super) fn through(&mut self, seq: u64) {
        self.counted.remove(&seq);
    }

    pub(super) fn decide(&mut self, lease: &Lease) -> Routed {
        if lease.routed {
            return Routed::Here;
        }
        let floor = self.floor.load(Ordering::Relaxed);
        let edition = self.book.position(lease.seq.max(floor.saturating_add(1)));
        let (rules, place) = (&self.book.editions()[edition].rules, &self.places[edition]);
        let Some(outbound) = place.outbound else {
            return Routed::Elsewhere;
        };
        // Revealed to the rules, which give back nothing but yes or no.
        let Ok(event) = rules.view(lease.body.reveal()) else {
            // What cannot be read is rendered, and so buried with that reason, where somebody sees it.
            return Routed::Here;
        };
        let asked = Asked {
            id: lease.id,
            received_at: lease.received_at,
        };
        let admission = rules.admits(outbound, &event, &asked, &mut self.once);
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

fn places(name: &str, book: &RuleBook) -> Vec<Place> {
    let place = |edition: &Edition| {
        let outbound = edition.rules.outbound(name);
        Place {
            outbound,
            counters: Counters::new(&edition.rules, outbound),
        }
    };
    book.editions().iter().map(place).collect()
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
