//! Trust in certificates that devices have signed themselves.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use sha2::{Digest as _, Sha256};

use crate::{Distrust, TlsError, Untrusted};

/// Trusts the certificates that it knows, whatever name or age they have, and beside them those that `others` trusts.
/// That the other side holds the certificate's key is proven in the handshake either way. What it does not trust it
/// describes, so that who reads the error can compare.
#[derive(Debug)]
pub(crate) struct Known {
    fingerprints: Vec<[u8; 32]>,
    /// Whether the authorities are the operator's own.
    own: bool,
    others: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

pub(crate) fn fingerprint(sha256: [u8; 32], provider: Arc<CryptoProvider>) -> Known {
    Known {
        fingerprints: vec![sha256],
        own: true,
        others: None,
        provider,
    }
}

/// Trusts what these authorities have signed, as usual.
pub(crate) fn usual(
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
) -> Result<Known, TlsError> {
    let others =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|error| TlsError::new("ca", error.to_string()))?;
    Ok(Known {
        fingerprints: Vec::new(),
        own: false,
        others: Some(others),
        provider,
    })
}

pub(crate) fn authorities(
    certificates: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
) -> Result<Known, TlsError> {
    let fingerprints = certificates.iter().map(|certificate| digest(certificate));
    let fingerprints = fingerprints.collect();
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(|error| {
            TlsError::new("ca", format!("holds what is no certificate: {error}"))
        })?;
    }
    Ok(Known {
        fingerprints,
        own: true,
        ..usual(roots, provider)?
    })
}

fn digest(certificate: &[u8]) -> [u8; 32] {
    Sha256::digest(certificate).into()
}

fn told(untrusted: Untrusted) -> Error {
    CertificateError::Other(OtherError(Arc::new(untrusted))).into()
}

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let sha256 = digest(end_entity);
        if self.fingerprints.contains(&sha256) {
            return Ok(ServerCertVerified::assertion());
        }
        let Some(others) = &self.others else {
            let distrust = Distrust::NotNamed;
            return Err(told(Untrusted { sha256, distrust }));
        };
        others
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            .map_err(|error| match error {
                Error::InvalidCertificate(why) => told(Untrusted {
                    sha256,
                    distrust: Distrust::of(&why, self.own),
                }),
                other => other,
            })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
