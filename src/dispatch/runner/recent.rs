//! Entries that were just routed and are about to leave, so that a lane that keeps up reads none twice.

use std::collections::HashMap;

use faceway_core::Entry;

/// Bytes of the bodies that are held. What comes beyond is fetched when it leaves: events leave in about the order in which
/// they were routed, so the earliest are the ones to hold.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// The entries of one lane that are at hand.
#[derive(Default)]
pub(super) struct Recent {
    entries: HashMap<u64, Entry>,
    bytes: usize,
}

impl Recent {
    /// Holds an entry, if it fits.
    pub(super) fn hold(&mut self, entry: Entry) {
        if self.bytes < BYTES_MAX {
            self.insist(entry);
        }
    }

    /// Holds an entry that leaves now.
    pub(super) fn insist(&mut self, entry: Entry) {
        self.bytes += entry.body.size();
        if let Some(before) = self.entries.insert(entry.seq, entry) {
            self.bytes -= before.body.size();
        }
    }

    /// Gives an entry away.
    pub(super) fn take(&mut self, seq: u64) -> Option<Entry> {
        let entry = self.entries.remove(&seq)?;
        self.bytes -= entry.body.size();
        Some(entry)
    }

    /// Whether an entry is at hand.
    pub(super) fn has(&self, seq: u64) -> bool {
        self.entries.contains_key(&seq)
    }
}
