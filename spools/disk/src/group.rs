//! One group: operations that become durable together, and what their success changes in memory.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use faceway_core::AppendError;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::budget::Wanted;
use crate::inbox::{Done, Op};
use crate::lane::change::{Range, Snapshot};
use crate::lanes::LaneCell;
use crate::row::{Published, Row};
use crate::shared::{Shared, lock};
use crate::store::Meta;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) ops: VecDeque<Op>,
    answers: Vec<(oneshot::Sender<Result<Done, AppendError>>, Done)>,
    /// What its appends hold of the memory that may be on its way, until they are answered.
    pub(crate) permits: Vec<OwnedSemaphorePermit>,
    /// Operations that go on in the next group.
    pub(crate) again: Vec<Op>,
    /// Events that were appended.
    pub(crate) rows: Vec<Row>,
    pub(crate) snapshots: Vec<(Arc<LaneCell>, Snapshot)>,
    pub(crate) effects: Vec<Effect>,
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
}

/// What a group changes in memory once it is durable.
#[derive(Debug)]
pub(crate) enum Effect {
    Opened(Arc<LaneCell>),
    Dropped(u32),
    /// Events of a lane that live again: number, device, time.
    Revived(Arc<LaneCell>, Vec<(u64, u64, i64)>),
    /// So many buried entries of a lane are gone.
    BuriedGone(Arc<LaneCell>, u64),
    Replayed(Arc<LaneCell>, Range),
    /// Entries in quarantine came or went.
    Quarantined(i64),
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
        let mut changed = !self.rows.is_empty();
        if let Some(last) = self.rows.last() {
            let published = Published {
                last: last.seq,
                total: self.meta.total,
            };
            lock(&shared.recent).extend(std::mem::take(&mut self.rows));
            shared.publish(published);
        }
        for effect in std::mem::take(&mut self.effects) {
            changed |= effect.apply(shared);
        }
        for (answer, done) in std::mem::take(&mut self.answers) {
            // Whoever asked may have gone away.
            let _ = answer.send(match done {
                Done::Refused(error) => Err(error),
                done => Ok(done),
            });
        }
        self.permits.clear();
        if changed {
            shared.bump();
        }
    }

    /// Nothing of it is promised.
    pub(crate) fn fail(&mut self, error: AppendError) {
        let answers = std::mem::take(&mut self.answers);
        let answers = answers.into_iter().map(|(answer, _)| answer);
        let ops = self.ops.drain(..).chain(self.again.drain(..));
        for answer in answers.chain(ops.map(|op| op.answer)) {
            let _ = answer.send(Err(error));
        }
        self.permits.clear();
    }

    /// Gives the lanes back what could not be written.
    pub(crate) fn restore(&mut self) {
        for (lane, snapshot) in self.snapshots.drain(..) {
            lane.lock().restore(snapshot);
        }
    }
}

impl Effect {
    /// `true` when there is something new to lease.
    fn apply(self, shared: &Shared) -> bool {
        match self {
            Self::Opened(lane) => shared.lanes.insert(lane),
            Self::Dropped(id) => shared.lanes.remove(id),
            Self::BuriedGone(lane, number) => lane.lock().forget_buried(number),
            Self::Quarantined(change) => {
                let change = change.cast_unsigned();
                // Two's complement: adding a negative number's bits takes away.
                shared
                    .gauge
                    .quarantined
                    .fetch_add(change, Ordering::Relaxed);
            }
            Self::Revived(lane, events) => {
                let mut state = lane.lock();
                for (seq, device, at) in events {
                    state.revive(seq, device, at);
                }
                return true;
            }
            Self::Replayed(lane, range) => {
                lane.lock().add_range(range);
                return true;
            }
        }
        false
    }
}
