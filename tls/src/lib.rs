//! TLS as a client, for everything that is dialled: whom to trust, and who we are. Made from the contents of PEM files;
//! nothing is read or dialled here.

mod reason;
mod untrusted;
mod verify;

use std::sync::Arc;

use faceway_core::outbound_kind::{Missing, Resources};
use faceway_core::{Private, SettingsError, TlsFiles};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

pub use reason::{Keys, why};
pub use untrusted::{Distrust, Untrusted};

/// Whom to trust, and who we are.
#[derive(Clone, Debug, Default)]
pub struct ClientTls {
    /// Whom to trust.
    pub trust: Trust,
    /// The client's certificate with its chain, and its private key: the contents of PEM files.
    pub identity: Option<(Vec<u8>, Private<Vec<u8>>)>,
}

/// Whom to trust.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Trust {
    /// The system's authorities, as administrators keep their company's there; in an image that has none, Mozilla's as of
    /// this build.
    #[default]
    System,
    /// The authorities in this PEM file and no others. A certificate that itself stands in the file is trusted under any
    /// name: devices sign their own, for names that they are not called by.
    Authorities(Vec<u8>),
    /// The certificate with this SHA-256 and no other, under any name.
    Fingerprint([u8; 32]),
}

/// A file that cannot be used. Its text says what would be right, and holds nothing of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct TlsError {
    /// The key below `tls`: `ca`, `cert`, `key`.
    pub key: &'static str,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl From<TlsError> for SettingsError {
    fn from(error: TlsError) -> Self {
        Self::new(error.setting(), error.problem)
    }
}

impl TlsError {
    fn new(key: &'static str, problem: impl Into<String>) -> Self {
        Self {
            key,
            problem: problem.into(),
        }
    }

    /// The key with the table that it is in: `tls.ca` …
    pub fn setting(&self) -> &'static str {
        match self.key {
            "cert" => "tls.cert",
            "key" => "tls.key",
            _ => "tls.ca",
        }
    }
}

impl ClientTls {
    /// What the files of a `tls` hold.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn read(files: &TlsFiles, resources: &dyn Resources) -> Result<Self, Missing> {
        let trust = match &files.ca {
            Some(path) => Trust::Authorities(resources.pem(path, "tls.ca")?),
            None => Trust::System,
        };
        let identity = match &files.client {
            Some((cert, key)) => Some((
                resources.pem(cert, "tls.cert")?,
                resources.pem(key, "tls.key")?.into(),
            )),
            None => None,
        };
        Ok(Self { trust, identity })
    }

    /// What a reason why there was no TLS calls things, for an outbound or a dialled source.
    pub const fn keys(&self) -> Keys {
        Keys::usual(self.identity.is_some())
    }

    /// What rustls needs to know, with TLS 1.2 and 1.3: older boxes speak 1.2. Where nothing will be `encrypted`, no
    /// authorities are loaded.
    ///
    /// # Errors
    /// When a file holds no certificate or no key, or the two do not belong together.
    pub fn config(&self, encrypted: bool) -> Result<ClientConfig, TlsError> {
        let mut config = self.with_identity(encrypted)?;
        // A resumed session asks for no certificate: one that has expired, or is not trusted any more, would go on being
        // accepted over new connections.
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    fn with_identity(&self, encrypted: bool) -> Result<ClientConfig, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::new("ca", error.to_string()))?;
        let builder = match &self.trust {
            Trust::System if !encrypted => builder.with_root_certificates(RootCertStore::empty()),
            Trust::System => {
                let verifier = verify::usual(system_roots(), provider)?;
                builder
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(verifier))
            }
            Trust::Authorities(pem) => {
                let verifier = verify::authorities(certificates("ca", pem)?, provider)?;
                builder
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(verifier))
            }
            Trust::Fingerprint(sha256) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verify::fingerprint(*sha256, provider))),
        };
        let Some((chain, key)) = &self.identity else {
            return Ok(builder.with_no_client_auth());
        };
        let chain = certificates("cert", chain)?;
        // Revealed to be parsed; what it becomes cannot be printed.
        let key = PrivateKeyDer::from_pem_slice(key.reveal())
            .map_err(|_| TlsError::new("key", "holds no private key in PEM"))?;
        builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| TlsError::new("key", format!("does not fit `cert`: {error}")))
    }
}

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

fn certificates(key: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| TlsError::new(key, "is no PEM file"))?;
    if certificates.is_empty() {
        let problem = "holds no certificate in PEM (-----BEGIN CERTIFICATE-----)";
        return Err(TlsError::new(key, problem));
    }
    Ok(certificates)
}
