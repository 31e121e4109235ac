//! What is routed to this outbound and not acknowledged: the backlog, exactly, as it is kept.
//!
//! A range holds its events as bytes, two or three for each, and beside them what changed since these bytes were written.
//! Only ranges that changed are written again.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
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
    added: Vec<(u64, DeviceKey)>,
    removed: Vec<u64>,
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
        if range.removed.contains(&seq) {
            // It comes back before its removal was written: the removal would take it out again.
            range.fold(number);
        }
        range.added.push((seq, device));
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
        if let Some(at) = range.added.iter().position(|(added, _)| *added == seq) {
            range.added.swap_remove(at);
        } else {
            range.removed.push(seq);
        }
        range.count -= 1;
        self.backlog -= 1;
        self.changed.insert(number);
        if range.count == 0 {
            self.ranges.remove(&number);
        }
    }

    /// Whether an event waits, and whose it is.
    pub(crate) fn get(&mut self, seq: u64) -> Option<DeviceKey> {
        let number = waiting::range_of(seq);
        let range = self.ranges.get_mut(&number)?;
        let events = range.fold(number);
        let at = events.binary_search_by_key(&seq, |(seq, _)| *seq).ok()?;
        Some(events[at].1)
    }

    /// The lowest sequence number that waits.
    pub(crate) fn first(&mut self) -> Option<u64> {
        let (number, range) = self.ranges.first_key_value()?;
        let number = *number;
        if range.added.is_empty() && range.removed.is_empty() {
            return first_of(number, &range.bytes);
        }
        let events = self.ranges.get_mut(&number)?.fold(number);
        events.first().map(|(seq, _)| *seq)
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
    /// Writes what changed into the bytes; gives the events, ascending.
    fn fold(&mut self, number: u64) -> Vec<(u64, DeviceKey)> {
        // Bytes of our own are never damaged, and those from outside were decoded when they came.
        let mut events = waiting::decode(number, &self.bytes).unwrap_or_default();
        if self.added.is_empty() && self.removed.is_empty() {
            return events;
        }
        self.removed.sort_unstable();
        events.retain(|(seq, _)| self.removed.binary_search(seq).is_err());
        events.append(&mut self.added);
        events.sort_unstable_by_key(|(seq, _)| *seq);
        // Twice the same would make bytes that cannot be read: all of the range would be gone.
        events.dedup_by_key(|(seq, _)| *seq);
        self.removed.clear();
        self.bytes = waiting::encode(number, &events);
        events
    }
}

fn first_of(number: u64, bytes: &[u8]) -> Option<u64> {
    let events = waiting::decode(number, bytes)?;
    events.first().map(|(seq, _)| *seq)
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
