//! What the `once` of routes has let pass, lane by lane: written with the lane, forgotten when nothing waits there that it
//! could silence.

use faceway_core::{EventId, OnceMark};
use rusqlite::Connection;

use crate::covered::ONCE;
use crate::events::Events;
use crate::row::moment;
use crate::store::Trouble;

/// Rows that are forgotten in one group at most.
const ROWS_AT_ONCE: usize = 4096;

/// Writes a mark, in place of the one before of its key.
pub(crate) fn write(conn: &Connection, lane: u32, one: &OnceMark) -> Result<(), Trouble> {
    let before = "DELETE FROM once WHERE lane = ? AND route = ? AND key = ?";
    conn.prepare_cached(before)?
        .execute((lane, &one.route, &one.key[..]))?;
    let sql = "INSERT OR REPLACE INTO once (lane, until, route, key, id, at, row_crc) VALUES (?, ?, ?, ?, ?, ?, ?)";
    let (until, at) = (one.until.as_millis(), one.received_at.as_millis());
    let texts = [one.route.as_bytes(), &one.key, one.id.as_bytes()];
    conn.prepare_cached(sql)?.execute((
        lane,
        until,
        &one.route,
        &one.key[..],
        &one.id.as_bytes()[..],
        at,
        ONCE.crc([lane.into(), until, at], &texts),
    ))?;
    Ok(())
}

/// What `once` has let pass, the earliest `until` first; of each key what passed last.
pub(crate) fn read(conn: &Connection, lane: u32) -> rusqlite::Result<Vec<OnceMark>> {
    let sql = "SELECT until, route, key, id, at FROM once WHERE lane = ? ORDER BY until";
    let mut select = conn.prepare_cached(sql)?;
    let rows = select.query_map([lane], |row| Ok(passed(row)))?;
    rows.filter_map(Result::transpose).collect()
}

/// `None` when a field is not what was written there: it silences nothing, and keeps no lane from its owner.
fn passed(row: &rusqlite::Row<'_>) -> Option<OnceMark> {
    let bytes = |column| row.get_ref(column).ok()?.as_bytes().ok();
    Some(OnceMark {
        until: moment(row.get(0).ok()?),
        route: String::from_utf8(bytes(1)?.to_vec()).ok()?,
        key: bytes(2)?.try_into().ok()?,
        id: EventId::from_bytes(bytes(3)?.try_into().ok()?),
        received_at: moment(row.get(4).ok()?),
    })
}

/// Forgets what silences nothing any more in a lane that needs the log from `need` on. Gives how many rows that were, and
/// whether there may be more.
pub(crate) fn forget(
    conn: &Connection,
    events: &Events,
    lane: u32,
    need: u64,
    now: i64,
) -> Result<(usize, bool), Trouble> {
    // A lane that is behind comes to events of long ago.
    let oldest = events
        .first_from(conn, need)?
        .map_or(now, |(_, at)| at.min(now));
    let sql = "DELETE FROM once WHERE (lane, until, route, key, id) IN \
               (SELECT lane, until, route, key, id FROM once WHERE lane = ? AND until <= ? ORDER BY until LIMIT ?)";
    let gone = conn
        .prepare_cached(sql)?
        .execute((lane, oldest, ROWS_AT_ONCE as i64))?;
    Ok((gone, gone == ROWS_AT_ONCE))
}
