//! How many events each route matched: counted as they are kept, so that no destination that is down can hold that up, and
//! a lane that comes to an event again or late does not count it again.
//!
//! It is no lane: it has no position in the spool, holds nothing back there, and forgets with the process, as counters do.

use std::sync::Arc;

use bytes::Bytes;
use faceway_core::Private;
use faceway_rules::RouteSet;
use metrics::{Counter, counter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::topology::rules_history::{ActiveRules, Rules};

/// Bytes of events that may wait to be counted. They wait while rules are written down, so that an event is counted by
/// those that were in force when it was kept; who keeps more waits too.
const WAITING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Counts events by the routes that match them. It works until it is dropped.
pub struct Tally {
    told: mpsc::UnboundedSender<Told>,
    room: Arc<Semaphore>,
}

/// Events with their sequence numbers, and the room that they take while they wait.
struct Told {
    events: Vec<(u64, Private<Bytes>)>,
    /// The version of the rules that is needed to know by which they go.
    version: u64,
    _room: OwnedSemaphorePermit,
}

/// The counters of one text of rules.
struct Counters {
    rules: Arc<Rules>,
    /// In the order of the routes.
    routed: Vec<Counter>,
    unrouted: Counter,
}

impl Tally {
    /// Counts by these rules.
    pub fn new(rules: ActiveRules) -> Self {
        let (told, heard) = mpsc::unbounded_channel();
        tokio::spawn(work(rules, heard));
        Self {
            told,
            room: Arc::new(Semaphore::new(WAITING_BYTES_MAX)),
        }
    }

    /// These events are kept, and new; the log has this version of the rules.
    pub async fn kept(&self, events: Vec<(u64, Private<Bytes>)>, version: u64) {
        if events.is_empty() {
            return;
        }
        let bytes: usize = events.iter().map(|(_, body)| body.size()).sum();
        let bytes = u32::try_from(bytes.min(WAITING_BYTES_MAX)).unwrap_or(u32::MAX);
        // The tally holds it open.
        if let Ok(room) = Arc::clone(&self.room).acquire_many_owned(bytes).await {
            // When the gateway ends the counter may be gone, and no scrape asks for it any more.
            let _ = self.told.send(Told {
                events,
                version,
                _room: room,
            });
        }
    }
}

/// Makes the counters of these rules known, so that a route without events is told with 0.
pub fn announce(rules: &RouteSet) {
    let (routed, unrouted) = counters_of(rules);
    for counter in routed.iter().chain([&unrouted]) {
        counter.increment(0);
    }
}

async fn work(active: ActiveRules, mut heard: mpsc::UnboundedReceiver<Told>) {
    let mut counters: Option<Counters> = None;
    while let Some(told) = heard.recv().await {
        active.until(told.version).await;
        let history = active.current().await;
        for (seq, body) in &told.events {
            let rules = &history.version(*seq).rules;
            let known = counters.take_if(|known| Arc::ptr_eq(&known.rules, rules));
            counters
                .insert(known.unwrap_or_else(|| Counters::of(rules)))
                .count(active.matched(rules, *seq, body).as_deref());
        }
    }
}

fn counters_of(rules: &RouteSet) -> (Vec<Counter>, Counter) {
    let routes = rules.routes().iter();
    let routed = |route: &faceway_rules::Route| counter!("faceway_routed_total", "route" => route.name.clone());
    (
        routes.map(routed).collect(),
        counter!("faceway_unrouted_total"),
    )
}

impl Counters {
    fn of(rules: &Arc<Rules>) -> Self {
        let (routed, unrouted) = counters_of(&rules.set);
        Self {
            rules: Arc::clone(rules),
            routed,
            unrouted,
        }
    }

    /// Counts an event, if it could be read, by the routes that match it.
    fn count(&self, matched: Option<&[usize]>) {
        let Some(matched) = matched else {
            return;
        };
        if matched.is_empty() {
            self.unrouted.increment(1);
        }
        for counter in matched.iter().filter_map(|route| self.routed.get(*route)) {
            counter.increment(1);
        }
    }
}
