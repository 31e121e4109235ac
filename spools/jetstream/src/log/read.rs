//! Reading events: stretches from any replica, what is missing there from the leader.

use bytes::Bytes;
use faceway_core::{Entry, Private, ReadMax, Sha256, Stretch};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::client::{Failure, Kept};
use crate::names::StreamKind;
use crate::shared::Shared;

use super::event;
use super::pieces::{self, Whole};

/// Events that are asked for at once.
const AT_ONCE: usize = 64;
/// Messages of one answer.
const ANSWER: usize = 1000;
/// Replicas that are asked for an event before it counts as damaged.
const LOOKS: usize = 3;

impl Shared {
    pub(crate) async fn read(
        &self,
        after_seq: u64,
        through_seq: u64,
        max: ReadMax,
    ) -> Result<Stretch, Failure> {
        let end = through_seq.min(self.seen());
        let mut stretch = Stretch {
            entries: Vec::new(),
            through_seq: after_seq.max(end),
        };
        let (mut next, mut bytes) = (after_seq + 1, 0);
        while next <= end {
            let messages = self.messages(next, end, max).await?;
            let Some(last) = messages.last().map(|message| message.seq) else {
                break;
            };
            for message in messages {
                let is_full = stretch.entries.len() >= max.entries || bytes >= max.bytes;
                if is_full && !stretch.entries.is_empty() {
                    stretch.through_seq = message.seq - 1;
                    return Ok(stretch);
                }
                if let Some(entry) = self.entry(message).await? {
                    bytes += entry.body.size();
                    stretch.entries.push(entry);
                }
            }
            next = last + 1;
            let is_full = stretch.entries.len() >= max.entries || bytes >= max.bytes;
            if is_full && next <= end {
                stretch.through_seq = last;
                return Ok(stretch);
            }
        }
        Ok(stretch)
    }

    /// Messages of events from `next` to `end`; none only where the leader says that there is none.
    async fn messages(&self, next: u64, end: u64, max: ReadMax) -> Result<Vec<Kept>, Failure> {
        let (client, filter) = (&self.client, self.client.names.events());
        let limits = (max.entries.clamp(1, ANSWER), max.bytes.max(1));
        let mut messages = client
            .stretch(StreamKind::Events, next, &filter, limits)
            .await?;
        messages.retain(|message| message.seq <= end);
        if messages.is_empty() {
            // The replica may lag. What it gives is without a gap, so only its end needs a second look.
            let first = client
                .next_at_leader(StreamKind::Events, next, &filter)
                .await?;
            messages.extend(first.filter(|message| message.seq <= end));
        }
        Ok(messages)
    }

    pub(crate) async fn fetch(&self, seqs: Vec<u64>) -> Result<Vec<Option<Entry>>, Failure> {
        stream::iter(seqs.into_iter().map(|seq| self.fetch_one(seq)))
            .buffered(AT_ONCE)
            .try_collect()
            .await
    }

    /// The event with this number: of the log, or a copy of it that a lane has.
    pub(crate) async fn fetch_one(&self, seq: u64) -> Result<Option<Entry>, Failure> {
        if seq == 0 {
            return Ok(None);
        }
        let kept = self.client.get(StreamKind::Events, seq).await?;
        if let Some(kept) = kept
            && let Some(entry) = self.entry(kept).await?
        {
            return Ok(Some(entry));
        }
        self.copy_of_any(seq).await
    }

    /// The event of a message, with its body; `None` where the message is no event or is damaged everywhere.
    pub(crate) async fn entry(&self, mut kept: Kept) -> Result<Option<Entry>, Failure> {
        if event::newest(&kept).is_none() {
            return Ok(None);
        }
        for _ in 0..LOOKS {
            if kept.is_whole() {
                break;
            }
            let Some(another) = self.client.get(StreamKind::Events, kept.seq).await? else {
                return Ok(None);
            };
            kept = another;
        }
        let Some(mut entry) = event::entry(&kept) else {
            self.count_damaged(kept.seq, "its bytes are not what was written");
            return Ok(None);
        };
        if let Some(sha256) = event::body_of(&kept) {
            let Some(body) = self.large_body(sha256).await? else {
                self.count_damaged(kept.seq, "a piece of its body is missing or damaged");
                return Ok(None);
            };
            entry.body = Private::new(body);
        }
        Ok(Some(entry))
    }

    /// A large body; `None` where it is not there, or damaged.
    async fn large_body(&self, sha256: Sha256) -> Result<Option<Bytes>, Failure> {
        let names = &self.client.names;
        let whole = pieces::read(&self.client, StreamKind::Blobs, |piece| {
            names.body(sha256, piece)
        });
        Ok(match whole.await? {
            Whole::Bytes(bytes) => Some(bytes),
            Whole::Absent | Whole::Damaged => None,
        })
    }

    pub(crate) async fn picture(&self, sha256: Sha256) -> Result<Option<Private<Bytes>>, Failure> {
        let names = &self.client.names;
        let whole = pieces::read(&self.client, StreamKind::Blobs, |piece| {
            names.blob(sha256, piece)
        });
        Ok(match whole.await? {
            Whole::Bytes(bytes) => Some(Private::new(bytes)),
            Whole::Absent => None,
            Whole::Damaged => {
                let damaged = &self.gauge.damaged_pictures;
                damaged.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                tracing::error!("the picture {sha256} is damaged at every server that was asked");
                None
            }
        })
    }
}
