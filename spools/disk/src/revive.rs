//! Reviving and dropping buried events, a few in each group.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _};

use crate::group::{Effect, Group};
use crate::inbox::BuriedWork;
use crate::lane::change::HeldRow;
use crate::lanes::{self, LaneCell};
use crate::packs::hold::hold;
use crate::store::{Trouble, get};
use crate::writer::Writer;

/// Buried events that are revived or dropped in one group at most.
const BURIED_AT_ONCE: usize = 512;

impl Writer {
    /// One step of reviving or dropping. `true` when it was the last.
    pub(crate) fn buried_step(
        &mut self,
        conn: &Connection,
        group: &mut Group,
        work: &mut BuriedWork,
    ) -> Result<bool, Trouble> {
        let upto = match work.upto {
            Some(upto) => upto,
            None => {
                let sql = "SELECT coalesce(max(number), 0) FROM buried";
                let upto = conn.query_row(sql, [], |row| row.get(0))?;
                *work.upto.insert(upto)
            }
        };
        let entries = next_buried(conn, work, upto)?;
        let is_last = match &work.choice.ids {
            Some(ids) => ids.is_empty(),
            None => entries.len() < BURIED_AT_ONCE,
        };
        for entry in entries {
            group.dirty = true;
            work.done += 1;
            match self.shared.lanes.get(entry.lane) {
                Some(lane) if work.revive => revive(conn, group, lane, &entry)?,
                Some(lane) => group.effects.push(Effect::BuriedGone(lane, 1)),
                None => {}
            }
            conn.prepare_cached("DELETE FROM buried WHERE number = ?")?
                .execute([entry.number])?;
        }
        Ok(is_last)
    }
}

struct BuriedEntry {
    number: i64,
    lane: u32,
    seq: u64,
    device: u64,
    at: i64,
}

/// The next entries that a repair is about, oldest first. Those of the lane store's lanes are their owners' business: the lane
/// machine must know that an event waits again.
fn next_buried(
    conn: &Connection,
    work: &mut BuriedWork,
    upto: i64,
) -> Result<Vec<BuriedEntry>, Trouble> {
    let sql = "SELECT b.number, b.lane, b.seq, b.device, b.at FROM buried b JOIN lane ON lane.id = b.lane \
               WHERE b.lane NOT IN (SELECT lane FROM lane_state) AND b.number <= ?1 AND (?2 IS NULL OR lane.name = ?2) ORDER BY b.number LIMIT ?3";
    let by_id = "SELECT b.number, b.lane, b.seq, b.device, b.at FROM buried b JOIN lane ON lane.id = b.lane \
                 WHERE b.lane NOT IN (SELECT lane FROM lane_state) AND b.id = ?3 AND b.number <= ?1 AND (?2 IS NULL OR lane.name = ?2)";
    let entry = |row: &rusqlite::Row<'_>| {
        Ok(BuriedEntry {
            number: row.get(0)?,
            lane: row.get(1)?,
            seq: get(row, 2)?,
            device: get(row, 3)?,
            at: row.get(4)?,
        })
    };
    let lane = work.choice.lane.as_deref();
    let mut entries = Vec::new();
    match &mut work.choice.ids {
        None => {
            let mut select = conn.prepare_cached(sql)?;
            for row in select.query_map((upto, lane, BURIED_AT_ONCE as i64), entry)? {
                entries.push(row?);
            }
        }
        Some(ids) => {
            let mut select = conn.prepare_cached(by_id)?;
            for id in ids.drain(..ids.len().min(BURIED_AT_ONCE)) {
                for row in select.query_map((upto, lane, &id.as_bytes()[..]), entry)? {
                    entries.push(row?);
                }
            }
        }
    }
    Ok(entries)
}

/// The event comes back into the log if history has let it go, and the lane holds it.
fn revive(
    conn: &Connection,
    group: &mut Group,
    lane: Arc<LaneCell>,
    entry: &BuriedEntry,
) -> Result<(), Trouble> {
    let sql = "INSERT OR IGNORE INTO event (seq, at, id, device, images, crc, body, trace) \
               SELECT seq, at, id, device, images, crc, body, trace FROM buried WHERE number = ?";
    conn.prepare_cached(sql)?.execute([entry.number])?;
    let row = HeldRow {
        device: entry.device,
        at: entry.at,
        failures: 0,
        routed: true,
        parked: None,
    };
    lanes::write_held(conn, lane.id, entry.seq, Some(&row))?;
    if entry.seq < group.meta.swept {
        hold_pictures(conn, entry)?;
    }
    let event = (entry.seq, entry.device, entry.at);
    match group.effects.last_mut() {
        Some(Effect::Revived(last, events)) if last.id == lane.id => events.push(event),
        _ => group.effects.push(Effect::Revived(lane, vec![event])),
    }
    Ok(())
}

/// The pictures that are left stay as long as the event waits. The sweep does not come to it any more.
fn hold_pictures(conn: &Connection, entry: &BuriedEntry) -> Result<(), Trouble> {
    let sql = "SELECT images FROM buried WHERE number = ?";
    let images: Option<Vec<u8>> = (conn.prepare_cached(sql)?)
        .query_row([entry.number], |row| row.get(0))
        .optional()?
        .flatten();
    Ok(hold(
        conn,
        entry.seq,
        images.as_deref().unwrap_or_default(),
    )?)
}
