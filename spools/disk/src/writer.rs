//! The one thread that writes.
//!
//! It takes everything that waits, writes it in one transaction, syncs, and answers all; then it takes what has come
//! in the meantime. So the number of syncs follows the disk and not the number of devices.
//!
//! **After a failed sync** it is not known what the disk holds. The group is answered as failing, the connection is
//! closed, and the next one folds the write-ahead log into the database before anything else is written: what it then
//! finds is durable. `meta.groups` tells whether the group arrived all the same, and memory follows.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use faceway_core::AppendError;
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::budget::{Budget, Wanted};
use crate::events::keep::Segments;
use crate::events::leave::Left;
use crate::failing::Failing;
use crate::group::Group;
use crate::history::{EVENTS_A_STEP, trim};
use crate::inbox::Stop;
use crate::known::Known;
use crate::lane_store::needed;
use crate::leftovers::Leftovers;
use crate::mark::Mark;
use crate::meta::Meta;
use crate::packs::Packs;
use crate::quarantine::Quarantine;
use crate::seen::Seen;
use crate::shared::{Shared, lock};
use crate::store::{Trouble, unless_corrupt};

/// How often the writer looks after room and age when nothing happens.
pub(crate) const TICK: Duration = Duration::from_secs(1);
/// Steps of trimming in one group at most.
const STEPS_MAX: usize = 16;
/// Groups that make room at the orderly end, at most.
const GROUPS_AT_END_MAX: usize = 32;
/// Pages that are given back to the disk in one group at most.
const VACUUM_PAGES: u32 = 256;

/// See the module.
pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) conn: Option<Connection>,
    pub(crate) mark: Mark,
    pub(crate) meta: Meta,
    pub(crate) seen: Seen,
    pub(crate) packs: Packs,
    pub(crate) quarantine: Quarantine,
    pub(crate) budget: Budget,
    /// What the database says, as long as nothing is written there.
    pub(crate) known: Option<Known>,
    /// A group of which only the database knows whether it arrived.
    pub(crate) uncertain: Option<Group>,
    pub(crate) leftovers: Leftovers,
    pub(crate) segments: Segments,
    /// When it was last looked after age, by both clocks.
    pub(crate) ticked: Option<(Instant, Duration)>,
    /// There is more to trim than one group may.
    pub(crate) more: bool,
    /// What failed and has not been seen to work since.
    pub(crate) failing: Failing,
    /// Folding is not tried again before this.
    pub(crate) fold_after: Option<Instant>,
    /// Keeps others out of the directory as long as it is open.
    pub(crate) _lock: File,
}

