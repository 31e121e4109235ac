//! Why TLS was not agreed, by real handshakes and by what real servers say.

#![allow(clippy::unwrap_used, reason = "a test panics")]

use std::sync::Arc;

use faceway_testkit::receiver::{Authority, Issued};
use faceway_tls::{ClientTls, Keys, Trust, why};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A server with this certificate, which may ask clients for one of this authority.
fn server(issued: &Issued, clients: Option<&Authority>) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(der(&authority.pem())).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    let config = builder.with_single_cert(vec![der(&issued.certificate)], key);
    TlsAcceptor::from(Arc::new(config.unwrap()))
}

/// Why a client that trusts so, and shows this certificate, has no TLS with this server; it dials `erp.example` and waits
/// for a byte, as a server of TLS 1.3 refuses a client after its handshake.
async fn refusal(tls: &ClientTls, server: TlsAcceptor) -> String {
    let connector = TlsConnector::from(Arc::new(tls.config(true).unwrap()));
    let (here, there) = tokio::io::duplex(64 * 1024);
    let name = ServerName::try_from("erp.example").unwrap();
    let serving = async {
        if let Ok(mut stream) = server.accept(there).await {
            let _ = stream.write_all(b"x").await;
        }
    };
    let connecting = async { connector.connect(name, here).await?.read_u8().await };
    let error = tokio::join!(serving, connecting).1.unwrap_err();
    // As it lies in the errors of clients for HTTP and websockets.
    let error = std::io::Error::other(std::io::Error::other(error));
    why(&error, tls.keys()).expect("it is TLS that failed")
}

fn trusting(authority: &Authority, identity: Option<&Issued>) -> ClientTls {
    let bytes = |pem: &String| pem.clone().into_bytes();
    ClientTls {
        trust: Trust::Authorities(authority.pem().into_bytes()),
        identity: identity.map(|issued| (bytes(&issued.certificate), bytes(&issued.key).into())),
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_says_why() {
    let (authority, other) = (Authority::new(), Authority::new());
    let own = trusting(&authority, None);
    let system = ClientTls::default();
    for (tls, issued, reason) in [
        (
            &own,
            authority.issue_between("erp.example", (2019, 1, 1), (2021, 1, 1)),
            "its certificate expired on 2021-01-01",
        ),
        (
            &own,
            authority.issue_between("erp.example", (2091, 5, 1), (2092, 1, 1)),
            "its certificate is valid from 2091-05-01 on, which this machine's clock has not reached",
        ),
        (
            &own,
            authority.issue("other.example"),
            "its certificate is not for this name: it is for other.example, and `url` says erp.example",
        ),
        (
            &own,
            authority.issue("127.0.0.1"),
            "its certificate is not for this name: it is for 127.0.0.1, and `url` says erp.example",
        ),
        (
            &own,
            other.issue("erp.example"),
            "no authority in `tls.ca` vouches for its certificate",
        ),
        (
            &own,
            Authority::self_signed("erp.example"),
            "no authority in `tls.ca` vouches for its certificate",
        ),
        (
            &system,
            authority.issue("erp.example"),
            "no authority that this machine trusts vouches for its certificate: put its authority, or the certificate \
             itself, into the file of `tls.ca`",
        ),
        (
            &system,
            Authority::self_signed("erp.example"),
            "no authority vouches for its certificate, which it has signed itself: put its authority, or the certificate \
             itself, into the file of `tls.ca`",
        ),
    ] {
        let told = refusal(tls, server(&issued, None)).await;
        assert!(told.starts_with(reason), "{told}\n{reason}");
    }
}

#[tokio::test]
async fn a_client_certificate_that_is_asked_for_is_told() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let issued = authority.issue("erp.example");
    for (identity, reason) in [
        (
            None,
            "it asks for a client certificate, and `tls.cert` is not configured",
        ),
        (
            Some(authority.issue("us")),
            "it does not accept the client certificate in `tls.cert`",
        ),
        (
            Some(clients.issue_between("us", (2019, 1, 1), (2021, 1, 1))),
            "it does not accept the client certificate in `tls.cert`: it has expired",
        ),
    ] {
        let tls = trusting(&authority, identity.as_ref());
        let told = refusal(&tls, server(&issued, Some(&clients))).await;
        assert!(told.starts_with(reason), "{told}\n{reason}");
    }
    let fine = trusting(&authority, Some(&clients.issue("us")));
    let connector = TlsConnector::from(Arc::new(fine.config(true).unwrap()));
    let (here, there) = tokio::io::duplex(64 * 1024);
    let name = ServerName::try_from("erp.example").unwrap();
    let acceptor = server(&issued, Some(&clients));
    let (ours, theirs) = tokio::join!(connector.connect(name, here), acceptor.accept(there));
    assert!(ours.is_ok() && theirs.is_ok());
}

/// What servers send that speak something else, or refuse: a record with an alert, or no record at all.
#[tokio::test]
async fn what_servers_say_is_told_in_words() {
    let alert = |description: u8| vec![0x15, 3, 3, 0, 2, 2, description];
    let none = ClientTls::default().keys();
    for (answer, keys, reason) in [
        (
            alert(70),
            none,
            "it speaks no version of TLS that Faceway speaks",
        ),
        (
            alert(71),
            none,
            "it has no cipher, curve or signature in common",
        ),
        (
            alert(40),
            none,
            "it refuses the handshake: it has no cipher",
        ),
        (
            alert(40),
            none,
            "or it asks for a client certificate, and `tls.cert` is not configured",
        ),
        (
            alert(40),
            Keys::usual(true),
            "or it does not accept the client certificate in `tls.cert`",
        ),
        (
            alert(48),
            Keys::usual(true),
            "it does not know who has issued it",
        ),
        (
            alert(42),
            none,
            "it asks for a client certificate, and `tls.cert` is not configured",
        ),
        (alert(112), none, "it does not know the name in `url`"),
        (
            alert(112),
            none.at("api_url"),
            "it does not know the name in `api_url`",
        ),
        (
            alert(112),
            none.at("proxy"),
            "it does not know the name in `proxy`",
        ),
        (
            alert(80),
            none,
            "it ends the handshake with the alert InternalError",
        ),
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            none,
            "what answers there is not TLS: check the port in `url`",
        ),
    ] {
        let connector = TlsConnector::from(Arc::new(ClientTls::default().config(true).unwrap()));
        let (here, mut there) = tokio::io::duplex(64 * 1024);
        let name = ServerName::try_from("erp.example").unwrap();
        let serving = async {
            let _hello = there.read_u8().await.unwrap();
            there.write_all(&answer).await.unwrap();
        };
        let (connected, ()) = tokio::join!(connector.connect(name, here), serving);
        let told = why(&connected.unwrap_err(), keys).expect("it is TLS that failed");
        assert!(told.contains(reason), "{told}\n{reason}");
    }
}

#[test]
fn what_is_not_tls_has_no_reason() {
    let error = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
    assert_eq!(why(&error, Keys::usual(false)), None);
    assert_eq!(why(&std::io::Error::other("else"), Keys::TERMINAL), None);
}
