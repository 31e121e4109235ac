//! When packs leave.

use rusqlite::Connection;

use super::{Pack, Packs};
use crate::lane_store::needed::names_pictures;
use crate::store::Trouble;

/// Rows of `image` that go in one group at most when a pack is removed.
const ROWS_AT_ONCE: i64 = 1024;

impl Packs {
    /// Looks for packs that nobody needs, and lets those go whose time is over. `need`: the lowest event that a lane
    /// has not come to. `true` when rows changed.
    pub(crate) fn look(&mut self, conn: &Connection, now: i64, need: u64) -> Result<bool, Trouble> {
        if let Some(current) = &self.current
            && let Some(pack) = self.packs.get(&current.number)
            && now.saturating_sub(pack.started) >= self.age_max
        {
            self.current = None;
        }
        let mut changed = false;
        for number in self.packs.keys().copied().collect::<Vec<_>>() {
            changed |= self.look_at(conn, number, now, need)?;
        }
        Ok(self.reap(conn)? || changed)
    }

    fn look_at(
        &mut self,
        conn: &Connection,
        number: u64,
        now: i64,
        need: u64,
    ) -> Result<bool, Trouble> {
        let is_current = (self.current.as_ref()).is_some_and(|current| current.number == number);
        let Some(pack) = self.packs.get(&number).copied() else {
            return Ok(false);
        };
        if is_current || self.dying.contains(&number) {
            return Ok(false);
        }
        let free =
            pack.last < need && (pack.free.is_some() || !self.is_held(conn, number, pack)?);
        let mut since = match pack.free {
            _ if !free => None,
            Some(since) => Some(since.min(now)),
            None => Some(now),
        };
        if since.is_some_and(|since| now.saturating_sub(since) >= self.keep) {
            if names_pictures(conn, (pack.first, pack.last))? {
                // A replay has routed one of its events anew.
                since = None;
            } else {
                self.dying.insert(number);
            }
        }
        if since == pack.free {
            return Ok(false);
        }
        if let Some(pack) = self.packs.get_mut(&number) {
            pack.free = since;
            self.dirty.insert(number);
        }
        Ok(true)
    }

    /// Whether a parked event, or one behind it, names pictures and may name one of these. With many held events that
    /// is dear, so each look asks for one pack only, in turn; the others count as held.
    fn is_held(&mut self, conn: &Connection, number: u64, pack: Pack) -> Result<bool, Trouble> {
        let first_in_turn = self
            .packs
            .range(self.asked_last + 1..)
            .next()
            .or(self.packs.first_key_value());
        if self.packs.len() > 8 && first_in_turn.is_some_and(|(turn, _)| *turn != number) {
            return Ok(true);
        }
        self.asked_last = number;
        let sql = "SELECT EXISTS (SELECT 1 FROM held JOIN event ON event.seq = held.seq \
                   WHERE held.seq BETWEEN ? AND ? AND event.images IS NOT NULL)";
        let between = (pack.first.cast_signed(), pack.last.cast_signed());
        let is_held: bool = conn
            .prepare_cached(sql)?
            .query_row(between, |row| row.get(0))?;
        Ok(is_held || names_pictures(conn, (pack.first, pack.last))?)
    }

    /// Room is short: the oldest pack that nobody needs goes, whatever its age. `false` when there is none.
    pub(crate) fn give_way(&mut self, conn: &Connection, need: u64) -> Result<bool, Trouble> {
        if self.dying.is_empty() {
            let current = self.current.as_ref().map(|current| current.number);
            let candidates: Vec<(u64, Pack)> = (self.packs.iter())
                .filter(|(number, pack)| Some(**number) != current && pack.last < need)
                .map(|(number, pack)| (*number, *pack))
                .collect();
            for (number, pack) in candidates {
                self.asked_last = number.saturating_sub(1);
                if !self.is_held(conn, number, pack)? {
                    self.dying.insert(number);
                    break;
                }
            }
            if self.dying.is_empty() && self.current_is_free(need) {
                // The current one is next: it is closed here and goes with the next look.
                self.current = None;
                return Ok(true);
            }
        }
        self.reap(conn)
    }

    fn current_is_free(&self, need: u64) -> bool {
        let current = self
            .current
            .as_ref()
            .and_then(|current| self.packs.get(&current.number));
        current.is_some_and(|pack| pack.last < need)
    }

    /// Removes rows of a pack that goes; its file goes after the commit.
    fn reap(&mut self, conn: &Connection) -> Result<bool, Trouble> {
        let Some(number) = self
            .dying
            .iter()
            .find(|number| !self.gone.contains(number))
            .copied()
        else {
            return Ok(false);
        };
        let sql =
            "DELETE FROM image WHERE sha256 IN (SELECT sha256 FROM image WHERE pack = ? LIMIT ?)";
        let removed = conn
            .prepare_cached(sql)?
            .execute((number.cast_signed(), ROWS_AT_ONCE))?;
        if removed == 0 {
            conn.prepare_cached("DELETE FROM pack WHERE number = ?")?
                .execute([number.cast_signed()])?;
            self.gone.push(number);
            self.dirty.remove(&number);
        }
        Ok(true)
    }

    /// Whether a pack is being removed.
    pub(crate) fn is_reaping(&self) -> bool {
        !self.dying.is_empty()
    }
}
