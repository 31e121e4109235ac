//! A receiver that takes events, refuses them, hangs, or is down.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use faceway_core::{BoxFuture, Code, DeviceKey, EventId, Message, Outbound, Scope, Verdict};

/// What an event does to a receiver that is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nature {
    Good,
    /// It hears 500 for ever.
    Fails,
    /// It hears 400.
    Incurable,
    /// It hears 401 for ever.
    Refused,
}

/// What a receiver does to all events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    Down,
    Busy,
    Hangs,
    RefusesAll,
    FailsAll,
}

/// Clones are the same receiver. It outlives the gateway.
#[derive(Clone)]
pub(crate) struct Receiver(Arc<Mutex<Inner>>);

struct Inner {
    mood: Mood,
    natures: BTreeMap<EventId, Nature>,
    /// In the order in which they were taken first.
    taken: Vec<(DeviceKey, EventId)>,
    known: BTreeSet<EventId>,
    /// What it has taken in this life of the gateway.
    now: BTreeSet<EventId>,
    twice: u64,
    in_flight: usize,
    /// How many messages of one device were here at a time, at the most.
    devices: BTreeMap<DeviceKey, usize>,
    crowded: bool,
    latency: Duration,
}

impl Receiver {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Inner {
            mood: Mood::Well,
            natures: BTreeMap::new(),
            taken: Vec::new(),
            known: BTreeSet::new(),
            now: BTreeSet::new(),
            twice: 0,
            in_flight: 0,
            devices: BTreeMap::new(),
            crowded: false,
            latency: Duration::from_millis(1),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn feel(&self, mood: Mood) {
        self.lock().mood = mood;
    }

    pub(crate) fn answer_after(&self, latency: Duration) {
        self.lock().latency = latency;
    }

    pub(crate) fn expect(&self, id: EventId, nature: Nature) {
        self.lock().natures.insert(id, nature);
    }

    /// What it has taken, each once, in that order.
    pub(crate) fn taken(&self) -> Vec<(DeviceKey, EventId)> {
        self.lock().taken.clone()
    }

    pub(crate) fn has(&self, id: EventId) -> bool {
        self.lock().known.contains(&id)
    }

    pub(crate) fn has_now(&self, id: EventId) -> bool {
        self.lock().now.contains(&id)
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.lock().in_flight
    }

    /// Whether two messages of one device were ever here at the same time.
    pub(crate) fn was_crowded(&self) -> bool {
        self.lock().crowded
    }

    /// The gateway is dead, and so are its connections.
    pub(crate) fn cut(&self) {
        let mut inner = self.lock();
        inner.in_flight = 0;
        inner.devices.clear();
        inner.now.clear();
    }

    fn begin(&self, device: DeviceKey) -> Duration {
        let mut inner = self.lock();
        inner.in_flight += 1;
        let here = inner.devices.entry(device).or_default();
        *here += 1;
        inner.crowded |= inner.devices[&device] > 1;
        inner.latency
    }

    fn end(&self, message: &Message) -> Option<Verdict> {
        let mut inner = self.lock();
        let retry = |scope, code, after| Verdict::Retry { scope, code, after };
        let refused = |status| Verdict::Refused {
            code: Code::status(status),
        };
        let nature = inner
            .natures
            .get(&message.id)
            .copied()
            .unwrap_or(Nature::Good);
        let verdict = match (inner.mood, nature) {
            (Mood::Hangs, _) => return None,
            (Mood::Down, _) => retry(Scope::Destination, Code::word("refused"), None),
            (Mood::Busy, _) => {
                let after = Some(Duration::from_secs(3));
                retry(Scope::Destination, Code::status(429), after)
            }
            (Mood::RefusesAll, _) | (Mood::Well, Nature::Refused) => refused(401),
            (Mood::FailsAll, _) | (Mood::Well, Nature::Fails) => {
                retry(Scope::Message, Code::status(500), None)
            }
            (Mood::Well, Nature::Incurable) => Verdict::Bury {
                code: Code::status(400),
            },
            (Mood::Well, Nature::Good) => {
                inner.now.insert(message.id);
                if inner.known.insert(message.id) {
                    inner.taken.push((message.device, message.id));
                } else {
                    inner.twice += 1;
                }
                Verdict::Delivered {
                    code: Code::status(200),
                }
            }
        };
        Some(verdict)
    }

    fn left(&self, device: DeviceKey) {
        let mut inner = self.lock();
        inner.in_flight = inner.in_flight.saturating_sub(1);
        if let Some(here) = inner.devices.get_mut(&device) {
            *here = here.saturating_sub(1);
        }
    }
}

/// How long a delivery may take.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Outbound for Receiver {
    fn deliver<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Verdict> {
        Box::pin(async move {
            let latency = self.begin(message.device);
            tokio::time::sleep(latency).await;
            let verdict = match self.end(message) {
                Some(verdict) => verdict,
                None => {
                    tokio::time::sleep(TIMEOUT).await;
                    Verdict::Retry {
                        scope: Scope::Destination,
                        code: Code::word("timeout"),
                        after: None,
                    }
                }
            };
            self.left(message.device);
            verdict
        })
    }
}
