//! Whom an `amqps://` connection trusts, and who we are.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::{SettingsError, TlsFiles};

pub(crate) fn config(files: Option<&TlsFiles>) -> Result<ClientConfig, SettingsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| SettingsError::new("tls", error.to_string()))?
        .with_root_certificates(roots(files.and_then(|files| files.ca.as_deref()))?);
    let Some((chain, key)) = files.and_then(|files| files.identity.as_ref()) else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates("tls.cert", chain)?;
    // Revealed to be parsed; what it becomes cannot be printed.
    let key = PrivateKeyDer::from_pem_slice(key.reveal())
        .map_err(|_| SettingsError::new("tls.key", "holds no private key in PEM"))?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|error| SettingsError::new("tls.key", format!("does not fit tls.cert: {error}")))
}

/// Whom to trust: `ca` alone when it is given; else the system's certificates, as administrators keep their company's
/// there; else, in an image that has none, Mozilla's as of this build.
fn roots(ca: Option<&[u8]>) -> Result<RootCertStore, SettingsError> {
    let mut roots = RootCertStore::empty();
    if let Some(pem) = ca {
        for certificate in certificates("tls.ca", pem)? {
            roots.add(certificate).map_err(|error| {
                SettingsError::new("tls.ca", format!("holds no CA certificate: {error}"))
            })?;
        }
        return Ok(roots);
    }
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    Ok(roots)
}

fn certificates(
    key: &'static str,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| SettingsError::new(key, "is no PEM file"))?;
    if certificates.is_empty() {
        let problem = "holds no certificate in PEM (-----BEGIN CERTIFICATE-----)";
        return Err(SettingsError::new(key, problem));
    }
    Ok(certificates)
}
