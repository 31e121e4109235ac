//! Reading one websocket until it ends: pings, silence, limits, and no faster than the messages are kept.

use std::time::Duration;

use bytes::Bytes;
use faceway_tls::Keys;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_tungstenite::tungstenite::error::{CapacityError, Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_util::sync::CancellationToken;

use super::connect::Socket;
use super::keeper::Queued;
use crate::memory::BodyMemory;

/// Why a connection is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// The source closed it.
    Closed,
    /// It broke: the reason, in words.
    Broken(String),
    /// Nothing was heard for two periods.
    Silent,
    /// A frame or message over the limit was announced.
    TooLarge,
    /// We had enough of it.
    Enough,
    /// The source has to be told something else.
    Changed,
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => f.write_str("the source closed the connection"),
            Self::Broken(reason) => write!(f, "the connection broke: {reason}"),
            Self::Silent => {
                f.write_str("nothing was heard from the source, not even an answer to our pings")
            }
            Self::TooLarge => f.write_str(
                "the source announced a message over `limits.body_bytes_max` of gateway.toml",
            ),
            Self::Enough => f.write_str("the gateway stops"),
            Self::Changed => f.write_str("its cameras have changed, so it is dialled anew"),
        }
    }
}

/// After our closing, what is still on its way is read for this long.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// Reads into `queue` until the connection ends, or until it is `enough`: then it is closed, and what the source had sent
/// before is still read.
pub(super) async fn read(
    socket: Socket,
    queue: mpsc::Sender<Queued>,
    memory: &BodyMemory,
    ping: Duration,
    enough: &CancellationToken,
) -> Exit {
    let mut ticks = tokio::time::interval(ping);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    let mut reader = Reader {
        socket,
        queue,
        memory,
        ping,
        ticks,
        // What happened before the first tick does not count as silence.
        excused_until: Instant::now(),
    };
    let ended = reader.read(enough).await;
    if ended == Exit::Enough {
        reader.close().await;
    }
    ended
}

struct Reader<'a> {
    socket: Socket,
    queue: mpsc::Sender<Queued>,
    memory: &'a BodyMemory,
    ping: Duration,
    ticks: Interval,
    /// Until here silence was ours: the socket was not read.
    excused_until: Instant,
}

impl Reader<'_> {
    async fn read(&mut self, enough: &CancellationToken) -> Exit {
        loop {
            let next = tokio::select! {
                () = enough.cancelled() => return Exit::Enough,
                _ = self.ticks.tick() => None,
                next = self.socket.next() => Some(next),
            };
            let went_on = match next {
                None => self.tick().await,
                Some(next) => self.take(next).await,
            };
            if let Err(ended) = went_on {
                return ended;
            }
        }
    }

    /// Closes it and reads what was on its way.
    async fn close(&mut self) {
        let rest = async {
            if self.socket.close(None).await.is_ok() {
                while let Some(next) = self.socket.next().await {
                    if self.take(Some(next)).await.is_err() {
                        return;
                    }
                }
            }
        };
        let _ = tokio::time::timeout(CLOSE_MAX, rest).await;
    }

    async fn take(&mut self, next: Option<Result<Message, Error>>) -> Result<(), Exit> {
        match next {
            Some(Ok(Message::Text(text))) => self.hand_over(text.into()).await,
            // A text comes as its bytes (`frames.rs`).
            Some(Ok(Message::Binary(bytes))) => self.hand_over(bytes).await,
            // The answer to a ping waits for the next write, which may be long in coming.
            Some(Ok(Message::Ping(_))) => self.write(None).await,
            Some(Ok(Message::Pong(_) | Message::Frame(_))) => Ok(()),
            Some(Ok(Message::Close(_))) | None => Err(Exit::Closed),
            Some(Err(error)) => Err(ended(&error)),
        }
    }

    /// Waits until there is room for a message; meanwhile the socket is not read, so the source may be as silent as it
    /// likes, but hears that we are there.
    async fn hand_over(&mut self, message: Bytes) -> Result<(), Exit> {
        let queue = self.queue.clone();
        let memory = self.memory.clone();
        let room = async move {
            let share = memory.wait(message.len()).await;
            let queued = Queued {
                message,
                _share: share,
            };
            queue.send(queued).await.map_err(|_| Exit::Enough)
        };
        tokio::pin!(room);
        loop {
            tokio::select! {
                sent = &mut room => {
                    self.excused_until = Instant::now();
                    return sent;
                }
                _ = self.ticks.tick() => {
                    let ping = Message::Ping(Bytes::new());
                    // Whether it can still be written to is found out when it is read again.
                    let _ = tokio::time::timeout(self.ping, self.socket.send(ping)).await;
                }
            }
        }
    }

    async fn tick(&mut self) -> Result<(), Exit> {
        let heard = self.socket.get_ref().heard_at().max(self.excused_until);
        if heard.elapsed() >= self.ping * 2 {
            return Err(Exit::Silent);
        }
        self.write(Some(Message::Ping(Bytes::new()))).await
    }

    /// Sends a message, or only what waits to be sent.
    async fn write(&mut self, message: Option<Message>) -> Result<(), Exit> {
        let writing = async {
            match message {
                Some(message) => self.socket.send(message).await,
                None => self.socket.flush().await,
            }
        };
        match tokio::time::timeout(self.ping, writing).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(ended(&error)),
            Err(_) => Err(Exit::Silent),
        }
    }
}

fn ended(error: &Error) -> Exit {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => Exit::TooLarge,
        Error::ConnectionClosed | Error::AlreadyClosed => Exit::Closed,
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            Exit::Broken("it ended without a word".into())
        }
        error => Exit::Broken(crate::inbound::converse::why(error, Keys::usual(false))),
    }
}
