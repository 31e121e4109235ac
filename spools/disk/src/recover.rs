//! What follows from a group that was not written, or of which only the database knows.

use std::sync::Arc;

use faceway_core::AppendError;
use rusqlite::Connection;

use crate::group::Group;
use crate::meta::Meta;
use crate::store::{Trouble, open_writer};
use crate::writer::Writer;

impl Writer {
    /// Nothing of the group is there.
    pub(crate) fn undo(&mut self, conn: Connection, group: &mut Group, trouble: Trouble) {
        let rolled_back = conn.is_autocommit() || conn.execute_batch("ROLLBACK").is_ok();
        // Nothing of it was told. A gap in the numbers would cost a new segment each time.
        self.segments.writer.withdraw();
        self.roll_back();
        self.more = false;
        match trouble {
            Trouble::Full if rolled_back => {
                // The log's own space can be used again: without a reserve there is no other.
                if !self.budget.has_ballast() {
                    self.give_back(&conn);
                }
                let shared = &self.shared;
                self.budget
                    .drop_ballast(&shared.paths.ballast, &shared.gauge);
                self.conn = Some(conn);
                self.shared.gauge.set_accepting(Err(AppendError::Full));
                group.fail(AppendError::Full);
            }
            trouble => {
                if let Some(times) = self.shared.gauge.throttle.note("write") {
                    tracing::error!(?trouble, times, "a group could not be written");
                }
                self.failing.begin(group);
                self.shared.readers.clear();
                self.drop_ballast_if_full();
                self.shared.gauge.set_accepting(Err(AppendError::Failing));
                group.fail(AppendError::Failing);
            }
        }
    }

    /// The commit failed. A full disk leaves nothing behind; after anything else only the database knows.
    pub(crate) fn lose(&mut self, conn: Connection, group: &mut Group, trouble: Trouble) {
        if matches!(trouble, Trouble::Full) {
            return self.undo(conn, group, trouble);
        }
        if let Some(times) = self.shared.gauge.throttle.note("commit") {
            tracing::error!(?trouble, times, "a group could not be made durable");
        }
        self.failing.begin(group);
        // Of events nothing is uncertain: those of this group are not there.
        self.segments.writer.abandon();
        self.segments.note_unnamed(group);
        self.seen.rollback();
        group.rows.clear();
        group.leaves = None;
        let _ = conn.close();
        self.shared.readers.clear();
        self.meta.next = self.meta.next.max(group.meta.next);
        self.more = false;
        self.drop_ballast_if_full();
        self.shared.gauge.set_accepting(Err(AppendError::Failing));
        group.fail(AppendError::Failing);
        self.uncertain = Some(std::mem::take(group));
    }

    /// The connection, opened again if it was given up.
    pub(crate) fn connection(&mut self) -> Result<Connection, Trouble> {
        if let Some(conn) = self.conn.take() {
            return Ok(conn);
        }
        let shared = Arc::clone(&self.shared);
        shared.readers.clear();
        let conn = open_writer(&shared.paths, shared.settings.limits(), &shared.log_pages)?;
        self.fold_all(&conn)?;
        self.known = None;
        let meta = Meta::read(&conn)?;
        if let Some(mut group) = self.uncertain.take() {
            let next = self.meta.next.max(meta.next);
            if meta.groups == group.meta.groups {
                self.publish(&mut group);
            } else {
                self.roll_back();
            }
            self.meta.next = next;
        }
        Ok(conn)
    }

    pub(crate) fn drop_ballast_if_full(&mut self) {
        let shared = &self.shared;
        self.budget
            .drop_ballast_if_full(&shared.paths, &*shared.disk, &shared.gauge);
    }

    /// Memory is as it was before the group.
    fn roll_back(&mut self) {
        self.seen.rollback();
        self.packs.rollback();
        self.quarantine.rollback();
    }
}
