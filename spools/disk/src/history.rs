//! Trimming: events that every lane is through with leave when they are old, or earlier when room is short.

use rusqlite::Connection;

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

/// Removes events from `from` on, at most `max`, for which `is_old` holds, by their number and stamp, and that are below
/// `need`, with their attempts.
/// Events that a lane holds stay; they leave when they are settled ([`remove_straggler`]).
pub(crate) fn trim(
    conn: &Connection,
    from: u64,
    need: u64,
    is_old: impl Fn(u64, i64) -> bool,
    max: usize,
) -> Result<Trimmed, Trouble> {
    let mut trimmed = Trimmed {
        upto: from,
        passed: 0,
    };
    let sql = "SELECT seq, at FROM event WHERE seq >= ? AND seq < ? ORDER BY seq LIMIT ?";
    let mut select = conn.prepare_cached(sql)?;
    let mut rows = select.query((from.cast_signed(), need.cast_signed(), max as i64))?;
    while let Some(row) = rows.next()? {
        let seq = get(row, 0)?;
        if !is_old(seq, row.get(1)?) {
            break;
        }
        trimmed.upto = seq + 1;
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

/// Removes unreadable bodies for which `is_old` holds, by their number and stamp. Gives how many.
pub(crate) fn trim_quarantine(
    conn: &Connection,
    is_old: impl Fn(u64, i64) -> bool,
) -> Result<u64, Trouble> {
    let mut select =
        conn.prepare_cached("SELECT number, at FROM quarantine ORDER BY number LIMIT ?")?;
    let mut rows = select.query([BODIES_AT_ONCE])?;
    let mut upto = None;
    while let Some(row) = rows.next()? {
        let number = get(row, 0)?;
        if !is_old(number, row.get(1)?) {
            break;
        }
        upto = Some(number.cast_signed());
    }
    drop(rows);
    let Some(upto) = upto else {
        return Ok(0);
    };
    let mut delete = conn.prepare_cached("DELETE FROM quarantine WHERE number <= ?")?;
    Ok(delete.execute([upto])? as u64)
}
