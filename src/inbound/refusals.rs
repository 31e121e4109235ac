//! Connections on which no request came: they are logged, in a [`Throttle`], and counted. Operators look there first for a
//! device that is silent.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use metrics::Counter;
use rustix::io::Errno;
use rustls::{AlertDescription, PeerIncompatible};
use tokio::time::Instant;

use super::metrics::connections_refused;
use super::places::GaveWay;
use super::progress::Progress;
use crate::throttle::{SharedThrottle, Throttle};

/// Why a connection is turned away, as the metric's label says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reason {
    /// What came is no HTTP.
    NotHttp,
    /// What came is no TLS.
    NotTls,
    /// A TLS handshake failed.
    Tls,
    /// A request's head is larger than is read.
    HeadTooLarge,
    /// A request's head did not come in time.
    HeadTooSlow,
    /// The connection ended within a request's head.
    HeadCut,
    /// Another needed its place.
    GaveWay,
}

impl Reason {
    /// All of them.
    pub(super) const ALL: [Self; 7] = [
        Self::NotHttp,
        Self::NotTls,
        Self::Tls,
        Self::HeadTooLarge,
        Self::HeadTooSlow,
        Self::HeadCut,
        Self::GaveWay,
    ];

    /// The label.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::NotHttp => "not-http",
            Self::NotTls => "not-tls",
            Self::Tls => "tls",
            Self::HeadTooLarge => "head-too-large",
            Self::HeadTooSlow => "head-too-slow",
            Self::HeadCut => "head-cut",
            Self::GaveWay => "gave-way",
        }
    }
}

/// So many addresses have lines of their own for one reason; a scanner has more.
const ADDRESSES_MAX: usize = 16;
/// After this others may have them.
const ADDRESSES_FOR: Duration = Duration::from_secs(3600);

/// What one listener has turned away.
pub(super) struct Refusals {
    listener: &'static str,
    counters: [Counter; Reason::ALL.len()],
    logged: Mutex<Logged>,
    not_accepted: SharedThrottle<Option<i32>>,
}

struct Logged {
    since: Instant,
    throttle: Throttle<(Cow<'static, str>, Option<IpAddr>)>,
    addresses: Vec<(Reason, IpAddr)>,
}

impl Refusals {
    pub(super) fn new(listener: &'static str) -> Self {
        Self {
            listener,
            counters: Reason::ALL.map(|reason| connections_refused(listener, reason)),
            logged: Mutex::new(Logged {
                since: Instant::now(),
                throttle: Throttle::default(),
                addresses: Vec::new(),
            }),
            not_accepted: SharedThrottle::default(),
        }
    }

    /// A connection is turned away. The text is ours and holds nothing of what came.
    pub(super) fn turned_away(
        &self,
        reason: Reason,
        peer: IpAddr,
        why: impl Into<Cow<'static, str>>,
    ) {
        let why = why.into();
        if let Some(times) = self.note(reason, peer, why.clone()) {
            let (listener, reason) = (self.listener, reason.as_str());
            tracing::warn!(listener, from = %peer, reason, times, "turned away: {why}");
        }
    }

    /// A connection had to go as another needed its place.
    pub(super) fn gave_way(&self, gone: GaveWay, places: usize) {
        let why = "all places are taken, so a connection that did nothing was closed for a new one";
        let GaveWay { address, had } = gone;
        if let Some(times) = self.note(Reason::GaveWay, address, why.into()) {
            let (listener, reason) = (self.listener, Reason::GaveWay.as_str());
            tracing::warn!(listener, from = %address, reason, had, places, times, "turned away: {why}");
        }
    }

    /// No connection can be accepted now.
    pub(super) fn cannot_accept(&self, error: &std::io::Error) {
        let code = error.raw_os_error();
        if let Some(times) = self.not_accepted.note(code) {
            let no_files = [Errno::MFILE, Errno::NFILE].map(|errno| Some(errno.raw_os_error()));
            let help = match no_files.contains(&code) {
                true => {
                    ": raise the limit of open files (ulimit -n, LimitNOFILE=), or lower limits.connections_max"
                }
                false => "",
            };
            let listener = self.listener;
            tracing::warn!(listener, %error, times, "cannot accept a connection{help}");
        }
    }

    /// A TLS handshake failed that began with these bytes, [`HELLO_BYTES`] at the most.
    pub(super) fn handshake(&self, peer: IpAddr, first: &[u8], error: &std::io::Error) {
        match first {
            // rustls complains first of extensions that older versions do not have.
            [
                TLS_HANDSHAKE,
                _,
                _,
                _,
                _,
                CLIENT_HELLO,
                _,
                _,
                _,
                major,
                minor,
            ] if [*major, *minor] < TLS_1_2 => {
                self.turned_away(Reason::Tls, peer, TOO_OLD);
            }
            [TLS_HANDSHAKE, ..] => {
                let inner = error.get_ref().and_then(|error| error.downcast_ref());
                self.turned_away(Reason::Tls, peer, why_no_handshake(inner));
            }
            [first, ..] if first.is_ascii_alphabetic() => {
                let why = "plain HTTP came to a port that speaks TLS (`listen.tls`): let the device's address begin with https://";
                self.turned_away(Reason::NotTls, peer, why);
            }
            _ => {
                let why = "what came to a port that speaks TLS (`listen.tls`) is no TLS";
                self.turned_away(Reason::NotTls, peer, why);
            }
        }
    }

