//! What waits in lanes, proved.

use rusqlite::Connection;

use super::Part;
use super::check::ended;

/// What waits in lanes: its rows, and whether its events are there.
pub(super) fn waiting(conn: &Connection) -> Part {
    let mut part = Part::new("what waits in lanes");
    let mut look = || -> rusqlite::Result<()> {
        let has_lanes = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'lane_state')";
        if !conn.query_row(has_lanes, [], |row| row.get::<_, bool>(0))? {
            return Ok(());
        }
        let damaged = crate::lane_store::verify(conn);
        part.damaged += damaged.map_or(1, |damaged| damaged as u64);
        let mut exists = conn.prepare("SELECT EXISTS (SELECT 1 FROM event WHERE seq = ?)")?;
        for seq in crate::lane_store::needed::waiting_below(conn, u64::MAX)? {
            if exists.query_row([seq.cast_signed()], |row| row.get::<_, bool>(0))? {
                part.good += 1;
            } else {
                part.missing(seq.cast_signed());
            }
        }
        Ok(())
    };
    let result = look();
    ended(&mut part, result);
    part
}
