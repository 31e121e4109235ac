//! Where events are kept. All other modules reach events through this one.
//!
//! New events stand in segments (the crate `faceway-segments`). The table `event` has what lies below the first segment:
//! events that an earlier program wrote, and those that a lane still needed when their segment left. An event that is copied
//! into the table leaves its segment only after the copy is durable, so a reader that misses an event in the segments finds it
//! in the table.
//!
//! `inspect/` proves and saves dead directories, so it has statements of its own.

mod disk;
pub(crate) mod keep;
mod keeper;
pub(crate) mod leave;
pub(crate) mod table;

use std::collections::HashMap;
use std::io;
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use faceway_core::{EventId, NewEvent, Private, TraceContext};
use faceway_segments::{Event, Found, Reader, Span};
use rusqlite::Connection;
use rusqlite::types::Value;

use crate::row::{Row, event_crc};
use table::{Columns, Damaged};

/// Reads events, wherever they are. Clones are cheap.
#[derive(Clone, Debug, Default)]
pub(crate) struct Events {
    /// Empty until the segments are open.
    reader: Arc<OnceLock<Reader>>,
}

/// What the segments say of one number.
enum Looked<T> {
    Sound(T),
    Damaged,
    Absent,
}

impl Events {
    /// The segments are open.
    pub(crate) fn begin(&self, reader: Reader) {
        // Set once for each opening of the directory.
        _ = self.reader.set(reader);
    }

    /// The segments, once they are open.
    pub(crate) fn segments(&self) -> Option<&Reader> {
        self.reader.get()
    }

    /// The first event that the segments may have: what is below is in the table.
    pub(crate) fn first_segment(&self) -> u64 {
        // Where nothing is in the segments, everything is in the table.
        let first = |reader: &Reader| Some(reader.first()).filter(|first| *first <= reader.tail());
        self.segments().and_then(first).unwrap_or(u64::MAX)
    }

