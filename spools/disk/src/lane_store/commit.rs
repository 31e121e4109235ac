//! Writing what changed in a lane. Everything in a change says what is, so that writing it twice does no harm.

use std::collections::BTreeMap;

use faceway_core::{Attempt, Burial, Claim, LaneChange, Passed};
use rusqlite::{Connection, OptionalExtension as _};

use super::lane_row::{Found, LaneRow};
use super::needed::{events_between, let_go, release_pictures};
use super::waiting_rows::{Kind, bounds};
use super::{Reply, held_rows, lane_row, waiting_rows};
use crate::group::Group;
use crate::lane::change::{BuryRow, result_number};
use crate::lanes::write_bury;
use crate::once;
use crate::packs::hold::hold;
use crate::store::Trouble;

/// Writes a change, if the claim still holds.
pub(crate) fn commit(
    conn: &Connection,
    group: &mut Group,
    claim: &Claim,
    change: &LaneChange,
    age: i64,
) -> Result<Reply, Trouble> {
    let lane = match lane_row::named(conn, &claim.lane)? {
        Some(Found::Sound(lane)) if lane.epoch == claim.epoch => lane,
        // Also of a damaged row the owner is not known: the next claim puts it right.
        _ => return Ok(Reply::Fenced),
    };
    group.dirty = true;
    let mut work = Work {
        conn,
        lane,
        trimmed: group.meta.trimmed,
        swept: group.meta.swept,
        freed: Vec::new(),
    };
    work.write(change)?;
    let freed = std::mem::take(&mut work.freed);
    release_pictures(conn, freed, group.meta.swept, age)?;
    Ok(Reply::Committed(work.lane.buried))
}

struct Work<'a> {
    conn: &'a Connection,
    lane: LaneRow,
    trimmed: u64,
    swept: u64,
    /// Events below the trim mark, or passed by the sweep of pictures, that the lane may need no longer.
    freed: Vec<u64>,
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
        self.write_passed(&change.passed)?;
        self.note_routed(change.routed_through)?;
        self.lane.routed_through = change.routed_through;
        if let Some(replays) = &change.replays {
            self.lane.replays.clone_from(replays);
        }
        self.lane.write(self.conn)?;
        let_go(self.conn, &self.freed, self.trimmed)
    }

    fn write_row(&mut self, range: u64, kind: Kind, bytes: Option<&[u8]>) -> Result<(), Trouble> {
        if bounds(range).0 < self.trimmed.max(self.swept) {
            self.note_freed(range, kind)?;
        }
        waiting_rows::write(self.conn, self.lane.id, range, kind, bytes)
    }

    /// What waited in a row that is about to change may leave; what stays is found in the row that takes its place.
    fn note_freed(&mut self, range: u64, kind: Kind) -> Result<(), Trouble> {
        if let Some(row) = waiting_rows::one(self.conn, self.lane.id, range, kind)? {
            match row.events {
                Some(events) => self.freed.extend(events.iter().map(|(seq, _)| *seq)),
                None => self.note_all(bounds(range))?,
            }
        }
        Ok(())
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
        let row = BuryRow {
            seq,
            at: burial.at.as_millis(),
            code: burial.code.clone(),
            failures: burial.failures,
        };
        let was_buried = write_bury(self.conn, self.lane.id, &row)?;
        self.lane.buried = (self.lane.buried + 1).saturating_sub(was_buried);
        self.freed.push(seq);
        Ok(())
    }

    /// The event waits again: it comes back into the log if it has left.
    fn revive(&mut self, seq: u64) -> Result<(), Trouble> {
        let sql = "INSERT OR IGNORE INTO event (seq, at, id, device, images, crc, body, trace) \
                   SELECT seq, at, id, device, images, crc, body, trace FROM buried WHERE lane = ? AND seq = ?";
        let key = (self.lane.id, seq.cast_signed());
        self.conn.prepare_cached(sql)?.execute(key)?;
        if seq < self.swept {
            self.hold_pictures(seq)?;
        }
        self.freed.push(seq);
        self.remove_buried(seq)
    }

    /// Without this the pictures that are left would leave while the event waits: the sweep does not come to it any more.
    fn hold_pictures(&self, seq: u64) -> Result<(), Trouble> {
        let sql = "SELECT images FROM buried WHERE lane = ? AND seq = ?";
        let key = (self.lane.id, seq.cast_signed());
        let images: Option<Option<Vec<u8>>> = (self.conn.prepare_cached(sql)?)
            .query_row(key, |row| row.get(0))
            .optional()?;
        let images = images.flatten().unwrap_or_default();
        Ok(hold(self.conn, seq, &images)?)
    }

    fn remove_buried(&mut self, seq: u64) -> Result<(), Trouble> {
        let sql = "DELETE FROM buried WHERE lane = ? AND seq = ?";
        let key = (self.lane.id, seq.cast_signed());
        let removed = self.conn.prepare_cached(sql)?.execute(key)? as u64;
        self.lane.buried = self.lane.buried.saturating_sub(removed);
        Ok(())
    }

    /// Attempts of one moment are told apart by a number. The same attempt gets the same one when it is written twice.
    fn write_attempts(&mut self, attempts: &[(u64, Attempt)]) -> Result<(), Trouble> {
        let mut before: BTreeMap<(u64, i64), i64> = BTreeMap::new();
        for (seq, attempt) in attempts {
            let at = attempt.at.as_millis();
            let place = before.entry((*seq, at)).or_insert(0);
            *place = self.write_attempt(*seq, attempt, *place)? + 1;
            // An attempt of an event that has left the log would stay for ever.
            self.freed.push(*seq);
        }
        Ok(())
    }

    fn write_attempt(&self, seq: u64, attempt: &Attempt, first: i64) -> Result<i64, Trouble> {
        let insert = "INSERT OR IGNORE INTO attempt (seq, lane, number, at, took, result, code) VALUES (?, ?, ?, ?, ?, ?, ?)";
        let same = "SELECT took = ? AND result = ? AND code = ? FROM attempt WHERE seq = ? AND lane = ? AND number = ?";
        let at = attempt.at.as_millis();
        let took = i64::try_from(attempt.took.as_millis()).unwrap_or(i64::MAX);
        let (result, code) = (result_number(attempt.result), attempt.code.as_str());
        let (key, lane) = (seq.cast_signed(), self.lane.id);
        for place in first..4096 {
            let number = (at << 12) | place;
            let row = (key, lane, number, at, took, result, code);
            if self.conn.prepare_cached(insert)?.execute(row)? > 0 {
                return Ok(place);
            }
            let row = (took, result, code, key, lane, number);
            let is_same = (self.conn.prepare_cached(same)?)
                .query_row(row, |row| row.get::<_, bool>(0))
                .optional()?;
            if is_same == Some(true) {
                return Ok(place);
            }
        }
        Ok(first)
    }

    fn write_passed(&self, passed: &[Passed]) -> Result<(), Trouble> {
        let sql = "DELETE FROM once WHERE lane = ? AND route = ? AND key = ?";
        for one in passed {
            let key = (self.lane.id, &one.route, &one.key[..]);
            self.conn.prepare_cached(sql)?.execute(key)?;
            once::write(self.conn, self.lane.id, std::iter::once(one))?;
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
