//! The third contract: one message out, one verdict back.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;

use crate::{BoxFuture, DeviceKey, EventId, Private, Timestamp};

/// A destination's protocol. No retry, no buffer, no queue inside: only the lane decides about time and counts.
pub trait Outbound: Send + Sync + 'static {
    /// Hands one message over and waits until the far side has confirmed it or has failed to. It ends by itself within
    /// the outbound's own timeout. Dropping the future gives the delivery up: the far side may or may not have it.
    fn deliver<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Verdict>;

    /// Its lane begins to work: what is better connected before the first delivery connects now. Does not wait. Called
    /// again when the lane's work begins anew.
    fn open(&self) {}

    /// It was taken out of the routes, and everything is delivered: takes back what it has left at the far side. It may be
    /// opened again afterwards.
    fn retire(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    /// Lets go of connections. Nothing is delivered afterwards.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// An event as one outbound sees it, or several where the outbound takes batches, with what that outbound may not see
/// already taken out.
#[derive(Clone, Debug)]
pub struct Message {
    /// The event's id, under which the receiver can drop what it has seen; of several, [`EventId::of_several`].
    pub id: EventId,
    /// The event's `kind`; of several, the first one's.
    pub kind: Cow<'static, str>,
    /// The unit of order; of several, the first one's.
    pub device: DeviceKey,
    /// When the gateway had the event; of several, the first one.
    pub received_at: Timestamp,
    /// Where in the destination it goes, with the event's fields filled in: a topic, a routing key. Empty where the
    /// protocol knows no such thing.
    pub address: Private<String>,
    /// What goes beside the payload, by lower-case name, with the event's fields filled in. Names are what an HTTP header
    /// may be called; values have no control characters, and for HTTP they are ASCII.
    pub headers: Vec<(Cow<'static, str>, Private<String>)>,
    /// Media type of `body`.
    pub content_type: &'static str,
    /// The payload.
    pub body: Private<Bytes>,
}

/// What the far side said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It confirmed.
    Delivered {
        /// The protocol's own word (`200`, `puback` …).
        code: Code,
    },
    /// It did not confirm, and may later.
    Retry {
        /// Whether the destination is to blame or this message.
        scope: Scope,
        /// The protocol's own word.
        code: Code,
        /// How long it asked us to wait.
        after: Option<Duration>,
    },
    /// No retry can cure it.
    Bury {
        /// The protocol's own word.
        code: Code,
    },
}

/// What a failure says about later messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The destination cannot be reached, does not answer in time, or says that it is overloaded: later ones fail too.
    Destination,
    /// This message failed; others may do well.
    Message,
}

/// A short word for a result, fit for a metric's label: `200`, `timeout`, `refused`, `unroutable`. Never text that the
/// far side chose, never anything of the message.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(Cow<'static, str>);

impl Code {
    /// A fixed word.
    pub const fn word(word: &'static str) -> Self {
        Self(Cow::Borrowed(word))
    }

    /// An HTTP status.
    pub fn status(status: u16) -> Self {
        Self(Cow::Owned(status.to_string()))
    }

    /// A word that a spool has stored.
    pub fn stored(word: String) -> Self {
        Self(Cow::Owned(word))
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A setting of an outbound that cannot mean anything. Its text says what to write instead and holds no value of the
/// settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct SettingsError {
    /// The key in `[outbound.<protocol>.<name>]`: `url`, `sign`, `tls.ca` …
    pub key: &'static str,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl SettingsError {
    /// Of this key.
    pub fn new(key: &'static str, problem: impl Into<String>) -> Self {
        let problem = problem.into();
        Self { key, problem }
    }
}

/// What a destination need not take in a short text (a topic, a header, a property): control characters, and code points
/// that are no characters. MQTT brokers may end the connection at one (MQTT 5, section 1.5.4), so a single device with such
/// an id would stop the lane for all others.
pub fn is_unsendable(char: char) -> bool {
    let code = u32::from(char);
    char.is_control() || (0xFDD0..=0xFDEF).contains(&code) || code & 0xFFFE == 0xFFFE
}
