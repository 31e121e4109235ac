//! Appending: pictures, then what could not be read, then events. Success is the servers' acknowledgement.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use faceway_core::{AppendError, Batch, NewEvent, Receipt, Sha256};
use tokio::time::{Instant, timeout};

use crate::client::{Failure, Outgoing, pause};
use crate::lock;
use crate::shared::Shared;

use super::event::{self, PIECE};
use super::follow::reach;
use super::pieces::{self, Blob};

/// Events of an atomic batch.
const BATCH_EVENTS: usize = 500;
/// Bytes of an atomic batch.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// How long an append waits until its own events are in the table; they are durable already.
pub(super) const SEE_MAX: Duration = Duration::from_secs(2);

/// What became of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    New(u64),
    /// The servers have it under this number.
    Known(u64),
}

impl Shared {
    pub(crate) async fn append(&self, batch: Batch) -> Result<Vec<Receipt>, AppendError> {
        self.accepting()?;
        let deadline = Instant::now() + self.settings.append_timeout;
        self.quarantine_takes(&batch.unreadable).await?;
        let is_new = self.new_events(&batch.events);
        let failed = |failure: Failure| self.refusal(&failure);
        let blobs = blobs(&batch, &is_new);
        let mut bytes: usize = blobs.iter().map(|blob| blob.bytes.len()).sum();
        pieces::publish_blobs(&self.client, &self.recent, blobs, deadline)
            .await
            .map_err(failed)?;
        self.keep_unreadable(batch.unreadable, deadline)
            .await
            .map_err(failed)?;
        let new: Vec<&NewEvent> = batch
            .events
            .iter()
            .zip(&is_new)
            .filter_map(|(event, is_new)| is_new.then_some(event))
            .collect();
        let places = self.publish_events(&new, deadline).await.map_err(failed)?;
        bytes += new.iter().map(|event| event.body.size()).sum::<usize>();
        // Until the next look counts them.
        let used = &self.gauge.bytes;
        used.fetch_add(bytes as u64, Ordering::Relaxed);
        self.see(&places).await;
        let mut places = places.into_iter();
        let receipts = batch.events.iter().zip(is_new).map(|(event, is_new)| {
            let place = if is_new { places.next() } else { None };
            place.map_or(Receipt::Duplicate, |place| self.receipt(event, place))
        });
        Ok(receipts.collect())
    }

    /// Which events of a batch are not known yet; of equal ones the first.
    fn new_events(&self, events: &[NewEvent]) -> Vec<bool> {
        let known = lock(&self.known);
        let mut ids = HashSet::new();
        let is_new = |event: &NewEvent| known.seq_of(event.id).is_none() && ids.insert(event.id);
        events.iter().map(is_new).collect()
    }

    fn receipt(&self, event: &NewEvent, place: Place) -> Receipt {
        match place {
            Place::Known(_) => Receipt::Duplicate,
            Place::New(seq) if lock(&self.known).has_other_before(event.id, seq) => {
                Receipt::Conflict(seq)
            }
            Place::New(seq) => Receipt::Appended(seq),
        }
    }

    /// Waits until the tail has seen these events: then the table knows everything before them, and a reader of the tail
    /// finds them, also those that an earlier try or another gateway has kept. They are durable already, so a tail that is slow does not fail them.
    async fn see(&self, places: &[Place]) {
        let seqs = places.iter().map(|place| match place {
            Place::New(seq) | Place::Known(seq) => *seq,
        });
        if let Some(last) = seqs.max() {
            let _ = timeout(SEE_MAX, reach(self, last)).await;
        }
    }

    async fn publish_events(
        &self,
        events: &[&NewEvent],
        deadline: Instant,
    ) -> Result<Vec<Place>, Failure> {
        let messages: Vec<Outgoing> = events
            .iter()
            .map(|event| event::message(&self.client.names, event))
            .collect();
        let mut places = Vec::with_capacity(messages.len());
        let mut rest = &messages[..];
        while !rest.is_empty() {
            let (slice, behind) = rest.split_at(slice_of(rest));
            places.extend(self.publish_slice(slice, deadline).await?);
            rest = behind;
        }
        Ok(places)
    }

