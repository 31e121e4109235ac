//! What a request without an answer means.

use std::error::Error;
use std::io;

use faceway_core::{Code, Scope, Verdict};
use faceway_tls::Keys;

/// Who is dialled, for reasons in words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialled {
    pub(crate) keys: Keys,
    /// Whether the URL itself begins with https://.
    pub(crate) encrypted: bool,
    pub(crate) proxied: bool,
}

/// Every failure to get an answer says something about the destination, not about the message.
pub(crate) fn verdict(error: &reqwest::Error, dialled: Dialled) -> Verdict {
    let word = word(error);
    tracing::debug!(code = word, reason = %reason(error), "no answer");
    let code = Code::word(word);
    unreachable(match (word, no_tls(error, dialled)) {
        ("tls", Some(reason)) => code.because(&reason),
        _ => code,
    })
}

/// The whole time was used up.
pub(crate) fn timeout() -> Verdict {
    unreachable(Code::word("timeout"))
}

fn unreachable(code: Code) -> Verdict {
    Verdict::Retry {
        scope: Scope::Destination,
        code,
        after: None,
    }
}

/// Why TLS was not agreed, with the endpoint or with the proxy before it.
fn no_tls(error: &reqwest::Error, dialled: Dialled) -> Option<String> {
    // reqwest opens a tunnel through a proxy, in which TLS with the endpoint begins; only before that is it the proxy's.
    let opens_tunnel = |cause: &(dyn Error + 'static)| cause.to_string().contains("tunnel error");
    let is_proxys = !dialled.encrypted || causes(error).any(opens_tunnel);
    if dialled.proxied && is_proxys {
        let reason = faceway_tls::why(error, dialled.keys.at("proxy"))?;
        return Some(format!("of the proxy: {reason}"));
    }
    faceway_tls::why(error, dialled.keys)
}

/// Whether the connection ended before a byte of an answer came.
pub(crate) fn is_unanswered(error: &reqwest::Error) -> bool {
    !error.is_timeout() && matches!(word(error), "closed" | "reset")
}

/// The code of a failure: one of a dozen words, for a metric's label.
fn word(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        return "timeout";
    }
    if error.is_dns() {
        return "dns";
    }
    let known = causes(error).find_map(|cause| {
        if let Some(error) = cause.downcast_ref::<hyper::Error>() {
            return of_http(error);
        }
        if cause.is::<rustls::Error>() {
            return Some("tls");
        }
        cause.downcast_ref::<io::Error>().and_then(of_io)
    });
    known.unwrap_or(match error.is_connect() {
        true => "connect",
        false => "failed",
    })
}

fn of_http(error: &hyper::Error) -> Option<&'static str> {
    if error.is_parse() {
        return Some("malformed");
    }
    let closed = error.is_incomplete_message() || error.is_canceled() || error.is_closed();
    closed.then_some("closed")
}

fn of_io(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Some("refused"),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Some("unreachable"),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => Some("reset"),
        io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => Some("closed"),
        _ => None,
    }
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let mut next = error.source();
    std::iter::from_fn(move || {
        let cause = next?;
        // An `io::Error` around another error gives that error's source as its own, and so passes over it.
        next = match cause.downcast_ref::<io::Error>().map(io::Error::get_ref) {
            Some(Some(inner)) => Some(inner),
            _ => cause.source(),
        };
        Some(cause)
    })
}

/// For the operator: the last cause, which has no URL in it.
fn reason(error: &reqwest::Error) -> String {
    causes(error)
        .last()
        .map(ToString::to_string)
        .unwrap_or_default()
}
