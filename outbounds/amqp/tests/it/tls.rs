//! Whom it trusts, and how it shows who it is.

use faceway_core::Private;
use faceway_outbound_amqp::{Amqp, AmqpSettings};
use faceway_testkit::broker::rabbitmq::{Options, RabbitMq};
use faceway_testkit::receiver::{Authority, Issued};
use faceway_tls::{ClientTls, Trust};

use crate::{amqp, deliver, delivered, outage, settings};

fn secured(broker: &RabbitMq, ca: &Authority, identity: Option<&Issued>) -> AmqpSettings {
    let mut settings = settings(broker.tls_address(), "tls");
    settings.url = settings.url.replace("amqp:", "amqps:");
    settings.tls = Some(ClientTls {
        trust: Trust::Authorities(ca.pem().into_bytes()),
        identity: identity.map(|identity| {
            let key = Private::new(identity.key.clone().into_bytes());
            (identity.certificate.clone().into_bytes(), key)
        }),
    });
    settings
}

#[tokio::test]
async fn an_own_ca_and_a_client_certificate() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let options = Options {
        tls: Some((authority.issue("127.0.0.1"), clients.pem())),
        ..Options::default()
    };
    let broker = RabbitMq::start_with(options).await;
    let identity = clients.issue("gateway.example");
    let known = amqp(&secured(&broker, &authority, Some(&identity)));
    assert_eq!(
        deliver(&known, "one").await,
        delivered(),
        "{}",
        broker.log()
    );
    assert_eq!(deliver(&known, "two").await, delivered());
    assert_eq!(broker.drain("tls").await.len(), 2);

    let stranger = amqp(&secured(&broker, &Authority::new(), Some(&identity)));
    let verdict = deliver(&stranger, "three").await;
    assert_eq!(verdict, outage("tls"));
    let told = "no authority in `tls.ca` vouches for its certificate";
    assert_eq!(reason(&verdict), told);
    let stranger = amqp(&secured(&broker, &authority, None));
    let verdict = deliver(&stranger, "four").await;
    // In TLS 1.3 the client hears of it only with the first answer that it reads.
    assert!(
        [
            outage("tls"),
            outage("failed"),
            outage("reset"),
            outage("closed")
        ]
        .contains(&verdict),
        "{verdict:?}"
    );
    let asked = "it asks for a client certificate, and `tls.cert` is not configured";
    if verdict == outage("tls") {
        assert!(reason(&verdict).contains(asked), "{verdict:?}");
    }
    let mut plain = secured(&broker, &authority, Some(&identity));
    plain.url = format!("amqps://{}/%2f", broker.address());
    assert_eq!(deliver(&amqp(&plain), "five").await, outage("tls"));
    assert_eq!(broker.drain("tls").await.len(), 0);
}

/// Why there was no TLS, as the operator is told.
fn reason(verdict: &faceway_core::Verdict) -> &str {
    match verdict {
        faceway_core::Verdict::Retry { code, .. } => code.reason().unwrap_or_default(),
        _ => "",
    }
}

#[test]
fn files_that_are_none_are_named() {
    let authority = Authority::new();
    let one = authority.issue("one.example");
    let refused = |ca: Option<&str>, identity: Option<(&str, &str)>| {
        let mut settings = settings(([127, 0, 0, 1], 1).into(), "tls");
        settings.url = settings.url.replace("amqp:", "amqps:");
        settings.tls = Some(ClientTls {
            trust: trust(ca),
            identity: identity.map(|(certificate, key)| {
                let key = Private::new(key.as_bytes().to_vec());
                (certificate.as_bytes().to_vec(), key)
            }),
        });
        Amqp::new(&settings).err().unwrap().key
    };
    assert_eq!(refused(Some("no PEM"), None), "tls.ca");
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
