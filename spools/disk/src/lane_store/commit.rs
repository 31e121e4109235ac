//! Writing what changed in a lane. Everything in a change says what is, so that writing it twice does no harm.

use std::collections::BTreeMap;

use faceway_core::{Attempt, Burial, Claim, LaneChange, Replay, waiting};
use rusqlite::Connection;

use super::lane_row::{Found, LaneRow};
use super::needed::{events_between, let_go, release_pictures};
use super::waiting_rows::{Kind, WaitingRow, bounds};
use super::{Reply, held_rows, lane_row, waiting_rows};
use crate::attempts;
use crate::buried;
use crate::group::Group;
use crate::once;
use crate::packs::hold::{Rewind, hold_pictures_of};
use crate::store::{Trouble, unless_corrupt};

/// What follows from a commit.
pub(super) struct Committed {
    pub(super) reply: Reply,
    /// What the sweep of pictures had passed, and waits once more: new replay jobs.
    pub(super) rewinds: Vec<Rewind>,
}

/// Writes a change, if the claim still holds.
pub(super) fn commit(
    conn: &Connection,
    group: &mut Group,
    claim: &Claim,
    change: &LaneChange,
    age: i64,
) -> Result<Committed, Trouble> {
    let lane = match lane_row::named(conn, &claim.lane)? {
        Some(Found::Sound(lane)) if lane.epoch == claim.epoch => lane,
        // Also of a damaged row the owner is not known: the next claim puts it right.
        _ => {
            return Ok(Committed {
                reply: Reply::Fenced,
                rewinds: Vec::new(),
            });
        }
    };
    group.dirty = true;
    let known = lane.replays.last().map_or(0, |job| job.number);
    let jobs = change.replays.iter().flatten();
    let rewinds = jobs.filter(|job| job.number > known).map(rewind).collect();
    let mut work = Work {
        conn,
        lane,
        trimmed: group.meta.trimmed,
        swept: group.meta.swept,
        freed: Vec::new(),
        added: Vec::new(),
    };
    work.write(change)?;
    for seq in std::mem::take(&mut work.added) {
        unless_corrupt(conn, || hold_pictures_of(conn, seq))?;
    }
    let freed = std::mem::take(&mut work.freed);
    release_pictures(conn, freed, group.meta.swept, age)?;
    Ok(Committed {
        reply: Reply::Committed(work.lane.buried),
        rewinds,
    })
}

fn rewind(job: &Replay) -> Rewind {
    Rewind {
        from: job.routed_through.saturating_add(1),
        end: job.through_seq.saturating_add(1),
        since: job.since.as_millis(),
        until: job.until.as_millis(),
    }
}

struct Work<'a> {
    conn: &'a Connection,
    lane: LaneRow,
    trimmed: u64,
    swept: u64,
    /// Events below the trim mark, or passed by the sweep of pictures, that the lane may need no longer.
    freed: Vec<u64>,
    /// Events that the sweep of pictures has passed, and that wait once more.
    added: Vec<u64>,
}