    fn look<T>(&self, seq: u64, take: impl FnOnce(Event<'_>) -> T) -> rusqlite::Result<Looked<T>> {
        let is_below = seq < self.first_segment();
        let Some(reader) = self.segments().filter(|_| !is_below) else {
            return Ok(Looked::Absent);
        };
        let looked = reader.get(seq, |found| match found {
            Found::Event(_, event) => Looked::Sound(take(event)),
            Found::Damaged(_) => Looked::Damaged,
        });
        Ok(match looked.map_err(failed)? {
            // A segment that has left meanwhile may be written to again.
            Some(Looked::Damaged) if seq < self.first_segment() => Looked::Absent,
            looked => looked.unwrap_or(Looked::Absent),
        })
    }

    /// One event.
    pub(crate) fn event(
        &self,
        conn: &Connection,
        seq: u64,
    ) -> rusqlite::Result<Option<Result<Row, Damaged>>> {
        let looked = self.look(seq, |event| row_of(seq, &event))?;
        if let Looked::Sound(row) = looked {
            return Ok(Some(Ok(row)));
        }
        // It may have been copied since, or revived beside its damage.
        let row = table::event(conn, seq)?;
        Ok(row.or(matches!(looked, Looked::Damaged).then_some(Err(Damaged))))
    }

    /// Gives events of the segments from `from` to `last` to `take`, until that says `Break`.
    pub(crate) fn from(
        &self,
        (from, last): (u64, u64),
        mut take: impl FnMut(u64, Result<Row, Damaged>) -> ControlFlow<()>,
    ) -> rusqlite::Result<()> {
        let Some(reader) = self.segments() else {
            return Ok(());
        };
        let read = reader.read(from, last, |found| {
            let taken = match found {
                Found::Event(seq, event) => take(seq, Ok(row_of(seq, &event))),
                Found::Damaged(seq) => take(seq, Err(Damaged)),
            };
            taken.is_continue()
        });
        read.map_err(failed)
    }

    /// Those of these events that are sound in the segments.
    pub(crate) fn rows(&self, seqs: &[u64]) -> rusqlite::Result<HashMap<u64, Row>> {
        let mut rows = HashMap::with_capacity(seqs.len());
        let Some(reader) = self.segments() else {
            return Ok(rows);
        };
        let mut seqs = seqs.to_vec();
        seqs.sort_unstable();
        seqs.dedup();
        let read = reader.pick(&seqs, |found| {
            if let Found::Event(seq, event) = found {
                rows.insert(seq, row_of(seq, &event));
            }
            true
        });
        read.map_err(failed)?;
        Ok(rows)
    }

    /// The first event at or after `seq`, and when it was received.
    pub(crate) fn first_from(
        &self,
        conn: &Connection,
        seq: u64,
    ) -> rusqlite::Result<Option<(u64, i64)>> {
        if seq < self.first_segment()
            && let Some(first) = table::first_from(conn, seq)?
        {
            return Ok(Some(first));
        }
        let mut first = None;
        if let Some(reader) = self.segments() {
            let read = reader.read(seq, u64::MAX, |found| {
                if let Found::Event(seq, event) = found {
                    first = Some((seq, event.at));
                }
                first.is_none()
            });
            read.map_err(failed)?;
        }
        Ok(first)
    }

    /// All numbers from `from` to before `end`, also of damaged events.
    pub(crate) fn numbers(
        &self,
        conn: &Connection,
        (from, end): (u64, u64),
    ) -> rusqlite::Result<Vec<u64>> {
        let mut seqs = table::numbers(conn, (from, end), usize::MAX)?;
        for segment in self.segments().map(Reader::segments).unwrap_or_default() {
            if segment.events > 0 {
                seqs.extend(from.max(segment.first_seq)..end.min(segment.last_seq + 1));
            }
        }
        seqs.sort_unstable();
        seqs.dedup();
        Ok(seqs)
    }

    /// Gives at most `max` numbers and times from `from` to before `end` to `take`, with the digests of their pictures. Gives
    /// how many they were.
    pub(crate) fn images(
        &self,
        conn: &Connection,
        (from, end): (u64, u64),
        max: usize,
        mut take: impl FnMut(u64, i64, Option<&[u8]>) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<usize> {
        let border = self.first_segment().clamp(from, end.max(from));
        let mut count = 0;
        if from < border {
            count = table::images(conn, (from, border), max, &mut take)?;
        }
        let Some(reader) = self.segments() else {
            return Ok(count);
        };
        if count >= max || border >= end {
            return Ok(count);
        }
        let mut taken = Ok(());
        let read = reader.read(border, end - 1, |found| {
            count += 1;
            taken = match found {
                Found::Event(seq, event) => {
                    let images = Some(event.images).filter(|images| !images.is_empty());
                    take(seq, event.at, images)
                }
                // The damage costs the event its pictures.
                Found::Damaged(seq) => take(seq, 0, None),
            };
            taken.is_ok() && count < max
        });
        read.map_err(failed)?;
        taken.map(|()| count)
    }

    /// The digests of one event's pictures; `None` when it is not there or has none.
    pub(crate) fn images_of(
        &self,
        conn: &Connection,
        seq: u64,
    ) -> rusqlite::Result<Option<Vec<u8>>> {
        match self.look(seq, |event| event.images.to_vec())? {
            Looked::Sound(images) => Ok(Some(images).filter(|images| !images.is_empty())),
            Looked::Damaged | Looked::Absent => table::images_of(conn, seq),
        }
    }

    /// The columns of an event, for a copy of it.
    pub(crate) fn columns(&self, conn: &Connection, seq: u64) -> rusqlite::Result<Option<Columns>> {
        match self.look(seq, |event| columns_of(seq, &event))? {
            Looked::Sound(columns) => Ok(Some(columns)),
            Looked::Damaged | Looked::Absent => table::columns(conn, seq),
        }
    }

    /// Whether a segment has the event, and it is sound.
    pub(crate) fn is_in_segments(&self, seq: u64) -> rusqlite::Result<bool> {
        Ok(matches!(self.look(seq, |_| ())?, Looked::Sound(())))
    }

    /// Where the events of a time stand in the segments.
    pub(crate) fn span(&self, since: i64, until: i64) -> rusqlite::Result<Span> {
        let span = self.segments().map(|reader| reader.span(since, until));
        Ok(span.transpose().map_err(failed)?.unwrap_or_default())
    }

    /// The id of an event, also of one that has left.
    pub(crate) fn id(&self, seq: u64) -> rusqlite::Result<Option<EventId>> {
        let id = self.segments().map(|reader| reader.id(seq)).transpose();
        Ok(id.map_err(failed)?.flatten().map(EventId::from_bytes))
    }

    /// The first known ids from this number on: the number of the first, and 16 bytes for each.
    pub(crate) fn ids_from(&self, seq: u64) -> rusqlite::Result<Option<(u64, Vec<u8>)>> {
        let ids = self.segments().map(|reader| reader.ids_from(seq));
        Ok(ids.transpose().map_err(failed)?.flatten())
    }

    /// Gives the newest known ids to `take`, of as many numbers at most: the number of the first, and 16 bytes for each.
    /// Gives the number below which there may be others.
    pub(crate) fn newest_ids(
        &self,
        numbers: usize,
        take: impl FnMut(u64, &[u8]),
    ) -> rusqlite::Result<u64> {
        let Some(reader) = self.segments() else {
            return Ok(0);
        };
        let from = (reader.tail() + 1).saturating_sub(numbers as u64);
        reader.each_id(from, take).map_err(failed)?;
        Ok(from)
    }

    /// The number of the event with this id in the segments, also of one that has left: it takes a while.
    pub(crate) fn find(&self, id: EventId) -> rusqlite::Result<Option<u64>> {
        let find = |reader: &Reader| reader.find(*id.as_bytes());
        let found = self.segments().map(find).transpose();
        Ok(found.map_err(failed)?.flatten())
    }
}

/// What the segments' disk says, as the database would say it: the disk failed, and nothing is broken.
fn failed(error: io::Error) -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR);
    rusqlite::Error::SqliteFailure(code, Some(format!("a segment cannot be read: {error}")))
}

