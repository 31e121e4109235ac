//! The rows of lanes in a directory of format 1. Nothing writes them any more: they are read once, for the takeover.

use std::collections::BTreeMap;

use faceway_core::{Parked, Replay, waiting};
use rusqlite::Connection;

use crate::row::{fields_crc, moment};
use crate::store::{TAKEN_OVER, get};

/// A lane.
pub(super) struct FormerLane {
    pub(super) id: u32,
    pub(super) name: String,
    /// The first event that it had not come to; `None` when that is damaged.
    pub(super) position: Option<u64>,
    /// Events before it that were in hand.
    pub(super) outstanding: Vec<u64>,
}

/// An event that failed, waits behind one that failed, or was revived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeldRow {
    pub(super) device: u64,
    pub(super) failures: u32,
    pub(super) routed: bool,
    /// When and why it is parked; `None`: it waits behind another or may leave.
    pub(super) parked: Option<(i64, Parked)>,
}

/// Whether the takeover is done.
pub(super) fn is_taken_over(conn: &Connection) -> rusqlite::Result<bool> {
    let version: i64 = conn
        .prepare_cached("SELECT version FROM meta")?
        .query_row([], |row| row.get(0))?;
    Ok(version >= TAKEN_OVER)
}

/// Whether there are lanes that wait for the takeover.
pub(crate) fn has_former_lanes(conn: &Connection) -> rusqlite::Result<bool> {
    let lanes = "SELECT EXISTS (SELECT 1 FROM lane)";
    Ok(!is_taken_over(conn)?
        && conn
            .prepare_cached(lanes)?
            .query_row([], |row| row.get::<_, bool>(0))?)
}

/// The highest position of such a lane: the number of an event that was given out, or the one behind it.
pub(crate) fn former_position(conn: &Connection) -> rusqlite::Result<u64> {
    if is_taken_over(conn)? {
        return Ok(0);
    }
    let lanes = lanes(conn)?;
    let positions = lanes.iter().filter_map(|lane| lane.position);
    Ok(positions.max().unwrap_or_default())
}

/// All lanes that wait for the takeover.
pub(super) fn lanes(conn: &Connection) -> rusqlite::Result<Vec<FormerLane>> {
    let sql = "SELECT id, name, position, read, outstanding, crc FROM lane \
               WHERE id NOT IN (SELECT lane FROM lane_state)";
    let mut select = conn.prepare(sql)?;
    let rows = select.query_map([], |row| {
        let (position, read) = (get(row, 2)?, get(row, 3)?);
        let outstanding: Vec<u8> = row.get(4)?;
        let is_sound = position_crc(position, read, &outstanding) == row.get::<_, i64>(5)?;
        Ok(FormerLane {
            id: row.get(0)?,
            name: row.get(1)?,
            position: is_sound.then_some(position),
            outstanding: unpack_ascending(&outstanding),
        })
    })?;
    rows.collect()
}

/// All rows of `held`, by their lanes.
pub(super) fn held(conn: &Connection) -> rusqlite::Result<BTreeMap<u32, Vec<(u64, HeldRow)>>> {
    let sql = "SELECT seq, lane, device, failures, routed, due, why FROM held ORDER BY seq";
    let mut select = conn.prepare(sql)?;
    let mut rows = select.query([])?;
    let mut held: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let due = row.get::<_, Option<i64>>(5)?.unwrap_or(0);
        let parked = match row.get(6)? {
            1_i64 => Some((due, Parked::Alone)),
            2 => Some((due, Parked::Probe)),
            _ => None,
        };
        let entry = HeldRow {
            device: get(row, 2)?,
            failures: row.get(3)?,
            routed: row.get(4)?,
            parked,
        };
        held.entry(row.get(1)?)
            .or_default()
            .push((get(row, 0)?, entry));
    }
    Ok(held)
}

/// A lane's replays that are not at their end.
pub(super) fn replays(conn: &Connection, lane: u32) -> rusqlite::Result<Vec<Replay>> {
    let sql = "SELECT number, next, end, since, until FROM range WHERE lane = ? AND next < end ORDER BY number";
    let mut select = conn.prepare(sql)?;
    let rows = select.query_map([lane], |row| {
        Ok(Replay {
            number: get(row, 0)?,
            routed_through: get(row, 1)?.saturating_sub(1),
            through_seq: get(row, 2)?.saturating_sub(1),
            since: moment(row.get(3)?),
            until: moment(row.get(4)?),
        })
    })?;
    rows.collect()
}

/// The checksum of a lane's position.
pub(crate) fn position_crc(position: u64, read: u64, outstanding: &[u8]) -> i64 {
    let (position, read) = (position.to_le_bytes(), read.to_le_bytes());
    i64::from(fields_crc(&[&position, &read, outstanding]))
}

/// Ascending numbers, each kept as the difference to the one before.
pub(crate) fn unpack_ascending(mut bytes: &[u8]) -> Vec<u64> {
    let (mut numbers, mut last) = (Vec::new(), 0_u64);
    while let Some(step) = waiting::take_varint(&mut bytes) {
        last = last.wrapping_add(step);
        numbers.push(last);
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::unpack_ascending;

    #[test]
    fn ascending_numbers_come_back() {
        let bytes = [0, 1, 0x7e, 1, 0xac, 2, 0xff, 0xff, 0x03];
        assert_eq!(unpack_ascending(&bytes), [0, 1, 127, 128, 428, 65_963]);
        assert!(unpack_ascending(&[]).is_empty());
    }
}
