//! What is asked of the writer, and its answers.

use bytes::Bytes;
use faceway_core::{
    AppendError, Batch, EventId, Mark, Newest, Receipt, RecordId, Sha256, SpoolError,
};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::lane_store::{Reply, Request};
use crate::mailbox::{Mail, Mailbox};
use crate::packs::place::Place;
use crate::settings::{GROUP_BYTES_MAX, GROUP_EVENTS_MAX};

pub(crate) use crate::mailbox::Stop;

/// The way to the writer.
pub(crate) type Inbox = Mailbox<Op>;

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

impl Mail for Op {
    const EVENTS_MAX: usize = GROUP_EVENTS_MAX;
    const BYTES_MAX: usize = GROUP_BYTES_MAX;

    fn weight(&self) -> (usize, usize) {
        match &self.ask {
            Ask::Append { batch, bytes, .. } => (batch.events.len(), *bytes),
            _ => (1, 0),
        }
    }

    /// A lane commits often, and nothing waits for it but the lane.
    fn can_wait(&self) -> bool {
        matches!(self.ask, Ask::Lane(Request::Commit { .. }))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use faceway_core::{Claim, LaneChange};
    use tokio::sync::oneshot;

    use super::{Ask, Inbox, Op};
    use crate::lane_store::Request;
    use crate::mailbox::LINGER;

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
