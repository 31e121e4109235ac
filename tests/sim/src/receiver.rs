//! A receiver that takes events, refuses them, hangs, or is down.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use faceway_core::{
    BoxFuture, Code, DeviceKey, EventId, Log as _, Message, Outbound, Scope, Verdict,
};
use faceway_testkit::memory::MemorySpool;
use tokio::time::Instant;

use crate::picture::Painted;
use crate::served::Served;

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

/// What a receiver knows of an event before it comes.
#[derive(Clone)]
pub(crate) struct Expected {
    pub(crate) nature: Nature,
    pub(crate) pictures: Vec<&'static Painted>,
}

/// Clones are the same receiver. It outlives the gateway.
#[derive(Clone)]
pub(crate) struct Receiver(Arc<Mutex<Inner>>);

struct Inner {
    is_inline: bool,
    mood: Mood,
    expected: BTreeMap<EventId, Expected>,
    /// In the order in which they were taken first.
    taken: Vec<(DeviceKey, EventId)>,
    /// By which gateway an event was refused first.
    refused: BTreeMap<EventId, u64>,
    /// Events that were taken from a later gateway than the one that was refused.
    outlived: BTreeSet<EventId>,
    known: BTreeSet<EventId>,
    /// What was delivered by each claim of its lane.
    now: BTreeSet<(u64, EventId)>,
    /// Messages that are here, by gateway and device.
    in_flight: BTreeMap<(u64, DeviceKey), usize>,
    /// Events that may come without their pictures: they are handed out once more.
    forgiven: BTreeSet<EventId>,
    latency: Duration,
    served: Served,
    /// What was said to which gateway in this life, for the trace of a failing seed.
    said: Vec<(Instant, u64, EventId, Mood, Option<Verdict>)>,
    /// Promises that were broken here.
    breaches: Vec<String>,
}

impl Receiver {
    pub(crate) fn new(is_inline: bool) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            is_inline,
            mood: Mood::Well,
            expected: BTreeMap::new(),
            taken: Vec::new(),
            refused: BTreeMap::new(),
            outlived: BTreeSet::new(),
            known: BTreeSet::new(),
            now: BTreeSet::new(),
            in_flight: BTreeMap::new(),
            forgiven: BTreeSet::new(),
            latency: Duration::from_millis(1),
            served: Served::default(),
            said: Vec::new(),
            breaches: Vec::new(),
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

    pub(crate) fn expect(&self, id: EventId, expected: Expected) {
        self.lock().expected.insert(id, expected);
    }

    /// These are handed out once more.
    pub(crate) fn forgive(&self, ids: &[EventId]) {
        let mut inner = self.lock();
        inner.forgiven.extend(ids);
        ids.iter().for_each(|id| inner.served.again(*id));
    }

    /// What is measured of waiting begins anew, or stops where all gateways are frozen.
    pub(crate) fn disturb(&self, gateways: usize, parked: BTreeSet<DeviceKey>) {
        let served = &mut self.lock().served;
        match gateways {
            0 => served.stop(),
            _ => served.disturb(gateways > 1, parked),
        }
    }

    /// An event of this device is appended now, for this receiver.
    pub(crate) fn waits(&self, device: DeviceKey, id: EventId) {
        self.lock().served.waits(device, id);
    }

    /// What it has taken, each once, in that order.
    pub(crate) fn taken(&self) -> Vec<(DeviceKey, EventId)> {
        self.lock().taken.clone()
    }

    /// Whether an event was refused, and taken when another gateway sent it: later ones of its device may have passed it while the
    /// first one lived, and it may have died before that was kept.
    pub(crate) fn outlived(&self, id: EventId) -> bool {
        self.lock().outlived.contains(&id)
    }

    pub(crate) fn has(&self, id: EventId) -> bool {
        self.lock().known.contains(&id)
    }

    /// What was delivered by this claim of its lane.
    pub(crate) fn taken_by(&self, epoch: u64) -> BTreeSet<EventId> {
        let inner = self.lock();
        let now = inner.now.iter().filter(|(by, _)| *by == epoch);
        now.map(|(_, id)| *id).collect()
    }

