//! Which certificates are trusted, by real handshakes.

#![allow(clippy::unwrap_used, reason = "a test panics")]

use std::sync::Arc;

use faceway_testkit::receiver::{Authority, Issued};
use faceway_tls::{ClientTls, Trust, Untrusted};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{HandshakeKind, ServerConfig};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
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
    shakes(trust, issued).await.is_ok()
}

/// Ends with the error that a client gets.
async fn shakes(trust: Trust, issued: &Issued) -> std::io::Result<()> {
    let tls = ClientTls {
        trust,
        identity: None,
    };
    let connector = TlsConnector::from(Arc::new(tls.config(true).unwrap()));
    let acceptor = server(issued);
    let (here, there) = tokio::io::duplex(64 * 1024);
    let name = ServerName::try_from("terminal.example").unwrap();
    let (client, _) = tokio::join!(connector.connect(name, here), acceptor.accept(there));
    client.map(drop)
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

/// Shakes hands and hears one byte, before which a server sends its tickets.
async fn kind_of_handshake(
    config: &Arc<rustls::ClientConfig>,
    server: &TlsAcceptor,
) -> HandshakeKind {
    let (here, there) = tokio::io::duplex(64 * 1024);
    let name = ServerName::try_from("terminal.example").unwrap();
    let connector = TlsConnector::from(Arc::clone(config));
    let serving = async {
        let mut stream = server.accept(there).await.unwrap();
        stream.write_all(b"x").await.unwrap();
        stream.shutdown().await.unwrap();
    };
    let connecting = async {
        let mut stream = connector.connect(name, here).await.unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.unwrap();
        stream.get_ref().1.handshake_kind().unwrap()
    };
    tokio::join!(serving, connecting).1
}

/// In a session that is resumed no certificate is shown: one that has expired meanwhile would go on being trusted.
#[tokio::test]
async fn a_certificate_is_asked_for_at_every_connection() {
    let authority = Authority::new();
    let server = server(&authority.issue("terminal.example"));
    let trust = Trust::Authorities(authority.pem().into_bytes());
    let identity = None;
    let ours = ClientTls { trust, identity }.config(true).unwrap();
    let mut resuming = ours.clone();
    resuming.resumption = rustls::client::Resumption::default();
    for (config, again) in [
        (ours, HandshakeKind::Full),
        // The server would do it.
        (resuming, HandshakeKind::Resumed),
    ] {
        let config = Arc::new(config);
        assert_eq!(
            kind_of_handshake(&config, &server).await,
            HandshakeKind::Full
        );
        assert_eq!(kind_of_handshake(&config, &server).await, again);
    }
}

#[tokio::test]
async fn what_is_not_trusted_is_described() {
    let issued = Authority::new().issue("terminal.example");
    let pem = |authority: Authority| Trust::Authorities(authority.pem().into_bytes());
    for (trust, reason) in [
        (Trust::System, "no authority that this machine trusts"),
        (
            pem(Authority::new()),
            "no authority in `tls.ca` vouches for it",
        ),
        (Trust::Fingerprint([7; 32]), "another certificate than"),
    ] {
        let error = shakes(trust, &issued).await.unwrap_err();
        // As it lies in the errors of clients for HTTP and websockets.
        let error = std::io::Error::other(std::io::Error::other(error));
        let untrusted = Untrusted::among(&error).expect("it is described");
        assert_eq!(untrusted.sha256, fingerprint(&issued));
        assert!(untrusted.to_string().contains(reason), "{untrusted}");
    }
    assert_eq!(Untrusted::among(&std::io::Error::other("else")), None);
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
