//! What makes the lane wait, and that it goes on.

use std::time::Duration;

use bytes::Bytes;
use faceway_core::{Outbound as _, Verdict};
use faceway_testkit::broker::rabbitmq::RabbitMq;
use faceway_testkit::lines::Lines;
use faceway_testkit::receiver::{FaultProxy, Traffic};
use lapin::options::ExchangeDeleteOptions;
use serde_json::json;
use tokio::net::TcpListener;

use crate::{amqp, deliver, deliver_at_last, delivered, message, outage, settings, shared};

#[tokio::test]
async fn a_missing_exchange_is_an_outage_that_is_told_once() {
    let broker = shared().await;
    let (lines, _listening) = Lines::listen();
    let mut settings = settings(broker.address(), "missing");
    (settings.declare, settings.queue, settings.bind) = (None, None, None);
    let amqp = amqp(&settings);
    for _ in 0..3 {
        assert_eq!(deliver(&amqp, "one").await, outage("no-exchange"));
    }
    let told = lines.take();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("create it") && told[0].contains("missing"),
        "{told:?}"
    );

    let exchange = json!({ "exchange": "missing", "type": "topic", "queue": "missing" });
    broker.declare(&exchange).await;
    assert_eq!(deliver(&amqp, "one").await, delivered());

    // It vanishes while the channel is open: the broker closes the channel at the next publish.
    let url = format!("amqp://{}/%2f", broker.address());
    let connection = lapin::Connection::connect(&url, lapin::ConnectionProperties::default());
    let channel = connection.await.unwrap().create_channel().await.unwrap();
    let options = ExchangeDeleteOptions::default();
    channel
        .exchange_delete("missing".into(), options)
        .await
        .unwrap();
    for _ in 0..3 {
        assert_eq!(deliver(&amqp, "two").await, outage("no-exchange"));
    }
    assert_eq!(lines.take().len(), 1, "a new outage is told again");
    broker.declare(&exchange).await;
    assert_eq!(deliver(&amqp, "two").await, delivered());
    assert_eq!(broker.drain("missing").await.len(), 2);
}

#[tokio::test]
async fn who_may_not_come_in_is_told_so() {
    let broker = shared().await;
    let (lines, _listening) = Lines::listen();
    let mut wrong = settings(broker.address(), "refused");
    wrong.password = Some("s3cret".to_owned().into());
    let refused = amqp(&wrong);
    for _ in 0..2 {
        assert_eq!(deliver(&refused, "one").await, outage("access-refused"));
    }
    let told = lines.take();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("`password`") && !told[0].contains("s3cret"),
        "{told:?}"
    );

    let mut nowhere = settings(broker.address(), "refused");
    nowhere.url = format!("amqp://{}/nowhere", broker.address());
    assert_eq!(deliver(&amqp(&nowhere), "one").await, outage("not-allowed"));
}

#[tokio::test]
async fn a_user_without_permissions_is_told_so() {
    let broker = shared().await;
    broker.control(&["add_user", "reader", "reader"]).await;
    broker
        .control(&["set_permissions", "reader", "^$", "^$", ".*"])
        .await;
    broker
        .declare(&json!({ "exchange": "closed-shop", "type": "topic", "queue": "closed-shop" }))
        .await;
    let mut settings = settings(broker.address(), "closed-shop");
    (settings.username, settings.password) =
        (Some("reader".into()), Some("reader".to_owned().into()));
    assert_eq!(
        deliver(&amqp(&settings), "one").await,
        outage("access-refused")
    );
    (settings.declare, settings.queue, settings.bind) = (None, None, None);
    let amqp = amqp(&settings);
    assert_eq!(deliver(&amqp, "one").await, outage("access-refused"));
    broker
        .control(&["set_permissions", "reader", "^$", "closed-shop", "^$"])
        .await;
    assert_eq!(
        deliver_at_last(&amqp, &message("one", "k")).await,
        delivered()
    );
}

#[tokio::test]
async fn what_is_declared_otherwise_is_named() {
    let broker = shared().await;
    broker
        .declare(&json!({ "exchange": "fan", "type": "fanout" }))
        .await;
    broker.declare(&json!({ "queue": "classic" })).await;
    let (lines, _listening) = Lines::listen();
    assert_eq!(
        deliver(&amqp(&settings(broker.address(), "fan")), "one").await,
        outage("declare")
    );
    let told = lines.take().join("\n");
    assert!(told.contains("'fan'") && told.contains("fanout"), "{told}");
    let mut classic = settings(broker.address(), "unlike");
    classic.queue = Some("classic".into());
    assert_eq!(deliver(&amqp(&classic), "one").await, outage("declare"));
    let told = lines.take().join("\n");
    assert!(
        told.contains("x-queue-type") && told.contains("classic"),
        "{told}"
    );
}

