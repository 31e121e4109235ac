//! Requests to JetStream's API.

use std::time::Duration;

use async_nats::{Request, RequestErrorKind, StatusCode};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::failure::ApiError;
use super::{Client, Failure};

/// One try.
pub(super) const TRY: Duration = Duration::from_secs(2);
/// What an election may take.
const ELECTION: Duration = Duration::from_secs(12);
/// Between two tries.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// An answer of the API: what was asked for, or an error.
#[derive(Deserialize)]
struct Answer {
    error: Option<ApiError>,
}

pub(super) fn parse<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Failure> {
    let answer: Answer = serde_json::from_slice(payload).map_err(Failure::unavailable)?;
    match answer.error {
        Some(error) => Err(error.into()),
        None => serde_json::from_slice(payload).map_err(Failure::unavailable),
    }
}

impl Client {
    /// Asks once.
    pub(super) async fn ask_once(
        &self,
        subject: String,
        payload: Bytes,
    ) -> Result<async_nats::Message, Failure> {
        let request = Request::new().payload(payload).timeout(Some(TRY));
        self.send(subject, request).await
    }

    pub(super) async fn send(
        &self,
        subject: String,
        request: Request,
    ) -> Result<async_nats::Message, Failure> {
        let answer = self.nats.send_request(subject, request).await;
        answer.map_err(|error| match error.kind() {
            RequestErrorKind::MaxPayloadExceeded | RequestErrorKind::InvalidSubject => {
                Failure::Refused {
                    code: 0,
                    text: error.to_string(),
                }
            }
            // Trap: "no responders" is also what an election looks like, so it is no refusal.
            _ => Failure::unavailable(error),
        })
    }

    /// Asks the API of JetStream, again until there is an answer or an election would be over.
    pub(crate) async fn api<T: DeserializeOwned>(
        &self,
        request: &str,
        body: &Value,
    ) -> Result<T, Failure> {
        let deadline = Instant::now() + ELECTION;
        loop {
            match self.api_once(request, body).await {
                Err(Failure::Unavailable(reason)) => {
                    if Instant::now() >= deadline {
                        return Err(Failure::Unavailable(reason));
                    }
                    sleep(PAUSE).await;
                }
                other => return other,
            }
        }
    }

    pub(crate) async fn api_once<T: DeserializeOwned>(
        &self,
        request: &str,
        body: &Value,
    ) -> Result<T, Failure> {
        let body = if body.is_null() {
            Bytes::new()
        } else {
            body.to_string().into()
        };
        let answer = self.ask_once(format!("$JS.API.{request}"), body).await?;
        parse(&answer.payload)
    }
}

/// Whether this is a status of the protocol, and which one.
pub(super) fn status(message: &async_nats::Message) -> Option<u16> {
    message.status.map(|status: StatusCode| status.as_u16())
}
