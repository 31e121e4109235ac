//! The leased events of one lane, by device: one message with events of a device is on its way at a time, the lowest
//! sequence number first.

use std::collections::{BTreeMap, HashMap, VecDeque};

use faceway_core::{DeviceKey, Lease};

/// How much may leave together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BatchLimits {
    /// At least 1.
    pub(super) events: usize,
    /// A larger event goes alone.
    pub(super) bytes: usize,
}

/// What a lane holds in its hands and has not settled.
#[derive(Default)]
pub(super) struct Hands {
    devices: HashMap<DeviceKey, Device>,
    /// Devices whose first event may leave, by its sequence number.
    ready: BTreeMap<u64, DeviceKey>,
    waiting: usize,
    /// Size of the events that wait.
    bytes: usize,
}

/// What is held back for a moment.
pub(super) struct Held(BTreeMap<u64, DeviceKey>);

#[derive(Default)]
struct Device {
    waiting: VecDeque<Lease>,
    away: bool,
}

impl Hands {
    /// Takes a leased event in. Events of one device come in their order.
    pub(super) fn take(&mut self, lease: Lease) {
        let key = lease.device;
        let device = self.devices.entry(key).or_default();
        if !device.away && device.waiting.is_empty() {
            self.ready.insert(lease.seq, key);
        }
        self.bytes += lease.body.size();
        device.waiting.push_back(lease);
        self.waiting += 1;
    }

    /// The next event that may leave. Its device's later events wait for [`Hands::returned`].
    pub(super) fn next(&mut self) -> Option<Lease> {
        let first = *self.ready.first_key_value()?.0;
        self.leave(first)
    }

    /// The next events that may leave together, each device's in their order: the lowest sequence numbers first, as many
    /// as `limits` allow. One that goes `alone` is the only one. Their devices' later events wait for
    /// [`Hands::returned`].
    pub(super) fn next_batch(
        &mut self,
        limits: &BatchLimits,
        alone: impl Fn(&Lease) -> bool,
    ) -> Vec<Lease> {
        let mut batch: Vec<Lease> = Vec::new();
        let mut bytes = 0;
        // Devices whose next event has to wait until it can go alone.
        let mut held = Vec::new();
        while batch.len() < limits.events {
            let Some((seq, key, next)) = self.first() else {
                break;
            };
            let (size, alone) = (next.body.size(), alone(next));
            if !batch.is_empty() && alone {
                self.ready.remove(&seq);
                held.push((seq, key));
                continue;
            }
            if !batch.is_empty() && bytes + size > limits.bytes {
                break;
            }
            bytes += size;
            batch.extend(self.leave(seq));
            if alone {
                break;
            }
            self.next_is_ready(key);
        }
        self.ready.extend(held);
        for lease in &batch {
            self.next_is_not_ready(lease.device);
        }
        batch
    }

    /// Whether what may leave now fills a batch.
    pub(super) fn fill_a_batch(&self, limits: &BatchLimits) -> bool {
        let (mut events, mut bytes) = (0, 0);
        let ready = self.ready.values().filter_map(|key| self.devices.get(key));
        ready.flat_map(|device| &device.waiting).any(|lease| {
            events += 1;
            bytes += lease.body.size();
            events >= limits.events || bytes >= limits.bytes
        })
    }

    /// The event that may leave first.
    pub(super) fn peek(&self) -> Option<&Lease> {
        self.first().map(|(_, _, lease)| lease)
    }

    fn first(&self) -> Option<(u64, DeviceKey, &Lease)> {
        let (seq, key) = self.ready.first_key_value()?;
        let lease = self.devices.get(key)?.waiting.front()?;
        Some((*seq, *key, lease))
    }

    fn next_is_ready(&mut self, key: DeviceKey) {
        if let Some(next) = self.devices.get(&key).and_then(|d| d.waiting.front()) {
            self.ready.insert(next.seq, key);
        }
    }

    fn next_is_not_ready(&mut self, key: DeviceKey) {
        if let Some(next) = self.devices.get(&key).and_then(|d| d.waiting.front()) {
            self.ready.remove(&next.seq);
        }
    }

    /// Takes back events that were to leave and have not, in their order, before their devices return.
    pub(super) fn put_back(&mut self, leases: &[Lease]) {
        for lease in leases.iter().rev() {
            self.bytes += lease.body.size();
            self.waiting += 1;
            let device = self.devices.entry(lease.device).or_default();
            device.waiting.push_front(lease.clone());
        }
    }

