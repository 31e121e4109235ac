//! What the writer looks after besides what it is asked: clocks, the pictures of what is through, and age.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::blocks;
use crate::events::leave::AGE_MIN;
use crate::group::Group;
use crate::history::{EVENTS_AT_ONCE, trim};
use crate::lane_store::{self, needed};
use crate::once;
use crate::packs::load::refresh;
use crate::store::{Trouble, get, unless_corrupt};
use crate::writer::{TICK, Writer};

impl Writer {
    /// Looks whether the wall clock has jumped.
    pub(crate) fn look_at_clock(
        &self,
        conn: &Connection,
        group: &mut Group,
    ) -> Result<(), Trouble> {
        let (clock, seq) = (&*self.shared.clock, group.meta.next);
        let number = || {
            let sql =
                "SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'quarantine'";
            conn.query_row(sql, [], |row| get(row, 0))
        };
        self.shared.ages.look(clock, seq, number)?;
        group.dirty |= self.shared.ages.is_unsaved();
        group.keeps_all = group.known.has_former_lanes;
        Ok(())
    }

    /// An earlier program wrote: what pictures are for is found out anew.
    pub(crate) fn look_for_stale(
        &self,
        conn: &Connection,
        group: &mut Group,
    ) -> Result<(), Trouble> {
        if group.meta.is_stale && !group.keeps_all {
            group.meta.swept = self.need(conn, group)?;
            group.meta.is_stale = false;
            refresh(conn, &self.shared.events, group.meta.swept, self.age())?;
            group.dirty = true;
        }
        Ok(())
    }

    /// What the lanes have passed needs its pictures no longer, but for what they hold.
    pub(crate) fn sweep(&mut self, conn: &Connection, group: &mut Group) -> Result<(), Trouble> {
        if group.keeps_all {
            return Ok(());
        }
        let (need, age) = (group.known.need(group.meta.next), self.age());
        // What is in flight is through in a moment: writing down now that it holds its pictures would be in vain.
        let need = if group.is_due || self.more {
            need
        } else {
            need.min(group.known.waits_from().max(group.meta.swept))
        };
        let swept = (self.packs).sweep((conn, &self.shared.events), group.meta.swept, need, age)?;
        group.meta.swept = swept.upto;
        group.dirty |= swept.changed;
        group.more |= swept.upto < need;
        Ok(())
    }

    /// What was through may wait again.
    pub(crate) fn go_back(&mut self, conn: &Connection, group: &mut Group) -> Result<(), Trouble> {
        let need = self.need(conn, group)?;
        if need < group.meta.swept {
            self.packs.go_back(group.meta.swept, need);
            group.meta.swept = need;
        }
        Ok(())
    }

    /// The scale of ages now.
    pub(crate) fn age(&self) -> i64 {
        self.shared.ages.now(&*self.shared.clock)
    }

    /// Whether it is time to look after age again.
    pub(crate) fn is_due(&self) -> bool {
        let passed = self.shared.clock.monotonic();
        self.ticked
            .is_none_or(|(at, then)| at.elapsed() >= TICK || passed.saturating_sub(then) >= TICK)
    }

    /// Once in a while, and as long as there is more of it: age.
    pub(crate) fn look_after(
        &mut self,
        conn: &Connection,
        group: &mut Group,
    ) -> Result<(), Trouble> {
        if group.keeps_all || (!group.is_due && !self.more) {
            return Ok(());
        }
        self.ticked = Some((Instant::now(), self.shared.clock.monotonic()));
        // A replay or a lane of this group may need what was through.
        self.go_back(conn, group)?;
        self.forget_passed(conn, group)?;
        self.let_age(conn, group)?;
        let age = self.age();
        let looked = unless_corrupt(conn, || self.packs.look(conn, age, group.meta.swept))?;
        let (changed, more) = looked.unwrap_or_default();
        let left = self.leftovers.step(conn, &group.meta, age)?;
        let (ranges, more_ranges) = lane_store::sweep(conn, &group.meta, age)?;
        group.dirty |= changed || left.changed || ranges > 0;
        group.more |= more || left.more || more_ranges;
        Ok(())
    }

    /// History and quarantine leave by age.
    fn let_age(&mut self, conn: &Connection, group: &mut Group) -> Result<(), Trouble> {
        let ages = self.shared.ages.view(&*self.shared.clock);
        let settings = &self.shared.settings;
        let before = |kept: Duration| {
            let kept = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
            ages.now.saturating_sub(kept)
        };
        let (history, quarantine) = (before(settings.history), before(settings.quarantine));
        let part_of_history = before((settings.history / 24).max(AGE_MIN));
        let trimmed = trim(
            conn,
            group.meta.trimmed,
            group.meta.swept.min(self.shared.events.first_segment()),
            |seq, at| ages.of_event(seq, at) < history,
            EVENTS_AT_ONCE,
        )?;
        group.meta.trimmed = trimmed.upto;
        if trimmed.passed > 0 {
            unless_corrupt(conn, || blocks::trim(conn, trimmed.upto))?;
        }
        let is_old = |seq, at| ages.of_event(seq, at) < history;
        self.let_segment_leave(conn, group, false, is_old)?;
        let swept = group.meta.swept;
        self.look_at_age_of_segment(swept, |seq, at| ages.of_event(seq, at) < part_of_history);
        let is_old = |number, at| ages.of_unreadable(number, at) < quarantine;
        let unread = self.quarantine.trim(conn, is_old)?;
        if unread > 0 {
            group.quarantined -= unread.cast_signed();
        }
        group.dirty |= trimmed.passed > 0 || unread > 0;
        group.more |= trimmed.is_full();
        Ok(())
    }

    /// What `once` has let pass is forgotten when it silences nothing any more.
    fn forget_passed(&self, conn: &Connection, group: &mut Group) -> Result<(), Trouble> {
        let now = self.shared.clock.now().as_millis();
        for (lane, need) in needed::needs(conn)? {
            let (rows, more) = once::forget(conn, &self.shared.events, lane, need, now)?;
            group.dirty |= rows > 0;
            group.more |= more;
        }
        Ok(())
    }
}
