//! Whether an event is for this lane's outbound, by the rules as they are now.

use std::collections::HashSet;
use std::sync::Arc;

use faceway_core::Lease;
use faceway_rules::{Asked, OnceState, RouteSet};
use metrics::{Counter, counter};
use serde_json::Value;

/// Asks the rules for one lane.
pub(super) struct Decider {
    name: String,
    rules: Arc<RouteSet>,
    /// The lane's outbound in the rules; `None` when no rule can name it.
    outbound: Option<usize>,
    once: OnceState,
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
    /// Events that are counted and not through: a released event comes again.
    counted: HashSet<u64>,
}

impl Decider {
    pub(super) fn new(name: &str, rules: Arc<RouteSet>) -> Self {
        let outbound = rules.outbound(name);
        let counters = Counters::new(&rules, outbound, HashSet::new());
        Self {
            name: name.to_owned(),
            rules,
            outbound,
            once: OnceState::default(),
            counters,
        }
    }

    /// Takes new rules; what `once` remembers stays.
    pub(super) fn replace(&mut self, rules: Arc<RouteSet>) {
        self.once.retain(&rules);
        self.outbound = rules.outbound(&self.name);
        let counted = std::mem::take(&mut self.counters.counted);
        self.counters = Counters::new(&rules, self.outbound, counted);
        self.rules = rules;
    }

    /// The rules will not be asked about this event again, unless it is replayed.
    pub(super) fn through(&mut self, seq: u64) {
        self.counters.counted.remove(&seq);
    }

    pub(super) fn decide(&mut self, lease: &Lease) -> Routed {
        if lease.routed {
            return Routed::Here;
        }
        let Some(outbound) = self.outbound else {
            return Routed::Elsewhere;
        };
        // Revealed to the rules, which give back nothing but yes or no.
        let Ok(event) = self.rules.view(lease.body.reveal()) else {
            // What cannot be read is rendered, and so buried with that reason, where somebody sees it.
            return Routed::Here;
        };
        let asked = Asked {
            id: lease.id,
            received_at: lease.received_at,
        };
        let admission = self.rules.admits(outbound, &event, &asked, &mut self.once);
        self.counters
            .count(lease.seq, &admission.matched, &event, &self.rules);
        if admission.admitted {
            Routed::Here
        } else {
            self.through(lease.seq);
            Routed::Elsewhere
        }
    }
}

impl Counters {
    fn new(rules: &RouteSet, outbound: Option<usize>, counted: HashSet<u64>) -> Self {
        let route = |route: &faceway_rules::Route| {
            let here = outbound.is_some() && route.to.first().copied() == outbound;
            here.then(|| counter!("faceway_routed_total", "route" => route.name.clone()))
        };
        let unrouted = (outbound == Some(0)).then(|| counter!("faceway_unrouted_total"));
        Self {
            routed: rules.routes().iter().map(route).collect(),
            unrouted,
            counted,
        }
    }

    fn count(&mut self, seq: u64, matched: &[usize], event: &Value, rules: &RouteSet) {
        if !self.counted.insert(seq) {
            return;
        }
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