    /// [`Hands::next`] when only one may leave and it matters which: the one with the lowest `turn`; none that has none.
    pub(super) fn next_by(&mut self, turn: impl Fn(&Lease) -> Option<usize>) -> Option<Lease> {
        let ready = self.ready.iter().filter_map(|(seq, key)| {
            let lease = self.devices.get(key)?.waiting.front()?;
            Some((*seq, turn(lease)?))
        });
        let (first, _) = ready.min_by_key(|(_, turn)| *turn)?;
        self.leave(first)
    }

    /// Holds back what would be ready but `may_leave` says no, until [`Hands::let_go`].
    pub(super) fn hold_back(&mut self, may_leave: impl Fn(&Lease) -> bool) -> Held {
        let Self { ready, devices, .. } = self;
        let is_held = |key: &DeviceKey| {
            let next = devices.get(key).and_then(|device| device.waiting.front());
            next.is_some_and(|lease| !may_leave(lease))
        };
        let held: BTreeMap<u64, DeviceKey> = ready.extract_if(.., |_, key| is_held(key)).collect();
        Held(held)
    }

    /// What was held back is ready again.
    pub(super) fn let_go(&mut self, held: Held) {
        self.ready.extend(held.0);
    }

    fn leave(&mut self, seq: u64) -> Option<Lease> {
        let key = self.ready.remove(&seq)?;
        let device = self.devices.get_mut(&key)?;
        let lease = device.waiting.pop_front()?;
        device.away = true;
        self.waiting -= 1;
        self.bytes -= lease.body.size();
        Some(lease)
    }

    /// What was on its way of this device is settled: the next one may leave.
    pub(super) fn returned(&mut self, key: DeviceKey) {
        let Some(device) = self.devices.get_mut(&key) else {
            return;
        };
        device.away = false;
        match device.waiting.front() {
            Some(lease) => {
                self.ready.insert(lease.seq, key);
            }
            None => {
                self.devices.remove(&key);
            }
        }
    }

    /// Empties the hands of what waits for this device; gives the sequence numbers to release.
    pub(super) fn give_back(&mut self, key: DeviceKey) -> Vec<u64> {
        let Some(device) = self.devices.get_mut(&key) else {
            return Vec::new();
        };
        let mut seqs = Vec::with_capacity(device.waiting.len());
        for lease in device.waiting.drain(..) {
            self.bytes -= lease.body.size();
            seqs.push(lease.seq);
        }
        self.waiting -= seqs.len();
        if let Some(first) = seqs.first() {
            self.ready.remove(first);
        }
        if !device.away {
            self.devices.remove(&key);
        }
        seqs
    }

    /// Empties the hands of all that is not on its way; gives the sequence numbers to release.
    pub(super) fn give_back_all(&mut self) -> Vec<u64> {
        let keys: Vec<DeviceKey> = self.devices.keys().copied().collect();
        keys.into_iter()
            .flat_map(|key| self.give_back(key))
            .collect()
    }

    /// Whether a message of this device is on its way.
    pub(super) fn is_away(&self, key: DeviceKey) -> bool {
        self.devices.get(&key).is_some_and(|device| device.away)
    }

    /// Whether one of the events that wait here is such.
    pub(super) fn any(&self, is_such: impl Fn(&Lease) -> bool) -> bool {
        let mut waiting = self.devices.values().flat_map(|device| &device.waiting);
        waiting.any(is_such)
    }

    /// How many events wait here.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many bytes they have together.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use faceway_core::{DeviceKey, EventId, Lease, Private, Timestamp};

    use super::{BatchLimits, Hands};

    fn lease(seq: u64, device: u64) -> Lease {
        Lease {
            seq,
            id: EventId::from_bytes([0; 16]),
            device: DeviceKey(device),
            received_at: Timestamp::from_millis(0).unwrap(),
            failures: 0,
            routed: false,
            trace_context: None,
            body: Private::new(Bytes::from_static(b"{}")),
        }
    }

    fn returned(hands: &mut Hands, devices: &[u64]) {
        for device in devices {
            hands.returned(DeviceKey(*device));
        }
    }

    const LIMITS: BatchLimits = BatchLimits {
        events: 3,
        bytes: 100,
    };

    fn holding(events: impl IntoIterator<Item = (u64, u64)>) -> Hands {
        let mut hands = Hands::default();
        for (seq, device) in events {
            hands.take(lease(seq, device));
        }
        hands
    }

    fn batch(hands: &mut Hands, limits: &BatchLimits, alone: &[u64]) -> Vec<u64> {
        let batch = hands.next_batch(limits, |lease| alone.contains(&lease.seq));
        batch.iter().map(|lease| lease.seq).collect()
    }

