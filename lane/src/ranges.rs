//! What is routed to this outbound and not acknowledged: the backlog, exactly, as it is kept.
//!
//! A range holds its events as bytes, two or three for each, and beside them what changed since these bytes were written.
//! Only ranges that changed are written again.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use faceway_core::waiting::Waiting;
use faceway_core::{DeviceKey, waiting};

/// All that waits, by ranges of the log.
#[derive(Debug, Default)]
pub(crate) struct Ranges {
    ranges: BTreeMap<u64, Range>,
    backlog: u64,
    changed: BTreeSet<u64>,
}

#[derive(Debug, Default)]
struct Range {
    /// As of the last change that was taken.
    bytes: Bytes,
    /// How many events wait.
    count: u32,
    /// Ascending; none of them is in `bytes`.
    added: Vec<(u64, DeviceKey)>,
    /// All of them are in `bytes`.
    removed: Removed,
}

/// Some of the sequence numbers of a range.
#[derive(Debug, Default)]
struct Removed([u64; (waiting::RANGE / 64) as usize]);

impl Removed {
    const fn place(seq: u64) -> (usize, u64) {
        let at = seq % waiting::RANGE;
        ((at / 64) as usize, 1 << (at % 64))
    }

    fn has(&self, seq: u64) -> bool {
        let (word, bit) = Self::place(seq);
        self.0[word] & bit != 0
    }

    fn insert(&mut self, seq: u64) {
        let (word, bit) = Self::place(seq);
        self.0[word] |= bit;
    }

    /// Gives whether it was there.
    fn remove(&mut self, seq: u64) -> bool {
        let (word, bit) = Self::place(seq);
        let was_there = self.0[word] & bit != 0;
        self.0[word] &= !bit;
        was_there
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
}

impl Ranges {
    /// Takes in what was kept; gives its events, ascending, or `None` when these bytes are damaged.
    pub(crate) fn load(&mut self, range: u64, bytes: Bytes) -> Option<Vec<(u64, DeviceKey)>> {
        let events = waiting::decode(range, &bytes)?;
        let count = u32::try_from(events.len()).ok()?;
        if count > 0 {
            self.backlog += u64::from(count);
            self.ranges.insert(
                range,
                Range {
                    bytes,
                    count,
                    ..Range::default()
                },
            );
        }
        Some(events)
    }

    /// How many events wait.
    pub(crate) const fn backlog(&self) -> u64 {
        self.backlog
    }

    /// An event waits from now on. It must not wait already.
    pub(crate) fn insert(&mut self, seq: u64, device: DeviceKey) {
        let number = waiting::range_of(seq);
        let range = self.ranges.entry(number).or_default();
        // One that comes back before its removal was written is still in the bytes, as a sequence number has one device.
        if !range.removed.remove(seq) {
            match range.place(seq) {
                Ok(_) => return,
                Err(at) => range.added.insert(at, (seq, device)),
            }
        }
        range.count += 1;
        self.backlog += 1;
        self.changed.insert(number);
    }

    /// An event that waits does so no longer.
    pub(crate) fn remove(&mut self, seq: u64) {
        let number = waiting::range_of(seq);
        let Some(range) = self.ranges.get_mut(&number) else {
            return;
        };
        match range.place(seq) {
            Ok(at) => _ = range.added.remove(at),
            Err(_) => range.removed.insert(seq),
        }
        range.count -= 1;
        self.backlog -= 1;
        self.changed.insert(number);
        if range.count == 0 {
            self.ranges.remove(&number);
        }
    }

    /// Whether an event waits, and whose it is.
    pub(crate) fn get(&self, seq: u64) -> Option<DeviceKey> {
        let number = waiting::range_of(seq);
        let range = self.ranges.get(&number)?;
        if let Ok(at) = range.place(seq) {
            return Some(range.added[at].1);
        }
        let mut kept = range.kept(number);
        let (_, device) = kept.find(|(kept, _)| *kept == seq)?;
        Some(device)
    }

