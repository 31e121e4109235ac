//! Home Assistant is told of each device, and no delivery suffers from it.

use std::collections::HashSet;
use std::process::Stdio;
use std::sync::Arc;

use faceway_core::{DeviceKey, Message, Outbound as _};
use faceway_outbound_mqtt::MqttSettings;
use faceway_testkit::broker::mosquitto::{Mosquitto, Options, Subscriber};
use faceway_testkit::outbound::message;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::{VERSIONS, broker, delivered, mqtt, settings, until_delivered};

pub(crate) const STATUS: &str = "faceway/status/test";

fn announcing(broker: &Mosquitto, version: u8) -> MqttSettings {
    let mut settings = settings(broker.address());
    settings.version = version;
    settings.home_assistant = true;
    settings.status_topic = Some(STATUS.into());
    settings
}

pub(crate) fn seen(device: &str, at: usize) -> Message {
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

/// Renders the templates of both configurations for each event, as Home Assistant does: with Jinja.
const HOME: &str = r#"
import json, sys
import jinja2

given = json.load(sys.stdin)
out = []
for event in given["events"]:
    out.append([jinja2.Environment().from_string(template).render(value_json=event)
                for template in given["templates"]])
print(json.dumps(out))
"#;

async fn rendered(templates: &[Value], events: &[Value]) -> Vec<[String; 2]> {
    let mut child = Command::new("/usr/bin/python3")
        .args(["-c", HOME])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("Python is installed (./run-tests does it, with jinja2)");
    let given = json!({ "templates": templates, "events": events }).to_string();
    let mut input = child.stdin.take().unwrap();
    input.write_all(given.as_bytes()).await.unwrap();
    drop(input);
    let output = child.wait_with_output().await.unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn home_assistant_gets_person_and_picture_from_an_event() {
    let broker = broker().await;
    let subscriber = Subscriber::start(&broker, 1).await;
    let mqtt = mqtt(announcing(&broker, 5));
    // A name that must not end a text of the template.
    until_delivered(&mqtt, &seen(r"S'N-%}1", 0)).await;
    subscriber.catch_up().await;
    let configs: Vec<Value> = subscriber.got()[1..3]
        .iter()
        .map(|got| serde_json::from_str(&got.payload).unwrap())
        .collect();
    let templates = [&configs[0]["value_template"], &configs[1]["url_template"]].map(Clone::clone);
    let device = json!({ "id": r"S'N-%}1" });
    let known = json!({
        "id": "1", "kind": "recognition", "device": device,
        "person": { "id": "7", "name": "Ada \"A\" Example", "category": "employee" },
        "match": { "score": 0.93 }, "access": { "granted": true },
        "images": [{ "role": "scene", "url": "http://a/scene" }, { "role": "face", "url": "http://a/face" }],
    });
    let bare = json!({ "id": "2", "kind": "recognition", "device": device });
    let scene = json!([{ "role": "face" }, { "role": "scene", "url": "http://a/scene" }]);
    let scene = json!({ "id": "3", "kind": "recognition", "device": device, "images": scene });
    let alarm = json!({ "id": "4", "kind": "alarm", "device": device });
    let other = json!({ "id": "5", "kind": "recognition", "device": { "id": "SN-2" } });
    let nobody = json!({ "id": "6", "kind": "recognition" });
    let got = rendered(&templates, &[known, bare, scene, alarm, other, nobody]).await;
    let person: Value = serde_json::from_str(&got[0][0]).unwrap();
    assert_eq!(person["event_type"], "employee");
    assert_eq!(person["person"], "Ada \"A\" Example");
    assert_eq!(
        (&person["granted"], &person["score"]),
        (&json!(true), &json!(0.93))
    );
    assert_eq!(got[0][1], "http://a/face");
    let person: Value = serde_json::from_str(&got[1][0]).unwrap();
    assert_eq!(person["event_type"], "recognition");
    assert_eq!(person["person"], Value::Null);
    assert_eq!(got[1][1], "");
    assert_eq!(got[2][1], "http://a/scene");
    for not_ours in &got[3..] {
        assert_eq!(*not_ours, ["", ""]);
    }
    let types = configs[0]["event_types"].as_array().unwrap();
    assert!(types.contains(&json!("employee")) && types.contains(&json!("recognition")));
}
