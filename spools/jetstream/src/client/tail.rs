//! Following a stream: every message from a number on, in order and without a gap, for as long as it is asked for.
//!
//! An ephemeral consumer that acknowledges nothing, like the library's ordered one. It is made again when a message is missing,
//! when heartbeats do not come, and when the servers have lost it.

use std::time::Duration;

use futures_util::StreamExt as _;
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::names::StreamKind;

use super::message::{Headers, Kept};
use super::request::{PAUSE, status};
use super::{Client, Failure};

/// How often the servers say that they are there.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// Trap: a consumer that was just made has no leader yet, and one that the servers lost says nothing. Without a sign for this
/// long it is made again.
const SILENCE: Duration = Duration::from_secs(2);

/// Follows one stream.
pub(crate) struct Follower {
    client: Client,
    stream: StreamKind,
    /// The next number that is wanted.
    next: u64,
    /// Only messages whose subject fits.
    filter: Option<String>,
    headers_only: bool,
    feed: Option<Feed>,
    /// Messages that were still to come when the consumer was made, at its replica.
    pending: u64,
}

struct Feed {
    subscriber: async_nats::Subscriber,
    consumer: String,
    /// The consumer's own number of the last message.
    delivered: u64,
}

/// What came.
#[derive(Debug)]
pub(crate) enum Followed {
    /// The next message; its payload is empty where only headers are asked for.
    Message(Kept),
    /// There is nothing more at present.
    Idle,
    /// The stream cannot be followed now.
    Broken,
}

#[derive(Deserialize)]
struct Created {
    num_pending: u64,
}

/// How long a stretch may take to read when nothing comes.
const PATIENCE: Duration = Duration::from_secs(12);

impl Follower {
    pub(crate) const fn new(
        client: Client,
        stream: StreamKind,
        from: u64,
        headers_only: bool,
    ) -> Self {
        Self {
            client,
            stream,
            next: from,
            filter: None,
            headers_only,
            feed: None,
            pending: 0,
        }
    }

    /// The next thing that happens.
    pub(crate) async fn next(&mut self) -> Followed {
        let Some(feed) = &mut self.feed else {
            return self.open().await;
        };
        let Ok(Some(message)) = timeout(SILENCE, feed.subscriber.next()).await else {
            return self.breaks().await;
        };
        if let Some(status) = status(&message) {
            return self.control(status, &message).await;
        }
        let places = message.reply.as_deref().and_then(Places::of);
        let Some(places) = places else {
            return self.breaks().await;
        };
        if places.delivered != feed.delivered + 1 {
            // A message is missing: it is read again.
            return self.breaks().await;
        }
        feed.delivered = places.delivered;
        self.pending = self.pending.saturating_sub(1);
        self.next = places.seq + 1;
        Followed::Message(Kept {
            seq: places.seq,
            subject: message.subject.into_string(),
            headers: Headers::of(message.headers),
            payload: message.payload,
            at: None,
        })
    }

    async fn control(&mut self, status: u16, message: &async_nats::Message) -> Followed {
        if status != 100 {
            return self.breaks().await;
        }
        let headers = Headers::of(message.headers.clone());
        let stalled = headers.get("Nats-Consumer-Stalled");
        let answer = message.reply.as_deref().or(stalled);
        if let Some(answer) = answer {
            // Without this the servers hold further messages back.
            let sent = self.client.nats.publish(answer.to_owned(), "".into());
            if sent.await.is_err() {
                return self.breaks().await;
            }
            return Followed::Idle;
        }
        let last: Option<u64> = headers.number("Nats-Last-Consumer");
        let feed = self.feed.as_ref();
        match (last, feed) {
            (Some(last), Some(feed)) if last != feed.delivered => self.breaks().await,
            _ => Followed::Idle,
        }
    }

    async fn open(&mut self) -> Followed {
        match self.make().await {
            Ok((feed, pending)) => {
                (self.feed, self.pending) = (Some(feed), pending);
                Followed::Idle
            }
            Err(failure) => {
                tracing::debug!("the stream {:?} cannot be followed: {failure}", self.stream);
                tokio::time::sleep(PAUSE).await;
                Followed::Broken
            }
        }
    }

