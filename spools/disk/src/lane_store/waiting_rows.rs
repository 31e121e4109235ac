//! The rows of what waits in a lane, by ranges of the log.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use faceway_core::{DeviceKey, waiting};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::checksum::{numbers, repair, stored};
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

/// A row as it stands in the table, found without the index.
#[derive(Debug)]
pub(crate) struct KeyedRow {
    /// Lane, range, and which kind.
    pub(crate) key: [i64; 3],
    events: Value,
    crc: Value,
    /// One byte of the key was wrong.
    pub(crate) is_mended: bool,
}

impl KeyedRow {
    /// Stands for a row that is lost: no checksum is negative, so all of its range is asked about.
    pub(crate) const fn lost(key: [i64; 3]) -> Self {
        Self {
            key,
            events: Value::Blob(Vec::new()),
            crc: Value::Integer(-1),
            is_mended: false,
        }
    }

    /// Of two rows with one key nothing is believed.
    pub(crate) fn write(self, conn: &Connection) -> rusqlite::Result<()> {
        let sql = "INSERT INTO waiting (lane, range, undecided, events, key_crc, crc) VALUES (?, ?, ?, ?, ?, ?) \
                   ON CONFLICT DO UPDATE SET crc = -1";
        let ([lane, range, undecided], key_crc) = (self.key, key_crc(self.key));
        let row = (lane, range, undecided, self.events, key_crc, self.crc);
        conn.prepare_cached(sql)?.execute(row)?;
        Ok(())
    }
}

/// What `key_crc` is for this key.
fn key_crc(key: [i64; 3]) -> i64 {
    crc_of_key(key.map(i64::to_le_bytes).as_flattened())
}

fn crc_of_key(key: &[u8]) -> i64 {
    i64::from(fields_crc(&[key, &[]]))
}

/// Whether every row has the key that it was written with.
pub(crate) fn are_keys_sound(conn: &Connection) -> rusqlite::Result<bool> {
    let mut select =
        conn.prepare("SELECT lane, range, undecided, key_crc FROM waiting NOT INDEXED")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let key = numbers(row, [0, 1, 2]);
        if key.map(key_crc) != Some(stored(row, 3).unwrap_or(-1)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// All rows, with the keys that they were written with, and how many rows have no key any more.
pub(crate) fn all_by_key(conn: &Connection) -> rusqlite::Result<(Vec<KeyedRow>, usize)> {
    let sql = "SELECT lane, range, undecided, key_crc, events, crc FROM waiting NOT INDEXED";
    let mut select = conn.prepare(sql)?;
    let mut rows = select.query([])?;
    let (mut keyed, mut unknown) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let sum = stored(row, 3).unwrap_or(-1);
        let Some((key, is_mended)) = numbers(row, [0, 1, 2]).and_then(|key| sound_key(key, sum))
        else {
            unknown += 1;
            continue;
        };
        let events = match row.get(4)? {
            Value::Null => Value::Blob(Vec::new()),
            events => events,
        };
        let crc = match row.get(5)? {
            Value::Integer(crc) => Value::Integer(crc),
            _ => Value::Integer(-1),
        };
        keyed.push(KeyedRow {
            key,
            events,
            crc,
            is_mended,
        });
    }
    Ok((keyed, unknown))
}

/// The key that a row was written with, and whether a byte of it was wrong; `None` when that is not known.
fn sound_key(key: [i64; 3], sum: i64) -> Option<([i64; 3], bool)> {
    if key_crc(key) == sum {
        return Some((key, false));
    }
    let mut bytes = key.map(i64::to_le_bytes).as_flattened().to_vec();
    repair(&mut bytes, sum, crc_of_key).then(|| {
        let (words, _) = bytes.as_chunks::<8>();
        (
            std::array::from_fn(|at| i64::from_le_bytes(words[at])),
            true,
        )
    })
}

/// The keys that the index has.
pub(crate) fn keys_of_index(conn: &Connection) -> rusqlite::Result<Vec<[i64; 3]>> {
    let sql = "SELECT lane, range, undecided FROM waiting INDEXED BY sqlite_autoindex_waiting_1 ORDER BY lane, range, undecided";
    let mut select = conn.prepare(sql)?;
    let keys = select.query_map([], |row| Ok(numbers(row, [0, 1, 2])))?;
    let keys: Vec<Option<[i64; 3]>> = keys.collect::<Result<_, _>>()?;
    Ok(keys.into_iter().flatten().collect())
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
