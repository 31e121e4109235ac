//! What a subscriber gets, as Python's client reads it.

use std::process::Stdio;
use std::time::Duration;

use faceway_core::{Outbound as _, Verdict};
use faceway_testkit::broker::mosquitto::{Mosquitto, Options, Subscriber};
use faceway_testkit::outbound::message;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::{PATIENT, broker, delivered, mqtt, settings, until_delivered};

/// Subscribes with the version that it is told, says so, and then prints every message as one line of JSON.
const READER: &str = r#"
import json, sys
import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes

port, version = int(sys.argv[1]), int(sys.argv[2])

def subscribed(client, *_):
    print("subscribed", flush=True)

def got(client, userdata, message):
    properties = message.properties.json() if version == 5 else None
    print(json.dumps({"topic": message.topic, "qos": message.qos, "retain": message.retain,
                      "payload": message.payload.decode(), "properties": properties}), flush=True)

level = mqtt.MQTTv5 if version == 5 else mqtt.MQTTv311
if hasattr(mqtt, "CallbackAPIVersion"):
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION1, protocol=level)
else:
    client = mqtt.Client(protocol=level)
client.on_subscribe = subscribed
client.on_message = got
client.connect("127.0.0.1", port)
client.subscribe("suite/#", 2)
client.loop_forever()
"#;

struct Python {
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Python {
    async fn subscribe(broker: &Mosquitto, version: u8) -> Self {
        let mut child = Command::new("/usr/bin/python3")
            .args(["-c", READER, &broker.open_address().port().to_string()])
            .arg(version.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("Python is installed (./run-tests does it, with paho-mqtt)");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut python = Self {
            lines,
            _child: child,
        };
        assert_eq!(python.line().await, "subscribed");
        python
    }

    async fn line(&mut self) -> String {
        let line = timeout(PATIENT, self.lines.next_line()).await;
        line.expect("a line in time").unwrap().expect("a line")
    }

    async fn message(&mut self) -> serde_json::Value {
        serde_json::from_str(&self.line().await).unwrap()
    }
}

#[tokio::test]
async fn python_reads_everything_with_version_5() {
    let broker = broker().await;
    let mut python = Python::subscribe(&broker, 5).await;
    let mut settings = settings(broker.address());
    settings.qos = 2;
    settings.expiry = Some(Duration::from_secs(3600));
    let mqtt = mqtt(settings);
    let mut message = message("Ünïcödé 王五");
    // A broker may end the connection at these, so they are replaced (MQTT 5, section 1.5.4).
    message
        .headers
        .push(("x-bad".into(), "a\0b\u{FFFE}c\u{FDD0}".to_owned().into()));
    // The attributes of CloudEvents, of which one is ours too. Clients make a list of what is there twice.
    let id = message.id.to_string();
    for (name, value) in [
        ("id", &*id),
        ("source", "/faceway/x"),
        ("source", "/faceway/lobby"),
    ] {
        let value = value.to_owned().into();
        message.headers.push((name.into(), value));
    }
    assert_eq!(mqtt.deliver(&message).await, delivered("pubcomp"));
    let got = python.message().await;
    assert_eq!(got["topic"], "suite/device/recognition");
    assert_eq!((&got["qos"], &got["retain"]), (&2.into(), &0.into()));
    assert_eq!(
        got["payload"].as_str().unwrap().as_bytes(),
        message.body.reveal()
    );
    let properties = &got["properties"];
    assert_eq!(properties["ContentType"], "application/json");
    assert_eq!(properties["PayloadFormatIndicator"], 1);
    assert!(properties["MessageExpiryInterval"].as_u64().unwrap() <= 3600);
    let user = serde_json::json!([
        ["id", id],
        ["kind", "recognition"],
        ["x-site", "suite"],
        ["x-bad", "a_b_c_"],
        ["source", "/faceway/lobby"]
    ]);
    assert_eq!(properties["UserProperty"], user);
}

#[tokio::test]
async fn python_reads_everything_with_version_4() {
    let broker = broker().await;
    let mut python = Python::subscribe(&broker, 4).await;
    for (qos, word) in [(0, "sent"), (1, "puback"), (2, "pubcomp")] {
        let mut settings = settings(broker.address());
        (settings.version, settings.qos) = (4, qos);
        let mqtt = mqtt(settings);
        assert_eq!(mqtt.deliver(&message("one")).await, delivered(word));
        let got = python.message().await;
        assert_eq!(got["qos"], qos);
        let body = message("one").body;
        assert_eq!(got["payload"].as_str().unwrap().as_bytes(), body.reveal());
    }
}

#[tokio::test]
async fn an_orderly_restart_of_the_broker_is_survived() {
    let options = Options {
        persistence: true,
        ..Options::default()
    };
    let mut broker = Mosquitto::start(options).await;
    let mut settings = settings(broker.address());
    settings.retain = true;
    let mqtt = mqtt(settings);
    until_delivered(&mqtt, &message("one")).await;
    broker.stop().await;
    let verdict = mqtt.deliver(&message("two")).await;
    assert!(matches!(verdict, Verdict::Retry { .. }), "{verdict:?}");
    broker.run().await;
    let late = Subscriber::start(&broker, 1).await;
    assert_eq!(late.got().len(), 1, "it has kept what it confirmed");
    until_delivered(&mqtt, &message("two")).await;
    late.catch_up().await;
    assert_eq!(late.got().len(), 2);
}

#[tokio::test]
async fn who_comes_later_gets_the_last_one_where_it_is_kept() {
    let broker = broker().await;
    for (retain, kept) in [(false, 0), (true, 1)] {
        let mut settings = settings(broker.address());
        settings.retain = retain;
        let mqtt = mqtt(settings);
        for text in ["one", "two"] {
            mqtt.deliver(&message(text)).await;
        }
        let late = Subscriber::start(&broker, 1).await;
        let got = late.got();
        assert_eq!(got.len(), kept);
        assert!(
            got.iter()
                .all(|got| got.retained && got.payload.contains("two"))
        );
    }
}
