//! Buried events: each is a copy of its event in a row of its own, so that it outlives the history.

use faceway_core::{
    Burial, Buried, BuriedBody, BuriedChoice, BuriedPlace, Code, DeviceKey, EventId, Page, Private,
};
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::covered::BURIED;
use crate::page::{bounds, of_a_page};
use crate::row::{event_crc, moment};
use crate::store::{Trouble, get};

/// Keeps a copy of a buried event, in place of the one before. `false` when it was buried already, or is not there.
pub(crate) fn write(
    conn: &Connection,
    lane: u32,
    seq: u64,
    burial: &Burial,
) -> Result<bool, Trouble> {
    let (seq, at) = (seq.cast_signed(), burial.at.as_millis());
    let delete = "DELETE FROM buried WHERE lane = ? AND seq = ?";
    let before = conn.prepare_cached(delete)?.execute((lane, seq))?;
    let sql = "INSERT INTO buried (lane, seq, buried, code, failures, row_crc, at, id, device, images, crc, body, trace) \
               SELECT ?, seq, ?, ?, ?, ?, at, id, device, images, crc, body, trace FROM event WHERE seq = ?";
    let code = burial.code.as_str();
    let covered = [lane.into(), seq, at, burial.failures.into()];
    let row_crc = BURIED.crc(covered, &[code.as_bytes()]);
    let row = (lane, at, code, burial.failures, row_crc, seq);
    let now = conn.prepare_cached(sql)?.execute(row)?;
    Ok(before == 0 && now > 0)
}

/// How many events are buried in a lane.
pub(crate) fn count(conn: &Connection, lane: u32) -> rusqlite::Result<u64> {
    let sql = "SELECT count(*) FROM buried WHERE lane = ?";
    conn.prepare_cached(sql)?
        .query_row([lane], |row| get(row, 0))
}

/// The bodies stay on the disk: a list does not show them.
pub(crate) fn list(
    conn: &Connection,
    lane: Option<&str>,
    page: Page,
) -> rusqlite::Result<Vec<Buried>> {
    let sql = "SELECT b.id, lane.name, b.at, b.buried, b.code, b.failures, b.number \
               FROM buried b JOIN lane ON lane.id = b.lane \
               WHERE b.number < ?1 AND (?2 IS NULL OR lane.name = ?2) ORDER BY b.number DESC LIMIT ?3";
    let (before, max) = bounds(page);
    let mut select = conn.prepare_cached(sql)?;
    let rows = select.query_map((before, lane, max), entry)?;
    of_a_page(rows, |entry| entry.lane.len() + entry.code.as_str().len())
}

/// One look at the index, whatever else is buried.
pub(crate) fn of_event(
    conn: &Connection,
    id: EventId,
    lane: Option<&str>,
) -> rusqlite::Result<Vec<BuriedBody>> {
    let sql = "SELECT b.id, lane.name, b.at, b.buried, b.code, b.failures, b.number, b.body, b.seq, b.device, b.images, b.crc \
               FROM buried b JOIN lane ON lane.id = b.lane \
               WHERE b.id = ?1 AND (?2 IS NULL OR lane.name = ?2) ORDER BY b.number DESC";
    let mut select = conn.prepare_cached(sql)?;
    let mut rows = select.query((&id.as_bytes()[..], lane))?;
    let mut list = Vec::new();
    while let Some(row) = rows.next()? {
        match body(row)? {
            Some(entry) => list.push(entry),
            None => tracing::error!(seq = get(row, 8)?, "a buried event is damaged"),
        }
    }
    Ok(list)
}

/// Where the chosen ones stand, ascending in each lane.
pub(crate) fn places(
    conn: &Connection,
    which: &BuriedChoice,
) -> rusqlite::Result<Vec<BuriedPlace>> {
    let sql = "SELECT lane.name, b.seq, b.device, b.id FROM buried b JOIN lane ON lane.id = b.lane \
               ORDER BY lane.name, b.seq";
    let mut select = conn.prepare_cached(sql)?;
    let rows = select.query_map([], |row| {
        let place = BuriedPlace {
            lane: row.get(0)?,
            seq: get(row, 1)?,
            device: DeviceKey(get(row, 2)?),
        };
        Ok((place, row.get::<_, Vec<u8>>(3)?))
    })?;
    let is_chosen = |place: &BuriedPlace, id: &[u8]| {
        let ids = which.ids.as_ref();
        which.lane.as_ref().is_none_or(|lane| *lane == place.lane)
            && ids.is_none_or(|ids| ids.iter().any(|chosen| chosen.as_bytes()[..] == *id))
    };
    let mut places = Vec::new();
    for row in rows {
        let (place, id) = row?;
        if is_chosen(&place, &id) {
            places.push(place);
        }
    }
    Ok(places)
}

/// The copy of an event; `None` when it is not there or damaged.
pub(crate) fn copy(
    conn: &Connection,
    seq: u64,
    id: EventId,
) -> rusqlite::Result<Option<BuriedBody>> {
    let sql = "SELECT b.id, lane.name, b.at, b.buried, b.code, b.failures, b.number, b.body, b.seq, b.device, b.images, b.crc \
               FROM buried b JOIN lane ON lane.id = b.lane WHERE b.id = ? AND b.seq = ? LIMIT 1";
    let key = (&id.as_bytes()[..], seq.cast_signed());
    let entry = conn.prepare_cached(sql)?.query_row(key, body).optional()?;
    Ok(entry.flatten())
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Buried> {
    Ok(Buried {
        id: EventId::from_bytes(row.get(0)?),
        lane: row.get(1)?,
        received_at: moment(row.get(2)?),
        buried_at: moment(row.get(3)?),
        code: Code::stored(row.get(4)?),
        failures: row.get(5)?,
        number: get(row, 6)?,
    })
}

/// `None` when it is damaged.
fn body(row: &Row<'_>) -> rusqlite::Result<Option<BuriedBody>> {
    let entry = entry(row)?;
    let bytes: Vec<u8> = row.get(7)?;
    let images: Option<Vec<u8>> = row.get(10)?;
    let images = images.as_deref().unwrap_or_default();
    let (at, id) = (row.get(2)?, entry.id.as_bytes());
    let crc = event_crc(get(row, 8)?, at, id, get(row, 9)?, images, &bytes);
    if i64::from(crc) != row.get::<_, i64>(11)? {
        return Ok(None);
    }
    Ok(Some(BuriedBody {
        entry,
        body: Private::new(bytes.into()),
    }))
}
