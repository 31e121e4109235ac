//! Reading single messages and stretches.
//!
//! Trap: there is no read after a write. A direct get is answered by any replica, which may lag: what was acknowledged a
//! moment ago is "not found" there. So whatever decides something is read at the leader, and a direct get that finds nothing
//! asks the leader.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use faceway_core::Timestamp;
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::names::StreamKind;

use super::message::{Headers, Kept};
use super::request::{TRY, status};
use super::{Client, Failure};

/// What a leader answers.
#[derive(Deserialize)]
struct Got {
    message: Stored,
}

#[derive(Deserialize)]
struct Stored {
    subject: String,
    seq: u64,
    #[serde(default)]
    hdrs: String,
    #[serde(default)]
    data: String,
    time: String,
}

impl Client {
    /// The message with this number, as the leader knows it.
    pub(crate) async fn at_leader(
        &self,
        stream: StreamKind,
        seq: u64,
    ) -> Result<Option<Kept>, Failure> {
        self.leader_get(stream, &json!({ "seq": seq })).await
    }

    /// The last message of this subject, as the leader knows it.
    pub(crate) async fn last_at_leader(
        &self,
        stream: StreamKind,
        subject: &str,
    ) -> Result<Option<Kept>, Failure> {
        self.leader_get(stream, &json!({ "last_by_subj": subject }))
            .await
    }

    /// The same, asked once: where the next look comes soon, and waiting for an election would hold up other things.
    pub(crate) async fn last_at_leader_once(
        &self,
        stream: StreamKind,
        subject: &str,
    ) -> Result<Option<Kept>, Failure> {
        let request = format!("STREAM.MSG.GET.{}", self.stream(stream));
        let query = json!({ "last_by_subj": subject });
        found(self.api_once(&request, &query).await)
    }

    /// The first message from this number on whose subject fits, as the leader knows it.
    pub(crate) async fn next_at_leader(
        &self,
        stream: StreamKind,
        seq: u64,
        filter: &str,
    ) -> Result<Option<Kept>, Failure> {
        self.leader_get(stream, &json!({ "seq": seq, "next_by_subj": filter }))
            .await
    }

    async fn leader_get(&self, stream: StreamKind, query: &Value) -> Result<Option<Kept>, Failure> {
        let request = format!("STREAM.MSG.GET.{}", self.stream(stream));
        found(self.api(&request, query).await)
    }

    /// The message with this number from any replica; from the leader where that one has none.
    pub(crate) async fn get(&self, stream: StreamKind, seq: u64) -> Result<Option<Kept>, Failure> {
        let subject = format!("$JS.API.DIRECT.GET.{}", self.stream(stream));
        match self.direct(subject, json!({ "seq": seq })).await {
            Ok(Some(kept)) => Ok(Some(kept)),
            _ => self.at_leader(stream, seq).await,
        }
    }

    /// The last message of this subject from any replica; from the leader where that one has none.
    pub(crate) async fn last(
        &self,
        stream: StreamKind,
        subject: &str,
    ) -> Result<Option<Kept>, Failure> {
        let direct = format!("$JS.API.DIRECT.GET.{}.{subject}", self.stream(stream));
        match self.direct(direct, Value::Null).await {
            Ok(Some(kept)) => Ok(Some(kept)),
            _ => self.last_at_leader(stream, subject).await,
        }
    }

    async fn direct(&self, subject: String, query: Value) -> Result<Option<Kept>, Failure> {
        let payload = if query.is_null() {
            Bytes::new()
        } else {
            query.to_string().into()
        };
        let answer = self.ask_once(subject, payload).await?;
        Ok(kept(answer))
    }

    /// Messages from this number on whose subject fits, from any replica: as many as there are within both limits, and not
    /// all of them where a replica lags or breaks off.
    pub(crate) async fn stretch(
        &self,
        stream: StreamKind,
        seq: u64,
        filter: &str,
        (entries, bytes): (usize, usize),
    ) -> Result<Vec<Kept>, Failure> {
        let query = json!({
            "seq": seq, "next_by_subj": filter, "batch": entries, "max_bytes": bytes,
        });
        self.several(stream, query).await
    }

    /// The first message whose subject fits and that came at this time or later, by the servers' clock.
    pub(crate) async fn first_since(
        &self,
        stream: StreamKind,
        since: Timestamp,
        filter: &str,
    ) -> Result<Option<Kept>, Failure> {
        let query = json!({
            "start_time": since.to_string(), "next_by_subj": filter, "batch": 1,
        });
        let mut messages = self.several(stream, query).await?;
        Ok(messages.pop())
    }

    /// The answers to a direct get of several messages.
    async fn several(&self, stream: StreamKind, query: Value) -> Result<Vec<Kept>, Failure> {
        let subject = format!("$JS.API.DIRECT.GET.{}", self.stream(stream));
        let inbox = self.nats.new_inbox();
        let mut answers = self
            .nats
            .subscribe(inbox.clone())
            .await
            .map_err(Failure::unavailable)?;
        let sent = self
            .nats
            .publish_with_reply(subject, inbox, query.to_string().into());
        sent.await.map_err(Failure::unavailable)?;
        let mut messages = Vec::new();
        loop {
            let answer = match timeout(TRY, answers.next()).await {
                Ok(Some(answer)) => answer,
                // What has come is in order and without a gap, so it can be used.
                _ if !messages.is_empty() => return Ok(messages),
                _ => return Err(Failure::unavailable("no answer to a reading")),
            };
            match status(&answer) {
                None => messages.extend(kept(answer)),
                // The end; "not found" where there was nothing.
                Some(204 | 404) => return Ok(messages),
                _ if !messages.is_empty() => return Ok(messages),
                Some(503) => return Err(Failure::unavailable("no responders")),
                Some(other) => {
                    return Err(Failure::unavailable(format!(
                        "a reading ended with {other}"
                    )));
                }
            }
        }
    }
}

/// What a leader found.
fn found(got: Result<Got, Failure>) -> Result<Option<Kept>, Failure> {
    let message = match got {
        Ok(got) => got.message,
        Err(Failure::NotFound) => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let decode = |text: &str| STANDARD.decode(text).map_err(Failure::unavailable);
    Ok(Some(Kept {
        seq: message.seq,
        subject: message.subject,
        headers: Headers::parse(&decode(&message.hdrs)?),
        payload: decode(&message.data)?.into(),
        at: message.time.parse().ok(),
    }))
}

/// A message that came by a direct get; `None` when there is none.
fn kept(answer: async_nats::Message) -> Option<Kept> {
    if status(&answer).is_some() {
        return None;
    }
    let headers = Headers::of(answer.headers);
    Some(Kept {
        seq: headers.number("Nats-Sequence")?,
        subject: headers.get("Nats-Subject")?.to_owned(),
        at: headers
            .get("Nats-Time-Stamp")
            .and_then(|text| text.parse().ok()),
        headers,
        payload: answer.payload,
    })
}