#[tokio::test]
async fn a_full_queue_makes_the_lane_wait() {
    let broker = shared().await;
    let arguments = json!({ "x-max-length": 1, "x-overflow": "reject-publish" });
    broker.declare(&json!({ "exchange": "full", "type": "topic", "queue": "full", "arguments": arguments })).await;
    let mut settings = settings(broker.address(), "full");
    (settings.queue, settings.bind) = (None, None);
    let amqp = amqp(&settings);
    assert_eq!(deliver(&amqp, "one").await, delivered());
    assert_eq!(deliver(&amqp, "two").await, outage("nack"));
    assert_eq!(broker.drain("full").await.len(), 1);
    assert_eq!(deliver(&amqp, "two").await, delivered());
}

#[tokio::test]
async fn what_cannot_be_reached_or_does_not_answer_ends_in_time() {
    let refusing = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = refusing.local_addr().unwrap();
    drop(refusing);
    assert_eq!(
        deliver(&amqp(&settings(address, "x")), "one").await,
        outage("refused")
    );

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut impatient = settings(silent.local_addr().unwrap(), "x");
    impatient.timeout = Duration::from_millis(300);
    assert_eq!(deliver(&amqp(&impatient), "one").await, outage("timeout"));

    let mut nowhere = settings(address, "x");
    nowhere.url = "amqp://no-such-host.invalid/%2f".into();
    assert_eq!(deliver(&amqp(&nowhere), "one").await, outage("dns"));

    let closing = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = settings(closing.local_addr().unwrap(), "x");
    let answering = tokio::spawn(async move { drop(closing.accept().await) });
    let verdict = deliver(&amqp(&closed), "one").await;
    assert!(
        [outage("closed"), outage("reset")].contains(&verdict),
        "{verdict:?}"
    );
    answering.await.unwrap();
}

#[tokio::test]
async fn an_idle_connection_is_kept() {
    let broker = RabbitMq::start().await;
    let mut settings = settings(broker.address(), "idle");
    settings.heartbeat = Duration::from_secs(1);
    let amqp = amqp(&settings);
    assert_eq!(deliver(&amqp, "one").await, delivered());
    let before = broker.control(&["list_connections", "pid"]).await;
    // Three times what either side waits for the other's sign of life.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(deliver(&amqp, "two").await, delivered());
    let after = broker.control(&["list_connections", "pid"]).await;
    assert_eq!(before, after);
    assert!(before.contains('<'), "{before}");
}

#[tokio::test]
async fn after_close_nothing_is_delivered() {
    let broker = shared().await;
    let amqp = amqp(&settings(broker.address(), "close"));
    assert_eq!(deliver(&amqp, "one").await, delivered());
    amqp.close().await;
    assert_eq!(deliver(&amqp, "two").await, outage("closed"));
    assert_eq!(broker.drain("close").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_connection_waits_and_goes_on() {
    let broker = RabbitMq::start().await;
    let amqp = amqp(&settings(broker.address(), "blocked"));
    assert_eq!(deliver(&amqp, "before").await, delivered());
    broker.set_memory_alarm(true).await;
    for at in 0..20 {
        // Well within the timeout, which is a minute: the broker has said so.
        let verdict = deliver(&amqp, &format!("blocked {at}")).await;
        assert_eq!(verdict, outage("blocked"));
    }
    broker.set_memory_alarm(false).await;
    for at in 0..20 {
        let message = message(&format!("blocked {at}"), "k");
        assert_eq!(deliver_at_last(&amqp, &message).await, delivered());
    }
    let taken = broker.drain("blocked").await;
    let mut ids: Vec<_> = taken
        .iter()
        .map(|message| message["message_id"].to_string())
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 21);
    // Only the first was sent before the broker said that it is blocked.
    assert!(taken.len() <= 22, "{} copies of 21", taken.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_written_is_never_sent_later() {
    let broker = RabbitMq::start().await;
    let proxy = FaultProxy::start(broker.address()).await;
    let mut settings = settings(proxy.address(), "unwritten");
    settings.timeout = Duration::from_secs(5);
    let amqp = amqp(&settings);
    assert_eq!(deliver(&amqp, "before").await, delivered());
    // More than sockets hold.
    let mut large = message("large", "k");
    large.body = Bytes::from(vec![b' '; 24 * 1024 * 1024]).into();

    proxy.set(Traffic::Stall);
    assert_eq!(amqp.deliver(&large).await, outage("timeout"));
    proxy.set(Traffic::Pass);
    assert_eq!(deliver(&amqp, "after the stall").await, delivered());

    broker.set_memory_alarm(true).await;
    let verdict = amqp.deliver(&large).await;
    assert!(matches!(verdict, Verdict::Retry { .. }), "{verdict:?}");
    broker.set_memory_alarm(false).await;
    assert_eq!(
        deliver_at_last(&amqp, &message("after the alarm", "k")).await,
        delivered()
    );

    let taken = broker.drain("unwritten").await;
    let large = taken
        .iter()
        .filter(|message| message["body"].as_str().unwrap().len() > 1000);
    assert_eq!(large.count(), 0);
    assert!(taken.len() >= 3);
}
