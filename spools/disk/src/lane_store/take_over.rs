//! The takeover: lanes of the former contract (`Spool`) become lanes of this one.
//!
//! It runs once for a directory, in one transaction, at the first request of a lane store, so that an engine which is only
//! used by the former contract stays as it is. `meta.version` is raised with it: an earlier program, or the former contract,
//! would take the lanes for where they stood at the takeover. From then on the lanes of this process's former contract are
//! gone ("this lane has been dropped"), and none may be opened.
//!
//! | before | after |
//! |---|---|
//! | position | `routed_through`, the event before it |
//! | outstanding; held and not routed | undecided: the rules are asked about them first |
//! | held and routed | waiting, with its failures; a parked one with the pause that is left |
//! | range | a replay job |
//! | buried, attempts, once | as they are |

use std::collections::{BTreeMap, HashSet};

use faceway_core::{DeviceKey, HeldEvent, Hold, Replay, Timestamp, waiting};
use rusqlite::Connection;

use super::lane_row::LaneRow;
use super::waiting_rows::{self, Kind};
use super::{count_buried, held_rows};
use crate::group::{Effect, Group};
use crate::lane::change::{HeldRow, Range};
use crate::lanes::{lane_crc, load_held, load_ranges};
use crate::row::{moment, unpack_ascending};
use crate::store::{TAKEN_OVER, Trouble, get};
use crate::writer::Writer;

impl Writer {
    /// Does the takeover, if it is still to be done.
    pub(crate) fn take_over(
        &mut self,
        conn: &Connection,
        group: &mut Group,
    ) -> Result<(), Trouble> {
        if is_taken_over(conn)? {
            return Ok(());
        }
        group.dirty = true;
        let now = self.shared.clock.now();
        let mut held = load_held(conn)?;
        for former in former_lanes(conn)? {
            let held = held.remove(&former.id).unwrap_or_default();
            convert(conn, &former, held, now)?;
        }
        conn.execute_batch("DELETE FROM held; DELETE FROM range;")?;
        conn.execute("UPDATE meta SET version = ?", [TAKEN_OVER])?;
        for lane in self.shared.lanes.all() {
            self.needs.remove(&lane.id);
            group.effects.push(Effect::Dropped(lane.id));
        }
        Ok(())
    }
}

/// Whether lanes of the former contract are gone.
pub(crate) fn is_taken_over(conn: &Connection) -> rusqlite::Result<bool> {
    let version: i64 = conn
        .prepare_cached("SELECT version FROM meta")?
        .query_row([], |row| row.get(0))?;
    Ok(version >= TAKEN_OVER)
}

/// A lane of the former contract.
struct Former {
    id: u32,
    name: String,
    /// `None` when it is damaged.
    position: Option<u64>,
    outstanding: Vec<u64>,
}

fn former_lanes(conn: &Connection) -> rusqlite::Result<Vec<Former>> {
    let sql = "SELECT id, name, position, read, outstanding, crc FROM lane \
               WHERE id NOT IN (SELECT lane FROM lane_state)";
    let mut select = conn.prepare(sql)?;
    let rows = select.query_map([], |row| {
        let (position, read) = (get(row, 2)?, get(row, 3)?);
        let outstanding: Vec<u8> = row.get(4)?;
        let is_sound = lane_crc(position, read, &outstanding) == row.get::<_, i64>(5)?;
        Ok(Former {
            id: row.get(0)?,
            name: row.get(1)?,
            position: is_sound.then_some(position),
            outstanding: unpack_ascending(&outstanding),
        })
    })?;
    rows.collect()
}

fn convert(
    conn: &Connection,
    former: &Former,
    held: Vec<(u64, HeldRow)>,
    now: Timestamp,
) -> Result<(), Trouble> {
    let mut lane = LaneRow {
        id: former.id,
        buried: count_buried(conn, former.id)?,
        ..LaneRow::default()
    };
    let Some(position) = former.position else {
        tracing::error!(
            lane = former.name,
            "a lane's position is damaged; it begins with the oldest event"
        );
        return lane.write(conn);
    };
    lane.routed_through = position.saturating_sub(1);
    lane.replays = load_ranges(conn, former.id)?
        .iter()
        .filter_map(replay)
        .collect();
    lane.write(conn)?;
    let mut undecided = Vec::new();
    let mut known = HashSet::new();
    let mut ranges: BTreeMap<u64, Vec<(u64, DeviceKey)>> = BTreeMap::new();
    for (seq, row) in held.into_iter().filter(|(seq, _)| *seq < position) {
        known.insert(seq);
        if !row.routed {
            undecided.push(seq);
            continue;
        }
        let range = ranges.entry(waiting::range_of(seq)).or_default();
        range.push((seq, DeviceKey(row.device)));
        held_rows::write(conn, former.id, seq, held_event(&row, now).as_ref())?;
    }
    let outstanding = former.outstanding.iter().copied();
    undecided.extend(outstanding.filter(|seq| !known.contains(seq)));
    for (range, events) in ranges {
        let bytes = waiting::encode(range, &events);
        waiting_rows::write(conn, former.id, range, Kind::Waiting, Some(&bytes))?;
    }
    for (range, bytes) in waiting_rows::undecided_by_range(&undecided) {
        waiting_rows::write(conn, former.id, range, Kind::Undecided, Some(&bytes))?;
    }
    Ok(())
}

fn replay(range: &Range) -> Option<Replay> {
    let job = Replay {
        number: range.number.cast_unsigned(),
        routed_through: range.next.saturating_sub(1),
        through_seq: range.end.saturating_sub(1),
        since: moment(range.since),
        until: moment(range.until),
    };
    (range.next < range.end).then_some(job)
}

fn held_event(row: &HeldRow, now: Timestamp) -> Option<HeldEvent> {
    let hold = row.parked.map(|(due, why)| Hold::Parked {
        pause: moment(due).since(now),
        set_at: now,
        why,
    });
    let is_known = row.failures > 0 || hold.is_some();
    is_known.then_some(HeldEvent {
        failures: row.failures,
        hold,
    })
}
