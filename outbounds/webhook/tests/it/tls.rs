//! Whom it trusts, and how it shows who it is.

use std::sync::Arc;

use faceway_core::Private;
use faceway_outbound_webhook::{Webhook, WebhookSettings};
use faceway_testkit::clock::TestClock;
use faceway_testkit::receiver::{Authority, Issued, Receiver};
use faceway_tls::{ClientTls, Trust};

use crate::{deliver, delivered, outage, settings, webhook};

fn secured(
    receiver: &Receiver,
    ca: Option<&Authority>,
    identity: Option<&Issued>,
) -> WebhookSettings {
    let mut settings = settings(&receiver.url());
    settings.tls = Some(ClientTls {
        trust: trust(ca.map(Authority::pem)),
        identity: identity.map(|identity| {
            let key = Private::new(identity.key.clone().into_bytes());
            (identity.certificate.clone().into_bytes(), key)
        }),
    });
    settings
}

#[tokio::test]
async fn a_ca_of_ones_own_is_trusted_and_no_other() {
    let authority = Authority::new();
    let receiver = Receiver::start_tls(&authority.issue("127.0.0.1"), None).await;
    let trusting = webhook(secured(&receiver, Some(&authority), None));
    assert_eq!(deliver(&trusting, "one").await, delivered(200));
    assert_eq!(deliver(&trusting, "two").await, delivered(200));
    assert_eq!(receiver.accepted(), 1);

    let others = webhook(secured(&receiver, Some(&Authority::new()), None));
    assert_eq!(deliver(&others, "three").await, outage("tls"));
    let system = webhook(settings(&receiver.url()));
    assert_eq!(deliver(&system, "three").await, outage("tls"));
    assert_eq!(receiver.received().len(), 2);
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_trusted() {
    let authority = Authority::new();
    let receiver = Receiver::start_tls(&authority.issue("erp.example"), None).await;
    let webhook = webhook(secured(&receiver, Some(&authority), None));
    let verdict = deliver(&webhook, "one").await;
    assert_eq!(verdict, outage("tls"));
    let told = "it is for erp.example, and `url` says 127.0.0.1";
    assert!(reason(&verdict).contains(told), "{verdict:?}");
}

/// A proxy and the endpoint behind it are two others, and only one of them is to be put right.
#[tokio::test]
async fn a_proxy_that_is_not_trusted_is_told_from_the_endpoint() {
    let authority = Authority::new();
    let receiver = Receiver::start_tls(&authority.issue("proxy.example"), None).await;
    for url in ["https://erp.example/faces", "http://erp.example/faces"] {
        let mut settings = secured(&receiver, Some(&authority), None);
        settings.proxy = Some(receiver.url().replace("/faces", "").into());
        settings.url = url.to_owned();
        let verdict = deliver(&webhook(settings), "one").await;
        assert_eq!(verdict, outage("tls"), "{url}");
        let told = "of the proxy: its certificate is not for this name: it is for proxy.example, and `proxy` says 127.0.0.1";
        assert_eq!(reason(&verdict), told, "{url}");
    }
}

/// Why there was no TLS, as the operator is told.
fn reason(verdict: &faceway_core::Verdict) -> &str {
    match verdict {
        faceway_core::Verdict::Retry { code, .. } => code.reason().unwrap_or_default(),
        _ => "",
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let receiver = Receiver::start_tls(&authority.issue("127.0.0.1"), Some(&clients)).await;
    let identity = clients.issue("gateway.example");
    let known = webhook(secured(&receiver, Some(&authority), Some(&identity)));
    assert_eq!(deliver(&known, "one").await, delivered(200));
    let unknown = webhook(secured(&receiver, Some(&authority), None));
    let verdict = deliver(&unknown, "one").await;
    assert_eq!(verdict, outage("tls"));
    let told = "it asks for a client certificate, and `tls.cert` is not configured";
    assert_eq!(reason(&verdict), told);
}

#[tokio::test]
async fn plain_http_behind_https_is_named_so() {
    let receiver = Receiver::start().await;
    let url = receiver.url().replace("http:", "https:");
    let verdict = deliver(&webhook(settings(&url)), "one").await;
    assert_eq!(verdict, outage("tls"));
    let told = "what answers there is not TLS: check the port in `url`";
    assert_eq!(reason(&verdict), told);
}

#[test]
fn files_that_are_none_are_named() {
    let authority = Authority::new();
    let one = authority.issue("one.example");
    let refused = |ca: Option<&str>, identity: Option<(&str, &str)>| {
        let mut settings = settings("https://erp.example/faces");
        settings.tls = Some(ClientTls {
            trust: trust(ca),
            identity: identity.map(|(certificate, key)| {
                let key = Private::new(key.as_bytes().to_vec());
                (certificate.as_bytes().to_vec(), key)
            }),
        });
        let clock = Arc::new(TestClock::default());
        Webhook::new(settings, clock).err().unwrap().key
    };
    assert_eq!(refused(Some("no PEM"), None), "tls.ca");
    assert_eq!(refused(Some(&one.key), None), "tls.ca");
    assert_eq!(refused(None, Some(("", &one.key))), "tls.cert");
    assert_eq!(refused(None, Some((&one.certificate, "no PEM"))), "tls.key");
    let other = authority.issue("other.example");
    assert_eq!(
        refused(None, Some((&one.certificate, &other.key))),
        "tls.key"
    );
}

fn trust(ca: Option<impl Into<String>>) -> Trust {
    ca.map_or(Trust::System, |pem| {
        Trust::Authorities(pem.into().into_bytes())
    })
}