    /// Messages of this gateway that are here.
    pub(crate) fn in_flight(&self, gateway: u64) -> usize {
        let inner = self.lock();
        let of = inner
            .in_flight
            .iter()
            .filter(|((from, _), _)| *from == gateway);
        of.map(|(_, count)| count).sum()
    }

    /// Whether the first event of a device waits for too long although the receiver is well.
    pub(crate) fn late(&self, device: DeviceKey, id: EventId) -> Option<String> {
        let inner = self.lock();
        let is_here = inner.in_flight.keys().any(|(_, here)| *here == device);
        if inner.mood != Mood::Well || is_here {
            return None;
        }
        inner.served.late(device, id)
    }

    /// The promises that were broken here.
    pub(crate) fn breaches(&self) -> Vec<String> {
        self.lock().breaches.clone()
    }

    /// What it said last in this life.
    pub(crate) fn story(&self, name: &str) -> Vec<String> {
        let inner = self.lock();
        let began = inner.said.first().map(|(at, ..)| *at);
        let last = inner.said.iter().rev().take(STORY_MAX).rev();
        let line = |(at, gateway, id, mood, verdict): &(Instant, u64, EventId, Mood, Option<_>)| {
            let at = began.map_or(Duration::ZERO, |began| at.saturating_duration_since(began));
            let number = u64::from_be_bytes(id.record().0);
            format!("{name} {at:?} gateway {gateway}, event {number}: {mood:?} {verdict:?}")
        };
        last.map(line).collect()
    }

    /// The gateways are dead, and so are their connections.
    pub(crate) fn cut(&self) {
        let mut inner = self.lock();
        inner.said.clear();
        inner.in_flight.clear();
        inner.now.clear();
    }
}

/// One gateway's connection to a receiver.
pub(crate) struct Outlet {
    pub(crate) receiver: Receiver,
    /// The number of the gateway.
    pub(crate) gateway: u64,
    pub(crate) lane: &'static str,
    pub(crate) log: Arc<MemorySpool>,
    pub(crate) window: usize,
    /// Messages that began after the gateway was told that another one owns the lane.
    late: Mutex<usize>,
}

/// A message that is at the receiver; it leaves with the connection.
struct Here<'s>(&'s Outlet, DeviceKey);

impl Drop for Here<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.receiver.lock();
        let here = (self.0.gateway, self.1);
        if let Some(count) = inner.in_flight.get_mut(&here) {
            *count -= 1;
        }
        inner.in_flight.retain(|_, count| *count > 0);
        inner.served.left(self.1);
    }
}

impl Outlet {
    pub(crate) fn new(
        receiver: &Receiver,
        gateway: u64,
        lane: &'static str,
        log: &Arc<MemorySpool>,
        window: usize,
    ) -> Self {
        Self {
            receiver: receiver.clone(),
            gateway,
            lane,
            log: Arc::clone(log),
            window,
            late: Mutex::default(),
        }
    }

    fn begin(&self, message: &Message) -> (Here<'_>, Duration) {
        let device = message.device;
        self.check_claim(message);
        let mut inner = self.receiver.lock();
        let here = inner.in_flight.entry((self.gateway, device)).or_default();
        *here += 1;
        let is_crowded = *here > 1;
        if is_crowded {
            let said = format!("two messages of {device:?} are in flight to {}", self.lane);
            inner.breaches.push(said);
        }
        let is_well = inner.mood == Mood::Well;
        let expected = inner.expected.get(&message.id);
        // One that no receiver takes may be set aside while the lane waits.
        let is_good = expected.is_none_or(|it| it.nature == Nature::Good);
        let breach = inner.served.begins(device, message.id, is_well && is_good);
        let breach = breach.map(|breach| format!("{}: {breach}", self.lane));
        inner.breaches.extend(breach);
        (Here(self, device), inner.latency)
    }

