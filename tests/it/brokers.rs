//! From a device through the gateway to real brokers, by `routes.toml` alone.

use std::process::Stdio;

use faceway_testkit::broker::mosquitto::{Mosquitto, Options, Subscriber};
use faceway_testkit::broker::rabbitmq::{self, RabbitMq};
use serde_json::{Value, json};

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::harness::{Device, Gateway, PATIENCE, Site, recognition_with, text};

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
headers = {{ subject = "of the operator", x-site = "{{inbound}}" }}

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
    let mut names: Vec<_> = binary["properties"].as_array().unwrap().iter().collect();
    names.sort_unstable_by_key(|pair| pair[0].as_str());
    let count = names.len();
    names.dedup_by_key(|pair| &pair[0]);
    assert_eq!(names.len(), count, "a name is there twice: {binary}");
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
        ("kind", json!("recognition")),
        ("x-site", json!("lobby")),
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

/// As little as a site may write, with a broker at `url`.
fn plain(url: &str, more: &str) -> Site {
    Site::new(&format!(
        "[inbound.nebula.lobby]\n[outbound.mqtt.bus]\nurl = \"mqtt://{url}\"\n{more}\n\
         [[route]]\nname = \"all\"\nto = [\"bus\"]\n"
    ))
}

async fn push_three(gateway: &Gateway) {
    let mut device = Device::connect(gateway.devices).await;
    for uuid in ["u-1", "u-2", "u-3"] {
        let push = recognition_with("PSC1", uuid, PICTURE);
        assert!(device.push(&push).await.unwrap().is_success());
    }
    gateway.delivered_all("bus").await;
}

/// What the outbound has to tell the operator.
fn warnings(log: &str) -> Vec<&str> {
    let warns = |line: &&str| line.contains("\"WARN\"") && line.contains("outbound_mqtt");
    log.lines().filter(warns).collect()
}

/// Nothing that the gateway says on its own account keeps an event from leaving, with either version.
#[tokio::test]
async fn a_broker_that_takes_events_alone_gets_them() {
    let no_retain = || Options {
        no_retain: true,
        ..Options::default()
    };
    let events_alone = || Options {
        access: Some("topic write faceway/lobby/#\n".into()),
        ..Options::default()
    };
    for version in [5, 4] {
        for (options, told) in [
            (no_retain(), "retained messages"),
            (events_alone(), "status"),
        ] {
            let broker = Mosquitto::start(options).await;
            let subscriber = Subscriber::start(&broker, 1).await;
            let more = format!("version = {version}\nhome_assistant = true\nimages = \"url\"");
            let site = plain(&broker.address().to_string(), &more);
            let gateway = site.start().await;
            push_three(&gateway).await;
            subscriber.catch_up().await;
            let got = subscriber.got();
            let case = format!("version {version}, {told}: {got:?}\n{}", gateway.log());
            let topics: Vec<_> = got.iter().map(|got| got.topic.as_str()).collect();
            assert_eq!(topics, ["faceway/lobby/PSC1/recognition"; 3], "{case}");
            let log = gateway.log();
            let lines = warnings(&log);
            assert!(lines.len() <= 3, "{case}");
            // With MQTT 3.1.1 a broker may drop what it does not allow, without a word.
            let silent = version == 4 && lines.is_empty() && told == "status";
            let named = lines.iter().any(|line| line.contains(told));
            assert!(named || silent, "{case}");
            assert!(gateway.stop().await.success(), "{case}");
        }
    }
}

/// An access list that lacks the topic of events is mended some time: until then they wait, also of one door.
#[tokio::test]
async fn a_broker_that_allows_no_event_is_waited_for() {
    let mut broker = Mosquitto::start(Options {
        access: Some("topic write somewhere/else\n".into()),
        persistence: true,
        ..Options::default()
    })
    .await;
    let more = "retry = { backoff_min = \"100ms\", backoff_max = \"200ms\", attempts_max = 2 }";
    let site = plain(&broker.address().to_string(), more);
    let gateway = site.start().await;
    let mut device = Device::connect(gateway.devices).await;
    for uuid in ["u-1", "u-2", "u-3"] {
        let push = recognition_with("PSC1", uuid, PICTURE);
        assert!(device.push(&push).await.unwrap().is_success());
    }
    let waiting = "faceway_lane_state{outbound=\"bus\",state=\"waiting\"}";
    gateway.wait_for_metric(waiting, |here| here == 1.0).await;
    let refused =
        "faceway_attempts_total{outbound=\"bus\",result=\"retry\",code=\"not-authorized\"}";
    gateway.wait_for_metric(refused, |count| count >= 6.0).await;
    broker.stop().await;
    broker.allow("topic write faceway/#\n").await;
    broker.run().await;
    gateway.delivered_all("bus").await;
    let buried = gateway.metric("faceway_buried{outbound=\"bus\"}").await;
    assert_eq!(buried, 0.0, "{}", gateway.log());
    assert!(gateway.log().contains("takes none of the events"));
}

/// Debian 12's knows MQTT 3.1.1 alone, and confirms a message of QoS 2 as one of QoS 1.
#[tokio::test]
async fn rabbitmqs_plugin_gets_each_event_once() {
    let rabbit = RabbitMq::start_with(rabbitmq::Options {
        mqtt: true,
        ..rabbitmq::Options::default()
    })
    .await;
    let queue = json!({ "exchange": "amq.topic", "type": "topic", "queue": "q", "bind": "faceway.lobby.#" });
    rabbit.declare(&queue).await;
    for (more, key) in [("", "`version = 4`"), ("version = 4\nqos = 2", "`qos = 1`")] {
        let more = format!("{more}\n{LOGIN}");
        let site = plain(&rabbit.mqtt_address().to_string(), &more);
        let site = site.set("QUEUE_PASSWORD", "guest");
        let gateway = site.start().await;
        push_three(&gateway).await;
        let log = gateway.log();
        let messages = rabbit.drain("q").await;
        let mut ids: Vec<_> = messages.iter().map(id_in_body).collect();
        ids.sort();
        ids.dedup();
        let case = format!("{more}: {messages:?}\n{log}");
        assert_eq!((messages.len(), ids.len()), (3, 3), "{case}");
        // A newer one speaks both, and nothing is to be told.
        let lines = warnings(&log);
        assert!(lines.iter().all(|line| line.contains(key)), "{case}");
        assert!(gateway.stop().await.success());
    }
}

fn id_in_body(message: &Value) -> String {
    let event: Value = serde_json::from_str(message["body"].as_str().unwrap()).unwrap();
    event["id"].as_str().unwrap().to_owned()
}
