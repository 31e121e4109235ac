//! Why TLS was not agreed, in words for the operator: the same ones wherever something is dialled.

use std::error::Error;
use std::fmt::Write as _;
use std::io;

use rustls::{AlertDescription, CertificateError, PeerIncompatible};

use crate::{Distrust, Untrusted};

/// What the operator's file calls the things that a reason names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Where the address stands.
    pub url: &'static str,
    /// Where the authorities stand.
    pub ca: &'static str,
    /// Where a client certificate stands; `None` where there can be none.
    pub cert: Option<&'static str>,
    /// Whether there is one.
    pub has_cert: bool,
}

impl Keys {
    /// Of an outbound or a dialled source, with a client certificate or without.
    pub const fn usual(has_cert: bool) -> Self {
        Self {
            url: "url",
            ca: "tls.ca",
            cert: Some("tls.cert"),
            has_cert,
        }
    }

    /// The same where the address stands elsewhere.
    #[must_use]
    pub const fn at(self, url: &'static str) -> Self {
        Self { url, ..self }
    }

    /// Of a terminal.
    pub const TERMINAL: Self = Self {
        url: "url",
        ca: "ca",
        cert: None,
        has_cert: false,
    };
}

/// Why TLS was not agreed, or was ended; `None` when that was not the matter. Names hosts and dates that stand in
/// certificates, and keys of the operator's file; no secret.
pub fn why(error: &(dyn Error + 'static), keys: Keys) -> Option<String> {
    if let Some(untrusted) = Untrusted::among(error) {
        return Some(untrusted.distrust.reason(keys));
    }
    causes(error).find_map(|cause| Some(of(cause.downcast_ref()?, keys)))
}

/// An error and its causes, however deep.
pub(crate) fn causes<'e>(
    error: &'e (dyn Error + 'static),
) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        // An error of I/O gives the cause of what it holds as its own, and so leaves out what it holds.
        let held = error.downcast_ref::<io::Error>().map(io::Error::get_ref);
        next = match held {
            Some(Some(held)) => Some(held),
            _ => error.source(),
        };
        Some(error)
    })
}

fn of(error: &rustls::Error, keys: Keys) -> String {
    let url = keys.url;
    match error {
        rustls::Error::InvalidCertificate(why) => Distrust::of(why, false).reason(keys),
        rustls::Error::NoCertificatesPresented => "it shows no certificate".into(),
        rustls::Error::InvalidMessage(_) => {
            format!("what answers there is not TLS: check the port in `{url}`")
        }
        rustls::Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        ) => VERSION.into(),
        rustls::Error::PeerIncompatible(_) => CIPHER.into(),
        rustls::Error::AlertReceived(alert) => of_alert(*alert, keys),
        // The library's own words: what is left are breaches of the protocol.
        other => other.to_string(),
    }
}

const VERSION: &str = "it speaks no version of TLS that Faceway speaks: 1.2 or 1.3";
const CIPHER: &str = "it has no cipher, curve or signature in common with Faceway, which speaks those of TLS 1.3 and, of TLS 1.2, ECDHE with \
     AES-GCM or ChaCha20";

/// What the other side says before it ends the connection.
fn of_alert(alert: AlertDescription, keys: Keys) -> String {
    use AlertDescription as Alert;
    match alert {
        Alert::ProtocolVersion => VERSION.into(),
        Alert::InsufficientSecurity => CIPHER.into(),
        // Servers of TLS 1.2 say this of everything.
        Alert::HandshakeFailure => match asked_for(keys) {
            Some(asked) => format!("it refuses the handshake: {CIPHER}; or {asked}"),
            None => format!("it refuses the handshake: {CIPHER}"),
        },
        Alert::CertificateRequired | Alert::NoCertificate => {
            asked_for(keys).unwrap_or_else(|| "it asks for a client certificate".into())
        }
        Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateExpired
        | Alert::CertificateUnknown
        | Alert::UnknownCA
        | Alert::AccessDenied => refused_certificate(alert, keys),
        Alert::UnrecognisedName => format!("it does not know the name in `{}`", keys.url),
        Alert::NoApplicationProtocol => "it speaks no HTTP/1.1 over TLS".into(),
        // Of a client certificate whose issuer has the name of another one.
        Alert::DecryptError if keys.has_cert => refused_certificate(alert, keys),
        Alert::DecryptError => "it takes what Faceway has signed for wrong".into(),
        other => format!("it ends the handshake with the alert {other:?}"),
    }
}

/// That a client certificate is asked for, and what is to be done.
fn asked_for(keys: Keys) -> Option<String> {
    let cert = keys.cert?;
    Some(match keys.has_cert {
        true => format!("it does not accept the client certificate in `{cert}`"),
        false => format!("it asks for a client certificate, and `{cert}` is not configured"),
    })
}

