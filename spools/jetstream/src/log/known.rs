//! Every id that is known, and when the events of each block of the log came in.
//!
//! The servers recognise an id for `dedup_window`; this table recognises older ones, also of events that have left the log.

use std::collections::BTreeMap;
use std::ops::Range;

use faceway_core::{EventId, Newest, RecordId, Timestamp};
use hashbrown::HashTable;

/// Sequence numbers of a block.
pub(crate) const BLOCK: u64 = 1024;

/// Ids with their sequence numbers, 24 bytes each, found by the record.
#[derive(Default)]
pub(crate) struct Known {
    ids: HashTable<Newest>,
    blocks: BTreeMap<u64, Block>,
    max: usize,
}

/// When the events of a block came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) min: i64,
    pub(crate) max: i64,
    pub(crate) events: u64,
}

fn hash(record: RecordId) -> u64 {
    // A record's id is a digest already.
    u64::from_le_bytes(record.0)
}

impl Known {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
            ..Self::default()
        }
    }

    /// Adds an event of the log. The events of a log are added in their order, each once.
    pub(crate) fn add(&mut self, newest: Newest, at: Timestamp) {
        self.add_id(newest);
        let block = self.blocks.entry(newest.seq / BLOCK).or_insert(Block {
            min: i64::MAX,
            max: i64::MIN,
            events: 0,
        });
        block.min = block.min.min(at.as_millis());
        block.max = block.max.max(at.as_millis());
        block.events += 1;
    }

    pub(crate) fn add_id(&mut self, newest: Newest) {
        if self.seq_of(newest.id).is_some() {
            return;
        }
        let record = hash(newest.id.record());
        self.ids
            .insert_unique(record, newest, |known| hash(known.id.record()));
        self.forget_oldest();
    }

    pub(crate) fn add_block(&mut self, number: u64, block: Block) {
        self.blocks.insert(number, block);
    }

    /// Removes an eighth at once, so that this is rare.
    fn forget_oldest(&mut self) {
        if self.ids.len() <= self.max + self.max / 8 {
            return;
        }
        let mut seqs: Vec<u64> = self.ids.iter().map(|known| known.seq).collect();
        let surplus = seqs.len() - self.max;
        let (_, bound, _) = seqs.select_nth_unstable(surplus);
        let bound = *bound;
        self.ids.retain(|known| known.seq >= bound);
    }

    /// Under which number an event is known.
    pub(crate) fn seq_of(&self, id: EventId) -> Option<u64> {
        let same = |known: &Newest| known.id == id;
        self.ids
            .find(hash(id.record()), same)
            .map(|known| known.seq)
    }

    /// The newest event of a record.
    pub(crate) fn newest_of(&self, record: RecordId) -> Option<Newest> {
        self.of(record).max_by_key(|known| known.seq)
    }

    /// Whether another event of this record is known before `seq`.
    pub(crate) fn has_other_before(&self, id: EventId, seq: u64) -> bool {
        self.of(id.record())
            .any(|known| known.id != id && known.seq < seq)
    }

    fn of(&self, record: RecordId) -> impl Iterator<Item = Newest> {
        let hashed = self.ids.iter_hash(hash(record));
        hashed
            .copied()
            .filter(move |known| known.id.record() == record)
    }

    /// The events below this number have left the log.
    pub(crate) fn trim(&mut self, first: u64) {
        self.blocks = self.blocks.split_off(&(first / BLOCK));
    }

    /// Events before this number came in before `bound`: whole blocks of them, from the log's beginning.
    pub(crate) fn end_before(&self, bound: i64) -> u64 {
        let old = self.blocks.iter().take_while(|(_, it)| it.max < bound);
        old.last().map_or(0, |(number, _)| (number + 1) * BLOCK)
    }

    /// When the earliest event of the block of this number came in.
    pub(crate) fn earliest_near(&self, seq: u64) -> Option<i64> {
        let (_, block) = self.blocks.range(seq / BLOCK..).next()?;
        Some(block.min)
    }

    /// Blocks with events of this time, with whether all of a block's events are of it.
    pub(crate) fn blocks_of(&self, time: &Range<i64>) -> Vec<(u64, Block, bool)> {
        let blocks = self.blocks.iter();
        let within = blocks.filter(|(_, block)| block.max >= time.start && block.min < time.end);
        within
            .map(|(number, block)| {
                let is_whole = block.min >= time.start && block.max < time.end;
                (*number, *block, is_whole)
            })
            .collect()
    }

    pub(crate) fn ids(&self) -> impl ExactSizeIterator<Item = Newest> {
        self.ids.iter().copied()
    }

    pub(crate) fn blocks(&self) -> impl ExactSizeIterator<Item = (u64, Block)> {
        self.blocks.iter().map(|(number, block)| (*number, *block))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(record: u64, content: u8) -> EventId {
        EventId::from_bytes((u128::from(record) << 64 | u128::from(content)).to_be_bytes())
    }

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms).unwrap()
    }

    #[test]
    fn another_content_of_a_record_is_told_apart() {
        let mut known = Known::new(100);
        for (seq, id) in [(1, id(7, 1)), (2, id(8, 1)), (3, id(7, 2))] {
            known.add(Newest { seq, id }, at(seq.cast_signed()));
        }
        assert_eq!(known.seq_of(id(7, 1)), Some(1));
        assert_eq!(known.seq_of(id(7, 3)), None);
        let newest = known.newest_of(id(7, 9).record()).unwrap();
        assert_eq!((newest.seq, newest.id), (3, id(7, 2)));
        assert!(known.has_other_before(id(7, 2), 3));
        assert!(!known.has_other_before(id(7, 1), 1));
        assert_eq!(known.newest_of(id(9, 1).record()), None);
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut known = Known::new(80);
        for seq in 1..=100 {
            let newest = Newest {
                seq,
                id: id(seq, 0),
            };
            known.add(newest, at(0));
        }
        assert!(known.ids().len() <= 90, "{}", known.ids().len());
        assert_eq!(known.seq_of(id(1, 0)), None);
        assert_eq!(known.seq_of(id(100, 0)), Some(100));
    }

    #[test]
    fn blocks_of_a_time_are_found() {
        let mut known = Known::new(100_000);
        for seq in 1..=3000_u64 {
            let newest = Newest {
                seq,
                id: id(seq, 0),
            };
            known.add(newest, at(seq.cast_signed()));
        }
        let found: Vec<(u64, bool)> = known
            .blocks_of(&(500..2100))
            .into_iter()
            .map(|(number, _, is_whole)| (number, is_whole))
            .collect();
        assert_eq!(found, [(0, false), (1, true), (2, false)]);
        assert_eq!(known.end_before(500), 0);
        assert_eq!(known.end_before(2500), 2048);
        known.trim(1024);
        assert_eq!(known.blocks().len(), 2);
        assert_eq!(known.earliest_near(3), Some(1024));
    }
}