    /// HTTP ended in an error.
    pub(super) fn http(&self, peer: IpAddr, error: &hyper::Error, progress: &Progress) {
        let (reason, why) = if error.is_timeout() && progress.is_in_head() {
            let why = "the head of a request did not come in time (limits.header_timeout)";
            (Reason::HeadTooSlow, why)
        } else if error.is_parse_too_large() {
            (Reason::HeadTooLarge, "the head of a request is too large")
        } else if error.is_parse_version_h2() {
            let why = "HTTP/2 came to a port that speaks HTTP/1.1";
            (Reason::NotHttp, why)
        } else if error.is_parse() {
            (Reason::NotHttp, why_no_http(progress))
        } else if error.is_incomplete_message() && progress.is_in_head() {
            let why = "the connection ended within the head of a request";
            (Reason::HeadCut, why)
        } else {
            // Who hangs up is no trouble of ours; a body that was cut off is its inbound's to report.
            return tracing::debug!(%error, "a connection ended early");
        };
        self.turned_away(reason, peer, why);
    }

    /// How often it has happened since it was last logged, when it is to be logged now.
    fn note(&self, reason: Reason, peer: IpAddr, why: Cow<'static, str>) -> Option<u64> {
        self.counters[reason as usize].increment(1);
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.since.elapsed() >= ADDRESSES_FOR {
            logged.since = Instant::now();
            logged.addresses.clear();
        }
        let is_known = logged.addresses.contains(&(reason, peer));
        let of_reason = logged.addresses.iter().filter(|(of, _)| *of == reason);
        let has_own_line = is_known || of_reason.count() < ADDRESSES_MAX;
        if has_own_line && !is_known {
            logged.addresses.push((reason, peer));
        }
        let which = (why, has_own_line.then_some(peer));
        logged.throttle.note(which, Instant::now())
    }
}

/// The first byte of every TLS connection.
const TLS_HANDSHAKE: u8 = 0x16;
/// The first message of a client, and the newest version that it names in it; TLS 1.3 is named behind it.
const CLIENT_HELLO: u8 = 1;
const TLS_1_2: [u8; 2] = [3, 3];
/// So much of a connection tells which version its client speaks.
pub(super) const HELLO_BYTES: usize = 11;
const TOO_OLD: &str = "it offers neither TLS 1.2 nor TLS 1.3";

fn why_no_http(progress: &Progress) -> &'static str {
    match progress.first_byte() {
        _ if progress.has_had_requests() => {
            "what follows a request is none: a body may be longer than its Content-Length, which counts bytes, not characters"
        }
        Some(TLS_HANDSHAKE) => {
            "TLS came to a port that speaks plain HTTP: let the device's address begin with http://, or set `listen.tls`"
        }
        _ => "what came is no HTTP/1.1 request",
    }
}

/// Why a handshake failed, in words that say what to do.
fn why_no_handshake(error: Option<&rustls::Error>) -> Cow<'static, str> {
    use AlertDescription as Alert;
    use PeerIncompatible as Lacks;
    let text = match error {
        None => {
            "it ended the TLS handshake without a word; it may not trust the certificate (`listen.tls`)"
        }
        Some(rustls::Error::AlertReceived(
            Alert::UnknownCA
            | Alert::BadCertificate
            | Alert::CertificateUnknown
            | Alert::CertificateExpired
            | Alert::CertificateRevoked
            | Alert::UnsupportedCertificate
            | Alert::DecryptError,
        )) => "it does not trust the certificate (`listen.tls`) and ended the TLS handshake",
        Some(rustls::Error::AlertReceived(alert)) => {
            return format!("it ended the TLS handshake ({alert:?})").into();
        }
        Some(rustls::Error::PeerIncompatible(
            Lacks::Tls12NotOffered
            | Lacks::Tls12NotOfferedOrEnabled
            | Lacks::SupportedVersionsExtensionRequired,
        )) => TOO_OLD,
        Some(rustls::Error::PeerIncompatible(
            Lacks::NoCipherSuitesInCommon
            | Lacks::NoKxGroupsInCommon
            | Lacks::NoEcPointFormatsInCommon
            | Lacks::NoSignatureSchemesInCommon
            | Lacks::NamedGroupsExtensionRequired
            | Lacks::SignatureAlgorithmsExtensionRequired,
        )) => {
            "it offers no TLS key exchange that is taken here: ECDHE with AES-GCM or ChaCha20 is needed, RSA alone is not enough"
        }
        // rustls names what is wrong with the message, and repeats nothing of it.
        Some(error) => return format!("the TLS handshake failed ({error})").into(),
    };
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_line_and_a_scanner_fills_no_disk() {
        let refusals = Refusals::new("devices");
        let why = Cow::Borrowed("what came is no HTTP/1.1 request");
        let note = |reason, n: u8| refusals.note(reason, IpAddr::from([10, 0, 0, n]), why.clone());
        let logged = (0..=255).filter(|n| note(Reason::NotHttp, *n).is_some());
        assert_eq!(logged.count(), ADDRESSES_MAX + 1, "one for all the others");
        assert!((0..=255).all(|n| note(Reason::NotHttp, n).is_none()));
        assert_eq!(note(Reason::Tls, 99), Some(1), "another reason");
    }

    #[test]
    fn the_counter_of_a_reason_is_found_by_its_number() {
        for (number, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number);
        }
    }
}
