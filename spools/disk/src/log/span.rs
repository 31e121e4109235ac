//! Where in the log the events of a time stand. Clocks are set, so times do not ascend with sequence numbers: every event is
//! looked at, but for blocks of the log that are certainly of another time.

use faceway_core::{Span, SpoolError};
use rusqlite::{Connection, OptionalExtension as _};

use crate::blocks::stretches;
use crate::shared::Shared;
use crate::store::{get, is_corrupt};

/// Sequence numbers that one statement looks at, so that no snapshot keeps the write-ahead log from being folded in.
const PIECE: u64 = 16_384;

impl Shared {
    /// See [`faceway_core::Log::span`].
    pub(crate) fn span(&self, (since, until): (i64, i64)) -> Result<Span, SpoolError> {
        let end = self.tail().saturating_add(1);
        self.readers.with(|conn| {
            let stretches = match stretches(conn, (0, end), (since, until)) {
                Err(error) if is_corrupt(&error) => vec![(0, end)],
                other => other?,
            };
            let mut span = Span::default();
            for stretch in stretches {
                look_at(conn, stretch, (since, until), &mut span)?;
            }
            Ok(span)
        })
    }
}

/// Adds the events of that time in a part of the log.
fn look_at(
    conn: &Connection,
    (from, end): (u64, u64),
    time: (i64, i64),
    span: &mut Span,
) -> rusqlite::Result<()> {
    let mut from = first_from(conn, from, end)?;
    while from < end {
        let behind = end.min(from.saturating_add(PIECE));
        let piece = match piece(conn, (from, behind), time) {
            // What cannot be read may be of that time. The span may be too wide, never too narrow.
            Err(error) if is_corrupt(&error) => Some((from, behind - 1, 0)),
            other => other?,
        };
        if let Some((first, last, events)) = piece {
            if span.first_seq == 0 {
                span.first_seq = first;
            }
            span.through_seq = last;
            span.events += events;
        }
        // Numbers have gaps.
        from = first_from(conn, behind, end)?;
    }
    Ok(())
}

fn first_from(conn: &Connection, from: u64, end: u64) -> rusqlite::Result<u64> {
    let sql = "SELECT seq FROM event WHERE seq >= ? ORDER BY seq LIMIT 1";
    let first = (conn.prepare_cached(sql)?)
        .query_row([from.cast_signed()], |row| get(row, 0))
        .optional();
    match first {
        Err(error) if is_corrupt(&error) => Ok(from),
        other => Ok(other?.unwrap_or(end)),
    }
}

/// The first and the last event of that time in a piece, and how many there are.
fn piece(
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