fn refused_certificate(alert: AlertDescription, keys: Keys) -> String {
    let Some(asked) = asked_for(keys) else {
        return "it asks for a client certificate".into();
    };
    let why = match alert {
        AlertDescription::CertificateExpired => ": it has expired",
        AlertDescription::CertificateRevoked => ": it has been revoked",
        AlertDescription::UnknownCA => ": it does not know who has issued it",
        _ => "",
    };
    match keys.has_cert {
        true => asked + why,
        false => asked,
    }
}

impl Distrust {
    /// Why a verifier did not trust; `own` says whether the authorities are those of `ca`.
    pub(crate) fn of(why: &CertificateError, own: bool) -> Self {
        match why {
            // A signature is bad also when another authority of the same name has made it.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                Self::NoAuthority { own }
            }
            CertificateError::Expired => Self::Expired(None),
            CertificateError::ExpiredContext { not_after, .. } => {
                Self::Expired(Some(not_after.as_secs()))
            }
            CertificateError::NotValidYet => Self::NotYet(None),
            CertificateError::NotValidYetContext { not_before, .. } => {
                Self::NotYet(Some(not_before.as_secs()))
            }
            CertificateError::NotValidForName => Self::OtherName {
                wanted: None,
                names: Vec::new(),
            },
            CertificateError::NotValidForNameContext {
                expected,
                presented,
            } => Self::OtherName {
                wanted: Some(expected.to_str().into_owned()),
                names: presented.iter().map(|name| plain(name)).collect(),
            },
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::Other("it is not made for servers".into())
            }
            CertificateError::Revoked => Self::Other("it has been revoked".into()),
            // As `openssl req -x509` makes it.
            other if format!("{other:?}").contains("CaUsedAsEndEntity") => Self::SelfSigned { own },
            other => Self::Other(other.to_string()),
        }
    }

    /// In words, with what is to be done where that is not plain.
    pub fn reason(&self, keys: Keys) -> String {
        let cause = self.cause(keys);
        match self {
            Self::NoAuthority { own: false } | Self::SelfSigned { .. } => format!(
                "{cause}: put its authority, or the certificate itself, into the file of `{}`",
                keys.ca
            ),
            _ => cause,
        }
    }

    /// In words.
    pub fn cause(&self, keys: Keys) -> String {
        let Keys { url, ca, .. } = keys;
        match self {
            Self::Expired(at) => match day(*at) {
                Some(day) => format!("its certificate expired on {day}"),
                None => "its certificate has expired".into(),
            },
            Self::NotYet(at) => match day(*at) {
                Some(day) => format!(
                    "its certificate is valid from {day} on, which this machine's clock has not reached"
                ),
                None => "its certificate is not valid yet, by this machine's clock".into(),
            },
            Self::OtherName {
                wanted: Some(wanted),
                names,
            } => format!(
                "its certificate is not for this name: it is for {}, and `{url}` says {wanted}",
                listing(names)
            ),
            Self::OtherName { wanted: None, .. } => {
                format!("its certificate is not for the name in `{url}`")
            }
            Self::NoAuthority { own: true } => {
                format!("no authority in `{ca}` vouches for its certificate")
            }
            Self::NoAuthority { own: false } => {
                "no authority that this machine trusts vouches for its certificate".into()
            }
            Self::SelfSigned { own: true } => {
                format!(
                    "no authority in `{ca}` vouches for its certificate, which it has signed itself"
                )
            }
            Self::SelfSigned { own: false } => {
                "no authority vouches for its certificate, which it has signed itself".into()
            }
            Self::NotNamed => "it shows another certificate than the one in `fingerprint`".into(),
            Self::Other(why) => format!("its certificate cannot be used: {why}"),
        }
    }
}

/// Names that are shown; a certificate may have hundreds.
const NAMES_MAX: usize = 3;
/// The longest name that DNS has.
const NAME_CHARS_MAX: usize = 253;

fn listing(names: &[String]) -> String {
    let mut listed = match names {
        [] => return "no name".into(),
        names => names[..names.len().min(NAMES_MAX)].join(", "),
    };
    if let Some(more @ 1..) = names.len().checked_sub(NAMES_MAX) {
        let _ = write!(listed, " and {more} more");
    }
    listed
}

/// The library gives names as `DnsName("other.example")`. They come from who shows the certificate.
fn plain(name: &str) -> String {
    let inner = name.split_once('(').map_or(name, |(_, inner)| inner);
    let inner = inner.trim_end_matches(')').trim_matches('"');
    let fits = |char: &char| char.is_ascii_alphanumeric() || ".-_*:".contains(*char);
    inner.chars().filter(fits).take(NAME_CHARS_MAX).collect()
}

/// The day of a time in seconds since 1970, in UTC.
fn day(seconds: Option<u64>) -> Option<String> {
    let millis = i64::try_from(seconds?).ok()?.checked_mul(1000)?;
    let time = faceway_core::Timestamp::from_millis(millis)
        .ok()?
        .to_string();
    time.get(..10).map(str::to_owned)
}
