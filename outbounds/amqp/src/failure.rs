//! What went wrong with a connection, in a word; and the one line that tells the operator what to do.

use std::io;
use std::sync::Mutex;
use std::sync::PoisonError;

use faceway_core::{Code, Scope, Verdict};
use faceway_tls::Keys;
use lapin::ErrorKind;

/// Why a connection ended or could not be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The code of the verdicts that it leads to.
    pub(crate) word: &'static str,
    /// What the broker says of exchanges, queues and users, or why TLS was not agreed. It holds nothing of a message.
    pub(crate) text: String,
    /// The broker's limit, where a message was larger.
    pub(crate) bytes_max: Option<usize>,
}

impl Failure {
    pub(crate) fn word(word: &'static str) -> Self {
        Self {
            word,
            text: String::new(),
            bytes_max: None,
        }
    }

    /// A connection that could not be opened: TLS may not have been agreed.
    pub(crate) fn of_opening(error: &lapin::Error, keys: Keys) -> Self {
        match error.kind() {
            ErrorKind::IOError(io) => Self::of_io_with(io, keys),
            _ => Self::of(error),
        }
    }

    /// The same of the socket, or of TLS on it.
    pub(crate) fn of_io_with(error: &io::Error, keys: Keys) -> Self {
        match faceway_tls::why(error, keys) {
            Some(text) => Self {
                text,
                ..Self::word("tls")
            },
            None => Self::of_io(error),
        }
    }

    pub(crate) fn of(error: &lapin::Error) -> Self {
        match error.kind() {
            ErrorKind::ProtocolError(error) => {
                of_protocol(error.get_id(), error.get_message().as_str())
            }
            ErrorKind::IOError(error) => Self::of_io(error),
            ErrorKind::MissingHeartbeatError => Self::word("heartbeat"),
            ErrorKind::InvalidConnectionState(_)
            | ErrorKind::InvalidChannelState(..)
            | ErrorKind::InvalidChannel(_)
            | ErrorKind::RuntimeShutdownError(_) => Self::word("closed"),
            ErrorKind::ParsingError(_)
            | ErrorKind::InvalidProtocolVersion(_)
            | ErrorKind::SerialisationError(_) => Self::word("protocol"),
            _ => Self::word("failed"),
        }
    }

    pub(crate) fn of_io(error: &io::Error) -> Self {
        Self::word(match error.kind() {
            io::ErrorKind::ConnectionRefused => "refused",
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "unreachable",
            io::ErrorKind::ConnectionReset => "reset",
            io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected
            | io::ErrorKind::UnexpectedEof => "closed",
            io::ErrorKind::TimedOut => "timeout",
            _ => "failed",
        })
    }

    /// Trouble with the connection is the destination's: later messages fail too.
    pub(crate) fn verdict(&self) -> Verdict {
        because(match self.word {
            // Another message was; this one only shared its channel.
            "too-large" => Code::word("closed"),
            "tls" => Code::word("tls").because(&self.text),
            word => Code::word(word),
        })
    }
}

/// The destination is to blame, and says so with this word.
pub(crate) fn outage(word: &'static str) -> Verdict {
    because(Code::word(word))
}

fn because(code: Code) -> Verdict {
    Verdict::Retry {
        scope: Scope::Destination,
        code,
        after: None,
    }
}

/// Characters of the broker's own text that are logged.
const TEXT_CHARS_MAX: usize = 300;

/// Reply codes of AMQP 0-9-1 (section 1.2 of its reference), as RabbitMQ uses them.
fn of_protocol(code: u16, text: &str) -> Failure {
    let bytes_max = match code {
        406 => size_limit(text),
        _ => None,
    };
    let word = match code {
        311 => "too-large",
        320 => "closed",
        403 => "access-refused",
        404 if text.contains("no exchange") => "no-exchange",
        404 => "not-found",
        406 if bytes_max.is_some() => "too-large",
        // Declared before with other properties; or exclusive to another connection.
        405 | 406 => "declare",
        506 => "overloaded",
        530 => "not-allowed",
        541 => "internal",
        _ => "protocol",
    };
    let printable = |char: char| if char.is_control() { ' ' } else { char };
    let text: String = text.chars().map(printable).take(TEXT_CHARS_MAX).collect();
    Failure {
        word,
        text,
        bytes_max,
    }
}

