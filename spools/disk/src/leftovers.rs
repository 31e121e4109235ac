//! What a lane leaves behind when it is dropped: events that only it held.
//!
//! Trimming has passed them by, so nothing else looks at them again. They are looked for when a lane is dropped and after
//! each start, a few in each group: for what was left over by an earlier program, or by a start that was cut short.

use rusqlite::Connection;

use crate::history::remove_straggler;
use crate::packs::hold::release;
use crate::store::{Meta, Trouble, get, unless_corrupt};

/// Rows that are looked at in one group at most.
const ROWS_AT_ONCE: usize = 1024;

/// Where the search stands; `None` when it has come to the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leftovers {
    /// Among the events below the trim mark.
    events: Option<u64>,
    /// Among the pictures that are held.
    holds: Option<u64>,
}

/// What a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) changed: bool,
    pub(crate) more: bool,
}

impl Leftovers {
    /// A search from the beginning.
    pub(crate) const fn begin() -> Self {
        Self {
            events: Some(0),
            holds: Some(0),
        }
    }

    /// Looks at the next rows. At a broken page the search ends.
    pub(crate) fn step(
        &mut self,
        conn: &Connection,
        meta: &Meta,
        age: i64,
    ) -> Result<Step, Trouble> {
        let step = unless_corrupt(conn, || self.look(conn, meta, age))?;
        if step.is_none() {
            tracing::warn!(
                "the search for what dropped lanes have left has met a broken page and ends there"
            );
            (self.events, self.holds) = (None, None);
        }
        Ok(step.unwrap_or_default())
    }

    fn look(&mut self, conn: &Connection, meta: &Meta, age: i64) -> rusqlite::Result<Step> {
        let mut step = Step::default();
        if let Some(from) = self.holds {
            let next = "SELECT seq, (SELECT count(*) FROM held WHERE held.seq = picture_hold.seq) FROM picture_hold \
                        WHERE seq >= ? AND seq < ? ORDER BY seq LIMIT ?";
            let (loose, next) = unheld(conn, next, (from, meta.swept))?;
            for seq in loose {
                release(conn, seq, meta.swept, age)?;
                step.changed = true;
            }
            self.holds = next;
        }
        // What a lane has not come to is not left over: it may have begun again with the oldest event.
        let end = meta.trimmed.min(meta.swept);
        if let Some(from) = self.events
            && from < end
        {
            let next = "SELECT seq, (SELECT count(*) FROM held WHERE held.seq = event.seq) FROM event \
                        WHERE seq >= ? AND seq < ? ORDER BY seq LIMIT ?";
            let (loose, next) = unheld(conn, next, (from, end))?;
            for seq in loose {
                remove_straggler(conn, seq)?;
                step.changed = true;
            }
            step.more |= next.is_some();
            self.events = match next {
                None if end < meta.trimmed => Some(end),
                next => next,
            };
        } else if meta.swept >= meta.trimmed {
            self.events = None;
        }
        step.more |= self.holds.is_some();
        Ok(step)
    }
}

/// Numbers in a span that no lane holds, and where to go on.
fn unheld(
    conn: &Connection,
    sql: &str,
    (from, end): (u64, u64),
) -> rusqlite::Result<(Vec<u64>, Option<u64>)> {
    let mut select = conn.prepare_cached(sql)?;
    let span = (from.cast_signed(), end.cast_signed(), ROWS_AT_ONCE as i64);
    let rows = select.query_map(span, |row| Ok((get(row, 0)?, get(row, 1)?)))?;
    let rows: Vec<(u64, u64)> = rows.collect::<Result<_, _>>()?;
    let next = (rows.last().filter(|_| rows.len() >= ROWS_AT_ONCE)).map(|(seq, _)| seq + 1);
    let mut loose: Vec<u64> = (rows.into_iter())
        .filter(|(_, holders)| *holders == 0)
        .map(|(seq, _)| seq)
        .collect();
    loose.dedup();
    Ok((loose, next))
}
