//! RabbitMQ's plugin, which before 3.13 speaks only MQTT 3.1.1. It has no QoS 2.

use std::collections::HashMap;

use faceway_core::{Outbound as _, Scope, Verdict};
use faceway_testkit::broker::rabbitmq::{Options, RabbitMq};
use serde_json::json;

use crate::{deliver, mqtt, settings};
use faceway_testkit::lines::Lines;

const QUEUE: &str = "events";

/// With a queue that gets every event of the suite.
async fn rabbit() -> RabbitMq {
    let options = Options {
        mqtt: true,
        ..Options::default()
    };
    let rabbit = RabbitMq::start_with(options).await;
    let queue =
        json!({ "exchange": "amq.topic", "type": "topic", "queue": QUEUE, "bind": "suite.#" });
    rabbit.declare(&queue).await;
    rabbit
}

/// How often each event is in the queue.
async fn arrived(rabbit: &RabbitMq) -> HashMap<String, usize> {
    let mut times = HashMap::new();
    for message in rabbit.drain(QUEUE).await {
        *times.entry(message["body"].to_string()).or_default() += 1;
    }
    times
}

#[tokio::test]
async fn rabbitmq_gets_each_event_once_whatever_it_speaks() {
    let rabbit = rabbit().await;
    for (version, qos) in [(5, 1), (4, 1), (4, 2), (4, 0)] {
        let (lines, _listening) = Lines::listen();
        let mut settings = settings(rabbit.mqtt_address());
        (settings.version, settings.qos) = (version, qos);
        settings.username = Some("guest".into());
        settings.password = Some("guest".to_owned().into());
        settings.status_topic = Some("faceway/status/test".into());
        let mqtt = mqtt(settings);
        let mut tries = 0;
        for at in 0..10 {
            loop {
                match deliver(&mqtt, &format!("{version} {qos} {at}")).await {
                    Verdict::Delivered { .. } => break,
                    Verdict::Retry { scope, .. } => assert_eq!(scope, Scope::Destination),
                    Verdict::Refused { code } | Verdict::Bury { code } => unreachable!("{code}"),
                }
                tries += 1;
                assert!(
                    tries < 10,
                    "version {version}, qos {qos}: {:?}",
                    lines.all()
                );
            }
        }
        mqtt.close().await;
        let arrived = arrived(&rabbit).await;
        let case = format!(
            "version {version}, qos {qos}: {arrived:?} {:?}",
            lines.all()
        );
        assert_eq!(arrived.len(), 10, "{case}");
        assert!(arrived.values().all(|times| *times == 1), "{case}");
        for line in lines.all() {
            let key = line.contains("`version = 4`") || line.contains("`qos = 1`");
            assert!(key, "it names a key: {line}");
        }
    }
}
