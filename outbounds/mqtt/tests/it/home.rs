//! Home Assistant is told of each device, and no delivery suffers from it.

use std::collections::HashSet;
use std::sync::Arc;

use faceway_core::{DeviceKey, Message, Outbound as _};
use faceway_outbound_mqtt::MqttSettings;
use faceway_testkit::broker::mosquitto::{Mosquitto, Options, Subscriber};
use faceway_testkit::outbound::message;
use tokio::task::JoinSet;

use crate::{VERSIONS, broker, delivered, mqtt, settings, until_delivered};

const STATUS: &str = "faceway/status/test";

fn announcing(broker: &Mosquitto, version: u8) -> MqttSettings {
    let mut settings = settings(broker.address());
    settings.version = version;
    settings.home_assistant = true;
    settings.status_topic = Some(STATUS.into());
    settings
}

fn seen(device: &str, at: usize) -> Message {
    let mut message = message(&format!("{device} {at}"));
    let id = message.id;
    message.device = DeviceKey::new("lobby", device);
    message.address = format!("faceway/lobby/{device}/recognition").into();
    let body = format!(
        r#"{{"schema":"faceway.event/1","id":"{id}","kind":"recognition","device":{{"id":"{device}","name":"Lobby door"}},"images":[{{"role":"face","url":"http://gateway.example/images/1"}}]}}"#
    );
    message.body = bytes::Bytes::from(body).into();
    message
}

#[tokio::test]
async fn a_device_is_announced_before_its_first_event_and_once() {
    for version in VERSIONS {
        let broker = broker().await;
        let subscriber = Subscriber::start(&broker, 1).await;
        let mqtt = mqtt(announcing(&broker, version));
        for at in 0..3 {
            assert_eq!(mqtt.deliver(&seen("SN-1", at)).await, delivered("puback"));
        }
        subscriber.catch_up().await;
        let got = subscriber.got();
        let topics: Vec<_> = got.iter().map(|got| got.topic.as_str()).collect();
        let node = format!("faceway_{:016x}", DeviceKey::new("lobby", "SN-1").0);
        let (event, image) = (
            format!("homeassistant/event/{node}/config"),
            format!("homeassistant/image/{node}/config"),
        );
        let own = "faceway/lobby/SN-1/recognition";
        assert_eq!(topics, [STATUS, &event, &image, own, own, own]);
        let config: serde_json::Value = serde_json::from_str(&got[2].payload).unwrap();
        assert_eq!(config["url_topic"], own);
        assert_eq!(config["device"]["name"], "Lobby door");
        assert_eq!(config["availability_topic"], STATUS);
    }
}

/// More devices at once than the window has places, and none of the announcements is allowed. This broker ends the
/// connection when it has refused a message.
#[tokio::test]
async fn announcements_that_are_refused_break_no_delivery() {
    let options = Options {
        access: Some("topic write faceway/#\n".into()),
        ..Options::default()
    };
    let broker = Mosquitto::start(options).await;
    let subscriber = Subscriber::start(&broker, 1).await;
    let mut settings = announcing(&broker, 5);
    settings.window = 3;
    let mqtt = Arc::new(mqtt(settings));
    let mut deliveries = JoinSet::new();
    for at in 0..40 {
        let mqtt = Arc::clone(&mqtt);
        let message = seen(&format!("SN-{at}"), 0);
        deliveries.spawn(async move { until_delivered(&mqtt, &message).await });
    }
    deliveries.join_all().await;
    subscriber.catch_up().await;
    let got = subscriber.got();
    let topics: HashSet<_> = got.iter().map(|got| &got.topic).collect();
    assert_eq!(topics.len(), 40 + 1, "{topics:?}");
}
