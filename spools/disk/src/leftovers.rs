//! Events and pictures that are left over: trimming and the sweep have passed them by, and no lane needs them.
//!
//! They are looked for after each start, a few in each group: an earlier program left some when it dropped a lane, and a start
//! with damaged lanes leaves others. What a lane lets go of while the gateway runs leaves at once (`lane_store/needed.rs`).

use rusqlite::Connection;

use crate::events::table;
use crate::lane_store::needed::{let_go, release_pictures};
use crate::meta::Meta;
use crate::store::{Trouble, get, unless_corrupt};

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
                "the search for events that no lane needs has met a broken page and ends there"
            );
            (self.events, self.holds) = (None, None);
        }
        Ok(step.unwrap_or_default())
    }

    fn look(&mut self, conn: &Connection, meta: &Meta, age: i64) -> rusqlite::Result<Step> {
        let mut step = Step::default();
        if let Some(from) = self.holds {
            let (seqs, next) = next_of(held(conn, (from, meta.swept))?);
            step.changed |= release_pictures(conn, seqs, meta.swept, age)? > 0;
            self.holds = next;
        }
        // What a lane has not come to is not left over: it may have begun again with the oldest event.
        let end = meta.trimmed.min(meta.swept);
        if let Some(from) = self.events
            && from < end
        {
            let (seqs, next) = next_of(table::numbers(conn, (from, end), ROWS_AT_ONCE)?);
            step.changed |= let_go(conn, seqs, end)? > 0;
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

/// The next numbers, and where to go on.
fn next_of(seqs: Vec<u64>) -> (Vec<u64>, Option<u64>) {
    let next = seqs.last().filter(|_| seqs.len() >= ROWS_AT_ONCE);
    let next = next.map(|seq| seq + 1);
    (seqs, next)
}

/// The next events that hold pictures.
fn held(conn: &Connection, (from, end): (u64, u64)) -> rusqlite::Result<Vec<u64>> {
    let sql =
        "SELECT DISTINCT seq FROM picture_hold WHERE seq >= ? AND seq < ? ORDER BY seq LIMIT ?";
    let mut select = conn.prepare_cached(sql)?;
    let span = (from.cast_signed(), end.cast_signed(), ROWS_AT_ONCE as i64);
    select.query_map(span, |row| get(row, 0))?.collect()
}
