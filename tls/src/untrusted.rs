//! Why a certificate is not trusted, with what is needed to trust it.

use std::error::Error;
use std::fmt;

use rustls::CertificateError;

use crate::Keys;
use crate::reason::causes;

/// A certificate that was shown and is not trusted. Nothing was said to who showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untrusted {
    /// Its SHA-256, to be compared with what the device itself shows.
    pub sha256: [u8; 32],
    /// Why it is not trusted.
    pub distrust: Distrust,
}

/// Why a certificate is not trusted. Times are in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// It has expired, at this time where that is known.
    Expired(Option<u64>),
    /// It is not valid before this time.
    NotYet(Option<u64>),
    /// It is for other names than the one that was dialled.
    OtherName {
        /// The one that was dialled.
        wanted: Option<String>,
        /// Those in the certificate.
        names: Vec<String>,
    },
    /// No authority that is trusted has signed it.
    NoAuthority {
        /// Whether those are the ones in `ca`, and not the system's.
        own: bool,
    },
    /// It has signed itself, as an authority.
    SelfSigned {
        /// As above.
        own: bool,
    },
    /// It is not the one whose fingerprint was named.
    NotNamed,
    /// Something else, in words.
    Other(String),
}

impl Untrusted {
    /// Finds it among the causes of an error, however deep.
    pub fn among<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e Self> {
        causes(error).find_map(|cause| match cause.downcast_ref()? {
            rustls::Error::InvalidCertificate(CertificateError::Other(other)) => {
                other.0.downcast_ref()
            }
            _ => None,
        })
    }

    /// Its SHA-256 as `openssl x509 -fingerprint -sha256` prints it: `AB:CD:…`.
    pub fn fingerprint(&self) -> String {
        let digits: Vec<_> = self
            .sha256
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect();
        digits.join(":")
    }
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = self.distrust.reason(Keys::usual(false));
        write!(f, "{reason}; its SHA-256 is {}", self.fingerprint())
    }
}

impl Error for Untrusted {}