impl Work<'_> {
    fn write(&mut self, change: &LaneChange) -> Result<(), Trouble> {
        for (range, bytes) in &change.waiting {
            self.write_row(*range, Kind::Waiting, bytes.as_deref())?;
        }
        if let Some(undecided) = &change.undecided {
            self.write_undecided(undecided)?;
        }
        for (seq, held) in &change.held {
            held_rows::write(self.conn, self.lane.id, *seq, held.as_ref())?;
        }
        for (seq, burial) in &change.burials {
            match burial {
                Some(burial) => self.bury(*seq, burial)?,
                None => self.revive(*seq)?,
            }
        }
        for seq in &change.dropped {
            self.remove_buried(*seq)?;
        }
        self.write_attempts(&change.attempts)?;
        for passed in &change.passed {
            once::write(self.conn, self.lane.id, passed)?;
        }
        self.note_routed(change.routed_through)?;
        self.lane.routed_through = change.routed_through;
        if let Some(replays) = &change.replays {
            self.lane.replays.clone_from(replays);
        }
        self.lane.write(self.conn)?;
        let_go(self.conn, self.freed.iter().copied(), self.trimmed)?;
        Ok(())
    }

    fn write_row(&mut self, range: u64, kind: Kind, bytes: Option<&[u8]>) -> Result<(), Trouble> {
        if bounds(range).0 < self.trimmed.max(self.swept) {
            let before = waiting_rows::one(self.conn, self.lane.id, range, kind)?;
            self.note_freed(range, before.as_ref())?;
            self.note_added(range, before, bytes);
        }
        waiting_rows::write(self.conn, self.lane.id, range, kind, bytes)
    }

    /// What waited in a row that is about to change may leave; what stays is found in the row that takes its place.
    fn note_freed(&mut self, range: u64, before: Option<&WaitingRow>) -> Result<(), Trouble> {
        match before.map(|row| &row.events) {
            Some(Some(events)) => self.freed.extend(events.iter().map(|(seq, _)| *seq)),
            Some(None) => self.note_all(bounds(range))?,
            None => {}
        }
        Ok(())
    }

    /// Without this the pictures of an event would leave while it waits: the sweep does not come to it any more.
    fn note_added(&mut self, range: u64, before: Option<WaitingRow>, bytes: Option<&[u8]>) {
        let before = before.and_then(|row| row.events).unwrap_or_default();
        let now = bytes.and_then(|bytes| waiting::decode(range, bytes));
        let now = now.unwrap_or_default().into_iter().map(|(seq, _)| seq);
        let is_known = |seq: &u64| before.binary_search_by_key(seq, |(seq, _)| *seq).is_ok();
        let swept = self.swept;
        self.added
            .extend(now.filter(|seq| *seq < swept && !is_known(seq)));
    }

    fn note_all(&mut self, (from, end): (u64, u64)) -> Result<(), Trouble> {
        let seqs = events_between(self.conn, (from, end.min(self.trimmed)))?;
        self.freed.extend(seqs);
        Ok(())
    }

    /// Only rows that differ are written: the list may be long, and shrinks from its beginning.
    fn write_undecided(&mut self, undecided: &[u64]) -> Result<(), Trouble> {
        let rows = waiting_rows::undecided_by_range(undecided);
        for range in waiting_rows::other_undecided(self.conn, self.lane.id, &rows)? {
            let bytes = rows.get(&range).map(|bytes| &bytes[..]);
            self.write_row(range, Kind::Undecided, bytes)?;
        }
        Ok(())
    }

    fn bury(&mut self, seq: u64, burial: &Burial) -> Result<(), Trouble> {
        let event = "SELECT EXISTS (SELECT 1 FROM event WHERE seq = ?)";
        let is_there = (self.conn.prepare_cached(event)?)
            .query_row([seq.cast_signed()], |row| row.get::<_, bool>(0))?;
        if !is_there {
            // The change was written before, and the event has left the log since: its copy is the event.
            return Ok(());
        }
        let is_new = buried::write(self.conn, self.lane.id, seq, burial)?;
        self.lane.buried += u64::from(is_new);
        self.freed.push(seq);
        Ok(())
    }

    /// The event waits again: it comes back into the log if it has left.
    fn revive(&mut self, seq: u64) -> Result<(), Trouble> {
        let sql = "INSERT OR IGNORE INTO event (seq, at, id, device, images, crc, body, trace) \
                   SELECT seq, at, id, device, images, crc, body, trace FROM buried WHERE lane = ? AND seq = ?";
        let key = (self.lane.id, seq.cast_signed());
        self.conn.prepare_cached(sql)?.execute(key)?;
        self.freed.push(seq);
        self.remove_buried(seq)
    }

    fn remove_buried(&mut self, seq: u64) -> Result<(), Trouble> {
        let sql = "DELETE FROM buried WHERE lane = ? AND seq = ?";
        let key = (self.lane.id, seq.cast_signed());
        let removed = self.conn.prepare_cached(sql)?.execute(key)? as u64;
        self.lane.buried = self.lane.buried.saturating_sub(removed);
        Ok(())
    }

    fn write_attempts(&mut self, attempts: &[(u64, Attempt)]) -> Result<(), Trouble> {
        let mut before: BTreeMap<(u64, i64), i64> = BTreeMap::new();
        for (seq, attempt) in attempts {
            let at = attempt.at.as_millis();
            let place = before.entry((*seq, at)).or_insert(0);
            *place = attempts::write(self.conn, (self.lane.id, *seq), attempt, *place)? + 1;
            // An attempt of an event that has left the log would stay for ever.
            self.freed.push(*seq);
        }
        Ok(())
    }

    /// A lane that begins below the trim mark routes what other lanes have left there, and lets go of what is not for it.
    fn note_routed(&mut self, through: u64) -> Result<(), Trouble> {
        let from = self.lane.routed_through.saturating_add(1);
        if from < self.trimmed && from <= through {
            self.note_all((from, through.saturating_add(1)))?;
        }
        Ok(())
    }
}
