//! A lane's own copies of events: of buried ones, and of revived ones until they are delivered. They outlive the log.
//!
//! `copy.<seq>.<lane>`: headers and payload as in the log, but the id stands in `Fw-Id` (the servers take no second message of
//! one `Nats-Msg-Id`) and the device in `Fw-Device`. A large body stands in pieces `piece.<seq>.<lane>.<n>`.

use bytes::Bytes;
use faceway_core::{DeviceKey, Entry, Private, Timestamp, TraceContext};
use tokio::time::Instant;

use crate::client::{Client, Failure, Kept, Outgoing};
use crate::log::event::{AT, BODY, PIECE, SIZE, TRACE, one_line};
use crate::log::pieces::{self, Whole};
use crate::names::{StreamKind, name, number_of, token_of};
use crate::shared::Shared;

const COPY_ID: &str = "Fw-Id";
const DEVICE: &str = "Fw-Device";

impl Shared {
    /// Keeps a copy of an event for a lane.
    pub(super) async fn put_copy(
        &self,
        lane: &str,
        entry: &Entry,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let names = &self.client.names;
        let subject = names.copy(entry.seq, lane);
        // The stream keeps the body as it is.
        let body = entry.body.reveal();
        let message = if body.len() > PIECE {
            let split = pieces::split(body, |piece| names.copy_piece(entry.seq, lane, piece));
            pieces::publish(&self.client, split, deadline).await?;
            Outgoing::new(subject, Bytes::new())
                .with(BODY, faceway_core::Sha256::of(body))
                .with(SIZE, body.len())
        } else {
            Outgoing::new(subject, body.clone())
        };
        let mut message = message
            .with(COPY_ID, entry.id)
            .with(DEVICE, format!("{:016x}", entry.device.0))
            .with(AT, entry.received_at.as_millis());
        if let Some(context) = &entry.trace_context {
            message = message.with(TRACE, one_line(context));
        }
        self.client.publish(&message, deadline).await.map(|_| ())
    }

    /// The copy that a lane has of an event.
    pub(crate) async fn copy(&self, lane: &str, seq: u64) -> Result<Option<Entry>, Failure> {
        let subject = self.client.names.copy(seq, lane);
        let kept = self.client.last_at_leader(StreamKind::Lanes, &subject);
        match kept.await? {
            Some(kept) => self.entry_of_copy(kept).await,
            None => Ok(None),
        }
    }

    /// The copy that any lane has of an event.
    pub(crate) async fn copy_of_any(&self, seq: u64) -> Result<Option<Entry>, Failure> {
        let subject = self.client.names.copies_of_event(seq);
        let kept = self.client.next_at_leader(StreamKind::Lanes, 1, &subject);
        match kept.await? {
            Some(kept) => self.entry_of_copy(kept).await,
            None => Ok(None),
        }
    }

    async fn entry_of_copy(&self, kept: Kept) -> Result<Option<Entry>, Failure> {
        let Some(mut entry) = parse(&kept) else {
            tracing::error!("the copy {} is damaged", kept.subject);
            return Ok(None);
        };
        if kept.headers.get(BODY).is_some() {
            let lane = token_of(&kept.subject, 0)
                .and_then(name)
                .unwrap_or_default();
            let names = &self.client.names;
            let whole = pieces::read(&self.client, StreamKind::Lanes, |piece| {
                names.copy_piece(entry.seq, &lane, piece)
            });
            let Whole::Bytes(body) = whole.await? else {
                tracing::error!("a piece of the copy {} is missing or damaged", kept.subject);
                return Ok(None);
            };
            entry.body = Private::new(body);
        }
        Ok(Some(entry))
    }
}

/// Removes copies of these events, and rows whose last message has a number below `before`.
pub(super) async fn clean(
    client: &Client,
    (lane, seqs): (&str, &[u64]),
    (rows, before): (&[String], u64),
) -> Result<(), Failure> {
    for subject in rows {
        client
            .purge(StreamKind::State, subject, Some(before))
            .await?;
    }
    for seq in seqs {
        let copy = client.names.copy(*seq, lane);
        let pieces = client.names.pieces_of_copy(*seq, lane);
        for subject in [copy, pieces] {
            client.purge(StreamKind::Lanes, &subject, None).await?;
        }
    }
    Ok(())
}

fn parse(kept: &Kept) -> Option<Entry> {
    let headers = &kept.headers;
    let device = u64::from_str_radix(headers.get(DEVICE)?, 16).ok()?;
    let context = headers.get(TRACE).map(|text| text.replacen(' ', "\n", 1));
    kept.is_whole().then_some(Entry {
        seq: number_of(&kept.subject, 1)?,
        id: headers.get(COPY_ID)?.parse().ok()?,
        device: DeviceKey(device),
        received_at: Timestamp::from_millis(headers.number(AT)?).ok()?,
        trace_context: context.and_then(|text| TraceContext::stored(&text)),
        body: Private::new(kept.payload.clone()),
    })
}
