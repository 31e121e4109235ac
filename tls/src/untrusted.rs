//! Why a certificate is not trusted, with what is needed to trust it.

use std::error::Error;
use std::fmt;
use std::io;

use rustls::CertificateError;

/// A certificate that was shown and is not trusted. Nothing was said to who showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untrusted {
    /// Its SHA-256, to be compared with what the device itself shows.
    pub sha256: [u8; 32],
    /// Why it is not trusted, in words.
    pub reason: String,
}

impl Untrusted {
    /// Finds it among the causes of an error, however deep.
    pub fn among<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(rustls::Error::InvalidCertificate(CertificateError::Other(other))) =
                error.downcast_ref()
            {
                return other.0.downcast_ref();
            }
            // An error of I/O gives the cause of what it holds as its own, and so leaves out what it holds.
            let held = error
                .downcast_ref::<io::Error>()
                .and_then(io::Error::get_ref);
            next = match held {
                Some(held) => Some(held),
                None => error.source(),
            };
        }
        None
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
        let (reason, fingerprint) = (&self.reason, self.fingerprint());
        write!(
            f,
            "its certificate is not trusted: {reason}; its SHA-256 is {fingerprint}"
        )
    }
}

impl Error for Untrusted {}
