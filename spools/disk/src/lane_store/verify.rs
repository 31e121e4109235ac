//! What is looked at before lanes are used: whether every row of a backlog is found under its lane and range.
//!
//! A row whose bytes are damaged costs its range (`state.rs`). One whose key is damaged, or that the index does not find, would
//! be missed without a word, and its events never delivered.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::lane_row::{self, Found};
use super::{held_rows, is_taken_over, waiting_rows};
use crate::store::Trouble;

/// Puts the index right. Of a row whose key is damaged nothing tells the lane: every lane begins with the oldest event. Gives
/// how many rows that were.
pub(crate) fn verify(conn: &Connection) -> Result<usize, Trouble> {
    let check = "PRAGMA integrity_check('waiting')";
    let found: String = conn.query_row(check, [], |row| row.get(0))?;
    if found != "ok" {
        tracing::error!("the index of the lanes' backlogs is damaged; it is made again");
        if let Err(error) = conn.execute_batch("REINDEX waiting") {
            tracing::error!(%error, "the index of the lanes' backlogs cannot be made again");
        }
    }
    let damaged = waiting_rows::without_key(conn)?;
    if damaged.is_empty() {
        return Ok(0);
    }
    tracing::error!(
        rows = damaged.len(),
        "rows of the lanes' backlogs are damaged so that their lane is not known; every lane begins with the oldest event"
    );
    conn.execute_batch("BEGIN IMMEDIATE")?;
    for rowid in &damaged {
        conn.execute("DELETE FROM waiting WHERE rowid = ?", [rowid])?;
    }
    // No checksum is negative.
    conn.execute("UPDATE lane_state SET crc = -1", [])?;
    conn.execute_batch("COMMIT")?;
    Ok(damaged.len())
}

/// Each lane's number, and whether its name is known and its row is as it was written.
pub(crate) fn owners_of_all(conn: &Connection) -> rusqlite::Result<Vec<(u32, bool)>> {
    let mut select = conn.prepare("SELECT id FROM lane")?;
    let named = select.query_map([], |row| row.get(0))?;
    let mut named: BTreeSet<u32> = named.collect::<Result<_, _>>()?;
    let owner = |found: &Found| {
        let is_named = named.contains(&found.id());
        (found.id(), is_named && matches!(found, Found::Sound(_)))
    };
    let rows = lane_row::all(conn)?;
    let mut owners: Vec<(u32, bool)> = rows.iter().map(owner).collect();
    // Before the takeover, lanes of the former contract have no such row.
    if is_taken_over(conn)? {
        rows.iter().for_each(|row| _ = named.remove(&row.id()));
        owners.extend(named.into_iter().map(|lane| (lane, false)));
    }
    Ok(owners)
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