    /// Several events are one atomic batch. One that has a known id is refused whole; then each goes alone, in order.
    async fn publish_slice(
        &self,
        messages: &[Outgoing],
        deadline: Instant,
    ) -> Result<Vec<Place>, Failure> {
        // Whether an earlier try may have been kept.
        let mut is_uncertain = false;
        while messages.len() > 1 {
            match self.client.publish_batch(messages).await {
                Ok(ack) => {
                    let first = ack.seq + 1 - messages.len() as u64;
                    return Ok((first..=ack.seq).map(Place::New).collect());
                }
                Err(Failure::KnownInBatch) => break,
                Err(failure) => {
                    is_uncertain |= matches!(failure, Failure::Unavailable(_));
                    again(failure, deadline).await?;
                }
            }
        }
        let mut places = Vec::with_capacity(messages.len());
        for message in messages {
            places.push(self.publish_one(message, is_uncertain, deadline).await?);
        }
        Ok(places)
    }

    async fn publish_one(
        &self,
        message: &Outgoing,
        mut is_uncertain: bool,
        deadline: Instant,
    ) -> Result<Place, Failure> {
        loop {
            match self.client.publish_once(message).await {
                // After a try without an answer the known message may be that try's, so it counts as new.
                Ok(ack) if ack.duplicate && !is_uncertain => return Ok(Place::Known(ack.seq)),
                Ok(ack) => return Ok(Place::New(ack.seq)),
                Err(failure) => {
                    is_uncertain |= matches!(failure, Failure::Unavailable(_));
                    again(failure, deadline).await?;
                }
            }
        }
    }
}

/// Waits before the next try with the same ids; fails where there is none.
async fn again(failure: Failure, deadline: Instant) -> Result<(), Failure> {
    if !failure.passes() || Instant::now() >= deadline {
        return Err(failure);
    }
    pause().await;
    Ok(())
}

/// How many of these messages form the next batch.
fn slice_of(messages: &[Outgoing]) -> usize {
    let mut bytes = 0;
    let fits = |message: &&Outgoing| {
        bytes += message.size();
        bytes <= BATCH_BYTES
    };
    let count = messages.iter().take(BATCH_EVENTS).take_while(fits).count();
    count.max(1)
}

/// Pictures and large bodies of a batch. A picture that only known events name has been published with them.
fn blobs(batch: &Batch, is_new: &[bool]) -> Vec<Blob> {
    let events = || batch.events.iter().zip(is_new);
    let names = |sha256: Sha256, new: bool| {
        events().any(|(event, is_new)| *is_new == new && event.images.contains(&sha256))
    };
    let pictures = batch
        .pictures
        .iter()
        .filter(|picture| names(picture.sha256, true) || !names(picture.sha256, false))
        .map(|picture| Blob {
            is_picture: true,
            sha256: picture.sha256,
            bytes: picture.bytes.reveal().clone(),
        });
    let large = events().filter(|(event, is_new)| **is_new && event.body.size() > PIECE);
    let large = large.map(|(event, _)| {
        let body = event.body.reveal().clone();
        Blob {
            is_picture: false,
            sha256: Sha256::of(&body),
            bytes: body,
        }
    });
    let mut blobs: Vec<_> = pictures.chain(large).collect();
    let mut seen = HashSet::new();
    blobs.retain(|blob| seen.insert((blob.is_picture, blob.sha256)));
    blobs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_keep_both_limits() {
        let message = |bytes: usize| Outgoing::new("s".into(), vec![0; bytes].into());
        assert_eq!(slice_of(&vec![message(1); 700]), BATCH_EVENTS);
        assert_eq!(slice_of(&vec![message(500_000); 20]), 8);
        assert_eq!(slice_of(&[message(5_000_000)]), 1, "one goes alone");
    }
}
