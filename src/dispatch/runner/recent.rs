//! Entries that are at hand when they leave: those that were just routed, so that a lane that keeps up reads none twice, and
//! those that are fetched ahead.
//!
//! A lane holds 4 MiB of bodies at most besides what is in flight ([`ROUTED_BYTES_MAX`], [`AHEAD_BYTES_MAX`]), and beyond that
//! what is left of one entry of either kind. Where entries are suddenly much larger than those before, one fetch gives more for a
//! moment, of which the rest is let go of.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use faceway_core::Entry;

/// Bytes of the bodies that are held when they are routed. What comes beyond is fetched when it leaves: events leave in about
/// the order in which they were routed, so the earliest are the ones to hold.
const ROUTED_BYTES_MAX: usize = 3 << 20;
/// Bytes of the bodies that are fetched ahead. They have room of their own: else what was routed far ahead takes it, nothing can
/// be fetched ahead, and each entry is fetched for itself.
const AHEAD_BYTES_MAX: usize = 1 << 20;
/// So many entries are fetched at a time. Fewer would read the same blocks of the log again and again; more would keep what has
/// ended meanwhile waiting.
const FETCH_MAX: RangeInclusive<usize> = 8..=256;
/// Bytes of an entry before one is seen.
const USUAL_BYTES: usize = 16 << 10;

/// The entries of one lane that are at hand.
pub(super) struct Recent {
    routed: Pool,
    ahead: Pool,
    /// Bytes of an entry, about: the larger ones of the last.
    usual_bytes: usize,
}

impl Default for Recent {
    fn default() -> Self {
        Self {
            routed: Pool::default(),
            ahead: Pool::default(),
            usual_bytes: USUAL_BYTES,
        }
    }
}

impl Recent {
    /// Holds an entry that was just routed, or comes again soon, if it fits.
    pub(super) fn hold(&mut self, entry: Entry) {
        self.learn(&entry);
        if self.routed.bytes < ROUTED_BYTES_MAX {
            self.routed.insert(entry);
        }
    }

    /// Holds an entry that was fetched ahead, if it fits.
    pub(super) fn hold_ahead(&mut self, entry: Entry) {
        self.learn(&entry);
        if self.ahead.bytes < AHEAD_BYTES_MAX {
            self.ahead.insert(entry);
        }
    }

    /// Holds an entry that leaves now.
    pub(super) fn insist(&mut self, entry: Entry) {
        self.learn(&entry);
        self.ahead.insert(entry);
    }

    /// Of what was fetched ahead only what leaves now or soon stays: a device that waits for its retry would take the room for
    /// hours.
    pub(super) fn keep_ahead(&mut self, soon: &[u64]) {
        if !self.ahead.entries.is_empty() {
            self.ahead.retain(soon);
        }
    }

    /// Gives an entry away.
    pub(super) fn take(&mut self, seq: u64) -> Option<Entry> {
        self.ahead.take(seq).or_else(|| self.routed.take(seq))
    }

    /// Whether an entry is at hand.
    pub(super) fn has(&self, seq: u64) -> bool {
        let pools = [&self.ahead, &self.routed];
        pools.iter().any(|pool| pool.entries.contains_key(&seq))
    }

    /// How many entries to fetch at a time: as many as fit.
    pub(super) fn fetch_max(&self) -> usize {
        let fitting = AHEAD_BYTES_MAX / self.usual_bytes.max(1);
        fitting.clamp(*FETCH_MAX.start(), *FETCH_MAX.end())
    }

    /// Quick to expect more and slow to expect less: what is fetched has to fit.
    fn learn(&mut self, entry: &Entry) {
        let (usual, bytes) = (self.usual_bytes, entry.body.size());
        self.usual_bytes = if bytes > usual {
            usual.midpoint(bytes)
        } else {
            (usual * 15 + bytes) / 16
        };
    }
}

/// Entries by their sequence numbers.
#[derive(Default)]
struct Pool {
    entries: HashMap<u64, Entry>,
    bytes: usize,
}

impl Pool {
    fn insert(&mut self, entry: Entry) {
        self.bytes += entry.body.size();
        if let Some(before) = self.entries.insert(entry.seq, entry) {
            self.bytes -= before.body.size();
        }
    }

    fn take(&mut self, seq: u64) -> Option<Entry> {
        let entry = self.entries.remove(&seq)?;
        self.bytes -= entry.body.size();
        Some(entry)
    }

    fn retain(&mut self, seqs: &[u64]) {
        let mut seqs = seqs.to_vec();
        seqs.sort_unstable();
        let is_kept = |seq: &u64| seqs.binary_search(seq).is_ok();
        self.entries.retain(|seq, _| is_kept(seq));
        self.bytes = self.entries.values().map(|entry| entry.body.size()).sum();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use faceway_core::{DeviceKey, Entry, Private, Timestamp};
    use faceway_testkit::spool::id;

    use super::{AHEAD_BYTES_MAX, FETCH_MAX, ROUTED_BYTES_MAX, Recent};

    fn entry(seq: u64, bytes: usize) -> Entry {
        Entry {
            seq,
            id: id(seq),
            device: DeviceKey(1),
            received_at: Timestamp::from_millis(1).unwrap(),
            trace_context: None,
            body: Private::new(Bytes::from(vec![b'e'; bytes])),
        }
    }

    #[test]
    fn what_is_held_is_bounded_by_bytes() {
        let mut recent = Recent::default();
        for seq in 0..1000 {
            recent.hold(entry(seq, 100_000));
            recent.hold_ahead(entry(1000 + seq, 100_000));
        }
        assert!(recent.routed.bytes < ROUTED_BYTES_MAX + 100_000);
        assert!(recent.ahead.bytes < AHEAD_BYTES_MAX + 100_000);
        assert!(recent.has(0) && !recent.has(999));
        assert!(recent.has(1000) && !recent.has(1999));
    }

    /// What was routed far ahead, and what waits for a retry, leave room for what is fetched.
    #[test]
    fn there_is_always_room_for_what_leaves_soon() {
        let mut recent = Recent::default();
        (0..1000).for_each(|seq| recent.hold(entry(seq, 100_000)));
        (1000..2000).for_each(|seq| recent.hold_ahead(entry(seq, 100_000)));
        let soon: Vec<u64> = (1005..1020).rev().collect();
        recent.keep_ahead(&soon);
        soon.iter()
            .for_each(|seq| recent.hold_ahead(entry(*seq, 50_000)));
        assert!((1005..1020).all(|seq| recent.take(seq).is_some()));
        assert!(!recent.has(1000) && recent.ahead.bytes == 0);
    }

    #[test]
    fn as_many_are_fetched_as_fit() {
        let mut recent = Recent::default();
        for (bytes, fetched) in [(1, *FETCH_MAX.end()), (1 << 20, *FETCH_MAX.start())] {
            (0..200).for_each(|seq| recent.hold(entry(seq, bytes)));
            assert_eq!(recent.fetch_max(), fetched);
        }
        (0..200).for_each(|seq| recent.hold(entry(seq, 20_000)));
        let fitting = AHEAD_BYTES_MAX / 20_000;
        assert!(fitting.abs_diff(recent.fetch_max()) <= 1);
    }
}
