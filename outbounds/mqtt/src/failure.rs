//! The code of a connection that failed: one of a dozen words, for a metric's label.

use std::error::Error;
use std::io;

/// What an error of the socket, or of TLS on it, says.
pub(crate) fn word(error: &io::Error) -> &'static str {
    if is_tls(error) {
        return "tls";
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "refused",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "unreachable",
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => "reset",
        io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof | io::ErrorKind::NotConnected => {
            "closed"
        }
        io::ErrorKind::TimedOut => "timeout",
        _ => "failed",
    }
}

/// Whether a connection that ends with this word may have ended because of what was published on it.
pub(crate) fn may_be_about_a_message(word: &str) -> bool {
    !matches!(
        word,
        "taken-over" | "shutting-down" | "busy" | "rate" | "moved" | "quota" | "timeout"
    )
}

fn is_tls(error: &io::Error) -> bool {
    let mut cause = error.get_ref().map(|inner| inner as &(dyn Error + 'static));
    while let Some(error) = cause {
        if error.is::<rustls::Error>() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_have_words() {
        let tls = rustls::Error::DecryptError;
        let wrapped = io::Error::new(io::ErrorKind::InvalidData, tls);
        assert_eq!(word(&wrapped), "tls");
        assert_eq!(word(&io::ErrorKind::ConnectionRefused.into()), "refused");
        assert_eq!(word(&io::ErrorKind::ConnectionReset.into()), "reset");
        assert_eq!(word(&io::ErrorKind::UnexpectedEof.into()), "closed");
        assert_eq!(word(&io::ErrorKind::PermissionDenied.into()), "failed");
    }
}
