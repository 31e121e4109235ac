//! The certificate of `listen.tls` is renewed while the gateway runs: new handshakes get the new one, connections that are
//! there go on, and what cannot be used leaves the old one in force.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use faceway_testkit::receiver::{Authority, Issued};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::harness::{Gateway, PATIENCE, Site, recognition, reload, text, wait_for_log};
use crate::tls::connector;

const RELOADED: &str = "faceway_reload_successful";

/// A site whose certificate and key lie behind links, as Kubernetes mounts them: `cert.pem` leads to `now/cert.pem`, and
/// `now` to a directory.
/// With the paths of its certificate and key.
fn site(issued: &Issued) -> (Site, [PathBuf; 2]) {
    let site = Site::new("[inbound.nebula.lobby]\n");
    let dir = site.path().join("tls");
    std::fs::create_dir(&dir).unwrap();
    mount(&dir, "first", issued);
    for (link, to) in [("cert.pem", "now/cert.pem"), ("key.pem", "now/key.pem")] {
        symlink(to, dir.join(link)).unwrap();
    }
    let files = ["cert.pem", "key.pem"].map(|file| dir.join(file));
    let site = site
        .set("FACEWAY_LISTEN__TLS__CERT", "tls/cert.pem")
        .set("FACEWAY_LISTEN__TLS__KEY", "tls/key.pem");
    (site, files)
}

/// Writes a directory and lets `now` lead there in one step.
fn mount(dir: &Path, name: &str, issued: &Issued) {
    let data = dir.join(name);
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("cert.pem"), &issued.certificate).unwrap();
    std::fs::write(data.join("key.pem"), &issued.key).unwrap();
    symlink(name, dir.join("next")).unwrap();
    std::fs::rename(dir.join("next"), dir.join("now")).unwrap();
}

async fn connect(authority: &Authority, gateway: &Gateway) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(gateway.devices).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    connector(authority).connect(name, stream).await.unwrap()
}

/// The certificate that a new handshake gets.
async fn served(authority: &Authority, gateway: &Gateway) -> CertificateDer<'static> {
    let stream = connect(authority, gateway).await;
    let certificates = stream.get_ref().1.peer_certificates().unwrap();
    certificates[0].clone().into_owned()
}

fn der(issued: &Issued) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()
}

