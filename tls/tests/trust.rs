//! Which certificates are trusted, by real handshakes.

use std::sync::Arc;

use faceway_testkit::receiver::{Authority, Issued};
use faceway_tls::{ClientTls, Trust};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sha2::{Digest as _, Sha256};
use tokio_rustls::{TlsAcceptor, TlsConnector};

fn server(issued: &Issued) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificate = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Whether a client that trusts so shakes hands with this server, which it calls `terminal.example`.
async fn trusts(trust: Trust, issued: &Issued) -> bool {
    let tls = ClientTls {
        trust,
        identity: None,
    };
    let connector = TlsConnector::from(Arc::new(tls.config(true).unwrap()));
    let acceptor = server(issued);
    let (here, there) = tokio::io::duplex(64 * 1024);
    let name = ServerName::try_from("terminal.example").unwrap();
    let (client, _) = tokio::join!(connector.connect(name, here), acceptor.accept(there));
    client.is_ok()
}

fn fingerprint(issued: &Issued) -> [u8; 32] {
    let certificate = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap();
    Sha256::digest(&certificate).into()
}

#[tokio::test]
async fn authorities_of_a_file_are_trusted_and_no_others() {
    let authority = Authority::new();
    let good = Trust::Authorities(authority.pem().into_bytes());
    let issued = authority.issue("terminal.example");
    assert!(trusts(good.clone(), &issued).await);
    assert!(!trusts(good.clone(), &authority.issue("other.example")).await);
    assert!(!trusts(good, &Authority::new().issue("terminal.example")).await);
    assert!(!trusts(Trust::System, &issued).await);
}

#[tokio::test]
async fn a_certificate_in_the_file_is_trusted_under_any_name() {
    let issued = Authority::new().issue("localhost");
    let itself = Trust::Authorities(issued.certificate.clone().into_bytes());
    assert!(trusts(itself.clone(), &issued).await);
    assert!(!trusts(itself, &Authority::new().issue("localhost")).await);
}

#[tokio::test]
async fn a_fingerprint_is_trusted_under_any_name_and_no_other() {
    let (issued, other) = (
        Authority::new().issue("localhost"),
        Authority::new().issue("terminal.example"),
    );
    assert!(trusts(Trust::Fingerprint(fingerprint(&issued)), &issued).await);
    assert!(!trusts(Trust::Fingerprint(fingerprint(&issued)), &other).await);
}

#[tokio::test]
async fn somebody_elses_certificate_without_its_key_is_no_proof() {
    let (issued, thief) = (
        Authority::new().issue("localhost"),
        Authority::new().issue("localhost"),
    );
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificate = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(thief.key.as_bytes()).unwrap();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let stolen = rustls::sign::CertifiedKey::new(vec![certificate], key);
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(stolen)));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let tls = ClientTls {
        trust: Trust::Fingerprint(fingerprint(&issued)),
        identity: None,
    };
    let connector = TlsConnector::from(Arc::new(tls.config(true).unwrap()));
    let (here, there) = tokio::io::duplex(64 * 1024);
    let name = ServerName::try_from("terminal.example").unwrap();
    let (client, _) = tokio::join!(connector.connect(name, here), acceptor.accept(there));
    assert!(client.is_err());
}

#[test]
fn unusable_files_are_told() {
    let with = |trust, identity| ClientTls { trust, identity }.config(true).unwrap_err();
    assert_eq!(
        with(Trust::Authorities(b"x".to_vec()), None).to_string(),
        "ca: holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"
    );
    let issued = Authority::new().issue("client");
    let other = Authority::new().issue("client");
    let chain = issued.certificate.into_bytes();
    let error = with(
        Trust::System,
        Some((chain.clone(), other.key.into_bytes().into())),
    );
    assert_eq!(error.key, "key");
    let error = with(Trust::System, Some((chain, b"x".to_vec().into())));
    assert_eq!(error.to_string(), "key: holds no private key in PEM");
}
