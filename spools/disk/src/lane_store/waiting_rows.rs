//! The rows of what waits in a lane, by ranges of the log.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use faceway_core::{DeviceKey, waiting};
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::row::fields_crc;
use crate::store::{Trouble, get};

/// What a row tells of its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// They are routed to this outbound and not acknowledged.
    Waiting,
    /// The rules are yet to be asked about them. Their devices are not kept.
    Undecided,
}

/// A row.
#[derive(Clone, Debug)]
pub(crate) struct WaitingRow {
    pub(crate) range: u64,
    pub(crate) kind: Kind,
    pub(crate) bytes: Bytes,
    /// Its events, ascending; `None` when it is damaged.
    pub(crate) events: Option<Vec<(u64, DeviceKey)>>,
}

impl Kind {
    const fn number(self) -> i64 {
        match self {
            Self::Waiting => 0,
            Self::Undecided => 1,
        }
    }
}

/// The sequence numbers of a range: its first, and the first behind it.
pub(crate) const fn bounds(range: u64) -> (u64, u64) {
    let first = range.saturating_mul(waiting::RANGE);
    (first, first.saturating_add(waiting::RANGE))
}

/// What a lane keeps of the ranges from `first` to `last`, ascending.
pub(crate) fn between(
    conn: &Connection,
    lane: u32,
    (first, last): (u64, u64),
) -> rusqlite::Result<Vec<WaitingRow>> {
    let sql = "SELECT range, undecided, events, crc FROM waiting WHERE lane = ? AND range BETWEEN ? AND ? \
               ORDER BY range, undecided";
    let mut select = conn.prepare_cached(sql)?;
    let key = (lane, first.cast_signed(), last.cast_signed());
    let rows = select.query_map(key, |row| read(row, lane))?;
    rows.collect()
}

/// All that a lane keeps, ascending.
pub(crate) fn all(conn: &Connection, lane: u32) -> rusqlite::Result<Vec<WaitingRow>> {
    between(conn, lane, (0, i64::MAX.cast_unsigned()))
}

/// One row.
pub(crate) fn one(
    conn: &Connection,
    lane: u32,
    range: u64,
    kind: Kind,
) -> rusqlite::Result<Option<WaitingRow>> {
    let sql = "SELECT range, undecided, events, crc FROM waiting WHERE lane = ? AND range = ? AND undecided = ?";
    let key = (lane, range.cast_signed(), kind.number());
    (conn.prepare_cached(sql)?)
        .query_row(key, |row| read(row, lane))
        .optional()
}

