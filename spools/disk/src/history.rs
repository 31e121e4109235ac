//! Trimming: events that every lane is through with leave when they are old, or earlier when room is short.

use rusqlite::{Connection, OptionalExtension as _};

use crate::lane_store::needed::Needed;
use crate::store::{Trouble, get, unless_corrupt};

/// Events that leave by age in one group at most, so that no group takes long.
pub(crate) const EVENTS_AT_ONCE: usize = 1024;
/// Events that give way in one step when room is short; few, so that not more leaves than has to.
pub(crate) const EVENTS_A_STEP: usize = 64;

/// What one step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trimmed {
    /// Below this only events are left now for which a lane waits.
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
/// Events that wait in a lane stay; they leave when the lane lets go of them ([`crate::lane_store::needed::let_go`]).
pub(crate) fn trim(
    conn: &Connection,
    from: u64,
    need: u64,
    is_old: impl Fn(u64, i64) -> bool,
    max: usize,
) -> Result<Trimmed, Trouble> {
    match unless_corrupt(conn, || trim_rows(conn, from, need, &is_old, max))? {
        Some(trimmed) => Ok(trimmed),
        None => Ok(trim_by_number(conn, from, need, &is_old, max)?),
    }
}

fn trim_rows(
    conn: &Connection,
    from: u64,
    need: u64,
    is_old: impl Fn(u64, i64) -> bool,
    max: usize,
) -> rusqlite::Result<Trimmed> {
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
        let between = (from, trimmed.upto);
        for (first, behind) in Needed::of(conn, between)?.gaps(between) {
            remove(conn, (first, behind))?;
        }
    }
    Ok(trimmed)
}

/// SQLite cannot walk over a broken page; number by number it can. What lies on the page stays there and is passed by.
fn trim_by_number(
    conn: &Connection,
    from: u64,
    need: u64,
    is_old: impl Fn(u64, i64) -> bool,
    max: usize,
) -> rusqlite::Result<Trimmed> {
    let end = need.min(from.saturating_add(max as u64));
    for seq in from..end {
        let sql = "SELECT at FROM event WHERE seq = ?";
        let at = unless_corrupt(conn, || {
            (conn.prepare_cached(sql)?)
                .query_row([seq.cast_signed()], |row| row.get(0))
                .optional()
        })?;
        let is_young = at.flatten().is_some_and(|at| !is_old(seq, at));
        if is_young {
            return Ok(Trimmed {
                upto: seq,
                passed: (seq - from) as usize,
            });
        }
        unless_corrupt(conn, || trim_rows(conn, seq, seq + 1, &is_old, 1))?;
    }
    Ok(Trimmed {
        upto: end,
        passed: (end - from) as usize,
    })
}

/// Removes the events from the first to before the second, with their attempts.
pub(crate) fn remove(conn: &Connection, (from, end): (u64, u64)) -> rusqlite::Result<()> {
    for table in ["event", "attempt"] {
        conn.prepare_cached(&format!("DELETE FROM {table} WHERE seq >= ? AND seq < ?"))?
            .execute((from.cast_signed(), end.cast_signed()))?;
    }
    Ok(())
}
