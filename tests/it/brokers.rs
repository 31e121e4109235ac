//! From a device through the gateway to real brokers, by `routes.toml` alone.

use std::process::Stdio;

use faceway_testkit::broker::mosquitto::{Mosquitto, Options, Subscriber};
use faceway_testkit::broker::rabbitmq::RabbitMq;
use serde_json::{Value, json};

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::harness::{Device, PATIENCE, Site, recognition_with, text};

/// The smallest JPEG that has its magic bytes, in base64.
const PICTURE: &str = "/9j/4AAQSkZJRgABAQEASABIAAD/2Q==";

/// The trace of another system that a push belongs to.
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// How the gateway shows RabbitMQ who it is; the site sets `QUEUE_PASSWORD` to `guest`.
pub(crate) const LOGIN: &str = "username = \"guest\"\npassword = { env = \"QUEUE_PASSWORD\" }";

/// Python's client, which tells the properties of what it gets: one message on `hub/#`, as a line of JSON.
const READER: &str = r#"
import json, sys
import paho.mqtt.client as mqtt

def got(client, userdata, message):
    properties = message.properties
    print(json.dumps({"payload": json.loads(message.payload), "content_type": properties.ContentType,
                      "properties": properties.UserProperty}), flush=True)

if hasattr(mqtt, "CallbackAPIVersion"):
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION1, protocol=mqtt.MQTTv5)
else:
    client = mqtt.Client(protocol=mqtt.MQTTv5)
client.on_subscribe = lambda *_: print("subscribed", flush=True)
client.on_message = got
client.connect("127.0.0.1", int(sys.argv[1]))
client.subscribe("hub/#", 1)
client.loop_forever()
"#;

struct Hub {
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Hub {
    async fn subscribe(broker: &Mosquitto) -> Self {
        let mut child = Command::new("/usr/bin/python3")
            .args(["-c", READER, &broker.open_address().port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("Python is installed (./run-tests does it, with paho-mqtt)");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut hub = Self {
            lines,
            _child: child,
        };
        assert_eq!(hub.line().await, "subscribed");
        hub
    }

    async fn message(mut self) -> Value {
        serde_json::from_str(&self.line().await).unwrap()
    }

    async fn line(&mut self) -> String {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line());
        line.await
            .expect("it answers")
            .unwrap()
            .expect("it goes on")
    }
}

#[tokio::test]
async fn a_face_at_a_door_reaches_both_brokers() {
    let mosquitto = Mosquitto::start(Options::default()).await;
    let rabbit = RabbitMq::start().await;
    let subscriber = Subscriber::start(&mosquitto, 1).await;
    let site = Site::new(&format!(
        r#"
[inbound.nebula.lobby]

[outbound.mqtt.bus]
url = "mqtt://{0}"
client_id = "lobby-gateway"
headers = {{ x-door = "{{device.id}}" }}
images = "inline"
omit = ["person.name"]

[outbound.mqtt.hub]
url = "mqtt://{0}"
topic = "hub/{{kind}}"
format = "cloudevents-binary"

[outbound.amqp.queue]
url = "amqp://{1}/%2f"
{2}
exchange = "faces"
declare = "topic"
queue = "faceway"
routing_key = "{{kind}}.{{device.id}}"
headers = {{ x-category = "{{person.category}}" }}
format = "cloudevents"

[[route]]
name = "everything"
to = ["bus", "hub", "queue"]
"#,
        mosquitto.open_address(),
        rabbit.address(),
        LOGIN
    ))
    .set("QUEUE_PASSWORD", "guest");
    let checked = site.run(&["check"]).await;
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    let hub = Hub::subscribe(&mosquitto).await;
    let gateway = site.start().await;
    let push = recognition_with("PSC/1.a", "u-1", PICTURE);
    let trace = [("traceparent", TRACEPARENT), ("tracestate", "gate=1")];
    let mut terminal = Device::connect(gateway.devices).await;
    let answer = terminal.send("POST", "/in/lobby", &trace, &push).await;
    assert!(answer.unwrap().is_success());
    gateway.delivered_all("bus").await;
    gateway.delivered_all("queue").await;

    subscriber.catch_up().await;
    let got = subscriber.got();
    let event = got
        .iter()
        .find(|got| got.topic.starts_with("faceway/lobby/"));
    let event = event.unwrap_or_else(|| panic!("{got:?}"));
    assert_eq!(event.topic, "faceway/lobby/PSC_1.a/recognition");
    let payload: Value = serde_json::from_slice(event.payload.as_ref()).unwrap();
    assert_eq!(payload["device"]["id"], "PSC/1.a");
    assert_eq!(payload["person"].get("name"), None);
    assert_eq!(
        payload["images"][0]["url"],
        format!("data:image/jpeg;base64,{PICTURE}")
    );
    let status = got
        .iter()
        .find(|got| got.topic == "faceway/status/lobby-gateway");
    assert!(status.is_some(), "{got:?}");

    let binary = hub.message().await;
    let attribute = |name: &str| {
        let properties = binary["properties"].as_array().unwrap().iter();
        let mut values = properties.filter(|pair| pair[0] == name);
        values.next().map(|pair| pair[1].clone())
    };
    for (name, value) in [
        ("specversion", json!("1.0")),
        ("id", payload["id"].clone()),
        ("source", json!("/faceway/lobby")),
        ("type", json!("faceway.recognition.v1")),
        ("subject", json!("PSC/1.a")),
        ("time", json!("2025-11-24T16:00:00.000Z")),
        ("dataschema", json!("urn:faceway:event:1")),
        ("traceparent", json!(TRACEPARENT)),
        ("tracestate", json!("gate=1")),
    ] {
        assert_eq!(attribute(name), Some(value), "{name} of {binary}");
    }
    assert_eq!(binary["content_type"], "application/json");
    assert_eq!(binary["payload"]["id"], payload["id"]);

    let messages = rabbit.drain("faceway").await;
    let [message] = messages.as_slice() else {
        panic!("{messages:?}")
    };
    assert_eq!(message["routing_key"], "recognition.PSC/1_a");
    assert_eq!(message["content_type"], "application/cloudevents+json");
    assert_eq!(message["headers"]["x-category"], "employee");
    assert_eq!(message["headers"]["traceparent"], TRACEPARENT);
    assert_eq!(message["headers"]["tracestate"], "gate=1");
    let envelope: Value = serde_json::from_str(message["body"].as_str().unwrap()).unwrap();
    assert_eq!(envelope["id"], payload["id"]);
    assert_eq!(envelope["subject"], json!("PSC/1.a"));
    assert_eq!(envelope["dataschema"], "urn:faceway:event:1");
    assert_eq!(envelope["traceparent"], TRACEPARENT);
    assert_eq!(envelope["data"]["person"]["name"], "Wanda Probst");
    assert!(gateway.stop().await.success());
}
