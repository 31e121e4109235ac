//! What waits, by device, and which device is served next.
//!
//! Devices that may leave stand in a ring: one that has been served goes to its end. So a device with 50,000 waiting events
//! delays another one by no more than what is in flight.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use faceway_core::DeviceKey;

use crate::Tick;
use crate::ascending::Ascending;

/// Which of the two rings: what is handed out once more waits for what is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// As it came in.
    Live,
    /// Handed out once more.
    Replayed,
}

/// All that waits and is not in flight.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    devices: HashMap<DeviceKey, Device>,
    live: VecDeque<DeviceKey>,
    replayed: VecDeque<DeviceKey>,
    /// Parked events.
    parked: HashMap<u64, Tick>,
    due: BTreeSet<(Tick, u64, DeviceKey)>,
    ready: usize,
}

#[derive(Debug, Default)]
struct Device {
    /// Events that came back, ascending, and lower than those in `rest`.
    front: VecDeque<u64>,
    /// Events in the order of the log.
    rest: Ascending,
    /// Events that are handed out once more, ascending.
    replayed: BTreeSet<u64>,
    /// A message with events of it is in flight.
    is_busy: bool,
    /// A burial or a suspension of it is not durable yet.
    is_held: bool,
    /// It stands in this ring; the ring of another class holds a stale entry of it at most once.
    ring: Option<Class>,
}

impl Device {
    fn first(&self) -> Option<u64> {
        self.front.front().copied().or_else(|| self.rest.front())
    }

    fn is_empty(&self) -> bool {
        self.first().is_none() && self.replayed.is_empty()
    }

    fn insert(&mut self, seq: u64) {
        if self.front.is_empty() && self.rest.push(seq) {
            return;
        }
        if self.rest.front().is_none_or(|first| seq < first) {
            if self.rest.front().is_none() && self.front.back().is_none_or(|last| *last < seq) {
                self.rest.push(seq);
                return;
            }
        } else if self.rest.push(seq) {
            return;
        } else {
            // It belongs between others: those before it move to the front.
            while let Some(first) = self.rest.front().filter(|first| *first < seq) {
                self.rest.pop();
                self.front.push_back(first);
            }
        }
        let at = self.front.partition_point(|other| *other < seq);
        self.front.insert(at, seq);
    }
}

impl Queues {
    /// An event waits, in its place in the order of its device.
    pub(crate) fn insert(&mut self, seq: u64, device: DeviceKey, class: Class) {
        let entry = self.devices.entry(device).or_default();
        match class {
            Class::Live => entry.insert(seq),
            Class::Replayed => _ = entry.replayed.insert(seq),
        }
        self.refresh(device);
    }

    /// An event waits for a time of its own, at the front of its device.
    pub(crate) fn park(&mut self, seq: u64, device: DeviceKey, due: Tick) {
        self.parked.insert(seq, due);
        self.due.insert((due, seq, device));
        self.insert(seq, device, Class::Live);
    }

    /// A parked event is due now.
    pub(crate) fn wake(&mut self, seq: u64, device: DeviceKey) {
        if let Some(due) = self.parked.remove(&seq) {
            self.due.remove(&(due, seq, device));
            self.refresh(device);
        }
    }

    /// Makes due what is; gives these events.
    pub(crate) fn wake_due(&mut self, now: Tick) -> Vec<u64> {
        let mut woken = Vec::new();
        while let Some((due, seq, device)) =
            self.due.first().copied().filter(|(due, ..)| *due <= now)
        {
            self.due.remove(&(due, seq, device));
            self.parked.remove(&seq);
            self.refresh(device);
            woken.push(seq);
        }
        woken
    }

    /// When this parked event is due.
    pub(crate) fn due(&self, seq: u64) -> Option<Tick> {
        self.parked.get(&seq).copied()
    }

    /// Whether the first event of this device is parked.
    pub(crate) fn is_blocked(&self, key: DeviceKey) -> bool {
        let first = self.devices.get(&key).and_then(Device::first);
        first.is_some_and(|first| self.parked.contains_key(&first))
    }

    /// When the next parked event is due.
    pub(crate) fn next_due(&self) -> Option<Tick> {
        self.due.first().map(|(due, ..)| *due)
    }

    /// A burial or suspension of this device is to be durable before its next event leaves.
    pub(crate) fn hold(&mut self, device: DeviceKey) {
        self.devices.entry(device).or_default().is_held = true;
        self.refresh(device);
    }

    /// It is durable.
    pub(crate) fn release_hold(&mut self, device: DeviceKey) {
        if let Some(entry) = self.devices.get_mut(&device) {
            entry.is_held = false;
            self.refresh(device);
        }
    }

    /// The message with events of this device has ended.
    pub(crate) fn ended(&mut self, device: DeviceKey) {
        if let Some(entry) = self.devices.get_mut(&device) {
            entry.is_busy = false;
            self.refresh(device);
        }
    }

    /// How many devices have an event that may leave.
    pub(crate) const fn ready(&self) -> usize {
        self.ready
    }

    /// Whether an event of this device may leave.
    pub(crate) fn is_ready(&self, key: DeviceKey) -> bool {
        let device = self.devices.get(&key);
        device.is_some_and(|device| device.ring.is_some())
    }

