//! One group: operations that become durable together, and what their success changes in memory.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use faceway_core::AppendError;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::budget::Wanted;
use crate::inbox::{Done, Op};
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
    /// Whether anything is written at all.
    pub(crate) dirty: bool,
    /// Whether pages were given back to the disk.
    pub(crate) vacuumed: bool,
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
            // Whoever asked may have gone away.
            let _ = answer.send(match done {
                Done::Refused(error) => Err(error),
                done => Ok(done),
            });
        }
        self.permits.clear();
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
