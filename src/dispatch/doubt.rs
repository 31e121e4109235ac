//! Whom a lane suspects when its connection breaks: the devices of which the destination has never taken an event.
//!
//! One such device can send what a broker answers by closing the connection, or a receiver by falling over, and with it
//! fails all that is on its way. So an outage that begins while an event of such a device is on its way is in doubt: the
//! next probe is of a device that has proven itself, at once. When it gets through, the lane is wary: one event of an
//! unproven device on its way at a time, so that the next break has one to blame. Each of them that is taken doubles how
//! many there may be, so that ten thousand new devices do not wait in a row.

use std::collections::{BTreeMap, HashSet, VecDeque};

use faceway_core::{DeviceKey, Lease};

/// More devices than a city has at one gateway. Of more, the one that proved itself first is forgotten.
const DEVICES_MAX: usize = 64 * 1024;
/// A lane that may have so many events of unproven devices on their way is not wary any more.
const AT_EASE: usize = 1024;

/// What a lane knows of the devices whose events it delivers.
#[derive(Default)]
pub(super) struct Doubt {
    proven: HashSet<DeviceKey>,
    by_age: VecDeque<DeviceKey>,
    /// What is on its way.
    away: BTreeMap<u64, Away>,
    /// How often something has left.
    departures: u64,
    /// They were on their way when another one broke the connection: what became of them tells nothing.
    excused: HashSet<u64>,
    /// Of a wary lane: how many events of unproven devices may be on their way.
    unproven_max: Option<usize>,
}

struct Away {
    is_unproven: bool,
    departure: u64,
}

impl Doubt {
    /// These are on their way now.
    pub(super) fn left(&mut self, events: &[Lease]) {
        self.departures += 1;
        for lease in events {
            let away = Away {
                is_unproven: !self.proven.contains(&lease.device),
                departure: self.departures,
            };
            self.away.insert(lease.seq, away);
        }
    }

    /// How often something has left.
    pub(super) const fn departures(&self) -> u64 {
        self.departures
    }

    /// The departure with which these left.
    pub(super) fn departure(&self, events: &[Lease]) -> u64 {
        let away = events.first().and_then(|lease| self.away.get(&lease.seq));
        // What is not known to be on its way leaves only now.
        away.map_or(self.departures + 1, |away| away.departure)
    }

    /// These have come back, with whatever verdict; `true` when it tells nothing, if it is a failure.
    pub(super) fn back(&mut self, events: &[Lease]) -> bool {
        let mut excused = false;
        for lease in events {
            self.away.remove(&lease.seq);
            excused |= self.excused.remove(&lease.seq);
        }
        excused
    }

    /// The destination has taken events of these devices.
    pub(super) fn took(&mut self, events: &[Lease]) {
        for lease in events {
            if self.proven.insert(lease.device) {
                self.by_age.push_back(lease.device);
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
    pub(super) fn is_proven(&self, lease: &Lease) -> bool {
        self.proven.contains(&lease.device)
    }

    /// Whether no device has proven itself.
    pub(super) fn knows_nobody(&self) -> bool {
        self.proven.is_empty()
    }

    /// The events on their way that may have broken the connection: `suspects`, or else those of unproven devices. None
    /// when no device has proven itself: there is none to compare them with.
    pub(super) fn suspected(&self, suspects: &VecDeque<u64>) -> Vec<u64> {
        if self.proven.is_empty() {
            return Vec::new();
        }
        let known: Vec<u64> = suspects
            .iter()
            .copied()
            .filter(|seq| self.away.contains_key(seq))
            .collect();
        if !known.is_empty() {
            return known;
        }
        let unproven = self.away.iter().filter(|(_, away)| away.is_unproven);
        unproven.map(|(seq, _)| *seq).collect()
    }

    /// What is on its way.
    pub(super) fn away(&self) -> HashSet<u64> {
        self.away.keys().copied().collect()
    }

    /// An event broke the connection for these as well.
    pub(super) fn excuse(&mut self, seqs: HashSet<u64>) {
        self.excused = seqs;
    }

    /// The connection broke under one that is suspected.
    pub(super) const fn be_wary(&mut self) {
        self.unproven_max = Some(1);
    }

    /// Whether the lane is wary.
    pub(super) const fn is_wary(&self) -> bool {
        self.unproven_max.is_some()
    }

    /// Whether this event may be on its way beside what is.
    pub(super) fn may_leave(&self, lease: &Lease) -> bool {
        self.is_proven(lease)
            || self.unproven_max.is_none_or(|most| {
                let unproven = self.away.values().filter(|away| away.is_unproven);
                unproven.count() < most
            })
    }
}
