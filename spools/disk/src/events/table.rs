//! The table `event`: all its statements.

use std::ops::ControlFlow;

use bytes::Bytes;
use faceway_core::{EventId, Private, TraceContext};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params_from_iter};

use crate::row::{Row, event_crc};
use crate::store::get;

/// The checksum of a row is wrong, or a field has a type that was never written.
pub(crate) struct Damaged;

/// A row of `event`, or the copy in `buried`, if its checksum is right.
pub(crate) fn checked(row: &rusqlite::Row<'_>) -> Result<Row, Damaged> {
    let read = || -> rusqlite::Result<Option<Row>> {
        let (seq, at) = (get(row, 0)?, row.get(1)?);
        let id: [u8; 16] = row.get(2)?;
        let device = get(row, 3)?;
        let images = row.get_ref(4)?.as_blob_or_null()?.unwrap_or_default();
        let body = row.get_ref(6)?.as_blob()?;
        if i64::from(event_crc(seq, at, &id, device, images, body)) != row.get::<_, i64>(5)? {
            return Ok(None);
        }
        // A damaged one is as none: it is no reason to lose the event.
        let trace_context = row.get_ref(7)?.as_str_or_null().unwrap_or_default();
        let trace_context = trace_context.and_then(TraceContext::stored);
        Ok(Some(Row {
            seq,
            at,
            id: EventId::from_bytes(id),
            device,
            trace_context,
            body: Private::new(Bytes::copy_from_slice(body)),
        }))
    };
    // A field of the wrong type is damage too.
    read().ok().flatten().ok_or(Damaged)
}

/// One event.
pub(crate) fn event(conn: &Connection, seq: u64) -> rusqlite::Result<Option<Result<Row, Damaged>>> {
    let sql = "SELECT seq, at, id, device, images, crc, body, trace FROM event WHERE seq = ?";
    (conn.prepare_cached(sql)?)
        .query_row([seq.cast_signed()], |row| Ok(checked(row)))
        .optional()
}

/// Gives at most `max` rows from `from` on to `take`: the number as it stands there, and the row.
///
/// There is no upper bound: at a number that is damaged SQLite would take the rest for out of range.
pub(crate) fn from(
    conn: &Connection,
    from: u64,
    max: usize,
    mut take: impl FnMut(u64, Result<Row, Damaged>) -> ControlFlow<()>,
) -> rusqlite::Result<()> {
    let sql = "SELECT seq, at, id, device, images, crc, body, trace FROM event \
               WHERE seq >= ? ORDER BY seq LIMIT ?";
    let mut select = conn.prepare_cached(sql)?;
    let mut rows = select.query((from.cast_signed(), max as i64))?;
    while let Some(row) = rows.next()? {
        if take(get(row, 0).unwrap_or_default(), checked(row)).is_break() {
            break;
        }
    }
    Ok(())
}

/// The first event at or after `seq`, and when it was received.
pub(crate) fn first_from(conn: &Connection, seq: u64) -> rusqlite::Result<Option<(u64, i64)>> {
    let sql = "SELECT seq, at FROM event WHERE seq >= ? ORDER BY seq LIMIT 1";
    (conn.prepare_cached(sql)?)
        .query_row([seq.cast_signed()], |row| Ok((get(row, 0)?, row.get(1)?)))
        .optional()
}

/// When the event with this number was received.
pub(crate) fn time(conn: &Connection, seq: u64) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT at FROM event WHERE seq = ?";
    (conn.prepare_cached(sql)?)
        .query_row([seq.cast_signed()], |row| row.get(0))
        .optional()
}

/// When the newest event was received.
pub(crate) fn newest_time(conn: &Connection) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT at FROM event ORDER BY seq DESC LIMIT 1";
    conn.query_row(sql, [], |row| row.get(0)).optional()
}

/// The highest number below `bound`; 0 when there is none.
pub(crate) fn last_below(conn: &Connection, bound: u64) -> rusqlite::Result<u64> {
    let sql = "SELECT coalesce(max(seq), 0) FROM event WHERE seq < ?";
    conn.query_row(sql, [bound.cast_signed()], |row| get(row, 0))
}

/// The lowest number; `None` when there is no event.
pub(crate) fn first(conn: &Connection) -> rusqlite::Result<Option<u64>> {
    let sql = "SELECT min(seq) FROM event";
    let first: Option<i64> = conn.query_row(sql, [], |row| row.get(0))?;
    Ok(first.map(i64::cast_unsigned))
}

/// How many events there are.
pub(crate) fn count(conn: &Connection) -> rusqlite::Result<i64> {
    conn.query_row("SELECT count(*) FROM event", [], |row| row.get(0))
}

/// Numbers from `from` to before `end`, at most `max`.
pub(crate) fn numbers(
    conn: &Connection,
    (from, end): (u64, u64),
    max: usize,
) -> rusqlite::Result<Vec<u64>> {
    let sql = "SELECT seq FROM event WHERE seq >= ? AND seq < ? ORDER BY seq LIMIT ?";
    let mut select = conn.prepare_cached(sql)?;
    let key = (from.cast_signed(), end.cast_signed(), limit(max));
    select.query_map(key, |row| get(row, 0))?.collect()
}

/// Gives at most `max` numbers and times from `from` to before `end` to `take`, until that says `Break`.
pub(crate) fn times(
    conn: &Connection,
    (from, end): (u64, u64),
    max: usize,
    mut take: impl FnMut(u64, i64) -> ControlFlow<()>,
) -> rusqlite::Result<()> {
    let sql = "SELECT seq, at FROM event WHERE seq >= ? AND seq < ? ORDER BY seq LIMIT ?";
    let mut select = conn.prepare_cached(sql)?;
    let mut rows = select.query((from.cast_signed(), end.cast_signed(), limit(max)))?;
    while let Some(row) = rows.next()? {
        if take(get(row, 0)?, row.get(1)?).is_break() {
            break;
        }
    }
    Ok(())
}

