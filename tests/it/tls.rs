//! Terminals that speak TLS.

use std::sync::Arc;

use faceway_testkit::receiver::Authority;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Device, PATIENCE, Site, recognition, text};

/// A site whose listener has a certificate of this authority.
pub(crate) fn site(authority: &Authority) -> Site {
    let site = Site::new("[inbound.nebula.lobby]\n");
    let issued = authority.issue("localhost");
    let (cert, key) = (
        site.path().join("gateway.pem"),
        site.path().join("gateway.key"),
    );
    std::fs::write(&cert, issued.certificate).unwrap();
    std::fs::write(&key, issued.key).unwrap();
    let tls = format!(
        "{{ cert = {:?}, key = {:?} }}",
        cert.to_str().unwrap(),
        key.to_str().unwrap()
    );
    site.set("FACEWAY_LISTEN__TLS", &tls)
}

pub(crate) fn connector(authority: &Authority) -> tokio_rustls::TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap())
        .unwrap();
    trusting(roots)
}

/// A client that trusts whatever these have issued.
pub(crate) fn trusting(roots: rustls::RootCertStore) -> tokio_rustls::TlsConnector {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config).into()
}

/// The first message of a client that offers this version and one cipher suite, without any extension.
pub(crate) fn hello(version: [u8; 2], suite: [u8; 2]) -> Vec<u8> {
    let mut hello = version.to_vec();
    hello.extend([7; 32]);
    // No session, the suite, no compression.
    hello.extend([0, 0, 2, suite[0], suite[1], 1, 0]);
    let length = hello.len() as u8;
    let mut record = vec![0x16, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.append(&mut hello);
    record
}

#[tokio::test]
async fn terminals_push_over_tls() {
    let authority = Authority::new();
    push_over_tls(&authority, site(&authority)).await;
}

/// As Windows' editors save a file: with a byte order mark.
#[tokio::test]
async fn files_with_a_byte_order_mark_are_pem_files() {
    let authority = Authority::new();
    let site = site(&authority);
    for file in ["gateway.pem", "gateway.key"] {
        let path = site.path().join(file);
        let pem = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("\u{feff}{}", pem.replace('\n', "\r\n"))).unwrap();
    }
    push_over_tls(&authority, site).await;
}

async fn push_over_tls(authority: &Authority, site: Site) {
    let gateway = site.start().await;
    let stream = TcpStream::connect(gateway.devices).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = connector(authority).connect(name, stream).await.unwrap();
    let body = recognition("PSC1", "u-1");
    let head = format!(
        "POST /in/lobby HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body).await.unwrap();
    let mut answer = Vec::new();
    // A peer may end TLS without its farewell; what counts is what came before.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .expect("it answers");
    let answer = text(&answer);
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("\"code\":200"),
        "{answer}"
    );
    assert!(gateway.stop().await.success());
}

#[tokio::test]
async fn whoever_speaks_no_tls_is_not_heard() {
    let gateway = site(&Authority::new()).start().await;
    let mut device = Device::connect(gateway.devices).await;
    assert!(device.push(&recognition("PSC1", "u-1")).await.is_err());
}

#[tokio::test]
async fn a_key_of_another_certificate_is_told() {
    let authority = Authority::new();
    let site = site(&authority);
    std::fs::write(
        site.path().join("gateway.key"),
        authority.issue("elsewhere").key,
    )
    .unwrap();
    let output = site.run(&["run"]).await;
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output.stderr);
    assert!(told.contains("do not belong together"), "{told}");
}
