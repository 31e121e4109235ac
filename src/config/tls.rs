//! Certificates and keys, from PEM files.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use faceway_core::TlsFiles;
use faceway_tls::{ClientTls, Trust};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};

use super::OfThisMachine;
use super::gateway::ServerTls;

/// Certificate and key of a listener, as their files say.
pub struct Pair {
    tls: ServerTls,
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Pair {
    /// Reads both.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn read(tls: &ServerTls) -> anyhow::Result<Self> {
        Ok(Self {
            tls: tls.clone(),
            cert: pem(&tls.cert, "listen.tls.cert")?,
            key: pem(&tls.key, "listen.tls.key")?,
        })
    }

    /// What this pair is known by.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(Sha256::digest(&self.cert));
        digest.update(Sha256::digest(&self.key));
        digest.finalize().into()
    }

    /// TLS for a listener, 1.2 and 1.3: terminals speak 1.3, older boxes 1.2.
    ///
    /// # Errors
    /// When there is no certificate or key in the files, or the two do not belong together.
    pub fn config(&self) -> anyhow::Result<Arc<rustls::ServerConfig>> {
        let (cert, key) = (self.tls.cert.display(), self.tls.key.display());
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&self.cert)
            .collect::<Result<_, _>>()
            .with_context(|| format!("cannot read the certificate {cert} (listen.tls.cert)"))?;
        anyhow::ensure!(
            !chain.is_empty(),
            "{cert} holds no certificate (listen.tls.cert)"
        );
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .with_context(|| format!("cannot read the key {key} (listen.tls.key)"))?;
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::ring::default_provider(),
        ))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("listen.tls: the certificate and the key do not belong together")?;
        Ok(Arc::new(config))
    }
}

/// TLS for a listener with this certificate and key.
///
/// # Errors
/// When a file cannot be read, holds no certificate or key, or the two do not belong together.
pub fn server(tls: &ServerTls) -> anyhow::Result<Arc<rustls::ServerConfig>> {
    Pair::read(tls)?.config()
}

/// TLS as a client, as `tls` of an inbound that dials says.
///
/// # Errors
/// When a file cannot be read.
pub fn client(files: Option<&TlsFiles>) -> anyhow::Result<ClientTls> {
    let Some(files) = files else {
        return Ok(ClientTls::default());
    };
    Ok(ClientTls::read(files, &OfThisMachine)?)
}

/// Whom to trust as one of the `terminals` of an inbound.
///
/// # Errors
/// When a file cannot be read.
pub fn terminal(trust: &faceway_rules::Trust) -> anyhow::Result<Trust> {
    Ok(match trust {
        faceway_rules::Trust::System => Trust::System,
        faceway_rules::Trust::Authorities(path) => Trust::Authorities(pem(path, "ca")?),
        faceway_rules::Trust::Fingerprint(sha256) => Trust::Fingerprint(*sha256),
    })
}

/// The contents of a PEM file, without the byte order mark with which some editors save it: the first line would be none
/// of PEM's.
///
/// # Errors
/// When it cannot be read.
pub fn pem(path: &Path, key: &str) -> anyhow::Result<Vec<u8>> {
    let mut pem = super::read_small_file(path).map_err(|error| {
        let (path, said) = (path.display(), super::said(&error));
        anyhow::anyhow!("cannot read {path} ({key}): {said}")
    })?;
    if pem.starts_with(BYTE_ORDER_MARK) {
        pem.drain(..BYTE_ORDER_MARK.len());
    }
    Ok(pem)
}

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