    async fn make(&self) -> Result<(Feed, u64), Failure> {
        let client = &self.client;
        let (stream, consumer) = (client.stream(self.stream), client.ids.next());
        let inbox = client.nats.new_inbox();
        let subscriber = client.nats.subscribe(inbox.clone());
        let subscriber = subscriber.await.map_err(Failure::unavailable)?;
        let nanos = |duration: Duration| duration.as_nanos() as u64;
        let mut config = json!({
            "stream_name": stream,
            "config": {
                "name": consumer,
                "deliver_subject": inbox,
                "deliver_policy": "by_start_sequence",
                "opt_start_seq": self.next.max(1),
                "ack_policy": "none",
                "max_deliver": 1,
                "replay_policy": "instant",
                "headers_only": self.headers_only,
                "mem_storage": true,
                "num_replicas": 1,
                "idle_heartbeat": nanos(HEARTBEAT),
                "flow_control": true,
                "inactive_threshold": nanos(SILENCE * 5),
            },
        });
        if let Some(filter) = &self.filter {
            config["config"]["filter_subject"] = filter.as_str().into();
        }
        let request = format!("CONSUMER.CREATE.{stream}.{consumer}");
        let created: Created = client.api_once(&request, &config).await?;
        let feed = Feed {
            subscriber,
            consumer,
            delivered: 0,
        };
        Ok((feed, created.num_pending))
    }

    /// Lets go of the consumer, so that the next call makes another.
    async fn breaks(&mut self) -> Followed {
        if let Some(feed) = self.feed.take() {
            self.client.forget(self.stream, &feed.consumer).await;
        }
        Followed::Broken
    }

    /// Ends the consumer.
    pub(crate) async fn close(mut self) {
        self.breaks().await;
    }
}

impl Client {
    /// Everything from this number on whose subject fits, up to what the leader has now.
    pub(crate) async fn collect(
        &self,
        stream: StreamKind,
        from: u64,
        filter: &str,
        headers_only: bool,
    ) -> Result<Vec<Kept>, Failure> {
        let mut follower = Follower::new(self.clone(), stream, from, headers_only);
        follower.filter = Some(filter.to_owned());
        let (mut messages, deadline) = (Vec::new(), Instant::now() + PATIENCE);
        loop {
            let followed = follower.next().await;
            let may_be_the_end = match followed {
                Followed::Message(kept) => {
                    messages.push(kept);
                    follower.pending == 0
                }
                Followed::Idle => follower.pending == 0,
                Followed::Broken if Instant::now() > deadline => {
                    return Err(Failure::unavailable("a reading breaks off again and again"));
                }
                Followed::Broken => false,
            };
            // The replica of the consumer may lag.
            let next = follower.next;
            if may_be_the_end && self.next_at_leader(stream, next, filter).await?.is_none() {
                follower.close().await;
                return Ok(messages);
            }
        }
    }

    /// Ends a consumer without waiting: where this is lost, the servers end it by its silence.
    async fn forget(&self, stream: StreamKind, consumer: &str) {
        let request = format!("$JS.API.CONSUMER.DELETE.{}.{consumer}", self.stream(stream));
        let _ = self.nats.publish(request, "".into()).await;
    }
}

/// Numbers that stand in the reply subject of a delivered message.
struct Places {
    seq: u64,
    delivered: u64,
}

impl Places {
    /// `$JS.ACK.<stream>.<consumer>.<tries>.<seq>.<delivered>.<time>.<pending>`; a newer form has domain and account before
    /// the stream, and may have a token more at its end.
    fn of(reply: &str) -> Option<Self> {
        let tokens: Vec<&str> = reply.split('.').collect();
        let at = match tokens.len() {
            9 => 5,
            11.. => 7,
            _ => return None,
        };
        Some(Self {
            seq: tokens[at].parse().ok()?,
            delivered: tokens[at + 1].parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_reply_are_read() {
        for reply in [
            "$JS.ACK.S.c.1.42.7.1790000000000.0",
            "$JS.ACK._.acc.S.c.1.42.7.1790000000000.0",
            "$JS.ACK._.acc.S.c.1.42.7.1790000000000.0.rnd",
        ] {
            let places = Places::of(reply).expect(reply);
            assert_eq!((places.seq, places.delivered), (42, 7), "{reply}");
        }
        assert!(Places::of("_INBOX.x").is_none());
    }
}