/// Gives at most `max` numbers and times from `from` to before `end` to `take`, with the digests of their pictures. Gives how
/// many they were.
pub(crate) fn images(
    conn: &Connection,
    (from, end): (u64, u64),
    max: usize,
    mut take: impl FnMut(u64, i64, Option<&[u8]>) -> rusqlite::Result<()>,
) -> rusqlite::Result<usize> {
    let sql = "SELECT seq, images, at FROM event WHERE seq >= ? AND seq < ? ORDER BY seq LIMIT ?";
    let mut select = conn.prepare_cached(sql)?;
    let mut rows = select.query((from.cast_signed(), end.cast_signed(), limit(max)))?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        count += 1;
        // A field of the wrong type is damage, and costs the event its pictures.
        let images = row.get_ref(1)?.as_blob_or_null().unwrap_or_default();
        take(get(row, 0)?, row.get(2).unwrap_or_default(), images)?;
    }
    Ok(count)
}

/// The digests of one event's pictures; `None` when it is not there or has none.
pub(crate) fn images_of(conn: &Connection, seq: u64) -> rusqlite::Result<Option<Vec<u8>>> {
    let sql = "SELECT images FROM event WHERE seq = ? AND images IS NOT NULL";
    let images = |row: &rusqlite::Row<'_>| {
        // A field of the wrong type is damage, and costs the event its pictures.
        Ok(row.get_ref(0)?.as_blob().unwrap_or_default().to_vec())
    };
    (conn.prepare_cached(sql)?)
        .query_row([seq.cast_signed()], images)
        .optional()
}

/// The first and the last event of a span of time between two numbers, and how many there are.
pub(crate) fn of_time(
    conn: &Connection,
    (from, behind): (u64, u64),
    (since, until): (i64, i64),
) -> rusqlite::Result<Option<(u64, u64, u64)>> {
    let sql = "SELECT min(seq), max(seq), count(*) FROM event WHERE seq >= ? AND seq < ? AND at >= ? AND at < ?";
    let key = (from.cast_signed(), behind.cast_signed(), since, until);
    let (first, last, events): (Option<i64>, Option<i64>, i64) = (conn.prepare_cached(sql)?)
        .query_row(key, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let span = first.zip(last);
    Ok(span.map(|(first, last)| {
        (
            first.cast_unsigned(),
            last.cast_unsigned(),
            events.cast_unsigned(),
        )
    }))
}

/// The number of the event with this id between two numbers, looked for row by row.
pub(crate) fn find(
    conn: &Connection,
    id: EventId,
    (from, end): (u64, u64),
) -> rusqlite::Result<Option<u64>> {
    let sql = "SELECT seq FROM event WHERE seq >= ? AND seq < ? AND id = ?";
    let key = (from.cast_signed(), end.cast_signed(), &id.as_bytes()[..]);
    (conn.prepare_cached(sql)?)
        .query_row(key, |row| get(row, 0))
        .optional()
}

/// Removes the events from the first to before the second.
pub(crate) fn remove(conn: &Connection, (from, end): (u64, u64)) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM event WHERE seq >= ? AND seq < ?")?
        .execute((from.cast_signed(), end.cast_signed()))?;
    Ok(())
}

/// The columns `at`, `id`, `device`, `images`, `crc`, `body`, `trace` of a row as they stand there, damaged or not: a copy
/// keeps its checksum.
pub(crate) type Columns = [Value; 7];

/// Bytes of its images and its body.
pub(crate) fn bytes(columns: &Columns) -> usize {
    let of = |column: &Value| match column {
        Value::Blob(bytes) => bytes.len(),
        _ => 0,
    };
    columns.iter().map(of).sum()
}

/// The columns of an event.
pub(crate) fn columns(conn: &Connection, seq: u64) -> rusqlite::Result<Option<Columns>> {
    let sql = "SELECT at, id, device, images, crc, body, trace FROM event WHERE seq = ?";
    let columns = |row: &rusqlite::Row<'_>| {
        let mut columns = [const { Value::Null }; 7];
        for (place, column) in columns.iter_mut().enumerate() {
            *column = row.get(place)?;
        }
        Ok(columns)
    };
    (conn.prepare_cached(sql)?)
        .query_row([seq.cast_signed()], columns)
        .optional()
}

/// Adds an event, if it is not there.
pub(crate) fn insert(conn: &Connection, seq: u64, columns: Columns) -> rusqlite::Result<()> {
    let sql = "INSERT OR IGNORE INTO event (seq, at, id, device, images, crc, body, trace) VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    let row = std::iter::once(Value::Integer(seq.cast_signed())).chain(columns);
    conn.prepare_cached(sql)?.execute(params_from_iter(row))?;
    Ok(())
}

/// A buried event comes back, if it has left.
pub(crate) fn insert_buried(conn: &Connection, lane: u32, seq: u64) -> rusqlite::Result<()> {
    let sql = "INSERT OR IGNORE INTO event (seq, at, id, device, images, crc, body, trace) \
               SELECT seq, at, id, device, images, crc, body, trace FROM buried WHERE lane = ? AND seq = ?";
    conn.prepare_cached(sql)?
        .execute((lane, seq.cast_signed()))?;
    Ok(())
}

fn limit(max: usize) -> i64 {
    i64::try_from(max).unwrap_or(i64::MAX)
}
