//! In which parts of the log a span of time may lie.
//!
//! Numbers rise and stamps need not: clocks are set, and requests overtake each other. So an
//! earlier program wrote down the lowest and the highest stamp of each block of events in the table, and a search for a span
//! of time reads the blocks that overlap it. A part of the table that has no block is always read. Segments have an index of
//! their own.

use rusqlite::Connection;

use crate::row::fields_crc;
use crate::store::get;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    first: u64,
    last: u64,
    low: i64,
    high: i64,
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

    use super::{Block, stretches, trim, without};

    #[test]
    fn what_is_outside_is_left_out() {
        let outside = [(0, 10), (20, 30), (30, 40), (90, 200)];
        assert_eq!(without((0, 100), &outside), [(10, 20), (40, 90)]);
        assert_eq!(without((25, 35), &outside), []);
        assert_eq!(without((15, 22), &outside), [(15, 20)]);
        assert_eq!(without((3, 5), &[]), [(3, 5)]);
    }

    /// As the earlier program wrote it.
    fn write(conn: &Connection, block: Block) {
        let sql = "INSERT INTO block (first, last, low, high, crc) VALUES (?, ?, ?, ?, ?)";
        let (first, last) = (block.first.cast_signed(), block.last.cast_signed());
        let row = (first, last, block.low, block.high, block.crc());
        conn.execute(sql, row).unwrap();
    }

    #[test]
    fn blocks_say_where_a_time_is_and_what_is_unknown_is_read() {
        const EVENTS: u64 = 2048;
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(include_str!("added.sql")).unwrap();
        let block = |first, low, high| Block {
            first,
            last: first + EVENTS - 1,
            low,
            high,
        };
        // Times go back after the first block; the third has no row.
        write(&conn, block(10, 1_000_000, 1_002_047));
        write(&conn, block(10 + EVENTS, 2048, 4095));
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
}
