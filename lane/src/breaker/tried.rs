//! What has failed since the destination last took an event.

use std::collections::{HashMap, VecDeque};

use faceway_core::DeviceKey;

use crate::Queued;

/// So many events are remembered: more than there are devices at one gateway, of each of which the first event is tried. One
/// that is forgotten counts as not tried.
const REMEMBERED_MAX: usize = 16 * 1024;

#[derive(Clone, Copy)]
pub(super) struct Tried {
    pub(super) seq: u64,
    pub(super) device: DeviceKey,
    /// A retry alone does not cure it: it was refused, or its attempts are used up.
    pub(super) is_spent: bool,
    /// How often something had left when it failed last.
    pub(super) departures: u64,
    /// And when it failed first.
    pub(super) since: u64,
}

/// In the order in which they failed first.
#[derive(Default)]
pub(super) struct TriedEvents {
    events: HashMap<u64, Tried>,
    order: VecDeque<u64>,
    /// How many there are of each device.
    devices: HashMap<DeviceKey, usize>,
}

impl TriedEvents {
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(super) fn get(&self, seq: u64) -> Option<&Tried> {
        self.events.get(&seq)
    }

    /// Of how many devices they are.
    pub(super) fn devices(&self) -> usize {
        self.devices.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Tried> {
        self.order.iter().filter_map(|seq| self.events.get(seq))
    }

    /// This one failed; `true` when it is the first time.
    pub(super) fn note(&mut self, event: &Queued, is_spent: bool, departures: u64) -> bool {
        if let Some(tried) = self.events.get_mut(&event.seq) {
            tried.is_spent |= is_spent;
            tried.departures = departures;
            return false;
        }
        self.push(Tried {
            seq: event.seq,
            device: event.device,
            is_spent,
            departures,
            since: departures,
        });
        if self.order.len() > REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.forget(oldest);
        }
        true
    }

    /// Takes out what failed before something left with this departure.
    pub(super) fn take_before(&mut self, departure: u64) -> Vec<Tried> {
        let Self { events, order, .. } = std::mem::take(self);
        let mut taken = Vec::new();
        for tried in order.iter().filter_map(|seq| events.get(seq)) {
            if tried.departures < departure {
                taken.push(*tried);
            } else {
                self.push(*tried);
            }
        }
        taken
    }

    pub(super) fn remove(&mut self, seq: u64) {
        if self.events.contains_key(&seq) {
            self.order.retain(|other| *other != seq);
            self.forget(seq);
        }
    }

    fn push(&mut self, tried: Tried) {
        self.events.insert(tried.seq, tried);
        self.order.push_back(tried.seq);
        *self.devices.entry(tried.device).or_default() += 1;
    }

    fn forget(&mut self, seq: u64) {
        let Some(tried) = self.events.remove(&seq) else {
            return;
        };
        if let Some(count) = self.devices.get_mut(&tried.device) {
            *count -= 1;
            if *count == 0 {
                self.devices.remove(&tried.device);
            }
        }
    }
}
