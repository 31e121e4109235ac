//! One group: operations that become durable together, and what their success changes in memory.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use faceway_core::AppendError;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::budget::Wanted;
use crate::inbox::{Done, Op};
use crate::known::Known;
use crate::meta::Meta;
use crate::row::Row;
use crate::shared::{Shared, lock};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) ops: VecDeque<Op>,
    answers: Vec<(oneshot::Sender<Result<Done, AppendError>>, Done)>,
    /// What its appends hold of the memory that may be on its way, until they are answered.
    pub(crate) permits: Vec<OwnedSemaphorePermit>,
    /// Events that were appended.
    pub(crate) rows: Vec<Row>,
    /// So many more bodies lie in quarantine.
    pub(crate) quarantined: i64,
    /// The room that its appends take.
    pub(crate) wanted: Wanted,
    /// What `meta` says afterwards.
    pub(crate) meta: Meta,
    /// Whether there are pictures among them.
    pub(crate) pictures: bool,
    /// What the database said before it.
    pub(crate) known: Known,
    /// Whether it is time to look after age.
    pub(crate) is_due: bool,
    /// Whether anything is written at all.
    pub(crate) dirty: bool,
    /// Whether pages were given back to the disk.
    pub(crate) vacuumed: bool,
    /// Below this segments leave once the group is durable in the database.
    pub(crate) leaves: Option<u64>,
    /// Whether events that a lane needs were copied out of a segment.
    pub(crate) has_moved: bool,
    /// Whether the directory gets its new format.
    pub(crate) raises_format: bool,
    /// Whether pictures of events that are not there become free.
    pub(crate) frees_unnamed: bool,
    /// Whether the segments are to be tried, and whether that went well.
    pub(crate) probes: bool,
    pub(crate) has_probed: bool,
    /// Whether there is more to trim.
    pub(crate) more: bool,
    /// Lanes of a former format wait for the takeover: as long as they do, nothing says what they need, and nothing leaves.
    pub(crate) keeps_all: bool,
}

impl Group {
    pub(crate) fn new(ops: Vec<Op>, meta: Meta) -> Self {
        Self {
            ops: ops.into(),
            meta,
            ..Self::default()
        }
    }

    pub(crate) fn answer(
        &mut self,
        answer: oneshot::Sender<Result<Done, AppendError>>,
        done: Done,
    ) {
        self.answers.push((answer, done));
    }

    /// Makes what is durable visible, then answers.
    pub(crate) fn publish(&mut self, shared: &Shared) {
        if let Some(last) = self.rows.last().map(|row| row.seq) {
            lock(&shared.recent).extend(std::mem::take(&mut self.rows));
            shared.publish(last);
        }
        let quarantined = std::mem::take(&mut self.quarantined).cast_unsigned();
        // Two's complement: adding a negative number's bits takes away.
        (shared.gauge.quarantined).fetch_add(quarantined, Ordering::Relaxed);
        for (answer, done) in std::mem::take(&mut self.answers) {
            // The caller may have gone away.
            let _ = answer.send(match done {
                Done::Refused(error) => Err(error),
                done => Ok(done),
            });
        }
        self.permits.clear();
    }

    /// Its events are not there; all else of it is. What was answered by ids of such events is not answered either.
    pub(crate) fn fail_events(&mut self, error: AppendError) {
        self.rows.clear();
        for (answer, done) in std::mem::take(&mut self.answers) {
            let is_failed = match &done {
                Done::Receipts(receipts) => !receipts.is_empty(),
                Done::Found(_) | Done::Newest(_) => true,
                _ => false,
            };
            if is_failed {
                let _ = answer.send(Err(error));
            } else {
                self.answers.push((answer, done));
            }
        }
    }

    /// Nothing of it is promised.
    pub(crate) fn fail(&mut self, error: AppendError) {
        let answers = std::mem::take(&mut self.answers);
        let answers = answers.into_iter().map(|(answer, _)| answer);
        for answer in answers.chain(self.ops.drain(..).map(|op| op.answer)) {
            let _ = answer.send(Err(error));
        }
        self.permits.clear();
    }
}