/// Waits until new handshakes get this certificate.
async fn wait_for(authority: &Authority, gateway: &Gateway, issued: &Issued, how: &str) {
    let soon = async {
        while served(authority, gateway).await != der(issued) {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, soon).await;
    waited.unwrap_or_else(|_| panic!("{how}: the old one is served\n{}", gateway.log()));
}

async fn push(stream: &mut TlsStream<TcpStream>, uuid: &str) {
    let body = recognition("PSC1", uuid);
    let head = format!(
        "POST /in/lobby HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body).await.unwrap();
    let mut answer = vec![0; 4096];
    let count = tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await;
    let answer = text(&answer[..count.expect("it answers").unwrap()]);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// However the files are replaced, and however that is noticed.
#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_served_and_connections_go_on() {
    let authority = Authority::new();
    let issued = authority.issue("localhost");
    let (site, [cert, key]) = site(&issued);
    let gateway = site.start().await;
    assert_eq!(served(&authority, &gateway).await, der(&issued));
    let mut device = connect(&authority, &gateway).await;
    push(&mut device, "before").await;

    // Kubernetes: the directory behind the links is another one.
    let renewed = authority.issue("localhost");
    mount(&site.path().join("tls"), "second", &renewed);
    wait_for(&authority, &gateway, &renewed, "another directory").await;
    push(&mut device, "kubernetes").await;

    // certbot: the links themselves lead to other files, one after the other.
    let renewed = authority.issue("localhost");
    for (link, text) in [(&cert, &renewed.certificate), (&key, &renewed.key)] {
        let file = link.with_extension("renewed");
        std::fs::write(&file, text).unwrap();
        symlink(&file, link.with_extension("next")).unwrap();
        std::fs::rename(link.with_extension("next"), link).unwrap();
    }
    wait_for(&authority, &gateway, &renewed, "other links").await;
    push(&mut device, "certbot").await;

    // cp: the files are overwritten, one after the other.
    let renewed = authority.issue("localhost");
    std::fs::write(&cert, &renewed.certificate).unwrap();
    std::fs::write(&key, &renewed.key).unwrap();
    wait_for(&authority, &gateway, &renewed, "overwritten").await;

    // They are gone for a moment, in which devices are served nevertheless.
    let renewed_again = authority.issue("localhost");
    std::fs::remove_file(&cert).unwrap();
    std::fs::remove_file(&key).unwrap();
    assert_eq!(served(&authority, &gateway).await, der(&renewed));
    std::fs::write(&key, &renewed_again.key).unwrap();
    std::fs::write(&cert, &renewed_again.certificate).unwrap();
    wait_for(&authority, &gateway, &renewed_again, "gone for a moment").await;

    // On demand, before a look would notice.
    let renewed = authority.issue("localhost");
    std::fs::write(&cert, &renewed.certificate).unwrap();
    std::fs::write(&key, &renewed.key).unwrap();
    let (status, changes) = reload(&gateway).await;
    assert_eq!(status, 200, "{changes}");
    assert_eq!(served(&authority, &gateway).await, der(&renewed));

    push(&mut device, "after").await;
    assert!(
        !gateway.log().contains("is not taken over"),
        "{}",
        gateway.log()
    );
    gateway
        .wait_for_metric(RELOADED, |value| value == 1.0)
        .await;
    assert!(gateway.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_cannot_be_used_is_refused_with_its_reason() {
    let authority = Authority::new();
    let issued = authority.issue("localhost");
    let (site, [cert, key]) = site(&issued);
    let gateway = site.start().await;

    // A request is answered at once, also what became of the other file.
    for (file, text, why) in [
        (
            &key,
            authority.issue("localhost").key,
            "do not belong together",
        ),
        (&key, "no key".to_owned(), "cannot read the key"),
        (&cert, "<html>".to_owned(), "holds no certificate"),
    ] {
        let before = std::fs::read_to_string(file).unwrap();
        std::fs::write(file, text).unwrap();
        let (status, told) = reload(&gateway).await;
        assert_eq!(status, 422, "{why}: {told}");
        let error = told["error"].as_str().unwrap();
        for part in [why, "stays", "routes.toml was read again and is in force"] {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert_eq!(served(&authority, &gateway).await, der(&issued), "{why}");
        gateway
            .wait_for_metric(RELOADED, |value| value == 0.0)
            .await;
        let (_, overview) = gateway.get("/api/v1/overview").await;
        let overview: serde_json::Value = serde_json::from_str(&overview).unwrap();
        let failed = overview["reload_failed"]["text"].as_str().unwrap();
        assert!(failed.contains(why), "{failed}");
        std::fs::write(file, before).unwrap();
        let (status, told) = reload(&gateway).await;
        assert_eq!(status, 200, "{why}: {told}");
        gateway
            .wait_for_metric(RELOADED, |value| value == 1.0)
            .await;
    }

    // Without a request: half a pair stays half a pair, and then that is reported.
    let renewed = authority.issue("localhost");
    std::fs::write(&cert, &renewed.certificate).unwrap();
    gateway
        .wait_for_metric(RELOADED, |value| value == 0.0)
        .await;
    assert_eq!(served(&authority, &gateway).await, der(&issued));
    std::fs::write(&key, &renewed.key).unwrap();
    wait_for(&authority, &gateway, &renewed, "the other half").await;
    gateway
        .wait_for_metric(RELOADED, |value| value == 1.0)
        .await;

    // The signal is as good as the request.
    let last = authority.issue("localhost");
    std::fs::write(&cert, &last.certificate).unwrap();
    std::fs::write(&key, &last.key).unwrap();
    gateway.signal(rustix::process::Signal::HUP);
    wait_for(&authority, &gateway, &last, "SIGHUP").await;
    wait_for_log(&gateway, "new handshakes get the certificate").await;
}