/// RabbitMQ: "message size 300000 is larger than configured max size 100000" (`rabbit_channel:check_msg_size`).
fn size_limit(text: &str) -> Option<usize> {
    if !text.contains("message size") {
        return None;
    }
    let (_, limit) = text.rsplit_once("max size ")?;
    let digits = limit.bytes().take_while(u8::is_ascii_digit).count();
    limit[..digits].parse().ok()
}

/// Tells an outage once, not with every event that it stops.
#[derive(Debug, Default)]
pub(crate) struct Teller {
    told: Mutex<Option<&'static str>>,
}

impl Teller {
    pub(crate) fn tell(&self, failure: &Failure, exchange: &str, declare: &str) {
        let told = self
            .told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(failure.word);
        if told == Some(failure.word) {
            return;
        }
        let (code, broker) = (failure.word, failure.text.as_str());
        match advice(code) {
            Some(advice) => tracing::warn!(code, exchange, declare, broker, "{advice}"),
            None => tracing::debug!(code, broker, "the connection to the broker failed"),
        }
    }

    /// The destination works: the next outage is a new one.
    pub(crate) fn well(&self) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        *told = None;
    }
}

fn advice(word: &str) -> Option<&'static str> {
    Some(match word {
        "no-exchange" => {
            "the exchange does not exist: create it, or let Faceway do so with `declare = \"topic\"`; events wait until then"
        }
        "not-found" => {
            "what the broker is asked for does not exist, as it says; events wait until it does"
        }
        "access-refused" => {
            "the broker refuses this user: check `username`, `password` and its permissions (configure for what is declared, write for the exchange); events wait until then"
        }
        "not-allowed" => {
            "the broker does not open this virtual host: check the path of `url` and the user's permissions; events wait until then"
        }
        "declare" => {
            "an exchange or a queue of this name is there with other properties, as the broker says: change `declare` or `queue`, or delete the old one; events wait until then"
        }
        "blocked" => {
            "the broker takes no messages (its memory or disk alarm): events wait until it does"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{Failure, of_protocol};

    #[test]
    fn every_reply_code_has_its_word() {
        let word = |code, text: &str| of_protocol(code, text).word;
        assert_eq!(
            word(404, "NOT_FOUND - no exchange 'faces' in vhost '/'"),
            "no-exchange"
        );
        assert_eq!(
            word(404, "NOT_FOUND - no queue 'faces' in vhost '/'"),
            "not-found"
        );
        assert_eq!(word(403, "ACCESS_REFUSED - …"), "access-refused");
        let differs =
            "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'faces' in vhost '/'";
        assert_eq!(word(406, differs), "declare");
        assert_eq!(word(405, "RESOURCE_LOCKED"), "declare");
        assert_eq!(
            word(320, "CONNECTION_FORCED - broker forced connection closure"),
            "closed"
        );
        assert_eq!(
            word(530, "NOT_ALLOWED - vhost nowhere not found"),
            "not-allowed"
        );
        assert_eq!(word(501, "FRAME_ERROR"), "protocol");
    }

    #[test]
    fn the_brokers_limit_is_read() {
        let text =
            "PRECONDITION_FAILED - message size 300000 is larger than configured max size 100000";
        let failure = of_protocol(406, text);
        assert_eq!(
            (failure.word, failure.bytes_max),
            ("too-large", Some(100_000))
        );
        assert_eq!(of_protocol(406, "message size is odd").bytes_max, None);
        assert_eq!(
            of_protocol(406, "message size 1, max size x").bytes_max,
            None
        );
    }

    #[test]
    fn the_brokers_text_is_short_and_on_one_line() {
        let text = of_protocol(406, &"line\n".repeat(200)).text;
        assert!(text.len() <= 300 && !text.contains('\n'), "{text}");
        assert_eq!(Failure::word("closed").text, "");
    }
}
