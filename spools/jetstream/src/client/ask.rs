//! Questions to other gateways, and their answers: messages that no stream keeps.

use std::time::Duration;

use async_nats::{Request, RequestErrorKind};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::time::timeout;

use super::message::Headers;
use super::{Client, Failure};

/// What comes of a question.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// An answer.
    Answer(Headers, Bytes),
    /// The server that this gateway is connected to knows of no subscription to the subject, at itself or at servers that it
    /// is connected to.
    NoResponders,
    /// Nothing, within the time. It may have been heard.
    Silence,
}

/// A question that came.
pub(crate) struct Heard {
    pub(crate) headers: Headers,
    pub(crate) payload: Bytes,
    /// Where the answer goes; absent where none is wanted.
    pub(crate) reply: Option<String>,
}

/// A subscription. It comes back with the connection.
pub(crate) struct Listener(async_nats::Subscriber);

impl Listener {
    /// The next question; `None` when the connection is closed for good.
    pub(crate) async fn next(&mut self) -> Option<Heard> {
        let message = self.0.next().await?;
        Some(Heard {
            headers: Headers::of(message.headers),
            payload: message.payload,
            reply: message.reply.map(|reply| reply.to_string()),
        })
    }
}

impl Client {
    /// Asks who listens at this subject.
    ///
    /// # Errors
    /// When the question is too large for the servers.
    pub(crate) async fn ask(
        &self,
        subject: String,
        headers: Headers,
        payload: Bytes,
        patience: Duration,
    ) -> Result<Reply, Failure> {
        let request = Request::new()
            .headers(headers.into_map())
            .payload(payload)
            .timeout(Some(patience));
        // Trap: while the library is disconnected its queue may be full, and sending waits longer than the request may.
        let asked = timeout(patience, self.nats.send_request(subject, request)).await;
        match asked {
            Ok(Ok(message)) => Ok(Reply::Answer(Headers::of(message.headers), message.payload)),
            Ok(Err(error)) => match error.kind() {
                RequestErrorKind::NoResponders => Ok(Reply::NoResponders),
                RequestErrorKind::MaxPayloadExceeded | RequestErrorKind::InvalidSubject => {
                    Err(Failure::Refused {
                        code: 0,
                        text: error.to_string(),
                    })
                }
                _ => Ok(Reply::Silence),
            },
            Err(_) => Ok(Reply::Silence),
        }
    }

    /// Listens at a subject.
    pub(crate) async fn listen(&self, subject: String) -> Result<Listener, Failure> {
        let subscriber = self.nats.subscribe(subject).await;
        subscriber.map(Listener).map_err(Failure::unavailable)
    }

    /// Sends without waiting for an answer.
    pub(crate) async fn tell(&self, subject: String, headers: Headers, payload: Bytes) {
        let sent = self
            .nats
            .publish_with_headers(subject, headers.into_map(), payload);
        // It is lost when the connection is: who asked hears nothing then.
        let _ = timeout(super::request::TRY, sent).await;
    }

    /// The largest message that the servers take.
    pub(crate) fn payload_max(&self) -> usize {
        self.nats.max_payload()
    }

    /// The server that this gateway is connected to, or was last.
    pub(crate) fn server(&self) -> (String, String) {
        let info = self.nats.server_info();
        (info.server_name, info.version)
    }
}
