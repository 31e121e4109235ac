//! Whether subscribers know that the gateway publishes.

use std::time::Duration;

use faceway_core::{Outbound as _, Verdict};
use faceway_outbound_mqtt::{Mqtt, MqttSettings};
use faceway_testkit::broker::mosquitto::{Got, Mosquitto, Subscriber};

use crate::{VERSIONS, broker, deliver, delivered, mqtt, outage, settings};

const TOPIC: &str = "faceway/status/test";

fn with_status(broker: &Mosquitto, version: u8) -> MqttSettings {
    let mut settings = settings(broker.address());
    settings.version = version;
    settings.status_topic = Some(TOPIC.into());
    settings
}

async fn until_status(subscriber: &Subscriber, status: &str) {
    let is = |got: &Got| got.topic == TOPIC;
    let last = |got: &[Got]| {
        got.iter()
            .rfind(|got| is(got))
            .map(|got| got.payload.clone())
    };
    subscriber
        .until(|got| last(got).as_deref() == Some(status))
        .await;
}

/// What a later subscriber gets.
async fn kept(broker: &Mosquitto) -> Vec<(String, bool)> {
    let late = Subscriber::start(broker, 1).await;
    let got = late.got().into_iter().filter(|got| got.topic == TOPIC);
    got.map(|got| (got.payload, got.retained)).collect()
}

#[tokio::test]
async fn online_before_the_first_event_and_offline_after_the_last() {
    for version in VERSIONS {
        let broker = broker().await;
        let subscriber = Subscriber::start(&broker, 1).await;
        let mqtt = mqtt(with_status(&broker, version));
        mqtt.start();
        until_status(&subscriber, "online").await;
        assert_eq!(kept(&broker).await, [("online".to_owned(), true)]);
        let verdict = deliver(&mqtt, "one").await;
        assert!(matches!(verdict, Verdict::Delivered { .. }), "{verdict:?}");
        mqtt.close().await;
        subscriber.catch_up().await;
        let got: Vec<_> = subscriber.got().into_iter().map(|got| got.topic).collect();
        assert_eq!(got, [TOPIC, "suite/device/recognition", TOPIC]);
        assert_eq!(kept(&broker).await, [("offline".to_owned(), true)]);
        assert_eq!(deliver(&mqtt, "two").await, outage("closed"));
    }
}

#[tokio::test]
async fn the_last_will_speaks_for_a_connection_that_dies() {
    for version in VERSIONS {
        let broker = broker().await;
        let subscriber = Subscriber::start(&broker, 1).await;
        let mqtt: Mqtt = mqtt(with_status(&broker, version));
        mqtt.start();
        until_status(&subscriber, "online").await;
        drop(mqtt);
        until_status(&subscriber, "offline").await;
        assert_eq!(kept(&broker).await, [("offline".to_owned(), true)]);
    }
}

/// Nothing is delivered, and still the status comes back.
#[tokio::test]
async fn an_idle_one_comes_back_by_itself() {
    let mut broker = broker().await;
    let mqtt = mqtt(with_status(&broker, 5));
    mqtt.start();
    let subscriber = Subscriber::start(&broker, 1).await;
    until_status(&subscriber, "online").await;
    broker.kill().await;
    broker.run().await;
    subscriber.forget();
    until_status(&subscriber, "online").await;
}

/// The broker throws out who is silent for one and a half keep-alives.
#[tokio::test]
async fn an_idle_connection_is_kept() {
    let broker = broker().await;
    let mut settings = with_status(&broker, 5);
    settings.keep_alive = Duration::from_secs(2);
    let mqtt = mqtt(settings);
    mqtt.start();
    let pings = |log: &str| log.matches("Received PINGREQ").count();
    let waited = tokio::time::timeout(crate::PATIENT, async {
        while pings(&broker.log()) < 2 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    waited.await.unwrap();
    assert_eq!(
        broker.log().matches("as faceway-test ").count(),
        1,
        "it was never away"
    );
    assert_eq!(deliver(&mqtt, "one").await, delivered("no-subscribers"));
}
