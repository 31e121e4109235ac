//! Reading entries: from the newest events in memory, else from the database.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use faceway_core::{DeviceKey, Entry, ReadMax, SpoolError, Stretch};
use rusqlite::{Connection, OptionalExtension as _};

use crate::events::table::{self, checked};
use crate::read::Chunk;
use crate::row::{Row, moment};
use crate::shared::{Shared, lock};
use crate::store::is_corrupt;

/// Rows that are looked at for one that is not found: more than there are on a page.
const NEIGHBOURS: u64 = 256;

impl Row {
    fn entry(self) -> Entry {
        Entry {
            seq: self.seq,
            id: self.id,
            device: DeviceKey(self.device),
            received_at: moment(self.at),
            trace_context: self.trace_context,
            body: self.body,
        }
    }
}

/// A stretch as it is put together.
struct Reading {
    stretch: Stretch,
    end: u64,
    max: ReadMax,
    bytes: usize,
}

impl Reading {
    /// Takes in what was read. `true` when there is nothing more to read.
    fn take(&mut self, chunk: Chunk) -> bool {
        for row in chunk.rows {
            if self.is_full() {
                self.stretch.through_seq = row.seq - 1;
                return true;
            }
            self.bytes += row.body.reveal().len(); // only its length
            self.stretch.entries.push(row.entry());
        }
        self.stretch.through_seq = chunk.next.saturating_sub(1).min(self.end);
        // Else another chunk would be read only to see that there is no room for it.
        self.stretch.through_seq >= self.end || self.is_full()
    }

    fn is_full(&self) -> bool {
        let entries = self.stretch.entries.len();
        entries > 0 && (entries >= self.max.entries || self.bytes >= self.max.bytes)
    }

    /// What is to be read next: from the first number through the second. One that is missing among them costs a second look.
    fn next(&self) -> (u64, u64) {
        let from = self.stretch.through_seq + 1;
        let left = self.max.entries.saturating_sub(self.stretch.entries.len());
        let last = from.saturating_add(left.max(1) as u64 - 1);
        (from, last.min(self.end))
    }
}

impl Shared {
    /// See [`faceway_core::Log::read`].
    pub(crate) async fn read_log(
        self: &Arc<Self>,
        after_seq: u64,
        through_seq: u64,
        max: ReadMax,
    ) -> Result<Stretch, SpoolError> {
        let end = through_seq.min(self.tail());
        let mut reading = Reading {
            stretch: Stretch {
                entries: Vec::new(),
                through_seq: after_seq,
            },
            end,
            max,
            bytes: 0,
        };
        if after_seq >= end {
            return Ok(reading.stretch);
        }
        while let Some(chunk) = lock(&self.recent).chunk(reading.next()) {
            if reading.take(chunk) {
                return Ok(reading.stretch);
            }
        }
        let read = move |shared: &Self| {
            shared.readers.with(|conn| {
                while !reading.take(shared.readers.chunk(conn, reading.next())?) {}
                Ok(reading.stretch)
            })
        };
        self.blocking(read).await
    }

    /// See [`faceway_core::Log::fetch`].
    pub(crate) async fn fetch_entries(
        self: &Arc<Self>,
        seqs: Vec<u64>,
    ) -> Result<Vec<Option<Entry>>, SpoolError> {
        let (mut found, missing) = self.fetch_newest(&seqs);
        if !missing.is_empty() {
            let read = move |shared: &Self| {
                let read = |conn: &Connection| {
                    let mut found = shared.events.rows(&missing)?;
                    for seq in missing {
                        if !found.contains_key(&seq)
                            && let Some(row) = shared.entry(conn, seq)?
                        {
                            found.insert(seq, row);
                        }
                    }
                    Ok(found)
                };
                shared.readers.with(read)
            };
            found.extend(self.blocking(read).await?);
        }
        let entry = |seq: &u64| found.get(seq).cloned().map(Row::entry);
        Ok(seqs.iter().map(entry).collect())
    }

    /// A lane may ask for an event that it revives before its change is durable: then the copy is the event.
    fn entry(&self, conn: &Connection, seq: u64) -> rusqlite::Result<Option<Row>> {
        if let Some(row) = self.readers.event(conn, seq)? {
            return Ok(Some(row));
        }
        let sql = "SELECT seq, at, id, device, images, crc, body, trace FROM buried \
                   WHERE lane IN (SELECT id FROM lane) AND seq = ? LIMIT 1";
        let copy = (conn.prepare_cached(sql)?)
            .query_row([seq.cast_signed()], |row| Ok(checked(row).ok()))
            .optional()?;
        match copy.flatten() {
            Some(copy) => Ok(Some(copy)),
            None => beside_damage(conn, seq),
        }
    }

    fn fetch_newest(&self, seqs: &[u64]) -> (HashMap<u64, Row>, Vec<u64>) {
        let recent = lock(&self.recent);
        let (mut found, mut missing) = (HashMap::new(), Vec::new());
        for seq in seqs {
            match recent.get(*seq) {
                Some(row) => _ = found.insert(*seq, row.clone()),
                None => missing.push(*seq),
            }
        }
        (found, missing)
    }
}

/// Looks at one row after another: SQLite looks for a number by halves, and one that is damaged leads it past its neighbours,
/// which are sound and were read before.
fn beside_damage(conn: &Connection, seq: u64) -> rusqlite::Result<Option<Row>> {
    let from = seq.saturating_sub(NEIGHBOURS / 2);
    let mut found = None;
    let looked = table::from(conn, from, NEIGHBOURS as usize, |_, row| {
        found = row.ok().filter(|row| row.seq == seq);
        match found {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    });
    match looked {
        Err(error) if is_corrupt(&error) => Ok(None),
        looked => looked.map(|()| found),
    }
}