    /// Puts the device into the ring in which it belongs now, at the end, or leaves it out.
    fn refresh(&mut self, key: DeviceKey) {
        let Some(device) = self.devices.get_mut(&key) else {
            return;
        };
        let ring = if device.is_busy || device.is_held {
            None
        } else if let Some(first) = device.first() {
            (!self.parked.contains_key(&first)).then_some(Class::Live)
        } else if device.replayed.is_empty() {
            None
        } else {
            Some(Class::Replayed)
        };
        if device.ring == ring {
            self.forget_idle(key);
            return;
        }
        // Its old entry would serve it twice a round.
        match device.ring {
            Some(Class::Live) => self.live.retain(|other| *other != key),
            Some(Class::Replayed) => self.replayed.retain(|other| *other != key),
            None => {}
        }
        self.ready = self.ready + usize::from(ring.is_some()) - usize::from(device.ring.is_some());
        device.ring = ring;
        match ring {
            Some(Class::Live) => self.live.push_back(key),
            Some(Class::Replayed) => self.replayed.push_back(key),
            None => {}
        }
        self.forget_idle(key);
    }

    fn forget_idle(&mut self, key: DeviceKey) {
        let idle = |device: &Device| device.is_empty() && !device.is_busy && !device.is_held;
        if self.devices.get(&key).is_some_and(idle) {
            self.devices.remove(&key);
        }
    }

    /// The first events of the devices that may leave, in the order in which they are served: all that is new before what is
    /// handed out once more.
    pub(crate) fn heads(&self) -> impl Iterator<Item = (u64, DeviceKey)> {
        let live = self
            .live
            .iter()
            .filter_map(|key| Some((self.devices.get(key)?.first()?, *key)));
        let replayed = self.replayed.iter();
        let replayed =
            replayed.filter_map(|key| Some((*self.devices.get(key)?.replayed.first()?, *key)));
        live.chain(replayed)
    }

    /// All events of the devices that may leave, those of one device in their order.
    pub(crate) fn all_ready(&self) -> impl Iterator<Item = (u64, DeviceKey)> {
        let live = self
            .live
            .iter()
            .filter_map(|key| Some((key, self.devices.get(key)?)));
        let live = live.flat_map(|(key, device)| {
            let seqs = device.front.iter().copied().chain(device.rest.iter());
            let free = seqs.take_while(|seq| !self.parked.contains_key(seq));
            free.map(|seq| (seq, *key))
        });
        let replayed = self
            .replayed
            .iter()
            .filter_map(|key| Some((key, self.devices.get(key)?)));
        live.chain(
            replayed.flat_map(|(key, device)| device.replayed.iter().map(|seq| (*seq, *key))),
        )
    }

    /// The events of one device up to the first that is parked, whether they may leave or not.
    pub(crate) fn events_of(&self, key: DeviceKey) -> impl Iterator<Item = (u64, DeviceKey)> {
        let device = || self.devices.get(&key).into_iter();
        let seqs =
            device().flat_map(|device| device.front.iter().copied().chain(device.rest.iter()));
        let free = seqs.take_while(|seq| !self.parked.contains_key(seq));
        let again = device().filter(|device| device.first().is_none());
        let again = again.flat_map(|device| device.replayed.iter().copied());
        free.chain(again).map(move |seq| (seq, key))
    }

    /// Up to `count` events as the devices are served, one of each in turn: first of those that may leave, with these behind
    /// them, which will be in the ring again; then what is handed out once more.
    pub(crate) fn in_turn(&self, busy: impl Iterator<Item = DeviceKey>, count: usize) -> Vec<u64> {
        // A message may carry several events of one device, which is served once a round.
        let mut seen = HashSet::new();
        let busy = busy.filter(|key| seen.insert(*key) && self.events_of(*key).next().is_some());
        let live: Vec<DeviceKey> = self.live.iter().copied().chain(busy).take(count).collect();
        let replayed = self.replayed.iter().copied().take(count).collect();
        let mut seqs = Vec::with_capacity(count);
        for ring in [live, replayed] {
            let mut waiting: Vec<_> = ring.into_iter().map(|key| self.events_of(key)).collect();
            while !waiting.is_empty() && seqs.len() < count {
                waiting.retain_mut(|events| {
                    let next = events.next().filter(|_| seqs.len() < count);
                    seqs.extend(next.map(|(seq, _)| seq));
                    next.is_some()
                });
            }
        }
        seqs
    }

    /// Takes the first event of this device out, to leave. [`Queues::depart`] is said when the message is complete.
    pub(crate) fn take(&mut self, key: DeviceKey) -> Option<u64> {
        let device = self.devices.get_mut(&key)?;
        let seq = match device.ring? {
            Class::Live => device.front.pop_front().or_else(|| device.rest.pop())?,
            Class::Replayed => device.replayed.pop_first()?,
        };
        Some(seq)
    }

    /// The next event of a device of which one was taken, in the same message.
    pub(crate) fn next_of(&self, key: DeviceKey) -> Option<u64> {
        let device = self.devices.get(&key)?;

        match device.ring? {
            Class::Live => device.first().filter(|seq| !self.parked.contains_key(seq)),
            Class::Replayed => device.replayed.first().copied(),
        }
    }

    /// The message with events of these devices leaves: each goes to the end of the ring when it has ended.
    pub(crate) fn depart(&mut self, devices: &BTreeSet<DeviceKey>) {
        for key in devices {
            if let Some(device) = self.devices.get_mut(key) {
                device.is_busy = true;
            }
        }
        let stays = |devices: &BTreeSet<DeviceKey>, key: &DeviceKey| !devices.contains(key);
        if devices.len() == 1 {
            // The ordinary case: the device stands at the front, or near it.
            for ring in [&mut self.live, &mut self.replayed] {
                if let Some(at) = ring.iter().position(|key| !stays(devices, key)) {
                    ring.remove(at);
                }
            }
        } else {
            self.live.retain(|key| stays(devices, key));
            self.replayed.retain(|key| stays(devices, key));
        }
        for key in devices {
            if let Some(device) = self.devices.get_mut(key)
                && device.ring.take().is_some()
            {
                self.ready -= 1;
            }
        }
    }
}
