//! The third contract: one message out, one verdict back.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::{BoxFuture, DeviceKey, EventId, Private, Timestamp, visible_line};

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
    /// It refused this message, and may refuse all: it does not know us, or not this address (401, 403, 404 …). Which of
    /// the two it is, only other messages can tell.
    Refused {
        /// The protocol's own word.
        code: Code,
    },
    /// No retry can cure it.
    Bury {
        /// The protocol's own word.
        code: Code,
    },
}

impl Verdict {
    /// The protocol's own word.
    pub const fn code(&self) -> &Code {
        match self {
            Self::Delivered { code }
            | Self::Retry { code, .. }
            | Self::Refused { code }
            | Self::Bury { code } => code,
        }
    }
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
/// far side chose, never anything of the message. Two codes are one when their words are.
#[derive(Clone, Debug)]
pub struct Code {
    word: Cow<'static, str>,
    reason: Option<Arc<str>>,
}

/// Characters of a reason that are kept.
const REASON_CHARS_MAX: usize = 300;

impl Code {
    /// A fixed word.
    pub const fn word(word: &'static str) -> Self {
        Self {
            word: Cow::Borrowed(word),
            reason: None,
        }
    }

    /// An HTTP status.
    pub fn status(status: u16) -> Self {
        Self::stored(status.to_string())
    }

    /// A word that a spool has stored.
    pub fn stored(word: String) -> Self {
        Self {
            word: Cow::Owned(word),
            reason: None,
        }
    }

    /// With the reason in words, for the operator: for the log and for who looks at the lane, never for a metric or a
    /// spool. It may name hosts, keys of the configuration, dates; nothing of a message, no secret. What cannot be seen is
    /// written out, as a part of it may come from elsewhere.
    #[must_use]
    pub fn because(self, reason: &str) -> Self {
        let reason: String = visible_line(reason)
            .chars()
            .take(REASON_CHARS_MAX)
            .collect();
        Self {
            reason: (!reason.is_empty()).then(|| reason.into()),
            ..self
        }
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        &self.word
    }

    /// The reason in words, where the word alone does not say what is to be put right.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}

impl PartialEq for Code {
    fn eq(&self, other: &Self) -> bool {
        self.word == other.word
    }
}

impl Eq for Code {}

impl std::hash::Hash for Code {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.word.hash(state);
    }
}

impl PartialOrd for Code {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Code {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.word.cmp(&other.word)
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.word)
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

#[cfg(test)]
mod tests {
    use super::{Code, REASON_CHARS_MAX};

    #[test]
    fn a_reason_is_beside_the_word_and_no_part_of_it() {
        let (bare, told) = (Code::word("tls"), Code::word("tls").because("it expired"));
        assert_eq!(bare, told);
        assert_eq!(told.to_string(), "tls");
        assert_eq!((bare.reason(), told.reason()), (None, Some("it expired")));
        let hostile = bare.clone().because("a\n\u{1b}[31m");
        assert_eq!(hostile.reason(), Some("a\\u000a\\u001b[31m"));
        let long = bare.because(&"x".repeat(9999));
        assert_eq!(long.reason().map(str::len), Some(REASON_CHARS_MAX));
    }
}
