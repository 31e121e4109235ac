//! What an outbound is opened with.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::{Clock, Private, Secret, SettingsError, Values};

/// What only the gateway has, for an outbound that is opened.
pub struct OpenContext<'c> {
    /// The outbound's name.
    pub name: &'c str,
    /// Tells this gateway from others at the same destination: always the same as long as its spool is.
    pub gateway: &'c str,
    /// A link to a picture that stands for none.
    pub no_picture: &'c str,
    /// For a whole delivery.
    pub timeout: Duration,
    /// Deliveries that run at once, at most.
    pub concurrency_max: usize,
    /// Headers that are the same for every message, of [`HeaderStyle::Http`](super::HeaderStyle::Http). Secrets are marked
    /// as sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether messages come with headers that a receiver needs: those of `headers`, or the attributes of a CloudEvent in
    /// binary mode.
    pub needs_headers: bool,
    /// What an outbound of this name and protocol said until now, where there was one.
    pub before: Option<&'c Values>,
    /// The time.
    pub clock: &'c Arc<dyn Clock>,
    /// Secrets and files.
    pub resources: &'c dyn Resources,
}

/// Where secrets and files come from that settings name.
pub trait Resources {
    /// Reads a secret.
    ///
    /// # Errors
    /// When it is not there, or blank.
    fn secret(&self, secret: &Secret) -> Result<Private<String>, Missing>;

    /// Reads a PEM file, which the key of this name names.
    ///
    /// # Errors
    /// When it cannot be read.
    fn pem(&self, file: &Path, key: &str) -> Result<Vec<u8>, Missing>;
}

/// A secret or a file that cannot be had. The text says which and why, and holds nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Missing(pub String);

impl Missing {
    /// The same, with what it is for in front.
    #[must_use]
    pub fn of(self, what: &str) -> Self {
        Self(format!("{what}: {}", self.0))
    }
}

/// Why an outbound cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// A setting cannot mean anything.
    #[error(transparent)]
    Setting(#[from] SettingsError),
    /// A secret or a file cannot be had.
    #[error(transparent)]
    Missing(#[from] Missing),
}
