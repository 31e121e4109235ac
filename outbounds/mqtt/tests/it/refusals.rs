//! What a broker refuses, and what is never sent to it.

use std::sync::Arc;
use std::time::Duration;

use faceway_core::{Message, Outbound as _, Verdict};
use faceway_outbound_mqtt::Mqtt;
use faceway_testkit::broker::mosquitto::{Mosquitto, Options, Subscriber};
use faceway_testkit::outbound::message;
use faceway_testkit::receiver::{FaultProxy, Traffic};
use tokio::task::JoinSet;

use crate::{
    VERSIONS, broker, buried, deliver, delivered, mqtt, outage, refused, settings, settled,
};

fn large(text: &str, bytes: usize) -> Message {
    let mut message = message(text);
    message.body = bytes::Bytes::from(vec![b'x'; bytes]).into();
    message
}

/// Every third of 30 is too large; they go together.
async fn neighbours_arrive(mqtt: Mqtt, broker: &Mosquitto) {
    let subscriber = Subscriber::start(broker, 1).await;
    let mqtt = Arc::new(mqtt);
    let mut deliveries = JoinSet::new();
    for at in 0..30 {
        let mqtt = Arc::clone(&mqtt);
        let text = format!("event {at}");
        deliveries.spawn(async move {
            let message = match at % 3 {
                0 => large(&text, 300_000),
                _ => message(&text),
            };
            (at, mqtt.deliver(&message).await)
        });
    }
    for (at, verdict) in deliveries.join_all().await {
        let expected = match at % 3 {
            0 => buried("too-large"),
            _ => delivered("puback"),
        };
        assert_eq!(verdict, expected, "event {at}");
    }
    subscriber.catch_up().await;
    assert_eq!(subscriber.got().len(), 20, "each neighbour once");
}

#[tokio::test]
async fn what_is_too_large_for_the_broker_is_buried_and_its_neighbours_arrive() {
    let options = Options {
        packet_bytes_max: Some(100_000),
        ..Options::default()
    };
    let broker = Mosquitto::start(options).await;
    neighbours_arrive(mqtt(settings(broker.address())), &broker).await;
}

#[tokio::test]
async fn what_is_too_large_for_the_settings_is_buried_and_its_neighbours_arrive() {
    for version in VERSIONS {
        let broker = broker().await;
        let mut settings = settings(broker.address());
        settings.version = version;
        settings.payload_bytes_max = 100_000;
        neighbours_arrive(mqtt(settings), &broker).await;
    }
}

#[tokio::test]
async fn the_limit_is_exact() {
    let broker = broker().await;
    let mut settings = settings(broker.address());
    settings.payload_bytes_max = 1000;
    let mqtt = mqtt(settings);
    let deliver = async |bytes| mqtt.deliver(&large("one", bytes)).await;
    assert_eq!(deliver(1000).await, delivered("no-subscribers"));
    assert_eq!(deliver(1001).await, buried("too-large"));
}

#[tokio::test]
async fn a_topic_that_cannot_be_is_buried_even_while_the_broker_is_away() {
    let mut broker = broker().await;
    broker.kill().await;
    let mqtt = mqtt(settings(broker.address()));
    for topic in ["", "a/#", "a/+/b", "a\0b", &"x".repeat(65_536)] {
        let mut message = message("one");
        message.address = topic.to_owned().into();
        assert_eq!(mqtt.deliver(&message).await, buried("topic"));
    }
    assert_eq!(deliver(&mqtt, "one").await, outage("refused"));
}

fn guarded() -> Options {
    Options {
        users: vec![("faceway".into(), "right".into())],
        access: Some("user faceway\ntopic readwrite allowed/#\n".into()),
        ..Options::default()
    }
}

#[tokio::test]
async fn a_wrong_password_is_an_outage_that_says_so() {
    let broker = Mosquitto::start(guarded()).await;
    for version in VERSIONS {
        let with = async |password: Option<&str>| {
            let mut settings = settings(broker.address());
            settings.version = version;
            settings.username = password.map(|_| "faceway".to_owned());
            settings.password = password.map(|password| password.to_owned().into());
            let mut message = message("one");
            message.address = "allowed/one".to_owned().into();
            mqtt(settings).deliver(&message).await
        };
        let refused = outage("not-authorized");
        assert_eq!(with(Some("wrong")).await, refused, "version {version}");
        assert_eq!(with(None).await, refused, "version {version}");
        let right = with(Some("right")).await;
        assert!(matches!(right, Verdict::Delivered { .. }), "{right:?}");
    }
}

