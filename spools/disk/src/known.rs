//! What each group asks of the database before it does anything else.
//!
//! Groups of events alone follow each other a thousand times a second and write nothing there, so the answers are kept as long
//! as nothing was written. A debug build compares what is kept with what the database says.

use rusqlite::Connection;

use crate::group::Group;
use crate::inbox::{Ask, Op};
use crate::lane_store::has_former_lanes;
use crate::lane_store::needed::{OfAllLanes, of_all_lanes};
use crate::store::Trouble;
use crate::writer::Writer;

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// Whether lanes of format 1 wait for the takeover.
    pub(crate) has_former_lanes: bool,
    lanes: OfAllLanes,
    /// Rows that the connection has written.
    changes: u64,
}

impl Known {
    fn read(conn: &Connection) -> Result<Self, Trouble> {
        Ok(Self {
            has_former_lanes: has_former_lanes(conn)?,
            lanes: of_all_lanes(conn)?,
            changes: conn.total_changes(),
        })
    }

    /// The lowest event that some lane has not routed; the next one where all are.
    pub(crate) fn need(&self, next: u64) -> u64 {
        self.lanes.need_from.map_or(next, |need| need.min(next))
    }

    /// Nothing below it waits in a lane.
    pub(crate) fn waits_from(&self) -> u64 {
        self.lanes.waits_from.unwrap_or(u64::MAX)
    }
}

impl Writer {
    /// Looks at the database, if something was written there since.
    pub(crate) fn look_at_database(&mut self, conn: &Connection) -> Result<Known, Trouble> {
        let changes = conn.total_changes();
        let kept = self.known.filter(|known| known.changes == changes);
        if let Some(known) = kept {
            #[cfg(debug_assertions)]
            {
                assert_eq!(known, Known::read(conn)?, "the database has changed");
                let before = self.budget.pages();
                self.budget.measure_pages(conn)?;
                assert_eq!(before, self.budget.pages(), "the database has changed");
            }
            return Ok(known);
        }
        // Each statement would begin a transaction of its own, which costs more than what it reads.
        conn.prepare_cached("BEGIN")?.execute([])?;
        let measured = self.budget.measure_pages(conn);
        let known = Known::read(conn);
        conn.prepare_cached("COMMIT")?.execute([])?;
        measured?;
        self.budget.measure_log(&self.shared.paths);
        let known = known?;
        self.known = Some(known);
        Ok(known)
    }

    /// Whether a group has nothing for the database: then it needs no transaction there. What would write is asked here, so
    /// another write that a group may need has to be asked for here too.
    pub(crate) fn is_of_events_alone(&self, group: &Group) -> bool {
        let known = &group.known;
        let next = group.meta.next;
        let events: usize = group.ops.iter().map(events_of).sum();
        !group.dirty
            && group.ops.iter().all(is_of_events_alone)
            && self.segments.has_format
            && !self.segments.has_unnamed()
            && !group.is_due
            && !self.more
            && self.failing.is_over()
            && !self.shared.ages.is_unsaved()
            && !known.has_former_lanes
            && !self.meta.is_stale
            && (self.packs).has_nothing_to_write(self.meta.swept, known.need(next))
            && !self.seen.rows_leave_for(events)
            && self.has_room(group)
    }
}

fn events_of(op: &Op) -> usize {
    match &op.ask {
        Ask::Append { batch, .. } => batch.events.len(),
        _ => 0,
    }
}

fn is_of_events_alone(op: &Op) -> bool {
    match &op.ask {
        Ask::Append { batch, .. } => {
            let has_images = batch.events.iter().any(|event| !event.images.is_empty());
            !has_images && batch.pictures.is_empty() && batch.unreadable.is_empty()
        }
        Ask::Sync => true,
        _ => false,
    }
}
