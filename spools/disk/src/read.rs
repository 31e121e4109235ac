//! Reading: short statements on connections of their own, each row checked.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use faceway_core::{EventId, Private, SpoolError, TraceContext};
use rusqlite::{Connection, OptionalExtension as _};

use crate::row::{Row, event_crc};
use crate::store::{get, is_corrupt, open_reader};

/// Rows that are read ahead.
pub(crate) const READ_AHEAD_ROWS: usize = 256;
/// The same in bytes.
pub(crate) const READ_AHEAD_BYTES: usize = 1 << 20;

/// Rows that were read, up to `next`.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) rows: Vec<Row>,
    pub(crate) next: u64,
}

/// Connections that are kept open when nobody reads.
const IDLE_MAX: usize = 8;

/// A few read-only connections.
#[derive(Debug)]
pub(crate) struct Readers {
    database: PathBuf,
    idle: Mutex<Vec<Connection>>,
    /// Rows that could not be read since the start.
    pub(crate) damaged: AtomicU64,
}

/// What SQLite said, without anything of an event.
pub(crate) fn told(error: &rusqlite::Error) -> SpoolError {
    SpoolError(format!("the database cannot be read: {error}"))
}

impl Readers {
    pub(crate) fn new(database: PathBuf) -> Self {
        Self {
            database,
            idle: Mutex::default(),
            damaged: AtomicU64::new(0),
        }
    }

    /// Runs `work` with a connection. It blocks: call it where that is allowed.
    pub(crate) fn with<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, SpoolError> {
        let idle = self.lock().pop();
        let conn = match idle {
            Some(conn) => conn,
            None => open_reader(&self.database).map_err(|error| told(&error))?,
        };
        let result = work(&conn).map_err(|error| told(&error));
        let mut idle = self.lock();
        if result.is_ok() && idle.len() < IDLE_MAX {
            idle.push(conn);
        }
        result
    }

    /// Closes what is idle.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A damaged row is told once, by its number only.
    fn note_damage(&self, seq: u64) {
        self.damaged.fetch_add(1, Ordering::Relaxed);
        tracing::error!(seq, "a stored event is damaged and cannot be delivered");
    }

    /// One event; `None` when it is not there or damaged.
    pub(crate) fn event(&self, conn: &Connection, seq: u64) -> rusqlite::Result<Option<Row>> {
        let sql = "SELECT seq, at, id, device, images, crc, body, trace FROM event WHERE seq = ?";
        let row = (conn.prepare_cached(sql)?)
            .query_row([seq.cast_signed()], |row| Ok(checked(row)))
            .optional();
        match row {
            Ok(Some(Ok(row))) => Ok(Some(row)),
            Ok(None) => Ok(None),
            Ok(Some(Err(Damaged))) => {
                self.note_damage(seq);
                Ok(None)
            }
            Err(error) if is_corrupt(&error) => {
                self.note_damage(seq);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Events from `from` to `last`, as many as are read ahead.
    pub(crate) fn chunk(&self, conn: &Connection, from: u64, last: u64) -> rusqlite::Result<Chunk> {
        // With no upper bound: at a number that is damaged SQLite would take the rest for out of range.
        let sql = "SELECT seq, at, id, device, images, crc, body, trace FROM event \
                   WHERE seq >= ? ORDER BY seq LIMIT ?";
        let mut select = conn.prepare_cached(sql)?;
        let limit = READ_AHEAD_ROWS as i64;
        let mut rows = select.query((from.cast_signed(), limit))?;
        match self.collect(&mut rows, (from, last)) {
            Ok(Some(chunk)) => Ok(chunk),
            Ok(None) => self.salvage(conn, from, last),
            Err(error) if is_corrupt(&error) => self.salvage(conn, from, last),
            Err(error) => Err(error),
        }
    }

    /// Takes sound rows from `from` to `last`. `None` when none of many rows is sound, so that nothing says where to go on.
    fn collect(
        &self,
        rows: &mut rusqlite::Rows<'_>,
        (from, last): (u64, u64),
    ) -> rusqlite::Result<Option<Chunk>> {
        let mut chunk = Chunk::default();
        // Only the number of a sound row says how far this has come: a damaged one may point past all that follow.
        let (mut count, mut bytes, mut next) = (0, 0, from);
        let mut is_full = false;
        while !is_full && let Some(row) = rows.next()? {
            count += 1;
            match checked(row) {
                Ok(row) if row.seq > last => {
                    return Ok(Some(Chunk {
                        next: last + 1,
                        ..chunk
                    }));
                }
                // A damaged number led to the wrong place.
                Ok(row) if row.seq < next => {}
                Ok(row) => {
                    next = row.seq + 1;
                    bytes += row.weight();
                    chunk.rows.push(row);
                }
                Err(Damaged) => {
                    self.note_damage(get(row, 0).unwrap_or_default());
                }
            }
            is_full = count >= READ_AHEAD_ROWS || bytes >= READ_AHEAD_BYTES;
        }
        if is_full && next == from {
            return Ok(None);
        }
        chunk.next = if is_full { next } else { last + 1 };
        Ok(Some(chunk))
    }

    /// SQLite cannot walk over a broken page, but it finds what lies on others: number by number, so that reading gets
    /// past it. Numbers that were never given out cost nothing but time.
    fn salvage(&self, conn: &Connection, from: u64, last: u64) -> rusqlite::Result<Chunk> {
        let end = last.min(from + READ_AHEAD_ROWS as u64);
        let mut chunk = Chunk {
            next: end + 1,
            ..Chunk::default()
        };
        for seq in from..=end {
            chunk.rows.extend(self.event(conn, seq)?);
        }
        Ok(chunk)
    }
}

/// The first event at or after `seq`, and when it was received.
pub(crate) fn time_from(conn: &Connection, seq: u64) -> rusqlite::Result<Option<(u64, i64)>> {
    let sql = "SELECT seq, at FROM event WHERE seq >= ? ORDER BY seq LIMIT 1";
    (conn.prepare_cached(sql)?)
        .query_row([seq.cast_signed()], |row| Ok((get(row, 0)?, row.get(1)?)))
        .optional()
}

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
