//! Every row of every lane, for the commands that prove or save a spool.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::lane_row::{self, Found};
use super::{held_rows, waiting_rows};

/// Each lane's number, and whether its name is known and its row is as it was written.
pub(crate) fn owners_of_all(conn: &Connection) -> rusqlite::Result<Vec<(u32, bool)>> {
    let mut select = conn.prepare("SELECT id FROM lane")?;
    let named = select.query_map([], |row| row.get(0))?;
    let named: BTreeSet<u32> = named.collect::<Result<_, _>>()?;
    let owner = |found: &Found| {
        let is_named = named.contains(&found.id());
        (found.id(), is_named && matches!(found, Found::Sound(_)))
    };
    Ok(lane_row::all(conn)?.iter().map(owner).collect())
}

/// What waits in lanes, and the ranges of which a row is damaged.
pub(crate) fn waiting_of_all(conn: &Connection) -> rusqlite::Result<(BTreeSet<u64>, Vec<u64>)> {
    let (mut seqs, mut damaged) = (BTreeSet::new(), Vec::new());
    for lane in lane_row::all(conn)? {
        for row in waiting_rows::all(conn, lane.id())? {
            match row.events {
                Some(events) => seqs.extend(events.iter().map(|(seq, _)| *seq)),
                None => damaged.push(row.range),
            }
        }
    }
    Ok((seqs, damaged))
}

/// Waiting events of which more is known, and whether that is as it was written.
pub(crate) fn held_rows_of_all(conn: &Connection) -> rusqlite::Result<Vec<(u64, bool)>> {
    let mut select = conn.prepare("SELECT DISTINCT lane FROM held_event")?;
    let lanes = select.query_map([], |row| row.get(0))?;
    let mut rows = Vec::new();
    for lane in lanes {
        let held = held_rows::all(conn, lane?)?;
        rows.extend(held.into_iter().map(|(seq, held)| (seq, held.is_some())));
    }
    Ok(rows)
}
