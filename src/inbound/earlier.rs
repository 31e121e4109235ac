//! What was kept before, as far as the ids of new events depend on it.

use std::collections::HashMap;

use faceway_core::{EventId, Newest, RecordId};

/// The newest known event of some records, and of those that come behind one another in one arrival.
#[derive(Debug, Default)]
pub(super) struct Earlier {
    newest: HashMap<RecordId, Newest>,
    /// Higher than the number of every one of them. It is counted and not looked for: a list of ten thousand reports would
    /// take minutes otherwise.
    next: u64,
}

impl Earlier {
    /// As the spool tells it, in the order of `records`.
    pub(super) fn new(records: Vec<RecordId>, newest: Vec<Option<Newest>>) -> Self {
        let known = records.into_iter().zip(newest);
        let known = known.filter_map(|(record, newest)| Some((record, newest?)));
        let newest: HashMap<_, Newest> = known.collect();
        let last = newest.values().map(|known| known.seq).max();
        Self {
            next: last.map_or(0, |seq| seq + 1),
            newest,
        }
    }

    /// Of these records, in their order.
    pub(super) fn of(&self, records: &[RecordId]) -> Vec<Option<Newest>> {
        let newest = records
            .iter()
            .map(|record| self.newest.get(record).copied());
        newest.collect()
    }

    /// An event of this id comes next: later elements of the same arrival find it as if it were kept.
    pub(super) fn kept(&mut self, id: EventId) {
        let known = self.newest.get(&id.record());
        if known.is_some_and(|known| known.id == id) {
            return;
        }
        let seq = self.next;
        self.next += 1;
        self.newest.insert(id.record(), Newest { seq, id });
    }
}