    /// The lowest sequence number that waits.
    pub(crate) fn first(&self) -> Option<u64> {
        let (number, range) = self.ranges.first_key_value()?;
        let kept = range.kept(*number).next();
        let first = kept.into_iter().chain(range.added.first().copied()).min();
        first.map(|(seq, _)| seq)
    }

    /// The ranges that changed since the last call, as they are to be kept; `None` where nothing waits any more.
    pub(crate) fn take_changed(&mut self) -> Vec<(u64, Option<Bytes>)> {
        let changed = std::mem::take(&mut self.changed).into_iter();
        let bytes = changed.map(|number| {
            let range = self.ranges.get_mut(&number);
            let bytes = range.map(|range| {
                range.fold(number);
                range.bytes.clone()
            });
            (number, bytes)
        });
        bytes.collect()
    }

    /// Whether something changed since the last [`Ranges::take_changed`].
    pub(crate) fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }
}

impl Range {
    /// Where an added event stands, or would stand.
    fn place(&self, seq: u64) -> Result<usize, usize> {
        // Nearly all come in the order of the log.
        match self.added.last() {
            Some((last, _)) if *last >= seq => {
                self.added.binary_search_by_key(&seq, |(seq, _)| *seq)
            }
            _ => Err(self.added.len()),
        }
    }

    /// What of the bytes still waits, ascending.
    fn kept(&self, number: u64) -> impl Iterator<Item = (u64, DeviceKey)> {
        // Bytes of our own are never damaged, and those from outside were decoded when they came. A new range has none.
        let events = Waiting::new(number, &self.bytes).into_iter().flatten();
        events.filter(|(seq, _)| !self.removed.has(*seq))
    }

    /// Writes what changed into the bytes.
    fn fold(&mut self, number: u64) {
        if self.added.is_empty() && self.removed.is_empty() {
            return;
        }
        let mut events = Vec::with_capacity(self.count as usize);
        let mut added = self.added.iter().copied().peekable();
        for kept in self.kept(number) {
            while let Some(before) = added.next_if(|(seq, _)| *seq < kept.0) {
                events.push(before);
            }
            // Twice the same would make bytes that cannot be read: all of the range would be gone.
            added.next_if(|(seq, _)| *seq == kept.0);
            events.push(kept);
        }
        events.extend(added);
        self.bytes = waiting::encode(number, &events);
        self.added.clear();
        self.removed = Removed::default();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use faceway_core::DeviceKey;
    use proptest::prelude::*;

    use super::Ranges;

    proptest! {
        /// Whatever is added, removed and written in whatever order: it is a sorted map.
        #[test]
        fn ranges_are_a_sorted_map(steps in prop::collection::vec((0..4_u8, 0..3000_u64), 0..300)) {
            let (mut ranges, mut model) = (Ranges::default(), BTreeMap::new());
            let mut kept = BTreeMap::new();
            for (step, seq) in steps {
                match step {
                    0 | 1 => {
                        if model.insert(seq, DeviceKey(seq % 5)).is_none() {
                            ranges.insert(seq, DeviceKey(seq % 5));
                        }
                    }
                    2 => {
                        if model.remove(&seq).is_some() {
                            ranges.remove(seq);
                        }
                    }
                    _ => kept.extend(ranges.take_changed()),
                }
                prop_assert_eq!(ranges.backlog(), model.len() as u64);
                prop_assert_eq!(ranges.first(), model.keys().next().copied());
                prop_assert_eq!(ranges.get(seq), model.get(&seq).copied());
            }
            kept.extend(ranges.take_changed());
            let mut loaded = Ranges::default();
            let mut events = Vec::new();
            for (range, bytes) in kept {
                if let Some(bytes) = bytes {
                    events.extend(loaded.load(range, bytes).unwrap());
                }
            }
            prop_assert!(events.into_iter().eq(model));
            prop_assert_eq!(loaded.backlog(), ranges.backlog());
        }
    }
}
