//! Which events are poison candidates when a connection breaks: those of devices of which the destination has never taken an
//! event.
//!
//! One such device can send what a broker answers by closing the connection, or a receiver by falling over, and with it
//! fails all that is in flight. So an outage that begins while an event of such a device is in flight is in doubt: the
//! next probe is of a device that has proven itself, at once. When it gets through, the lane is careful: one event of an
//! unproven device in flight at a time, so that the next break has one to blame. Each of them that is taken doubles how
//! many there may be, so that ten thousand new devices do not wait in a row.

use std::collections::{BTreeMap, HashSet, VecDeque};

use faceway_core::DeviceKey;

use crate::Queued;

/// More devices than a city has at one gateway. Of more, the one that proved itself first is forgotten.
const DEVICES_MAX: usize = 64 * 1024;
/// A lane that may have so many events of unproven devices in flight is not careful any more.
const AT_EASE: usize = 1024;

/// What a lane knows of the devices whose events it delivers.
#[derive(Default)]
pub(super) struct Unproven {
    proven: HashSet<DeviceKey>,
    by_age: VecDeque<DeviceKey>,
    /// What is in flight.
    in_flight: BTreeMap<u64, Departed>,
    /// How often something has left.
    departures: u64,
    /// They were in flight when another one broke the connection: what became of them tells nothing.
    excused: HashSet<u64>,
    /// Of a careful lane: how many events of unproven devices may be in flight.
    unproven_max: Option<usize>,
}

struct Departed {
    is_unproven: bool,
    departure: u64,
}

impl Unproven {
    /// These are in flight now.
    pub(super) fn left(&mut self, events: &[Queued]) {
        self.departures += 1;
        for event in events {
            let departed = Departed {
                is_unproven: !self.proven.contains(&event.device),
                departure: self.departures,
            };
            self.in_flight.insert(event.seq, departed);
        }
    }

    /// How often something has left.
    pub(super) const fn departures(&self) -> u64 {
        self.departures
    }

    /// The departure with which these left.
    pub(super) fn departure(&self, events: &[Queued]) -> u64 {
        let away = events
            .first()
            .and_then(|event| self.in_flight.get(&event.seq));
        // What is not known to be in flight leaves only now.
        away.map_or(self.departures + 1, |away| away.departure)
    }

    /// These have come back, with whatever verdict; `true` when it tells nothing, if it is a failure.
    pub(super) fn back(&mut self, events: &[Queued]) -> bool {
        let mut excused = false;
        for event in events {
            self.in_flight.remove(&event.seq);
            excused |= self.excused.remove(&event.seq);
        }
        excused
    }

    /// The destination has taken events of these devices.
    pub(super) fn took(&mut self, events: &[Queued]) {
        for event in events {
            if self.proven.insert(event.device) {
                self.by_age.push_back(event.device);
                let doubled = self.unproven_max.map(|most| most * 2);
                self.unproven_max = doubled.filter(|most| *most < AT_EASE);
            }
        }
        while self.by_age.len() > DEVICES_MAX {
            let oldest = self.by_age.pop_front();
            oldest.map(|device| self.proven.remove(&device));
        }
    }

    /// Whether the destination has ever taken an event of this device.
    pub(super) fn is_proven(&self, event: &Queued) -> bool {
        self.proven.contains(&event.device)
    }

    /// The events in flight that may have broken the connection: `candidates`, or else those of unproven devices. None
    /// when no device has proven itself: there is none to compare them with.
    pub(super) fn blameable(&self, candidates: &VecDeque<u64>) -> Vec<u64> {
        if self.proven.is_empty() {
            return Vec::new();
        }
        let known: Vec<u64> = candidates
            .iter()
            .copied()
            .filter(|seq| self.in_flight.contains_key(seq))
            .collect();
        if !known.is_empty() {
            return known;
        }
        let unproven = self.in_flight.iter().filter(|(_, away)| away.is_unproven);
        unproven.map(|(seq, _)| *seq).collect()
    }

    /// What is in flight.
    pub(super) fn in_flight(&self) -> HashSet<u64> {
        self.in_flight.keys().copied().collect()
    }

    /// An event broke the connection for these as well.
    pub(super) fn excuse(&mut self, seqs: HashSet<u64>) {
        self.excused = seqs;
    }

    /// The connection broke under one that is blameable.
    pub(super) const fn be_careful(&mut self) {
        self.unproven_max = Some(1);
    }

    /// Whether the lane is careful.
    pub(super) const fn is_careful(&self) -> bool {
        self.unproven_max.is_some()
    }

    /// Whether this event may be in flight beside what is.
    pub(super) fn may_leave(&self, event: &Queued) -> bool {
        self.is_proven(event)
            || self.unproven_max.is_none_or(|most| {
                let unproven = self.in_flight.values().filter(|away| away.is_unproven);
                unproven.count() < most
            })
    }
}