/// More refusals than the window has places. (This broker ends the connection after each.)
#[tokio::test]
async fn a_topic_that_is_not_allowed_is_refused_and_takes_no_place() {
    let broker = Mosquitto::start(guarded()).await;
    let subscriber = Subscriber::start(&broker, 1).await;
    for qos in [1, 2] {
        let mut settings = settings(broker.address());
        settings.qos = qos;
        settings.window = 4;
        settings.username = Some("faceway".into());
        settings.password = Some("right".to_owned().into());
        let mqtt = mqtt(settings);
        let to = async |topic: &str, text: &str| {
            let mut message = message(text);
            message.address = topic.to_owned().into();
            settled(&mqtt, &message).await
        };
        for at in 0..12 {
            let verdict = to("elsewhere/a", &format!("refused {at}")).await;
            assert_eq!(verdict, refused("not-authorized"), "qos {qos}, {at}");
        }
        let allowed = to("allowed/a", "allowed").await;
        let word = if qos == 1 { "puback" } else { "pubcomp" };
        assert_eq!(allowed, delivered(word));
    }
    subscriber.catch_up().await;
    assert_eq!(subscriber.got().len(), 2);
}

/// A broker that stops confirming while its connections stay open. The first delivery to notice breaks the connection
/// off; the outbound is of use again as soon as the broker is.
#[tokio::test]
async fn confirms_that_stop_wedge_nothing() {
    let broker = broker().await;
    let subscriber = Subscriber::start(&broker, 1).await;
    let mut settings = settings(broker.address());
    settings.timeout = Duration::from_secs(2);
    settings.window = 4;
    let mqtt = Arc::new(mqtt(settings));
    for round in 0..3 {
        let before = deliver(&mqtt, &format!("before {round}")).await;
        assert_eq!(before, delivered("puback"));
        broker.freeze();
        // More than the window holds, so that some wait for a place.
        let mut deliveries = JoinSet::new();
        for at in 0..12 {
            let mqtt = Arc::clone(&mqtt);
            deliveries.spawn(async move { deliver(&mqtt, &format!("{round} frozen {at}")).await });
        }
        for verdict in deliveries.join_all().await {
            assert_eq!(verdict, outage("timeout"));
        }
        broker.thaw();
    }
    assert_eq!(deliver(&mqtt, "after").await, delivered("puback"));
    subscriber.catch_up().await;
    let got = subscriber.got();
    let last = message("after").body;
    let times = got
        .iter()
        .filter(|got| got.payload.as_bytes() == last.reveal());
    assert_eq!(times.count(), 1);
}

/// What was given back to the lane is not sent behind its back: neither by a later delivery nor by a later connection.
#[tokio::test]
async fn what_was_given_back_is_not_sent_later() {
    let mut broker = broker().await;
    let proxy = FaultProxy::start(broker.address()).await;
    let subscriber = Subscriber::start(&broker, 1).await;
    let mqtt = Arc::new(mqtt(settings(proxy.address())));
    assert_eq!(deliver(&mqtt, "before").await, delivered("puback"));
    for round in 0..5 {
        broker.kill().await;
        proxy.set(Traffic::Cut);
        let mut deliveries = JoinSet::new();
        for at in 0..16 {
            let mqtt = Arc::clone(&mqtt);
            deliveries.spawn(async move { deliver(&mqtt, &format!("lost {round} {at}")).await });
        }
        for verdict in deliveries.join_all().await {
            assert!(matches!(verdict, Verdict::Retry { .. }), "{verdict:?}");
        }
        broker.run().await;
        subscriber.catch_up().await;
        proxy.set(Traffic::Pass);
        let after = deliver(&mqtt, &format!("after {round}")).await;
        assert_eq!(after, delivered("puback"));
    }
    subscriber.catch_up().await;
    assert_eq!(subscriber.got().len(), 6, "{:?}", subscriber.got());
}

/// Given up while the broker was being dialled: the connection that comes of it has nothing to send.
#[tokio::test]
async fn what_was_given_up_before_it_was_sent_is_not_sent() {
    let broker = broker().await;
    let proxy = FaultProxy::start(broker.address()).await;
    let subscriber = Subscriber::start(&broker, 1).await;
    proxy.set(Traffic::Stall);
    let mqtt = mqtt(settings(proxy.address()));
    let given_up = message("given up");
    let hurried = tokio::time::timeout(Duration::from_millis(200), mqtt.deliver(&given_up));
    assert!(hurried.await.is_err());
    proxy.set(Traffic::Pass);
    assert_eq!(deliver(&mqtt, "kept").await, delivered("puback"));
    subscriber.catch_up().await;
    assert_eq!(subscriber.got().len(), 1, "{:?}", subscriber.got());
}

/// The broker throws the first one out and says why.
#[tokio::test]
async fn a_second_client_with_the_same_id_takes_over() {
    let broker = broker().await;
    let (one, two) = (
        mqtt(settings(broker.address())),
        mqtt(settings(broker.address())),
    );
    for _ in 0..3 {
        for mqtt in [&one, &two] {
            let verdict = settled(mqtt, &message("one")).await;
            assert_eq!(verdict, delivered("no-subscribers"));
        }
    }
}
