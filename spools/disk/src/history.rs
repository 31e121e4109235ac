//! Trimming: events that every lane is through with leave when they are old, or earlier when room is short.

use rusqlite::Connection;

use crate::store::{Trouble, get};

/// Events that leave by age in one group at most, so that no group takes long.
pub(crate) const EVENTS_AT_ONCE: usize = 1024;
/// Events that give way in one step when room is short; few, so that not more leaves than has to.
pub(crate) const EVENTS_A_STEP: usize = 64;

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
        let between = (from.cast_signed(), trimmed.upto.cast_signed());
        for table in ["event", "attempt"] {
            conn.prepare_cached(&format!(
                "DELETE FROM {table} WHERE seq >= ? AND seq < ? \
                 AND NOT EXISTS (SELECT 1 FROM held WHERE held.seq = {table}.seq)"
            ))?
            .execute(between)?;
        }
    }
    Ok(trimmed)
}

/// Removes an event below the trim mark that was the last time held by somebody.
pub(crate) fn remove_straggler(conn: &Connection, seq: u64) -> Result<(), Trouble> {
    let held = "SELECT EXISTS (SELECT 1 FROM held WHERE seq = ?)";
    let seq = seq.cast_signed();
    if conn
        .prepare_cached(held)?
        .query_row([seq], |row| row.get(0))?
    {
        return Ok(());
    }
    for table in ["event", "attempt"] {
        conn.prepare_cached(&format!("DELETE FROM {table} WHERE seq = ?"))?
            .execute([seq])?;
    }
    Ok(())
}
