//! Reading: short statements on connections of their own, each row checked.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use faceway_core::SpoolError;
use rusqlite::Connection;

use crate::events::Events;
use crate::events::table::{self, Damaged};
use crate::row::Row;
use crate::store::{is_corrupt, open_reader};

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

/// Connections that are kept open while no reading is under way.
const IDLE_MAX: usize = 8;

/// A few read-only connections.
#[derive(Debug)]
pub(crate) struct Readers {
    database: PathBuf,
    events: Events,
    idle: Mutex<Vec<Connection>>,
    /// Rows that could not be read since the start.
    pub(crate) damaged: AtomicU64,
    /// Events that were counted when the spool was opened.
    counted: Mutex<BTreeSet<u64>>,
}

/// What SQLite said, without anything of an event.
pub(crate) fn told(error: &rusqlite::Error) -> SpoolError {
    SpoolError(format!("the database cannot be read: {error}"))
}

impl Readers {
    pub(crate) fn new(database: PathBuf, events: Events) -> Self {
        Self {
            database,
            events,
            idle: Mutex::default(),
            damaged: AtomicU64::new(0),
            counted: Mutex::default(),
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

    /// What was found damaged when the spool was opened: the number of each event where it is known.
    pub(crate) fn note_found(&self, damaged: &[Option<u64>]) {
        for seq in damaged {
            self.damaged.fetch_add(1, Ordering::Relaxed);
            tracing::error!(seq, "a stored event is damaged and cannot be delivered");
        }
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.extend(damaged.iter().flatten());
    }

    /// A damaged row is told once, by its number only.
    pub(crate) fn note_damage(&self, seq: u64) {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.contains(&seq) {
            return;
        }
        drop(counted);
        self.damaged.fetch_add(1, Ordering::Relaxed);
        tracing::error!(seq, "a stored event is damaged and cannot be delivered");
    }

    /// One event; `None` when it is not there or damaged.
    pub(crate) fn event(&self, conn: &Connection, seq: u64) -> rusqlite::Result<Option<Row>> {
        let row = self.events.event(conn, seq);
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
    pub(crate) fn chunk(
        &self,
        conn: &Connection,
        (from, last): (u64, u64),
    ) -> rusqlite::Result<Chunk> {
        loop {
            let first = self.events.first_segment();
            if from < first {
                return self.chunk_of_table(conn, from, last.min(first - 1));
            }
            // What is not wanted is not read from the disk either.
            let last = last.min(from + READ_AHEAD_ROWS as u64 - 1);
            let (mut ahead, mut damaged) = (Ahead::new(from, last), Vec::new());
            self.events.from((from, last), |seq, row| match row {
                Ok(row) => ahead.take(Ok(row)),
                Err(Damaged) => {
                    damaged.push(seq);
                    ahead.pass(seq)
                }
            })?;
            // Else a segment has left meanwhile, and what is needed of it is in the table.
            if self.events.first_segment() <= from {
                self.take_beside(conn, &damaged, &mut ahead.chunk)?;
                return Ok(ahead.chunk);
            }
        }
    }

    /// An event that was revived beside its damage is in the table.
    fn take_beside(
        &self,
        conn: &Connection,
        damaged: &[u64],
        chunk: &mut Chunk,
    ) -> rusqlite::Result<()> {
        for seq in damaged {
            match table::event(conn, *seq)? {
                Some(Ok(row)) => chunk.rows.push(row),
                _ => self.note_damage(*seq),
            }
        }
        if !damaged.is_empty() {
            chunk.rows.sort_unstable_by_key(|row| row.seq);
        }
        Ok(())
    }

    fn chunk_of_table(&self, conn: &Connection, from: u64, last: u64) -> rusqlite::Result<Chunk> {
        let mut ahead = Ahead::new(from, last);
        let read = table::from(conn, from, READ_AHEAD_ROWS, |seq, row| {
            ahead.take(row.map_err(|Damaged| self.note_damage(seq)))
        });
        match read {
            // None of many rows is sound, so nothing says where to go on.
            Ok(()) if ahead.is_full && ahead.next == from => self.salvage(conn, from, last),
            Ok(()) => Ok(ahead.chunk),
            Err(error) if is_corrupt(&error) => self.salvage(conn, from, last),
            Err(error) => Err(error),
        }
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

/// A chunk as it is put together.
#[derive(Debug, Default)]
struct Ahead {
    chunk: Chunk,
    last: u64,
    /// Only the number of a sound row says how far this has come: a damaged one may point past all that follow.
    next: u64,
    count: usize,
    bytes: usize,
    is_full: bool,
}

impl Ahead {
    fn new(from: u64, last: u64) -> Self {
        Self {
            chunk: Chunk {
                next: last + 1,
                ..Chunk::default()
            },
            last,
            next: from,
            ..Self::default()
        }
    }

    /// A damaged event whose number is known.
    fn pass(&mut self, seq: u64) -> ControlFlow<()> {
        self.next = seq + 1;
        self.take(Err(()))
    }

    /// Takes a row; an error is a damaged one.
    fn take(&mut self, row: Result<Row, ()>) -> ControlFlow<()> {
        self.count += 1;
        match row {
            Ok(row) if row.seq > self.last => return ControlFlow::Break(()),
            // A damaged number led to the wrong place.
            Ok(row) if row.seq < self.next => {}
            Ok(row) => {
                self.next = row.seq + 1;
                self.bytes += row.weight();
                self.chunk.rows.push(row);
            }
            Err(()) => {}
        }
        if self.count >= READ_AHEAD_ROWS || self.bytes >= READ_AHEAD_BYTES {
            self.is_full = true;
            self.chunk.next = self.next;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}