    /// A lane that is fenced delivers nothing after it was told: what was to leave in that moment is less than a window.
    fn check_claim(&self, message: &Message) {
        if self.log.fenced_at(self.lane).is_none() {
            return;
        }
        let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        *late += 1;
        if *late > self.window {
            let said = format!(
                "gateway {} delivers {} to {} although it is fenced",
                self.gateway, message.id, self.lane
            );
            self.receiver.lock().breaches.push(said);
        }
    }

    /// An undelivered event has its pictures.
    async fn check_pictures(&self, message: &Message) {
        let (is_inline, pictures) = {
            let inner = self.receiver.lock();
            let is_free = inner.forgiven.contains(&message.id) || !self.log.owns(self.lane);
            let expected = inner.expected.get(&message.id).filter(|_| !is_free);
            let pictures = expected.map(|expected| expected.pictures.clone());
            (inner.is_inline, pictures.unwrap_or_default())
        };
        for picture in pictures {
            let is_there = if is_inline {
                let body = std::str::from_utf8(message.body.reveal()).unwrap_or_default();
                body.contains(&picture.inline)
            } else {
                matches!(self.log.picture(picture.sha256).await, Ok(Some(_)))
            };
            if !is_there {
                let said = format!("{} comes to {} without its picture", message.id, self.lane);
                self.receiver.lock().breaches.push(said);
            }
        }
    }

    fn end(&self, message: &Message) -> Option<Verdict> {
        let mut inner = self.receiver.lock();
        let fenced_at = self.log.fenced_at(self.lane);
        if fenced_at.is_some_and(|at| at < Instant::now()) {
            let said = format!(
                "gateway {} did not give up {} for {} when it was fenced",
                self.gateway, message.id, self.lane
            );
            inner.breaches.push(said);
        }
        let expected = inner.expected.get(&message.id);
        let nature = expected.map_or(Nature::Good, |expected| expected.nature);
        let (mood, verdict) = (inner.mood, verdict(inner.mood, nature));
        let said = (
            Instant::now(),
            self.gateway,
            message.id,
            mood,
            verdict.clone(),
        );
        inner.said.push(said);
        let verdict = verdict?;
        if matches!(verdict, Verdict::Refused { .. }) {
            let first = inner.refused.entry(message.id).or_insert(self.gateway);
            *first = self.gateway.min(*first);
        }
        let is_taken = matches!(verdict, Verdict::Delivered { .. });
        inner.served.ended(message.device, message.id, is_taken);
        if is_taken {
            inner.now.insert((self.log.epoch(self.lane), message.id));
            let refused = inner.refused.get(&message.id);
            if refused.is_some_and(|before| *before < self.gateway) {
                inner.outlived.insert(message.id);
            }
            if inner.known.insert(message.id) {
                inner.taken.push((message.device, message.id));
            }
        }
        Some(verdict)
    }
}

/// What the receiver says; nothing when it hangs.
fn verdict(mood: Mood, nature: Nature) -> Option<Verdict> {
    let retry = |scope, code, after| Verdict::Retry { scope, code, after };
    let refused = |status| Verdict::Refused {
        code: Code::status(status),
    };
    Some(match (mood, nature) {
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
        (Mood::Well, Nature::Good) => Verdict::Delivered {
            code: Code::status(200),
        },
    })
}

/// So much of what was said is in a trace.
const STORY_MAX: usize = 300;
/// How long a delivery may take.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Outbound for Outlet {
    fn deliver<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Verdict> {
        Box::pin(async move {
            self.log.thawed().await;
            let (_here, latency) = self.begin(message);
            self.check_pictures(message).await;
            // A receiver without latency answers before anything else is looked at.
            if !latency.is_zero() {
                tokio::time::sleep(latency).await;
            }
            match self.end(message) {
                Some(verdict) => verdict,
                None => {
                    tokio::time::sleep(TIMEOUT).await;
                    Verdict::Retry {
                        scope: Scope::Destination,
                        code: Code::word("timeout"),
                        after: None,
                    }
                }
            }
        })
    }
}
