//! Rules versions: marks in the log, so that each event goes by one version.
//!
//! A mark is a message `mark` of EVENTS, written by compare-and-set on the mark before. Its payload is the text; a large text
//! stands in pieces `state.rules.<sha256>.<n>`, and `Fw-Body` names it. `Fw-Call` says which write it is. A mark that is
//! repeated, so that the log can be trimmed behind it, names in `Fw-Version` the number of the first one: that is the version,
//! and the place from which it counts.

use bytes::Bytes;
use faceway_core::{Mark, RulesEntry, RulesError, Sha256};
use tokio::time::{Instant, timeout};

use crate::client::{Failure, Kept, Outgoing, pause};
use crate::names::StreamKind;
use crate::shared::Shared;

use super::append::SEE_MAX;
use super::event::{BODY, PIECE};
use super::follow::reach;
use super::pieces::{self, Whole};

const CALL: &str = "Fw-Call";
const VERSION: &str = "Fw-Version";

/// A mark as it stands in the log.
struct Found {
    kept: Kept,
    mark: Mark,
}

impl Found {
    fn of(kept: Kept) -> Self {
        let first = version(&kept);
        let mark = Mark {
            version: first,
            after_seq: first,
        };
        Self { kept, mark }
    }
}

/// The version that a mark is of.
pub(crate) fn version(kept: &Kept) -> u64 {
    kept.headers.number(VERSION).unwrap_or(kept.seq)
}

/// The tail comes to a mark of this version.
pub(crate) fn see(shared: &Shared, version: u64) {
    shared.rules.send_if_modified(|newest| {
        let is_newer = version > *newest;
        *newest = version.max(*newest);
        is_newer
    });
}

impl Shared {
    /// The tail may begin behind the newest mark.
    pub(super) async fn see_newest_mark(&self) -> Result<(), Failure> {
        let newest = self.newest_mark().await?;
        if let Some(newest) = newest.filter(|newest| newest.kept.seq <= self.seen()) {
            see(self, newest.mark.version);
        }
        Ok(())
    }

    async fn newest_mark(&self) -> Result<Option<Found>, Failure> {
        let subject = self.client.names.mark();
        let kept = self
            .client
            .last_at_leader(StreamKind::Events, &subject)
            .await?;
        Ok(kept.map(Found::of))
    }

    pub(crate) async fn append_rules(
        &self,
        text: Bytes,
        expected: u64,
    ) -> Result<Mark, RulesError> {
        let deadline = Instant::now() + self.settings.append_timeout;
        let failed = |failure: Failure| RulesError::Spool(failure.into());
        let call = format!("{:016x}", rand::random::<u64>());
        let message = self
            .mark_message(text, deadline)
            .await
            .map_err(failed)?
            .with(CALL, &call);
        loop {
            let newest = self.newest_mark().await.map_err(failed)?;
            let version = newest.as_ref().map_or(0, |newest| newest.mark.version);
            if let Some(newest) = &newest
                && newest.kept.headers.get(CALL) == Some(&call)
            {
                // An answer was lost.
                return Ok(self.marked(newest.mark).await);
            }
            if version != expected {
                return Err(RulesError::Conflict(version));
            }
            let before = newest.as_ref().map_or(0, |newest| newest.kept.seq);
            let next = message
                .clone()
                .with("Nats-Expected-Last-Subject-Sequence", before);
            match self.client.publish_once(&next).await {
                Ok(ack) => {
                    let mark = Mark {
                        version: ack.seq,
                        after_seq: ack.seq,
                    };
                    return Ok(self.marked(mark).await);
                }
                Err(failure) if failure == Failure::Moved || failure.passes() => {
                    if Instant::now() >= deadline {
                        return Err(failed(failure));
                    }
                    pause().await;
                }
                Err(failure) => return Err(failed(failure)),
            }
        }
    }

    /// The tail has seen a mark before the caller hears of it: what is appended afterwards stands behind it here, too.
    async fn marked(&self, mark: Mark) -> Mark {
        let _ = timeout(SEE_MAX, reach(self, mark.after_seq)).await;
        mark
    }

    async fn mark_message(&self, text: Bytes, deadline: Instant) -> Result<Outgoing, Failure> {
        let names = &self.client.names;
        if text.len() <= PIECE {
            return Ok(Outgoing::new(names.mark(), text));
        }
        let sha256 = Sha256::of(&text);
        let split = pieces::split(&text, |piece| names.rules(sha256, piece));
        pieces::publish(&self.client, split, deadline).await?;
        Ok(Outgoing::new(names.mark(), Bytes::new()).with(BODY, sha256))
    }

    pub(crate) async fn rules(&self) -> Result<Option<RulesEntry>, Failure> {
        let Some(Found { kept, mark }) = self.newest_mark().await? else {
            return Ok(None);
        };
        let names = &self.client.names;
        let text = match kept.headers.get(BODY).map(str::parse::<Sha256>) {
            None if kept.is_whole() => Some(kept.payload),
            Some(Ok(sha256)) => {
                let whole = pieces::read(&self.client, StreamKind::State, |piece| {
                    names.rules(sha256, piece)
                });
                match whole.await? {
                    Whole::Bytes(text) => Some(text),
                    Whole::Absent | Whole::Damaged => None,
                }
            }
            _ => None,
        };
        if text.is_none() {
            tracing::error!("version {} of the rules is damaged", mark.version);
        }
        Ok(text.map(|text| RulesEntry { mark, text }))
    }

    /// Repeats the newest mark where trimming up to `through` would take it.
    pub(crate) async fn repeat_mark(&self, through: u64) -> Result<(), Failure> {
        let Some(Found { kept, mark }) = self.newest_mark().await? else {
            return Ok(());
        };
        if kept.seq > through {
            return Ok(());
        }
        let again = Outgoing {
            subject: kept.subject,
            headers: kept.headers,
            payload: kept.payload,
        };
        let again = again
            .with(VERSION, mark.version)
            .with("Nats-Expected-Last-Subject-Sequence", kept.seq);
        match self.client.publish_once(&again).await {
            // Another version came first, and stands further behind.
            Ok(_) | Err(Failure::Moved) => Ok(()),
            Err(failure) => Err(failure),
        }
    }
}
