//! Home Assistant is told of each device in time, and no delivery suffers from it.

mod entities;
mod refused;
mod upkeep;

use std::sync::Arc;
use std::time::Duration;

use faceway_core::{DeviceKey, Message, Outbound as _, Verdict};
use faceway_outbound_mqtt::{Mqtt, MqttSettings};
use faceway_testkit::broker::mosquitto::{Got, Mosquitto, Options, Subscriber};
use faceway_testkit::outbound::message;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{VERSIONS, broker, mqtt, settings, until_delivered};

pub(crate) const STATUS: &str = "faceway/status/test";
const NONE: &str = "http://gateway.example/images/none";
/// Home Assistant needs 0.7 s.
const HOLD: Duration = Duration::from_secs(2);

fn announcing(broker: &Mosquitto, version: u8) -> MqttSettings {
    let mut settings = settings(broker.address());
    settings.version = version;
    settings.home_assistant = true;
    settings.status_topic = Some(STATUS.into());
    settings.no_picture = Some(NONE.into());
    settings
}

fn link(at: usize) -> String {
    format!("http://gateway.example/images/{at}")
}

fn config(device: &str) -> String {
    format!("homeassistant/device/faceway/{}/config", key(device))
}

fn picture(device: &str) -> String {
    format!("homeassistant/device/faceway/{}/picture", key(device))
}

fn key(device: &str) -> String {
    format!("{:016x}", DeviceKey::new("lobby", device).0)
}

fn own(device: &str) -> String {
    format!("faceway/lobby/{device}/recognition")
}

/// An event of a device, with more in it.
fn event(device: &str, at: usize, kind: &str, more: Value) -> Message {
    let mut message = message(&format!("{device} {at} {kind}"));
    message.device = DeviceKey::new("lobby", device);
    message.address = format!("faceway/lobby/{device}/{kind}").into();
    let mut body = json!({
        "schema": "faceway.event/1", "id": message.id.to_string(), "kind": kind,
        "device": { "id": device, "name": "Lobby door" },
    });
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    message.body = bytes::Bytes::from(body.to_string()).into();
    message
}

/// A person with a picture.
pub(crate) fn seen(device: &str, at: usize) -> Message {
    let images = json!({ "images": [{ "role": "face", "url": link(at) }] });
    event(device, at, "recognition", images)
}

/// A person without one.
fn unpictured(device: &str, at: usize) -> Message {
    event(device, at, "recognition", json!({}))
}

fn alarm(device: &str, at: usize) -> Message {
    let more = json!({ "alarm": { "type": "forced_door", "state": "raised" } });
    event(device, at, "alarm", more)
}

/// Where everything went, but for the status.
fn topics(subscriber: &Subscriber) -> Vec<String> {
    let got = subscriber.got().into_iter().map(|got| got.topic);
    got.filter(|topic| topic != STATUS).collect()
}

/// What was published to `topic`, in its order.
fn payloads(subscriber: &Subscriber, topic: &str) -> Vec<String> {
    let got = subscriber
        .got()
        .into_iter()
        .filter(|got| got.topic == topic);
    got.map(|got| got.payload).collect()
}

async fn deliver(mqtt: &Mqtt, message: &Message) {
    is_delivered(&mqtt.deliver(message).await);
}

/// Also where no client has subscribed.
fn is_delivered(verdict: &Verdict) {
    assert!(matches!(verdict, Verdict::Delivered { .. }), "{verdict:?}");
}

/// Delivers the first event of a device that the broker knows at the same time as the first of one that it does not: only
/// the latter waits.
async fn only_the_new_one_waits(mqtt: &Arc<Mqtt>, known: &str, new: &str) {
    let (other, message) = (Arc::clone(mqtt), seen(new, 0));
    let began = Instant::now();
    let waits = tokio::spawn(async move { other.deliver(&message).await });
    deliver(mqtt, &seen(known, 1)).await;
    assert!(!waits.is_finished(), "{new} does not wait, or {known} does");
    is_delivered(&waits.await.unwrap());
    assert!(began.elapsed() >= HOLD, "{new} waits too short a time");
}

#[tokio::test]
async fn the_first_event_of_a_device_waits_for_home_assistant() {
    for version in VERSIONS {
        let broker = broker().await;
        let subscriber = Subscriber::start(&broker, 1).await;
        let mqtt = Arc::new(mqtt(announcing(&broker, version)));
        let began = Instant::now();
        deliver(&mqtt, &seen("SN-1", 0)).await;
        assert!(began.elapsed() >= HOLD);
        for at in 1..3 {
            deliver(&mqtt, &seen("SN-1", at)).await;
        }
        subscriber.catch_up().await;
        let (config, picture, own) = (config("SN-1"), picture("SN-1"), own("SN-1"));
        let expected = [&config, &picture, &own, &picture, &own, &picture, &own];
        assert_eq!(topics(&subscriber), expected.map(Clone::clone));
        let said: Value = serde_json::from_str(&payloads(&subscriber, &config)[0]).unwrap();
        assert_eq!(said["device"]["name"], "Lobby door");
        assert_eq!(said["availability_topic"], STATUS);
        let person = &said["components"]["person"];
        assert_eq!(person["state_topic"], "faceway/lobby/SN-1/+");
        assert_eq!(said["components"]["picture"]["url_topic"], *picture);
        only_the_new_one_waits(&mqtt, "SN-1", "SN-2").await;
    }
}

