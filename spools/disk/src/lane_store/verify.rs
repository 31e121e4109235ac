//! What is looked at before lanes are used: whether every row of a backlog is found under its lane and range.
//!
//! A row whose bytes are damaged costs its range (`state.rs`). One whose key is damaged, or that the index does not find, would
//! be missed without a word, and its events never delivered.

use rusqlite::Connection;

use super::waiting_rows;
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
