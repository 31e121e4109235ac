//! How connections are used.

use std::process::Command;
use std::time::Duration;

use faceway_outbound_webhook::ProxySettings;
use faceway_testkit::receiver::{Behaviour, FaultProxy, Receiver, Reply, Traffic};

use crate::{deliver, delivered, outage, settings, to, webhook};

#[tokio::test]
async fn a_connection_is_used_again() {
    let receiver = Receiver::start().await;
    let webhook = to(&receiver);
    receiver.script_with(|request| match request.turn % 4 {
        0 => Behaviour::Answer(Reply::status(200).body(vec![b' '; 10_000])),
        1 => Behaviour::status(500),
        2 => Behaviour::status(422),
        _ => Behaviour::status(204),
    });
    for at in 0..100 {
        deliver(&webhook, &at.to_string()).await;
    }
    assert_eq!(receiver.received().len(), 100);
    assert_eq!(receiver.accepted(), 1);
}

#[tokio::test]
async fn a_stale_connection_costs_nothing() {
    let receiver = Receiver::start().await;
    let webhook = to(&receiver);
    receiver.script(Behaviour::AnswerOnce(Reply::status(200)));
    assert_eq!(deliver(&webhook, "one").await, delivered(200));
    assert_eq!(deliver(&webhook, "two").await, delivered(200));
    assert_eq!(receiver.received().len(), 2);
    assert_eq!(receiver.accepted(), 2);
}

#[tokio::test]
async fn a_request_is_sent_again_once_at_most() {
    let receiver = Receiver::start().await;
    let webhook = to(&receiver);
    assert_eq!(deliver(&webhook, "one").await, delivered(200));
    receiver.script(Behaviour::Close);
    assert_eq!(deliver(&webhook, "two").await, outage("closed"));
    // Over the kept connection, and once over a new one.
    assert_eq!(receiver.received().len(), 3);
    // Over a new one: nothing was stale there.
    assert_eq!(deliver(&webhook, "three").await, outage("closed"));
    assert_eq!(receiver.received().len(), 4);
    assert_eq!(receiver.accepted(), 3);
}

#[tokio::test]
async fn a_timeout_is_not_tried_again() {
    let receiver = Receiver::start().await;
    let mut settings = settings(&receiver.url());
    settings.timeout = Duration::from_millis(300);
    let webhook = webhook(settings);
    deliver(&webhook, "one").await;
    receiver.forget();
    receiver.script(Behaviour::Hang);
    assert_eq!(deliver(&webhook, "two").await, outage("timeout"));
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test]
async fn trouble_on_the_way_has_its_word() {
    let receiver = Receiver::start().await;
    let webhook = to(&receiver);
    receiver.refuse().await;
    assert_eq!(deliver(&webhook, "one").await, outage("refused"));
    receiver.listen().await;
    assert_eq!(deliver(&webhook, "one").await, delivered(200));
    receiver.script(Behaviour::Reset);
    deliver(&webhook, "the kept connection goes").await;
    assert_eq!(deliver(&webhook, "one").await, outage("reset"));
    // A label may have 63 letters: no resolver is asked for this one.
    let nowhere = format!("http://{}.example/", "n".repeat(64));
    assert_eq!(
        deliver(&crate::webhook(settings(&nowhere)), "one").await,
        outage("dns")
    );
}

#[tokio::test]
async fn a_bad_network_is_an_outage_that_ends() {
    let receiver = Receiver::start().await;
    let network = FaultProxy::start(receiver.address()).await;
    let mut settings = settings(&format!("http://{}/faces", network.address()));
    settings.timeout = Duration::from_secs(2);
    let webhook = webhook(settings);
    assert_eq!(deliver(&webhook, "one").await, delivered(200));
    network.set(Traffic::Stall);
    assert_eq!(deliver(&webhook, "two").await, outage("timeout"));
    network.set(Traffic::Cut);
    let verdict = deliver(&webhook, "two").await;
    assert!(
        [outage("reset"), outage("closed")].contains(&verdict),
        "{verdict:?}"
    );
    network.set(Traffic::Delay(Duration::from_millis(20)));
    assert_eq!(deliver(&webhook, "two").await, delivered(200));
}

#[tokio::test]
async fn a_configured_proxy_is_used() {
    let proxy = Receiver::start().await;
    let mut settings = settings("http://erp.example/faces");
    settings.proxy = Some(format!("http://{}", proxy.address()).into());
    let webhook = webhook(settings);
    assert_eq!(deliver(&webhook, "one").await, delivered(200));
    assert_eq!(proxy.received()[0].target, "http://erp.example/faces");
    proxy.script(Behaviour::status(407));
    assert_eq!(deliver(&webhook, "two").await, {
        let (scope, after) = (faceway_core::Scope::Destination, None);
        let code = faceway_core::Code::status(407);
        faceway_core::Verdict::Retry { scope, code, after }
    });
}

/// For a plain endpoint beside the request, for an encrypted one when the tunnel is asked for.
#[tokio::test]
async fn a_proxy_gets_its_password() {
    for (url, target) in [
        ("http://erp.example/faces", "http://erp.example/faces"),
        ("https://erp.example/faces", "erp.example:443"),
    ] {
        let proxy = Receiver::start().await;
        proxy.script(Behaviour::status(407));
        let mut settings = settings(url);
        settings.proxy = Some(ProxySettings {
            username: Some("faceway".into()),
            password: Some("s3cret: 密".to_owned().into()),
            ..format!("http://{}", proxy.address()).into()
        });
        let verdict = deliver(&webhook(settings), "one").await;
        assert!(
            matches!(
                verdict,
                faceway_core::Verdict::Retry {
                    scope: faceway_core::Scope::Destination,
                    ..
                }
            ),
            "{verdict:?}"
        );
        let asked = proxy.received().remove(0);
        assert_eq!(asked.target, target);
        // The standard alphabet, of UTF-8 (RFC 7617).
        let expected = "Basic ZmFjZXdheTpzM2NyZXQ6IOWvhg==";
        assert_eq!(asked.headers["proxy-authorization"], expected, "{url}");
    }
}

/// The environment belongs to the process, so the delivery runs in a process of its own: this test once more.
#[tokio::test]
async fn proxies_of_the_environment_are_not_used() {
    const URL: &str = "FACEWAY_TEST_URL";
    if let Ok(url) = std::env::var(URL) {
        assert_eq!(
            deliver(&webhook(settings(&url)), "one").await,
            delivered(200)
        );
        return;
    }
    let (receiver, proxy) = (Receiver::start().await, Receiver::start().await);
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args([
        "--exact",
        "connections::proxies_of_the_environment_are_not_used",
    ]);
    child.env(URL, receiver.url());
    for name in [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "all_proxy",
    ] {
        child.env(name, format!("http://{}", proxy.address()));
    }
    // They would switch a proxy off by themselves.
    for name in ["NO_PROXY", "no_proxy", "REQUEST_METHOD"] {
        child.env_remove(name);
    }
    let output = tokio::task::spawn_blocking(move || child.output());
    let output = output.await.unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!((receiver.accepted(), proxy.accepted()), (1, 0));
}
