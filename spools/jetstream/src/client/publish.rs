//! Publishing: success is the servers' acknowledgement, and nothing else.

use async_nats::Request;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::message::Outgoing;
use super::request::{PAUSE, TRY, parse};
use super::{Client, Failure};

/// What the servers say of a message that they have kept.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Ack {
    /// Its number; of a batch that of its last message.
    pub(crate) seq: u64,
    /// Whether they had its id already.
    #[serde(default)]
    pub(crate) duplicate: bool,
}

impl Client {
    /// Publishes once, and waits for the acknowledgement.
    ///
    /// Trap: the library's publish returns when a message is sent, and while it is disconnected messages queue up. Here a
    /// publish is a request, and its answer is the acknowledgement.
    pub(crate) async fn publish_once(&self, message: &Outgoing) -> Result<Ack, Failure> {
        let request = Request::new()
            .headers(message.headers.clone().into_map())
            .payload(message.payload.clone())
            .timeout(Some(TRY));
        let answer = self.send(message.subject.clone(), request).await?;
        parse(&answer.payload)
    }

    /// Publishes what may be written several times without harm, until it is acknowledged or `deadline` has passed.
    pub(crate) async fn publish(
        &self,
        message: &Outgoing,
        deadline: Instant,
    ) -> Result<Ack, Failure> {
        loop {
            let failure = match self.publish_once(message).await {
                Ok(ack) => return Ok(ack),
                Err(failure) => failure,
            };
            if !failure.passes() || Instant::now() >= deadline {
                return Err(failure);
            }
            sleep(PAUSE).await;
        }
    }

    /// Publishes several messages as one: all of them are kept or none, and nothing stands between them.
    pub(crate) async fn publish_batch(&self, messages: &[Outgoing]) -> Result<Ack, Failure> {
        let Some((last, first)) = messages.split_last() else {
            return Err(Failure::NotFound);
        };
        if first.is_empty() {
            return self.publish_once(last).await;
        }
        let _permit = self.batches.acquire().await.map_err(Failure::unavailable)?;
        let id = self.ids.next();
        for (number, message) in (1_usize..).zip(first) {
            let mut headers = message.headers.clone();
            headers.set("Nats-Batch-Id", &id);
            headers.set("Nats-Batch-Sequence", number);
            let subject = message.subject.clone();
            let sent = self.nats.publish_with_headers(
                subject,
                headers.into_map(),
                message.payload.clone(),
            );
            tokio::time::timeout(TRY, sent)
                .await
                .map_err(Failure::unavailable)?
                .map_err(Failure::unavailable)?;
        }
        let commit = last
            .clone()
            .with("Nats-Batch-Id", &id)
            .with("Nats-Batch-Sequence", messages.len())
            .with("Nats-Batch-Commit", 1);
        self.publish_once(&commit).await
    }
}

impl Failure {
    /// Whether the next try may succeed.
    pub(crate) const fn passes(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::InProcess)
    }
}

/// Waits a moment before the next try.
pub(crate) async fn pause() {
    sleep(PAUSE).await;
}
