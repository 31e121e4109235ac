//! Where in the log the events of a time stand. Clocks are set, so times do not ascend with sequence numbers: every event is
//! looked at, but for blocks of the log that are certainly of another time.

use faceway_core::{Span, SpoolError};
use rusqlite::Connection;

use crate::blocks::stretches;
use crate::events::table;
use crate::shared::Shared;
use crate::store::is_corrupt;

/// Sequence numbers that one statement looks at, so that no snapshot keeps the write-ahead log from being folded in.
const PIECE: u64 = 16_384;

impl Shared {
    /// See [`faceway_core::Log::span`].
    pub(crate) fn span(&self, (since, until): (i64, i64)) -> Result<Span, SpoolError> {
        let end = self.tail().saturating_add(1);
        self.readers.with(|conn| {
            loop {
                let border = self.events.first_segment();
                let mut span = span_of_table(conn, end.min(border), (since, until))?;
                let found = self.events.span(since, until)?;
                if found.events > 0 {
                    if span.first_seq == 0 {
                        span.first_seq = found.first_seq;
                    }
                    span.through_seq = found.last_seq;
                    span.events += found.events;
                }
                // Else a segment has left meanwhile, and what is needed of it is in the table.
                if self.events.first_segment() == border {
                    return Ok(span);
                }
            }
        })
    }
}

fn span_of_table(conn: &Connection, end: u64, time: (i64, i64)) -> rusqlite::Result<Span> {
    let stretches = match stretches(conn, (0, end), time) {
        Err(error) if is_corrupt(&error) => vec![(0, end)],
        other => other?,
    };
    let mut span = Span::default();
    for stretch in stretches {
        look_at(conn, stretch, time, &mut span)?;
    }
    Ok(span)
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
        let piece = match table::of_time(conn, (from, behind), time) {
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
    match table::first_from(conn, from) {
        Err(error) if is_corrupt(&error) => Ok(from),
        first => Ok(first?.map_or(end, |(seq, _)| seq)),
    }
}
