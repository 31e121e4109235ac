//! How long devices wait at a receiver that is well, and behind how many messages of others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use faceway_core::{DeviceKey, EventId};
use tokio::time::Instant;

/// No first event of a device waits longer than that while its destination answers, also where it refuses others: twice the `backoff_max` of the plans.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// A device that may leave is served behind so many messages of any other one: the ring gives each its turn, and one may have
/// stood in front of it already.
const TURNS_MAX: usize = 2;

/// What was measured since the last disturbance.
#[derive(Default)]
pub(crate) struct Served {
    since: Option<Instant>,
    /// Events that were not taken yet, each with when it was appended or all began anew.
    appended: BTreeMap<EventId, Instant>,
    /// When the last message of a device left the receiver.
    left: BTreeMap<DeviceKey, Instant>,
    /// Devices that may leave, each with the messages of others that began since.
    passed: BTreeMap<DeviceKey, BTreeMap<DeviceKey, usize>>,
    /// Events of each device that were appended, and did not come yet.
    waiting: BTreeMap<DeviceKey, usize>,
    /// When something else than success came last.
    failed: Option<Instant>,
    /// Devices of which an event waited when all began anew: it may have a pause of its own.
    parked: BTreeSet<DeviceKey>,
    /// Events were handed out once more: one that was buried may stand in front of its device again.
    is_replayed: bool,
    /// Something else than success came since the last disturbance: other rules hold until all is well again.
    is_troubled: bool,
}

impl Served {
    /// What happened before says nothing of what comes, nor of the order in which devices with earlier events are served.
    /// Several gateways share no fairness.
    pub(crate) fn disturb(&mut self, is_shared: bool, parked: BTreeSet<DeviceKey>) {
        let now = Instant::now();
        self.stop();
        self.since = Some(now);
        self.is_troubled = is_shared;
        self.parked = parked;
        self.appended.values_mut().for_each(|at| *at = now);
    }

    /// Nothing is measured until the next disturbance: the gateway is frozen.
    pub(crate) fn stop(&mut self) {
        *self = Self {
            appended: std::mem::take(&mut self.appended),
            is_replayed: self.is_replayed,
            ..Self::default()
        };
    }

    pub(crate) fn waits(&mut self, device: DeviceKey, id: EventId) {
        self.appended.insert(id, Instant::now());
        *self.waiting.entry(device).or_default() += 1;
        self.passed.entry(device).or_default();
    }

    /// A message of this device comes. Gives the promise that it breaks.
    pub(crate) fn begins(
        &mut self,
        device: DeviceKey,
        id: EventId,
        is_well: bool,
    ) -> Option<String> {
        let late = self.late(device, id);
        let passed = self.passed.remove(&device).unwrap_or_default();
        if let Some(count) = self.waiting.get_mut(&device) {
            *count = count.saturating_sub(1);
        }
        for others in self.passed.values_mut() {
            *others.entry(device).or_default() += 1;
        }
        let is_measured = self.since.is_some() && !self.parked.contains(&device);
        let is_free = is_well && !self.is_troubled && is_measured;
        let ahead = passed.iter().max_by_key(|(_, turns)| **turns);
        match ahead {
            _ if is_well && late.is_some() => late,
            Some((other, turns)) if is_free && *turns > TURNS_MAX => Some(format!(
                "{id} of {device:?} waited for {turns} messages of {other:?}"
            )),
            _ => None,
        }
    }

    /// The receiver has answered.
    pub(crate) fn ended(&mut self, device: DeviceKey, id: EventId, is_taken: bool) {
        if !is_taken {
            self.failed = Some(Instant::now());
            self.is_troubled = true;
            self.passed.clear();
            return;
        }
        self.appended.remove(&id);
        if !self.is_troubled && self.waiting.get(&device).is_some_and(|count| *count > 0) {
            self.passed.insert(device, BTreeMap::new());
        }
    }

    /// A message has left, with or without an answer.
    pub(crate) fn left(&mut self, device: DeviceKey) {
        self.left.insert(device, Instant::now());
    }

    /// Its burial is taken back, or it is handed out once more: how long it waited is no measure.
    pub(crate) fn again(&mut self, id: EventId) {
        self.appended.remove(&id);
        self.is_replayed = true;
    }

    /// Whether an event could have come long ago: since it was appended, the device's last message left, and all began anew.
    pub(crate) fn late(&self, device: DeviceKey, id: EventId) -> Option<String> {
        // Nothing is measured now, or it is handed out once more.
        let (since, appended) = (self.since?, self.appended.get(&id)?);
        let left = self.left.get(&device).copied();
        let from = since.max(*appended).max(left.unwrap_or(since));
        // Behind what is buried again there is a pause of its own.
        let failed = self.failed.filter(|_| self.is_replayed);
        let waited = from.max(failed.unwrap_or(from)).elapsed();
        (waited > WAIT_MAX).then(|| format!("{id} of {device:?} waits since {waited:?}"))
    }
}
