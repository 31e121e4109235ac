//! The takeover: lanes of a directory of format 1 become lanes of this store.
//!
//! It runs once for a directory, in one transaction, at the first request about a lane. Until then such a directory stays as it
//! is: nothing leaves its log, as nothing says what its lanes need. `meta.version` is raised with it: an earlier program would
//! take the lanes for where they stood at the takeover.
//!
//! | before | after |
//! |---|---|
//! | position | `routed_through`, the event before it |
//! | outstanding; held and not routed | undecided: the rules are asked about them first |
//! | held and routed | waiting, with its failures; a parked one with the pause that is left |
//! | range | a replay job |
//! | buried, attempts, once | as they are |

use std::collections::{BTreeMap, HashSet};

use faceway_core::{DeviceKey, HeldEvent, Hold, Timestamp, waiting};
use rusqlite::Connection;

use super::former::{self, FormerLane, HeldRow};
use super::held_rows;
use super::lane_row::LaneRow;
use super::waiting_rows::{self, Kind};
use crate::buried;
use crate::group::Group;
use crate::row::moment;
use crate::store::{TAKEN_OVER, Trouble};
use crate::writer::Writer;

impl Writer {
    /// Does the takeover, if it is still to be done.
    pub(super) fn take_over(
        &mut self,
        conn: &Connection,
        group: &mut Group,
    ) -> Result<(), Trouble> {
        if former::is_taken_over(conn)? {
            return Ok(());
        }
        group.dirty = true;
        let now = self.shared.clock.now();
        let mut held = former::held(conn)?;
        for lane in former::lanes(conn)? {
            let held = held.remove(&lane.id).unwrap_or_default();
            convert(conn, &lane, held, now)?;
        }
        conn.execute_batch("DELETE FROM held; DELETE FROM range;")?;
        conn.execute("UPDATE meta SET version = ?", [TAKEN_OVER])?;
        Ok(())
    }
}

fn convert(
    conn: &Connection,
    former: &FormerLane,
    held: Vec<(u64, HeldRow)>,
    now: Timestamp,
) -> Result<(), Trouble> {
    let mut lane = LaneRow {
        id: former.id,
        buried: buried::count(conn, former.id)?,
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
    lane.replays = former::replays(conn, former.id)?;
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
