//! When events leave together, and which.

use std::collections::HashSet;
use std::time::Duration;

use faceway_core::DeviceKey;

use crate::Tick;
use crate::queues::Queues;
use crate::split::Split;

/// How long events that do not fill a batch wait for more. Long enough to bring a burst of pushes together, short enough
/// that a person at a door does not notice it.
const LINGER: Duration = Duration::from_millis(50);

/// Chooses what leaves next while the breaker is closed.
#[derive(Debug, Default)]
pub(crate) struct Batching {
    /// Events that failed together and go alone.
    pub(crate) split: Split,
    /// Until when events wait for more.
    lingers: Option<Tick>,
}

/// How one event may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// With others.
    Together,
    /// In a message of its own.
    Alone,
    /// Not now.
    NotNow,
}

impl Batching {
    /// When to ask again although nothing has changed.
    pub(crate) const fn lingers(&self) -> Option<Tick> {
        self.lingers
    }

    /// Nothing may leave now: what waits for more waits for something else.
    pub(crate) const fn pause(&mut self) {
        self.lingers = None;
    }

    /// Takes the events that leave now out of the queues: one of each device in turn, again and again, until there are
    /// `events_max`. None when there are none, or when they wait for more.
    pub(crate) fn next(
        &mut self,
        queues: &mut Queues,
        events_max: usize,
        now: Tick,
        share: impl Fn(u64, DeviceKey) -> Share,
    ) -> Vec<(u64, DeviceKey)> {
        let share = |seq, device| match share(seq, device) {
            Share::Together if self.split.holds(seq) => Share::Alone,
            share => share,
        };
        let mut heads = queues.heads();
        let first = heads.find(|(seq, device)| share(*seq, *device) != Share::NotNow);
        drop(heads);
        let Some((first, device)) = first else {
            self.lingers = None;
            return Vec::new();
        };
        if events_max == 1 || share(first, device) == Share::Alone {
            self.lingers = None;
            queues.take(device);
            return vec![(first, device)];
        }
        if !fills(queues, events_max, share) {
            let until = *self.lingers.get_or_insert(now.plus(LINGER));
            if now < until {
                return Vec::new();
            }
        }
        self.lingers = None;
        take_in_turn(queues, events_max, share)
    }
}

/// Whether what may leave now fills a batch.
fn fills(queues: &Queues, events_max: usize, share: impl Fn(u64, DeviceKey) -> Share) -> bool {
    let together = queues
        .all_ready()
        .filter(|(seq, device)| share(*seq, *device) == Share::Together);
    together.take(events_max).count() == events_max
}

fn take_in_turn(
    queues: &mut Queues,
    events_max: usize,
    share: impl Fn(u64, DeviceKey) -> Share,
) -> Vec<(u64, DeviceKey)> {
    let mut batch = Vec::new();
    let heads = queues
        .heads()
        .filter(|(seq, device)| share(*seq, *device) == Share::Together);
    let mut round: Vec<DeviceKey> = heads.take(events_max).map(|(_, device)| device).collect();
    // A device may stand in both rings for a moment, and is served once a round.
    let mut seen = HashSet::new();
    round.retain(|device| seen.insert(*device));
    while !round.is_empty() && batch.len() < events_max {
        round.retain(|device| {
            let next = queues
                .next_of(*device)
                .filter(|seq| share(*seq, *device) == Share::Together);
            if next.is_none() || batch.len() >= events_max {
                return false;
            }
            batch.extend(queues.take(*device).map(|seq| (seq, *device)));
            true
        });
    }
    batch
}
