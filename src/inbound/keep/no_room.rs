//! Where what cannot be read finds no room in quarantine.

use faceway_core::{AppendError, Batch, Outcome};
use tokio::time::Instant;

use super::super::decode::Heard;
use super::{Inbound, Kept};

/// What becomes of what cannot be read where quarantine has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRoom {
    /// The source hears that it must send again, and keeps it until then.
    SendAgain,
    /// A stream hears nothing and repeats nothing: the message is left out, counted as refused, and told. To wait would
    /// block all that can be read behind it.
    LeaveOut,
}

impl Inbound {
    /// Where what cannot be read finds no room in quarantine, what can be read is kept without it: one unreadable element
    /// costs one element, also when the source has to send all of it again.
    pub(super) async fn append(&self, mut heard: Heard, began: Instant, no_room: NoRoom) -> Kept {
        let readable = readable_alone(&heard.batch);
        let unreadable = heard.batch.unreadable.len();
        let batch = std::mem::take(&mut heard.batch);
        let reason = batch.unreadable.first().map(|entry| entry.reason.clone());
        match self.spool.append(batch).await {
            Err(AppendError::QuarantineFull) => {
                self.junk.no_room(&self.name, unreadable);
                let kept = match readable {
                    Some(batch) => {
                        let appended = self.spool.append(batch).await;
                        self.appended(appended, heard, None, began)
                    }
                    None => Kept::nothing(Outcome::Kept),
                };
                match no_room {
                    NoRoom::SendAgain => {
                        self.metrics.busy();
                        Kept {
                            outcome: Outcome::Busy,
                            ..kept
                        }
                    }
                    NoRoom::LeaveOut => {
                        for _ in 0..unreadable {
                            self.metrics.refused();
                        }
                        kept
                    }
                }
            }
            appended => self.appended(appended, heard, reason.map(|why| (unreadable, why)), began),
        }
    }
}

/// What of a batch can be read, where something of it cannot.
fn readable_alone(batch: &Batch) -> Option<Batch> {
    (!batch.unreadable.is_empty() && !batch.events.is_empty()).then(|| Batch {
        events: batch.events.clone(),
        pictures: batch.pictures.clone(),
        unreadable: Vec::new(),
    })
}