/// The topic of another kind is fitted from the start.
#[tokio::test]
async fn an_alarm_announces_the_device_and_the_first_face_does_not_wait() {
    let broker = broker().await;
    let subscriber = Subscriber::start(&broker, 1).await;
    let mqtt = Arc::new(mqtt(announcing(&broker, 5)));
    deliver(&mqtt, &alarm("SN-1", 0)).await;
    deliver(&mqtt, &unpictured("SN-1", 1)).await;
    deliver(&mqtt, &alarm("SN-1", 2)).await;
    subscriber.catch_up().await;
    let alarm = "faceway/lobby/SN-1/alarm".to_owned();
    assert_eq!(
        topics(&subscriber),
        [config("SN-1"), alarm.clone(), own("SN-1"), alarm]
    );
}

/// A topic by category, a picture that comes later, another name: each is announced, and the event waits for it.
#[tokio::test]
async fn what_changes_is_announced_again_and_its_event_waits() {
    let broker = broker().await;
    let subscriber = Subscriber::start(&broker, 1).await;
    let mqtt = mqtt(announcing(&broker, 5));
    let mut elsewhere = unpictured("SN-1", 1);
    elsewhere.address = "faceway/vip/SN-1/recognition".to_owned().into();
    for message in [unpictured("SN-1", 0), elsewhere, seen("SN-1", 2)] {
        let began = Instant::now();
        deliver(&mqtt, &message).await;
        assert!(began.elapsed() >= HOLD);
    }
    subscriber.catch_up().await;
    let said: Vec<Value> = payloads(&subscriber, &config("SN-1"))
        .iter()
        .map(|said| serde_json::from_str(said).unwrap())
        .collect();
    let filters: Vec<_> = said
        .iter()
        .map(|said| &said["components"]["person"]["state_topic"])
        .collect();
    assert_eq!(
        filters,
        [
            "faceway/lobby/SN-1/+",
            "faceway/+/SN-1/+",
            "faceway/+/SN-1/+"
        ]
    );
    let pictures: Vec<_> = said
        .iter()
        .map(|said| said["components"].get("picture").is_some())
        .collect();
    assert_eq!(pictures, [false, false, true]);
}

#[tokio::test]
async fn the_picture_is_always_that_of_the_person() {
    let broker = broker().await;
    let subscriber = Subscriber::start(&broker, 1).await;
    let mqtt = mqtt(announcing(&broker, 5));
    deliver(&mqtt, &unpictured("SN-1", 0)).await;
    deliver(&mqtt, &seen("SN-1", 1)).await;
    let scene = json!({ "images": [{ "role": "face" }, { "role": "scene", "url": link(2) }] });
    deliver(&mqtt, &event("SN-1", 2, "recognition", scene)).await;
    deliver(&mqtt, &unpictured("SN-1", 3)).await;
    // An alarm says nothing of who was seen, and what is no link must not come to this topic.
    let alarmed = json!({ "images": [{ "role": "alarm", "url": link(4) }] });
    deliver(&mqtt, &event("SN-1", 4, "alarm", alarmed)).await;
    let unlinked =
        json!({ "images": [{ "role": "face", "url": "" }, { "role": "face", "url": "data:x" }] });
    deliver(&mqtt, &event("SN-1", 5, "recognition", unlinked)).await;
    subscriber.catch_up().await;
    let expected = [link(1), link(2), NONE.into(), NONE.into()];
    assert_eq!(payloads(&subscriber, &picture("SN-1")), expected);
    let at = |topic: &str, nth| {
        let all = topics(&subscriber);
        let mut found = all.iter().enumerate().filter(|(_, one)| *one == topic);
        found.nth(nth).map(|(at, _)| at)
    };
    // The second person's picture, and that person.
    assert!(
        at(&picture("SN-1"), 0) < at(&own("SN-1"), 1),
        "the picture comes first"
    );
    // Home Assistant has it again after its own restart.
    let late = Subscriber::start(&broker, 1).await;
    let kept = late
        .got()
        .into_iter()
        .find(|got| got.topic == picture("SN-1"));
    assert_eq!(kept.map(|got| got.payload), Some(NONE.to_owned()));
}

#[tokio::test]
async fn what_the_broker_knows_does_not_wait_after_a_restart() {
    for version in VERSIONS {
        let broker = broker().await;
        let first = mqtt(announcing(&broker, version));
        until_delivered(&first, &seen("SN-1", 0)).await;
        first.close().await;
        // It is about a start of Home Assistant before ours.
        broker.publish("homeassistant/status", "online", true).await;
        let subscriber = Subscriber::start(&broker, 1).await;
        subscriber.forget();
        let second = Arc::new(mqtt(announcing(&broker, version)));
        only_the_new_one_waits(&second, "SN-1", "SN-2").await;
        subscriber.catch_up().await;
        assert_eq!(payloads(&subscriber, &config("SN-1")), [""; 0]);
    }
}

/// Mosquitto without persistence forgets what it had kept.
#[tokio::test]
async fn a_broker_that_has_forgotten_is_told_again() {
    let mut broker = broker().await;
    let mqtt = mqtt(announcing(&broker, 5));
    until_delivered(&mqtt, &seen("SN-1", 0)).await;
    broker.kill().await;
    broker.run().await;
    let subscriber = Subscriber::start(&broker, 1).await;
    until_delivered(&mqtt, &seen("SN-1", 1)).await;
    subscriber.catch_up().await;
    let all = topics(&subscriber);
    assert_eq!(
        all[..3],
        [config("SN-1"), picture("SN-1"), own("SN-1")],
        "{all:?}"
    );
}