fn row_of(seq: u64, event: &Event<'_>) -> Row {
    let trace = std::str::from_utf8(event.trace).ok();
    Row {
        seq,
        at: event.at,
        id: EventId::from_bytes(event.id),
        device: event.device,
        trace_context: trace.and_then(TraceContext::stored),
        body: Private::new(Bytes::copy_from_slice(event.body)),
    }
}

/// An event of a segment as a row of the table.
pub(crate) fn columns_of(seq: u64, event: &Event<'_>) -> Columns {
    let Event {
        id,
        device,
        at,
        images,
        trace,
        body,
    } = *event;
    let crc = event_crc(seq, at, &id, device, images, body);
    let blob = |bytes: &[u8]| Value::Blob(bytes.to_vec());
    let trace = std::str::from_utf8(trace).ok();
    let trace = trace.filter(|trace| !trace.is_empty());
    [
        Value::Integer(at),
        blob(&id),
        Value::Integer(device.cast_signed()),
        if images.is_empty() {
            Value::Null
        } else {
            blob(images)
        },
        Value::Integer(crc.into()),
        blob(body),
        trace.map_or(Value::Null, |trace| Value::Text(trace.to_owned())),
    ]
}

/// Gives an event to `push` as it stands in a segment.
pub(crate) fn encoded<T>(event: &NewEvent, push: impl FnOnce(&Event<'_>) -> T) -> T {
    let images: Vec<u8> = event.images.iter().flat_map(|sha256| sha256.0).collect();
    let trace = event.trace_context.as_ref().map(TraceContext::as_stored);
    push(&Event {
        id: *event.id.as_bytes(),
        device: event.device.0,
        at: event.received_at.as_millis(),
        images: &images,
        trace: trace.unwrap_or_default().as_bytes(),
        // The fence is open for the disk only.
        body: event.body.reveal(),
    })
}
