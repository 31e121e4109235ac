//! The leased events of one lane, by device: one of each device is on its way at a time, the lowest sequence number
//! first.

use std::collections::{BTreeMap, HashMap, VecDeque};

use faceway_core::{DeviceKey, Lease};

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

    /// The same when only one may leave and it matters which: the one with the lowest `turn`.
    pub(super) fn next_by(&mut self, turn: impl Fn(u64) -> usize) -> Option<Lease> {
        let first = self.ready.keys().copied().min_by_key(|seq| turn(*seq))?;
        self.leave(first)
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

    /// The event of this device that was on its way is settled: the next one may leave.
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

    use super::Hands;

    fn lease(seq: u64, device: u64) -> Lease {
        Lease {
            seq,
            id: EventId::from_bytes([0; 16]),
            device: DeviceKey(device),
            received_at: Timestamp::from_millis(0).unwrap(),
            failures: 0,
            routed: false,
            body: Private::new(Bytes::from_static(b"{}")),
        }
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
        let turn = |seq| usize::from(seq == 1);
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
