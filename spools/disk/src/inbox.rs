//! The way to the writer: what is asked of it, in order, and a bell.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use faceway_core::{
    AppendError, Batch, EventId, Mark, Newest, Receipt, RecordId, Sha256, SpoolError,
};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::lane_store::{Reply, Request};
use crate::packs::place::Place;
use crate::settings::{GROUP_BYTES_MAX, GROUP_EVENTS_MAX};

/// One request and where its answer goes.
#[derive(Debug)]
pub(crate) struct Op {
    pub(crate) ask: Ask,
    pub(crate) answer: oneshot::Sender<Result<Done, AppendError>>,
}

/// What is asked. Everything that changes the store goes through here, so that there is one order.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Keep this. The permit holds its bytes until it is answered.
    Append {
        batch: Batch,
        bytes: usize,
        permit: Option<OwnedSemaphorePermit>,
    },
    /// Keep a version of the rules, where this is the newest one.
    Rules { text: Bytes, expected: u64 },
    /// This picture is not what lies there: forget it.
    ForgetPicture(Sha256, Place),
    /// Remove from quarantine.
    DropQuarantined(Option<Vec<u64>>),
    /// Under which number is this event known?
    Find(EventId),
    /// Which are the newest known events of these records?
    NewestOf(Vec<RecordId>),
    /// Something about a lane.
    Lane(Request),
    /// Nothing: the answer says that the writer knows what is durable.
    Sync,
}

/// The answers.
#[derive(Debug)]
pub(crate) enum Done {
    Receipts(Vec<Receipt>),
    /// It is not kept.
    Refused(AppendError),
    Count(u64),
    Found(Option<u64>),
    Newest(Vec<Option<Newest>>),
    Reply(Reply),
    /// Where the rules stand, or the version that came first.
    Mark(Result<Mark, u64>),
    Nothing,
}

/// The answer to something else means that the writer failed.
pub(crate) fn unexpected(answer: Result<Done, AppendError>) -> SpoolError {
    match answer {
        Ok(_) => SpoolError("the writer answered something else".into()),
        Err(error) => SpoolError(error.to_string()),
    }
}

impl Ask {
    fn weight(&self) -> (usize, usize) {
        match self {
            Self::Append { batch, bytes, .. } => (batch.events.len(), *bytes),
            _ => (1, 0),
        }
    }

    /// Whether it waits for company: a lane commits often, and nothing waits for it but the lane.
    const fn can_wait(&self) -> bool {
        matches!(self, Self::Lane(Request::Commit { .. }))
    }
}

/// How the writer is told to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stop {
    #[default]
    No,
    /// When everything that was asked is durable.
    Flush,
    /// At once.
    Now,
}

/// What the writer takes for one group.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) ops: Vec<Op>,
    pub(crate) stop: Stop,
}

/// Commits of lanes wait so long for company when nothing else is to be written: each group costs a sync.
const LINGER: Duration = Duration::from_millis(20);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct State {
    ops: VecDeque<Op>,
    waits_since: Option<Instant>,
    stop: Stop,
    asleep: bool,
}

impl State {
    /// Whether something is to be written at once.
    fn is_urgent(&self) -> bool {
        self.ops.iter().any(|op| !op.ask.can_wait())
    }
}

impl Inbox {
    /// Asks something; gives it back when the writer has ended.
    pub(crate) fn push(&self, op: Op) -> Result<(), Op> {
        let mut state = self.lock();
        if state.stop != Stop::No {
            return Err(op);
        }
        if op.ask.can_wait() && state.waits_since.is_none() {
            state.waits_since = Some(Instant::now());
        }
        state.ops.push_back(op);
        self.ring(state);
        Ok(())
    }

    /// Ends the writer.
    pub(crate) fn stop(&self, stop: Stop) {
        let mut state = self.lock();
        if state.stop != Stop::Now {
            state.stop = stop;
        }
        self.ring(state);
    }

    /// Waits until there is something to do, at most `patience`, and takes one group's worth of it.
    pub(crate) fn take(&self, patience: Duration) -> Taken {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        while !state.is_urgent() && state.stop == Stop::No {
            let until = state
                .waits_since
                .map_or(deadline, |at| (at + LINGER).min(deadline));
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state.asleep = true;
            let woken = self.bell.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
            state.asleep = false;
        }
        let ops = group(&mut state.ops);
        // A commit that found no place in this group has waited already.
        state.waits_since = (!state.ops.is_empty()).then(Instant::now);
        Taken {
            ops,
            stop: if state.ops.is_empty() || state.stop == Stop::Now {
                state.stop
            } else {
                Stop::No
            },
        }
    }

    /// Everything that was not taken, at the end.
    pub(crate) fn drain(&self) -> Vec<Op> {
        let mut state = self.lock();
        state.stop = Stop::Now;
        state.ops.drain(..).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The system is only called when the writer sleeps.
    fn ring(&self, state: MutexGuard<'_, State>) {
        let asleep = state.asleep;
        drop(state);
        if asleep {
            self.bell.notify_one();
        }
    }
}

fn group(ops: &mut VecDeque<Op>) -> Vec<Op> {
    let (mut count, mut bytes, mut taken) = (0, 0, 0);
    for op in ops.iter() {
        let (events, size) = op.ask.weight();
        if taken > 0 && (count + events > GROUP_EVENTS_MAX || bytes + size > GROUP_BYTES_MAX) {
            break;
        }
        count += events;
        bytes += size;
        taken += 1;
    }
    ops.drain(..taken).collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use faceway_core::{Claim, LaneChange};
    use tokio::sync::oneshot;

    use super::{Ask, Inbox, LINGER, Op};
    use crate::lane_store::Request;

    fn push(inbox: &Inbox, ask: Ask) {
        let (answer, _) = oneshot::channel();
        assert!(inbox.push(Op { ask, answer }).is_ok());
    }

    fn commit() -> Ask {
        Ask::Lane(Request::Commit {
            claim: Claim {
                lane: "erp".into(),
                epoch: 1,
            },
            change: Box::new(LaneChange::default()),
        })
    }

    #[test]
    fn a_commit_waits_for_company_and_nothing_else_does() {
        const LONG: Duration = Duration::from_secs(3600);
        let (inbox, begin) = (Inbox::default(), Instant::now());
        push(&inbox, commit());
        assert_eq!(inbox.take(LONG).ops.len(), 1);
        assert!(begin.elapsed() >= LINGER);
        push(&inbox, commit());
        push(&inbox, Ask::Sync);
        push(&inbox, commit());
        assert_eq!(inbox.take(LONG).ops.len(), 3);
        push(&inbox, commit());
        assert_eq!(
            inbox.take(Duration::ZERO).ops.len(),
            1,
            "the writer has work"
        );
    }
}
