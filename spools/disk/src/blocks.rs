//! In which parts of the log a span of time may lie.
//!
//! Numbers rise and stamps need not: clocks are set, and requests overtake each other. So of each block of events the lowest
//! and the highest stamp are written down, and whoever looks for a span of time reads the blocks that overlap it. A part of
//! the log that has no block (what an earlier program wrote, the newest events, those before a restart) is always read.

use rusqlite::Connection;

use crate::row::fields_crc;
use crate::store::get;

/// Events of a block.
const EVENTS: u64 = 2048;

/// The block that is being filled. One that was not full when the gateway stopped stays without a row.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    open: Option<Block>,
    /// As it was before the group.
    before: Option<Block>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    first: u64,
    last: u64,
    low: i64,
    high: i64,
    events: u64,
}

impl Block {
    fn crc(self) -> i64 {
        let numbers = [self.first, self.last].map(u64::to_le_bytes);
        let stamps = [self.low, self.high].map(i64::to_le_bytes);
        let [[first, last], [low, high]] = [numbers, stamps];
        i64::from(fields_crc(&[&first, &last, &low, &high]))
    }

    const fn overlaps(self, (since, until): (i64, i64)) -> bool {
        self.low < until && self.high >= since
    }
}

impl Blocks {
    /// An event was appended.
    pub(crate) fn add(&mut self, conn: &Connection, seq: u64, at: i64) -> rusqlite::Result<()> {
        let block = self.open.get_or_insert(Block {
            first: seq,
            last: seq,
            low: at,
            high: at,
            events: 0,
        });
        block.last = seq;
        block.low = block.low.min(at);
        block.high = block.high.max(at);
        block.events += 1;
        if block.events < EVENTS {
            return Ok(());
        }
        let sql =
            "INSERT OR REPLACE INTO block (first, last, low, high, crc) VALUES (?, ?, ?, ?, ?)";
        conn.prepare_cached(sql)?.execute((
            block.first.cast_signed(),
            block.last.cast_signed(),
            block.low,
            block.high,
            block.crc(),
        ))?;
        self.open = None;
        Ok(())
    }

    /// The group is durable.
    pub(crate) fn commit(&mut self) {
        self.before = self.open;
    }

    /// The group is not there.
    pub(crate) fn rollback(&mut self) {
        self.open = self.before;
    }
}

/// Forgets blocks of events that have left.
pub(crate) fn trim(conn: &Connection, trimmed: u64) -> rusqlite::Result<()> {
    let sql = "DELETE FROM block WHERE first < ?1 AND last < ?1";
    conn.prepare_cached(sql)?.execute([trimmed.cast_signed()])?;
    Ok(())
}

/// Stretches of the log from `from` to before `end` in which events of a span of time may be; all others are outside.
pub(crate) fn stretches(
    conn: &Connection,
    (from, end): (u64, u64),
    span: (i64, i64),
) -> rusqlite::Result<Vec<(u64, u64)>> {
    let sql = "SELECT first, last, low, high, crc FROM block ORDER BY first";
    let mut select = conn.prepare_cached(sql)?;
    let mut rows = select.query([])?;
    let mut outside: Vec<(u64, u64)> = Vec::new();
    while let Some(row) = rows.next()? {
        let block = Block {
            first: get(row, 0)?,
            last: get(row, 1)?,
            low: row.get(2)?,
            high: row.get(3)?,
            events: EVENTS,
        };
        // A row that is damaged says nothing.
        let is_sound = row.get::<_, i64>(4)? == block.crc();
        if is_sound && !block.overlaps(span) {
            outside.push((block.first, block.last + 1));
        }
    }
    Ok(without((from, end), &outside))
}

fn without((mut from, end): (u64, u64), outside: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut stretches = Vec::new();
    for &(first, next) in outside {
        let until = first.min(end);
        if from < until {
            stretches.push((from, until));
        }
        from = from.max(next);
    }
    if from < end {
        stretches.push((from, end));
    }
    stretches
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::{Blocks, EVENTS, stretches, trim, without};

    #[test]
    fn what_is_outside_is_left_out() {
        let outside = [(0, 10), (20, 30), (30, 40), (90, 200)];
        assert_eq!(without((0, 100), &outside), [(10, 20), (40, 90)]);
        assert_eq!(without((25, 35), &outside), []);
        assert_eq!(without((15, 22), &outside), [(15, 20)]);
        assert_eq!(without((3, 5), &[]), [(3, 5)]);
    }

    #[test]
    fn blocks_say_where_a_time_is_and_what_is_unknown_is_read() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(include_str!("added.sql")).unwrap();
        let mut blocks = Blocks::default();
        // Times go back after the first block; the third is not full.
        for seq in 0..EVENTS * 2 + 5 {
            let at = if seq < EVENTS { 1_000_000 + seq } else { seq };
            blocks.add(&conn, seq + 10, at as i64).unwrap();
            blocks.commit();
        }
        let end = EVENTS * 2 + 15;
        let at = |since, until| stretches(&conn, (0, end), (since, until)).unwrap();
        let (second, third) = (EVENTS + 10, EVENTS * 2 + 10);
        assert_eq!(at(1_000_000, 1_000_001), [(0, second), (third, end)]);
        assert_eq!(at(0, 3000), [(0, 10), (second, end)]);
        assert_eq!(at(0, 10), [(0, 10), (third, end)]);
        conn.execute("UPDATE block SET low = 0, high = 0 WHERE first = 10", [])
            .unwrap();
        assert_eq!(at(0, 10), [(0, second), (third, end)], "it is damaged");
        trim(&conn, second).unwrap();
        assert_eq!(at(0, 10), [(0, second), (third, end)]);
    }

    #[test]
    fn a_group_that_is_not_there_is_not_in_a_block() {
        let conn = Connection::open_in_memory().unwrap();
        let mut blocks = Blocks::default();
        blocks.add(&conn, 1, 5).unwrap();
        blocks.commit();
        let before = blocks.open;
        blocks.add(&conn, 2, 99).unwrap();
        assert_ne!(blocks.open, before);
        blocks.rollback();
        assert_eq!(blocks.open, before);
    }
}