impl Writer {
    /// Runs until it is told to stop.
    pub(crate) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        loop {
            let patience = if self.more { Duration::ZERO } else { TICK };
            let taken = shared.inbox.take(patience);
            if taken.stop == Stop::Now {
                break;
            }
            self.attempt(&mut Group::new(taken.ops, self.meta));
            if taken.stop == Stop::Flush {
                self.finish();
                break;
            }
        }
        let mut group = Group::new(shared.inbox.drain(), self.meta);
        group.fail(AppendError::Failing);
    }

    fn attempt(&mut self, group: &mut Group) {
        self.shared.gauge.begins();
        self.attempt_once(group);
        self.shared.gauge.ends();
    }

    fn attempt_once(&mut self, group: &mut Group) {
        let conn = match self.connection() {
            Ok(conn) => conn,
            Err(trouble) => {
                if let Some(times) = self.shared.gauge.throttle.note("open") {
                    tracing::error!(?trouble, times, "the spool cannot be opened again");
                }
                self.drop_ballast_if_full();
                self.shared.gauge.set_accepting(Err(AppendError::Failing));
                return group.fail(AppendError::Failing);
            }
        };
        group.meta = self.meta;
        group.meta.groups += 1;
        group.meta.next = self.segments.writer.next_seq();
        match self.fill(&conn, group) {
            Err(trouble) => self.undo(conn, group, trouble),
            Ok(()) => match self.commit(&conn, group) {
                Ok(()) => {
                    if group.dirty {
                        self.known = None;
                    }
                    self.segments.has_format |= group.raises_format;
                    self.freed_unnamed(group);
                    self.let_segments_leave(group);
                    self.commit_events(group);
                    self.publish(group);
                    self.fold_when_due(&conn);
                    if group.vacuumed && (!group.more || !self.budget.has_ballast()) {
                        self.give_back(&conn);
                    }
                    self.conn = Some(conn);
                }
                Err(trouble) => self.lose(conn, group, trouble),
            },
        }
    }

    fn fill(&mut self, conn: &Connection, group: &mut Group) -> Result<(), Trouble> {
        let shared = Arc::clone(&self.shared);
        let (disk, paths) = (&shared.disk, &shared.paths);
        group.known = self.look_at_database(conn)?;
        group.is_due = self.is_due();
        self.budget.measure(paths, self.packs.bytes(), &**disk)?;
        self.budget.set_quarantine(self.quarantine.bytes());
        self.budget.set_segments(&self.segments.writer);
        self.budget.make_reserves(paths, &self.shared.gauge);
        self.segments.rotate_when_due();
        self.look_at_clock(conn, group)?;
        if !self.is_of_events_alone(group) {
            conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            self.look_for_stale(conn, group)?;
        }
        self.free_unnamed(conn, group)?;
        self.sweep(conn, group)?;
        self.make_room(conn, group)?;
        while let Some(op) = group.ops.pop_front() {
            self.serve(conn, group, op)?;
        }
        self.packs.begin_sync();
        self.look_after(conn, group)?;
        self.failing.probe(group, &paths.images)?;
        group.dirty |= self.seen.limit_all(conn)?;
        group.dirty |= self.packs.flush(conn)?;
        if group.dirty {
            self.shared.ages.save(conn)?;
            group.meta.clock = Some((self.age(), self.shared.clock.now().as_millis()));
            group.meta.write(conn)?;
        } else {
            group.meta.groups = self.meta.groups;
        }
        self.packs.end_sync()?;
        Ok(self.mark.reserve(group.meta.next)?)
    }

    /// What the database keeps of the group comes first: pictures are durable before the event that names them, and a lane
    /// never names an event of the same group.
    fn commit(&self, conn: &Connection, group: &Group) -> Result<(), Trouble> {
        self.shared.disk.before_commit()?;
        if !conn.is_autocommit() {
            conn.prepare_cached("COMMIT")?.execute([])?;
        } else if group.dirty {
            // What it wrote is durable, but not as a whole.
            debug_assert!(false, "a group of events alone wrote to the database");
        }
        if group.dirty {
            self.shared.disk.after_commit()?;
        }
        Ok(())
    }

    /// The lowest event that some lane has not routed.
    pub(crate) fn need(&self, conn: &Connection, group: &Group) -> Result<u64, Trouble> {
        let need = needed::need_from(conn)?;
        Ok(need.map_or(group.meta.next, |need| need.min(group.meta.next)))
    }

    /// Room that its appends take, and that should be left.
    fn wanted(&self, group: &Group) -> Wanted {
        let asked = group.ops.iter().map(|op| op.ask.wanted());
        asked.fold(self.budget.headroom(), |a, b| a + b)
    }

    /// Whether nothing has to give way for it.
    pub(crate) fn has_room(&self, group: &Group) -> bool {
        let wanted = self.wanted(group);
        self.budget.fits_after(wanted, self.packs.given()) && !self.budget.wants_vacuum()
    }

    /// Delivered history gives way when what waits would not fit.
    fn make_room(&mut self, conn: &Connection, group: &mut Group) -> Result<(), Trouble> {
        let wanted = self.wanted(group);
        for _ in 0..STEPS_MAX {
            // What pictures give is there after the commit.
            let enough = self.budget.fits_after(wanted, self.packs.given());
            if enough || !self.give_way(conn, group)? {
                break;
            }
            group.dirty = true;
            group.more = true;
            self.budget.measure_pages(conn)?;
        }
        if self.budget.wants_vacuum() {
            // A broken page cannot be moved; room that cannot be given back must fail no group.
            let vacuumed = unless_corrupt(conn, || vacuum(conn))?.is_some();
            self.budget.measure_pages(conn)?;
            group.dirty = true;
            group.vacuumed = vacuumed;
            group.more |= vacuumed && self.budget.wants_vacuum();
        }
        Ok(())
    }

    fn give_way(&mut self, conn: &Connection, group: &mut Group) -> Result<bool, Trouble> {
        if group.keeps_all {
            return Ok(false);
        }
        let swept = group.meta.swept;
        // Whatever takes up more goes first.
        let pictures_first = self.packs.bytes() > self.budget.occupied() / 2;
        if pictures_first && self.give_pictures(conn, swept)? {
            return Ok(true);
        }
        let end = swept.min(self.shared.events.first_segment());
        let trimmed = trim(conn, group.meta.trimmed, end, |_, _| true, EVENTS_A_STEP)?;
        group.meta.trimmed = trimmed.upto;
        if trimmed.passed > 0 {
            return Ok(true);
        }
        let left = self.let_segment_leave(conn, group, true, |_, _| true)?;
        Ok(left == Left::Something || (!pictures_first && self.give_pictures(conn, swept)?))
    }

    fn give_pictures(&mut self, conn: &Connection, swept: u64) -> Result<bool, Trouble> {
        let given = unless_corrupt(conn, || self.packs.give_way(conn, swept))?;
        Ok(given.unwrap_or(false))
    }

    pub(crate) fn publish(&mut self, group: &mut Group) {
        self.failing.went_well(group);
        self.meta = group.meta;
        self.more = group.more;
        self.seen.commit();
        self.shared.ages.saved();
        self.packs.commit();
        self.quarantine.commit();
        self.packs.swept(self.meta.swept);
        // Before any caller is answered, so that a source whose batch was kept does not read that none is.
        self.report();
        group.publish(&self.shared);
    }

    /// Tells how much room there is, as the next append would find it.
    pub(crate) fn report(&mut self) {
        let gauge = &self.shared.gauge;
        gauge.bytes.store(self.budget.occupied(), Ordering::Relaxed);
        gauge.free.store(self.budget.free(), Ordering::Relaxed);
        let quarantine = self.quarantine.bytes();
        gauge.quarantine_bytes.store(quarantine, Ordering::Relaxed);
        // While history gives way, no batch is refused yet.
        if self.failing.is_over() && self.budget.fits(self.budget.probe()) {
            self.budget.forget_refused();
            gauge.set_accepting(Ok(()));
        } else if self.failing.is_over() && (!self.more || !self.budget.has_ballast()) {
            gauge.set_accepting(Err(AppendError::Full));
        }
        gauge.tell();
    }

    /// What was trimmed goes back to the disk only when the log is folded in. Waiting for readers, so that the log's
    /// own bytes go back as well, is worth it only when room is short.
    pub(crate) fn give_back(&self, conn: &Connection) {
        if self.budget.fits(self.budget.probe()) {
            self.fold(conn);
        } else if let Err(Trouble::InUse) = self.fold_all(conn)
            && let Some(times) = self.shared.gauge.throttle.note("give back")
        {
            tracing::warn!(
                times,
                "the write-ahead log is in use and cannot be emptied now"
            );
        }
    }

    /// The orderly end.
    fn finish(&mut self) {
        for _ in 0..GROUPS_AT_END_MAX {
            let mut group = Group::new(Vec::new(), self.meta);
            // The next start compares these totals with the file `sequence`.
            group.dirty = true;
            self.attempt(&mut group);
            // On a full disk the next start needs the room that history gives.
            if !self.more || self.budget.has_ballast() {
                break;
            }
        }
        // When it fails, the next start reads the last segment.
        let has_end = self.segments.writer.is_active() && self.segments.writer.close().is_ok();
        self.segments.keeper.stop();
        let Some(conn) = self.conn.take() else {
            return;
        };
        // The next start has to find the end of the log there. A start that is not told where looks for none.
        let end = has_end.then_some(self.segments.writer.next_seq().cast_signed());
        let _ = conn.execute("UPDATE meta SET log_end = ?", [end]);
        lock(&self.shared.recent).clear();
        self.shared.readers.clear();
        let folded = self.fold_all(&conn);
        if folded.is_ok() && self.mark.settle(self.meta.next).is_ok() {
            // Only now may the log go: without it and with numbers reserved it would count as lost.
            let _ = conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false);
            let _ = conn.close();
        }
        let paths = &self.shared.paths;
        self.budget.look_at_free(paths, &*self.shared.disk);
        self.budget.make_reserves(paths, &self.shared.gauge);
    }
}

/// Gives empty pages back to the file system.
fn vacuum(conn: &Connection) -> rusqlite::Result<()> {
    let sql = format!("PRAGMA incremental_vacuum({VACUUM_PAGES})");
    let mut vacuum = conn.prepare_cached(&sql)?;
    let mut rows = vacuum.query([])?;
    // Each row is one page: a deletion of only the first gives only one back.
    while rows.next()?.is_some() {}
    Ok(())
}
