//! What an operator sets, and why an engine does not open.

use std::path::PathBuf;
use std::time::Duration;

use faceway_core::Private;
use faceway_tls::{ClientTls, TlsError};

/// Settings of the engine: `[spool]` and `[spool.jetstream]` of `gateway.toml`.
#[derive(Clone, Debug)]
pub struct JetStreamSettings {
    /// Name of the site: streams and subjects carry it.
    pub site: String,
    /// Name of this gateway. No other one of the site has it.
    pub gateway: String,
    /// Where links to pictures lead: an address that all gateways of the site answer.
    pub public_url: String,
    /// Directory of caches.
    pub dir: PathBuf,
    /// Servers, as `nats://host:port` or `tls://host:port`.
    pub servers: Vec<String>,
    /// Who this gateway is to the servers.
    pub credentials: Credentials,
    /// Whom to trust, and this gateway's certificate, for servers at `tls://` and monitoring addresses at `https://`.
    pub tls: ClientTls,
    /// How many servers keep each message.
    pub replicas: usize,
    /// Whether the start proves that the servers sync what they acknowledge.
    pub durability: Durability,
    /// The servers' monitoring addresses.
    pub monitor: Vec<String>,
    /// A user of the system account, where monitoring addresses are closed.
    pub system: Credentials,
    /// How long an append waits for the cluster.
    pub append_timeout: Duration,
    /// How long the servers recognise an id.
    pub dedup_window: Duration,
    /// How many ids a gateway remembers.
    pub seen_max: usize,
    /// Bytes of the site, each counted once.
    pub bytes_max: u64,
    /// Delivered events are kept this long.
    pub history: Duration,
    /// Pictures are kept this long behind the oldest event that a lane needs.
    pub images: Duration,
    /// Unreadable bodies are kept this long.
    pub quarantine: Duration,
    /// Bytes that unreadable bodies may take up; half of it for one inbound.
    pub quarantine_bytes_max: u64,
}

/// Who a gateway is to the servers.
#[derive(Clone, Debug, Default)]
pub enum Credentials {
    /// The servers' configuration names a user for connections without a name.
    #[default]
    None,
    /// The text of a `.creds` file.
    File(Private<String>),
    /// Name and password.
    Password(String, Private<String>),
    /// A token.
    Token(Private<String>),
    /// The seed of an nkey.
    Nkey(Private<String>),
}

/// What the servers must prove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Every server syncs what it acknowledges.
    #[default]
    Synced,
    /// Nothing: a power cut of all servers at once may lose what was acknowledged.
    Relaxed,
}

/// Why the engine does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The servers do not fit. The text says what to do.
    #[error("{0}")]
    Refused(String),
    /// The directory of caches cannot be made.
    #[error("the directory {dir} cannot be made: {reason}")]
    Directory {
        /// Which one.
        dir: String,
        /// Why.
        reason: std::io::Error,
    },
    /// A file of `spool.jetstream.tls` cannot be used.
    #[error("spool.jetstream.tls.{0}")]
    Tls(#[from] TlsError),
    /// The servers do not answer, or not as expected.
    #[error("the cluster does not answer as it should: {0}")]
    Cluster(String),
}

impl JetStreamSettings {
    /// Whether something of the cluster is reached over TLS.
    pub(crate) fn is_encrypted(&self) -> bool {
        let addresses = self.servers.iter().chain(&self.monitor);
        let mut schemes = addresses.filter_map(|address| address.split_once("://"));
        schemes.any(|(scheme, _)| matches!(scheme, "tls" | "https"))
    }

    /// What cannot be meant, with what to write instead.
    ///
    /// # Errors
    /// The first that is wrong.
    pub fn check(&self) -> Result<(), OpenError> {
        let refused = |text: String| Err(OpenError::Refused(text));
        let is_name = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|sign| sign.is_ascii_alphanumeric() || matches!(sign, b'-' | b'_'))
        };
        if !is_name(&self.site) {
            return refused(format!(
                "site is {:?}: write letters, digits, - and _ only",
                self.site
            ));
        }
        if self.servers.is_empty() {
            return refused(
                "spool.jetstream.servers names no server: write [\"nats://host:4222\"]".into(),
            );
        }
        if !matches!(self.replicas, 1 | 3 | 5) {
            return refused(format!(
                "spool.jetstream.replicas is {}: write 3 or 5, or 1 to try it out",
                self.replicas
            ));
        }
        // A second try must find the servers' memory of the first.
        if self.append_timeout * 2 > self.dedup_window {
            return refused(
                "spool.jetstream.append_timeout is more than half of dedup_window: make it shorter"
                    .into(),
            );
        }
        Ok(())
    }
}
