//! The row of a lane's name and number. It outlives nothing: a lane that is deleted leaves its name in `gone`, for the attempts
//! that are left of it.

use rusqlite::Connection;

use super::former::position_crc;
use crate::covered::LANE;
use crate::store::Trouble;

/// Lanes that are gone and yet known by name.
const GONE_MAX: i64 = 1000;

/// Makes a lane's row. Gives its number.
pub(super) fn insert(conn: &Connection, name: &str) -> Result<u32, Trouble> {
    // The columns of format 1 say where its lanes stood: here they say nothing, and are as those of a new lane were.
    let sql = "INSERT INTO lane (name, position, read, outstanding, crc) VALUES (?, 0, 0, x'', ?)";
    conn.execute(sql, (name, position_crc(0, 0, &[])))?;
    let id = conn.last_insert_rowid();
    let row_crc = LANE.crc([id], &[name.as_bytes()]);
    conn.execute("UPDATE lane SET row_crc = ? WHERE id = ?", (row_crc, id))?;
    u32::try_from(id).map_err(|_| Trouble::Io("too many lanes".into()))
}

/// Removes all of a lane, but for its attempts, which leave with the history, and what waited in it, which leaves a little at a
/// time.
pub(super) fn delete(conn: &Connection, id: u32) -> Result<(), Trouble> {
    let gone = "INSERT OR REPLACE INTO gone (id, name, row_crc) SELECT id, name, row_crc FROM lane WHERE id = ?";
    conn.execute(gone, [id])?;
    let oldest = "DELETE FROM gone WHERE id NOT IN (SELECT id FROM gone ORDER BY id DESC LIMIT ?)";
    conn.execute(oldest, [GONE_MAX])?;
    conn.execute("DELETE FROM lane WHERE id = ?", [id])?;
    for table in ["lane_state", "held_event", "buried", "once"] {
        conn.execute(&format!("DELETE FROM {table} WHERE lane = ?"), [id])?;
    }
    Ok(())
}
