//! The newest events, so that a lane that keeps up never reads the database.

use std::collections::VecDeque;

use crate::read::{Chunk, READ_AHEAD_BYTES, READ_AHEAD_ROWS};
use crate::row::Row;

/// Bytes of events that are kept in memory.
const BYTES_MAX: usize = 8 << 20;

/// A window on the end of the log without a gap: every event from its first on is in it.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    rows: VecDeque<Row>,
    bytes: usize,
}

impl Recent {
    /// Adds what a group has made durable.
    pub(crate) fn extend(&mut self, rows: Vec<Row>) {
        for row in rows {
            self.bytes += row.weight();
            self.rows.push_back(row);
        }
        while self.bytes > BYTES_MAX
            && let Some(row) = self.rows.pop_front()
        {
            self.bytes -= row.weight();
        }
    }

    /// Forgets everything: the log may hold events that were not told.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    fn index(&self, seq: u64) -> usize {
        self.rows.partition_point(|row| row.seq < seq)
    }

    /// One event.
    pub(crate) fn get(&self, seq: u64) -> Option<&Row> {
        self.rows.get(self.index(seq)).filter(|row| row.seq == seq)
    }

    /// Events from `from` to `last`; `None` when some of them are only in the database.
    pub(crate) fn chunk(&self, (from, last): (u64, u64)) -> Option<Chunk> {
        if self.rows.front()?.seq > from {
            return None;
        }
        let mut chunk = Chunk {
            next: last + 1,
            ..Chunk::default()
        };
        let mut bytes = 0;
        for row in self.rows.range(self.index(from)..) {
            if row.seq > last {
                break;
            }
            if chunk.rows.len() >= READ_AHEAD_ROWS || bytes >= READ_AHEAD_BYTES {
                chunk.next = row.seq;
                break;
            }
            bytes += row.weight();
            chunk.rows.push(row.clone());
        }
        Some(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::{BYTES_MAX, Recent};
    use crate::read::READ_AHEAD_ROWS;
    use crate::row::Row;
    use faceway_core::{EventId, Private};

    fn row(seq: u64, bytes: usize) -> Row {
        Row {
            seq,
            at: 1,
            id: EventId::from_bytes([1; 16]),
            device: 1,
            trace_context: None,
            body: Private::new(vec![0; bytes].into()),
        }
    }

    #[test]
    fn gives_a_chunk_only_when_it_has_all_of_it() {
        let mut recent = Recent::default();
        assert!(recent.chunk((1, 9)).is_none());
        recent.extend((5..1000).map(|seq| row(seq * 2, 10)).collect());
        assert!(recent.chunk((9, 50)).is_none());
        let chunk = recent.chunk((11, 15)).unwrap();
        let seqs: Vec<u64> = chunk.rows.iter().map(|row| row.seq).collect();
        assert_eq!((seqs, chunk.next), (vec![12, 14], 16));
        let chunk = recent.chunk((10, 5000)).unwrap();
        assert_eq!(chunk.rows.len(), READ_AHEAD_ROWS);
        assert_eq!(chunk.next, 10 + 2 * READ_AHEAD_ROWS as u64);
    }

    #[test]
    fn stays_small() {
        let mut recent = Recent::default();
        recent.extend((0..20).map(|seq| row(seq, 1 << 20)).collect());
        assert!(recent.bytes <= BYTES_MAX && recent.get(19).is_some());
    }
}
