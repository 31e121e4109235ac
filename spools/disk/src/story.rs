//! One event's story: where it stands in each lane, and what was tried.

use faceway_core::{Attempt, BuriedBody, EventId, LaneStory, Standing, Story};
use rusqlite::{Connection, OptionalExtension as _};

use crate::lane::change::{parked_of, stored_attempt};
use crate::repair::buried_body;
use crate::row::moment;
use crate::shared::Shared;
use crate::store::get;

/// An event's story, once it is known under which number it was kept.
pub(crate) fn story(
    shared: &Shared,
    conn: &Connection,
    id: EventId,
    found: Option<u64>,
) -> rusqlite::Result<Option<Story>> {
    let seq = match found {
        Some(seq) => seq,
        None => match find_old(conn, id)? {
            Some(seq) => seq,
            None => return Ok(None),
        },
    };
    let event = shared.readers.event(conn, seq)?.filter(|row| row.id == id);
    let (received_at, body) = match event {
        Some(row) => (moment(row.at), row.body),
        None => match buried_copy(conn, seq, id)? {
            Some(copy) => (copy.entry.received_at, copy.body),
            None => return Ok(None),
        },
    };
    let mut gone = gone_lanes(conn, seq)?;
    let lanes = shared.lanes.all();
    let ahead = shared.ages.ahead(&*shared.clock);
    let stories = lanes.iter().map(|lane| {
        let known = lane.lock().standing(seq);
        let (standing, due) = match known {
            Some(known) => known,
            None => stored_standing(conn, lane.id, seq)?,
        };
        Ok(LaneStory {
            lane: lane.name.clone(),
            standing,
            due: due.map(|due| moment(due.saturating_add(ahead))),
            attempts: attempts(conn, lane.id, seq)?,
        })
    });
    let mut lanes: Vec<_> = stories.collect::<rusqlite::Result<_>>()?;
    lanes.append(&mut gone);
    Ok(Some(Story {
        seq,
        received_at,
        body,
        lanes,
    }))
}

/// Lanes that are gone and had something to do with the event.
fn gone_lanes(conn: &Connection, seq: u64) -> rusqlite::Result<Vec<LaneStory>> {
    let sql = "SELECT id, name FROM gone WHERE id IN (SELECT lane FROM attempt WHERE seq = ?) ORDER BY id";
    let mut select = conn.prepare_cached(sql)?;
    let rows = select.query_map([seq.cast_signed()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let gone: Vec<(u32, String)> = rows.collect::<rusqlite::Result<_>>()?;
    let story = |(id, lane): (u32, String)| {
        Ok(LaneStory {
            lane,
            standing: Standing::Gone,
            due: None,
            attempts: attempts(conn, id, seq)?,
        })
    };
    gone.into_iter().map(story).collect()
}

/// An event that is older than the ids that are remembered, looked for in pieces: a person asks, and rarely.
pub(crate) fn find_old(conn: &Connection, id: EventId) -> rusqlite::Result<Option<u64>> {
    const PIECE: u64 = 16_384;
    let id = &id.as_bytes()[..];
    let buried = "SELECT seq FROM buried WHERE id = ? LIMIT 1";
    let buried = conn
        .prepare_cached(buried)?
        .query_row([id], |row| get(row, 0))
        .optional()?;
    if buried.is_some() {
        return Ok(buried);
    }
    let bound = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, Option<i64>>(0));
    let known = bound("SELECT min(seq) FROM seen")?
        .unwrap_or(0)
        .cast_unsigned();
    let first = bound("SELECT min(seq) FROM event")?
        .unwrap_or(0)
        .cast_unsigned();
    let mut select =
        conn.prepare_cached("SELECT seq FROM event WHERE seq >= ? AND seq < ? AND id = ?")?;
    for from in (first..known).step_by(PIECE as usize) {
        let (from, to) = (from.cast_signed(), known.min(from + PIECE).cast_signed());
        let found = select
            .query_row((from, to, id), |row| get(row, 0))
            .optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

pub(crate) fn buried_copy(
    conn: &Connection,
    seq: u64,
    id: EventId,
) -> rusqlite::Result<Option<BuriedBody>> {
    let sql = "SELECT b.id, lane.name, b.at, b.buried, b.code, b.failures, b.number, b.body, b.seq, b.device, b.images, b.crc \
               FROM buried b JOIN lane ON lane.id = b.lane WHERE b.id = ? AND b.seq = ? LIMIT 1";
    let key = (&id.as_bytes()[..], seq.cast_signed());
    let entry = conn
        .prepare_cached(sql)?
        .query_row(key, buried_body)
        .optional()?;
    Ok(entry.flatten())
}

fn stored_standing(
    conn: &Connection,
    lane: u32,
    seq: u64,
) -> rusqlite::Result<(Standing, Option<i64>)> {
    let key = (seq.cast_signed(), lane);
    let held = "SELECT due, why FROM held WHERE seq = ? AND lane = ?";
    let held = (conn.prepare_cached(held)?)
        .query_row(key, |row| Ok(parked_of(row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some(parked) = held {
        return Ok(match parked {
            Some((due, _)) => (Standing::Parked, Some(due)),
            None => (Standing::Behind, None),
        });
    }
    let buried = "SELECT EXISTS (SELECT 1 FROM buried WHERE seq = ? AND lane = ?)";
    let is_buried = conn
        .prepare_cached(buried)?
        .query_row(key, |row| row.get(0))?;
    let standing = if is_buried {
        Standing::Buried
    } else {
        Standing::Done
    };
    Ok((standing, None))
}

pub(crate) fn attempts(conn: &Connection, lane: u32, seq: u64) -> rusqlite::Result<Vec<Attempt>> {
    let sql =
        "SELECT at, took, result, code FROM attempt WHERE seq = ? AND lane = ? ORDER BY number";
    let mut select = conn.prepare_cached(sql)?;
    let rows = select.query_map((seq.cast_signed(), lane), |row| {
        let (took, result, code) = (row.get(1)?, row.get(2)?, row.get(3)?);
        Ok(stored_attempt(moment(row.get(0)?), took, result, code))
    })?;
    rows.collect()
}