/// Writes a row in place of the one before; removes it when nothing is left.
pub(crate) fn write(
    conn: &Connection,
    lane: u32,
    range: u64,
    kind: Kind,
    bytes: Option<&[u8]>,
) -> Result<(), Trouble> {
    let (number, undecided) = (range.cast_signed(), kind.number());
    let Some(bytes) = bytes else {
        let sql = "DELETE FROM waiting WHERE lane = ? AND range = ? AND undecided = ?";
        conn.prepare_cached(sql)?
            .execute((lane, number, undecided))?;
        return Ok(());
    };
    let sql = "INSERT INTO waiting (lane, range, undecided, events, key_crc, crc) VALUES (?, ?, ?, ?, ?, ?) \
               ON CONFLICT (lane, range, undecided) DO UPDATE SET events = excluded.events, crc = excluded.crc";
    let crcs = (crc(lane, range, kind, &[]), crc(lane, range, kind, bytes));
    let row = (lane, number, undecided, bytes, crcs.0, crcs.1);
    conn.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

/// Undecided events by their ranges, as rows keep them: what [`waiting::encode`] makes of events of one device. There may be
/// very many, so that nothing is looked up for each.
pub(crate) fn undecided_by_range(seqs: &[u64]) -> BTreeMap<u64, Vec<u8>> {
    let mut seqs = seqs.to_vec();
    seqs.sort_unstable();
    seqs.dedup();
    let chunks = seqs.chunk_by(|a, b| waiting::range_of(*a) == waiting::range_of(*b));
    let encode = |chunk: &[u64]| {
        let range = waiting::range_of(chunk[0]);
        let mut bytes = Vec::with_capacity(9 + 3 * chunk.len());
        waiting::put_varint(&mut bytes, 1);
        bytes.extend_from_slice(&[0; 8]);
        let mut last = bounds(range).0;
        for seq in chunk {
            waiting::put_varint(&mut bytes, seq - last);
            waiting::put_varint(&mut bytes, 0);
            last = *seq;
        }
        (range, bytes)
    };
    chunks.map(encode).collect()
}

/// The ranges of which the row of undecided events is another one than in `wanted`, or only in one of the two. The rows are not
/// decoded: a lane with very many undecided events goes on a few at a time.
pub(crate) fn other_undecided(
    conn: &Connection,
    lane: u32,
    wanted: &BTreeMap<u64, Vec<u8>>,
) -> rusqlite::Result<Vec<u64>> {
    let sql = "SELECT range, events, crc FROM waiting WHERE lane = ? AND undecided = 1";
    let mut select = conn.prepare_cached(sql)?;
    let mut rows = select.query([lane])?;
    let mut others: BTreeSet<u64> = wanted.keys().copied().collect();
    while let Some(row) = rows.next()? {
        let range = get(row, 0)?;
        let bytes = row.get_ref(1)?.as_blob().unwrap_or_default();
        let is_same = wanted.get(&range).is_some_and(|wanted| {
            wanted == bytes
                && row.get::<_, i64>(2).ok() == Some(crc(lane, range, Kind::Undecided, wanted))
        });
        if is_same {
            others.remove(&range);
        } else {
            others.insert(range);
        }
    }
    Ok(others.into_iter().collect())
}

fn read(row: &Row<'_>, lane: u32) -> rusqlite::Result<WaitingRow> {
    let range = get(row, 0)?;
    let kind = if row.get::<_, i64>(1)? == 0 {
        Kind::Waiting
    } else {
        Kind::Undecided
    };
    // A field of another type is damage too.
    let bytes = row.get_ref(2)?.as_blob().unwrap_or_default();
    let is_sound = row.get::<_, i64>(3).ok() == Some(crc(lane, range, kind, bytes));
    let events = if is_sound {
        waiting::decode(range, bytes)
    } else {
        None
    };
    Ok(WaitingRow {
        range,
        kind,
        bytes: Bytes::copy_from_slice(bytes),
        events,
    })
}

fn crc(lane: u32, range: u64, kind: Kind, bytes: &[u8]) -> i64 {
    let numbers = [lane.into(), range, kind.number().cast_unsigned()].map(u64::to_le_bytes);
    i64::from(fields_crc(&[numbers.as_flattened(), bytes]))
}

/// Rows whose key is damaged, found without the index.
pub(crate) fn without_key(conn: &Connection) -> rusqlite::Result<Vec<i64>> {
    let sql = "SELECT rowid, lane, range, undecided, key_crc FROM waiting NOT INDEXED";
    let mut select = conn.prepare(sql)?;
    let mut rows = select.query([])?;
    let mut damaged = Vec::new();
    while let Some(row) = rows.next()? {
        let is_sound = || {
            let kind = if row.get::<_, i64>(3).ok()? == 0 {
                Kind::Waiting
            } else {
                Kind::Undecided
            };
            let crc = crc(row.get(1).ok()?, get(row, 2).ok()?, kind, &[]);
            Some(crc == row.get::<_, i64>(4).ok()?)
        };
        if is_sound() != Some(true) {
            damaged.push(row.get(0)?);
        }
    }
    Ok(damaged)
}

#[cfg(test)]
mod tests {
    use faceway_core::{DeviceKey, waiting};

    use super::undecided_by_range;

    #[test]
    fn undecided_events_are_written_as_the_core_writes_them() {
        let seqs = [5000, 3, 7, 7, 1023, 1024];
        let rows = undecided_by_range(&seqs);
        let of = |seqs: &[u64]| -> Vec<_> { seqs.iter().map(|seq| (*seq, DeviceKey(0))).collect() };
        assert_eq!(rows.keys().copied().collect::<Vec<_>>(), [0, 1, 4]);
        assert_eq!(rows[&0], waiting::encode(0, &of(&[3, 7, 1023])));
        assert_eq!(waiting::decode(4, &rows[&4]), Some(of(&[5000])));
    }
}