    #[test]
    fn events_of_several_devices_leave_together_in_order() {
        let mut hands = holding([(1, 7), (2, 8), (3, 7), (4, 7), (5, 8), (6, 9)]);
        assert!(hands.fill_a_batch(&LIMITS));
        assert_eq!(batch(&mut hands, &LIMITS, &[]), [1, 2, 3]);
        assert_eq!(
            batch(&mut hands, &LIMITS, &[]),
            [6],
            "what comes behind an event on its way waits"
        );
        assert!(!hands.fill_a_batch(&LIMITS));
        returned(&mut hands, &[7, 7, 8]);
        assert!(!hands.fill_a_batch(&LIMITS), "two are no three");
        assert_eq!(batch(&mut hands, &LIMITS, &[]), [4, 5]);
        assert!(batch(&mut hands, &LIMITS, &[]).is_empty());
        assert_eq!((hands.waiting(), hands.bytes()), (0, 0));
    }

    #[test]
    fn a_batch_has_no_more_bytes_than_it_may_and_never_none() {
        let mut hands = holding([(1, 7), (2, 7), (3, 8)]);
        let bytes = |bytes| BatchLimits { bytes, ..LIMITS };
        assert!(hands.fill_a_batch(&bytes(4)));
        assert_eq!(batch(&mut hands, &bytes(5), &[]), [1, 2]);
        assert_eq!(batch(&mut hands, &bytes(1), &[]), [3], "one always fits");
    }

    #[test]
    fn who_goes_alone_takes_nobody_along_and_is_not_passed_by_its_device() {
        let mut hands = holding([(1, 7), (2, 7), (3, 7), (4, 8)]);
        let alone = [2];
        assert_eq!(batch(&mut hands, &LIMITS, &alone), [1, 4]);
        returned(&mut hands, &[7, 8]);
        assert_eq!(batch(&mut hands, &LIMITS, &alone), [2]);
        assert!(batch(&mut hands, &LIMITS, &alone).is_empty());
        hands.returned(DeviceKey(7));
        assert_eq!(batch(&mut hands, &LIMITS, &alone), [3]);

        let mut hands = holding([(1, 7), (2, 8), (3, 9)]);
        assert_eq!(batch(&mut hands, &LIMITS, &[2]), [1, 3]);
        assert_eq!(batch(&mut hands, &LIMITS, &[2]), [2], "it is not forgotten");
    }

    #[test]
    fn what_did_not_fit_comes_again_before_what_is_behind_it() {
        let mut hands = holding([(1, 7), (2, 8), (3, 7), (4, 7)]);
        let taken = hands.next_batch(&LIMITS, |_| false);
        hands.put_back(&taken[1..]);
        assert_eq!((hands.waiting(), hands.bytes()), (3, 6));
        assert!(batch(&mut hands, &LIMITS, &[]).is_empty(), "not returned");
        returned(&mut hands, &[7, 8]);
        assert_eq!(batch(&mut hands, &LIMITS, &[]), [2, 3, 4]);
    }

    #[test]
    fn one_of_a_device_is_away_at_a_time() {
        let mut hands = Hands::default();
        [lease(1, 7), lease(2, 7), lease(3, 8)]
            .into_iter()
            .for_each(|lease| hands.take(lease));
        assert_eq!(hands.next().unwrap().seq, 1);
        assert_eq!(hands.next().unwrap().seq, 3);
        assert!(hands.next().is_none());
        hands.returned(DeviceKey(7));
        assert_eq!(hands.next().unwrap().seq, 2);
        assert_eq!(hands.waiting(), 0);
    }

    #[test]
    fn a_turn_counts_more_than_the_sequence() {
        let mut hands = Hands::default();
        [lease(1, 7), lease(2, 7), lease(3, 8), lease(4, 9)]
            .into_iter()
            .for_each(|lease| hands.take(lease));
        let turn = |lease: &Lease| Some(usize::from(lease.seq == 1));
        assert_eq!(hands.next_by(turn).unwrap().seq, 3);
        assert_eq!(hands.next_by(turn).unwrap().seq, 4);
        assert_eq!(hands.next_by(turn).unwrap().seq, 1);
        assert!(hands.next_by(turn).is_none(), "2 waits behind 1");
    }

    #[test]
    fn what_is_away_is_not_given_back() {
        let mut hands = Hands::default();
        [lease(1, 7), lease(2, 7), lease(3, 8)]
            .into_iter()
            .for_each(|lease| hands.take(lease));
        assert_eq!(hands.next().unwrap().seq, 1);
        assert_eq!(hands.give_back(DeviceKey(7)), [2]);
        assert_eq!(hands.bytes(), 2);
        assert_eq!(hands.give_back_all(), [3]);
        assert_eq!((hands.waiting(), hands.bytes()), (0, 0));
        hands.take(lease(2, 7));
        assert!(
            hands.next().is_none(),
            "the first of the device is still away"
        );
        hands.returned(DeviceKey(7));
        assert_eq!(hands.next().unwrap().seq, 2);
    }
}
