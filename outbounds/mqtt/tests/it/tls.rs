//! Whom it trusts, and how it shows who it is.

use faceway_core::Private;
use faceway_outbound_mqtt::{Mqtt, MqttSettings};
use faceway_testkit::broker::mosquitto::{Mosquitto, Options};
use faceway_testkit::receiver::{Authority, Issued};
use faceway_tls::{ClientTls, Trust};

use crate::{VERSIONS, broker, deliver, delivered, mqtt, outage, settings};

fn secured(broker: &Mosquitto, ca: &Authority, identity: Option<&Issued>) -> MqttSettings {
    let mut settings = settings(broker.address());
    settings.url = format!("mqtts://{}", broker.address());
    settings.tls = Some(files(ca, identity));
    settings
}

fn files(ca: &Authority, identity: Option<&Issued>) -> ClientTls {
    ClientTls {
        trust: Trust::Authorities(ca.pem().into_bytes()),
        identity: identity.map(|identity| {
            let key = Private::new(identity.key.clone().into_bytes());
            (identity.certificate.clone().into_bytes(), key)
        }),
    }
}

#[tokio::test]
async fn a_ca_of_ones_own_is_trusted_and_no_other() {
    let authority = Authority::new();
    let options = Options {
        tls: Some(authority.issue("127.0.0.1")),
        ..Options::default()
    };
    let broker = Mosquitto::start(options).await;
    for version in VERSIONS {
        let mut settings = secured(&broker, &authority, None);
        (settings.version, settings.qos) = (version, 2);
        let verdict = deliver(&mqtt(settings), "one").await;
        assert_eq!(verdict, delivered("pubcomp"));
    }
    let other = mqtt(secured(&broker, &Authority::new(), None));
    assert_eq!(deliver(&other, "one").await, outage("tls"));
    let mut system = secured(&broker, &authority, None);
    system.tls = None;
    assert_eq!(deliver(&mqtt(system), "one").await, outage("tls"));
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_trusted() {
    let authority = Authority::new();
    let options = Options {
        tls: Some(authority.issue("broker.example")),
        ..Options::default()
    };
    let broker = Mosquitto::start(options).await;
    let mqtt = mqtt(secured(&broker, &authority, None));
    let verdict = deliver(&mqtt, "one").await;
    assert_eq!(verdict, outage("tls"));
    let told = "it is for broker.example, and `url` says 127.0.0.1";
    assert!(reason(&verdict).contains(told), "{verdict:?}");
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
    let identity = clients.issue("gateway.example");
    let options = Options {
        tls: Some(authority.issue("127.0.0.1")),
        clients: Some(clients),
        ..Options::default()
    };
    let broker = Mosquitto::start(options).await;
    let known = mqtt(secured(&broker, &authority, Some(&identity)));
    assert_eq!(deliver(&known, "one").await, delivered("no-subscribers"));
    let stranger = Authority::new().issue("gateway.example");
    for identity in [None, Some(&stranger)] {
        let unknown = mqtt(secured(&broker, &authority, identity));
        let verdict = deliver(&unknown, "one").await;
        assert_eq!(verdict, outage("tls"));
        let told = match identity {
            None => "it asks for a client certificate, and `tls.cert` is not configured",
            Some(_) => "it does not accept the client certificate in `tls.cert`",
        };
        assert!(reason(&verdict).starts_with(told), "{verdict:?}");
    }
}

#[tokio::test]
async fn plain_mqtt_behind_mqtts_is_named_so() {
    let broker = broker().await;
    let mqtt = mqtt(secured(&broker, &Authority::new(), None));
    let verdict = deliver(&mqtt, "one").await;
    // The broker takes the handshake for a broken packet and hangs up, or answers with something that is no TLS.
    assert!(
        [outage("tls"), outage("closed"), outage("reset")].contains(&verdict),
        "{verdict:?}"
    );
}

#[test]
fn files_that_are_none_are_named() {
    let authority = Authority::new();
    let one = authority.issue("one.example");
    let refused = |url: &str, tls: ClientTls| {
        let mut settings = settings(([127, 0, 0, 1], 8883).into());
        settings.url = url.into();
        settings.tls = Some(tls);
        Mqtt::new(settings).err().unwrap().key
    };
    let url = "mqtts://broker.example";
    let ca = |pem: &str| ClientTls {
        trust: Trust::Authorities(pem.into()),
        identity: None,
    };
    assert_eq!(refused(url, ca("no PEM")), "tls.ca");
    assert_eq!(refused(url, ca(&one.key)), "tls.ca");
    let mut other = one.clone();
    other.key = authority.issue("other.example").key;
    assert_eq!(refused(url, files(&authority, Some(&other))), "tls.key");
    other.certificate = String::new();
    assert_eq!(refused(url, files(&authority, Some(&other))), "tls.cert");
    assert_eq!(
        refused("mqtt://broker.example", ClientTls::default()),
        "tls"
    );
}
