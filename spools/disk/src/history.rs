//! Trimming: events that every lane is through with leave when they are old, or earlier when room is short.

use rusqlite::Connection;

use crate::lane_store::needed::{Needed, is_needed};
use crate::store::{Trouble, get};

/// Events that leave by age in one group at most, so that no group takes long.
pub(crate) const EVENTS_AT_ONCE: usize = 1024;
/// Events that give way in one step when room is short; few, so that not more leaves than has to.
pub(crate) const EVENTS_A_STEP: usize = 64;
/// The same of unreadable bodies, which may be large.
const BODIES_AT_ONCE: i64 = 64;

/// What one step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trimmed {
    /// Below this only held events are left now.
    pub(crate) upto: u64,
    /// How many numbers were passed.
    pub(crate) passed: usize,
}

impl Trimmed {
    /// Whether there may be more to trim.
    pub(crate) fn is_full(self) -> bool {
        self.passed >= EVENTS_AT_ONCE
    }
}

/// Removes events from `from` on, at most `max`, that are older than `cutoff` (all when `None`) and below `need`, with
/// their attempts.
/// Events that a lane holds stay; they leave when they are settled ([`remove_straggler`]).
pub(crate) fn trim(
    conn: &Connection,
    from: u64,
    need: u64,
    cutoff: Option<i64>,
    max: usize,
) -> Result<Trimmed, Trouble> {
    let cutoff = cutoff.unwrap_or(i64::MAX);
    let mut trimmed = Trimmed {
        upto: from,
        passed: 0,
    };
    let sql = "SELECT seq, at FROM event WHERE seq >= ? AND seq < ? ORDER BY seq LIMIT ?";
    let mut select = conn.prepare_cached(sql)?;
    let mut rows = select.query((from.cast_signed(), need.cast_signed(), max as i64))?;
    while let Some(row) = rows.next()? {
        if row.get::<_, i64>(1)? >= cutoff {
            break;
        }
        trimmed.upto = get(row, 0)? + 1;
        trimmed.passed += 1;
    }
    drop(rows);
    if trimmed.passed > 0 {
        let between = (from, trimmed.upto);
        for (first, behind) in Needed::of(conn, between)?.gaps(between) {
            remove(conn, (first, behind))?;
        }
    }
    Ok(trimmed)
}

/// Removes the events from the first to before the second that no lane of the former contract holds, with their attempts.
pub(crate) fn remove(conn: &Connection, (from, end): (u64, u64)) -> Result<(), Trouble> {
    for table in ["event", "attempt"] {
        conn.prepare_cached(&format!(
            "DELETE FROM {table} WHERE seq >= ? AND seq < ? \
             AND NOT EXISTS (SELECT 1 FROM held WHERE held.seq = {table}.seq)"
        ))?
        .execute((from.cast_signed(), end.cast_signed()))?;
    }
    Ok(())
}

/// Removes an event below the trim mark that was the last time held by somebody.
pub(crate) fn remove_straggler(conn: &Connection, seq: u64) -> Result<(), Trouble> {
    if is_needed(conn, seq)? {
        return Ok(());
    }
    remove(conn, (seq, seq + 1))
}

/// Removes unreadable bodies that came in before `cutoff`. Gives their number.
pub(crate) fn trim_quarantine(conn: &Connection, cutoff: i64) -> Result<u64, Trouble> {
    let mut select =
        conn.prepare_cached("SELECT number, at FROM quarantine ORDER BY number LIMIT ?")?;
    let mut rows = select.query([BODIES_AT_ONCE])?;
    let mut upto = None;
    while let Some(row) = rows.next()? {
        if row.get::<_, i64>(1)? >= cutoff {
            break;
        }
        upto = Some(row.get::<_, i64>(0)?);
    }
    drop(rows);
    let Some(upto) = upto else {
        return Ok(0);
    };
    let mut delete = conn.prepare_cached("DELETE FROM quarantine WHERE number <= ?")?;
    Ok(delete.execute([upto])? as u64)
}
