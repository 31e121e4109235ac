//! The MQTT outbound against a real Mosquitto, watched by Mosquitto's own clients and by Python's.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod burst;
mod home;
mod lesser;
mod library;
mod messages;
mod peer;
mod rabbit;
mod refusals;
mod status;
mod suite;
mod tls;
mod unwanted;

use std::net::SocketAddr;
use std::time::Duration;

use faceway_core::{Code, Message, Outbound as _, Scope, Verdict};
use faceway_outbound_mqtt::{Mqtt, MqttSettings};
use faceway_testkit::broker::mosquitto::{Mosquitto, Options};
use faceway_testkit::outbound::message;

/// Long enough that no busy machine runs into it.
const PATIENT: Duration = Duration::from_secs(30);
const VERSIONS: [u8; 2] = [4, 5];

fn settings(address: SocketAddr) -> MqttSettings {
    MqttSettings {
        url: format!("mqtt://{address}"),
        username: None,
        password: None,
        client_id: "faceway-test".into(),
        version: 5,
        fall_back: true,
        qos: 1,
        retain: false,
        payload_bytes_max: 1024 * 1024,
        keep_alive: Duration::from_secs(30),
        expiry: None,
        tls: None,
        timeout: PATIENT,
        window: 32,
        status_topic: None,
        home_assistant: false,
        withdraw: false,
        no_picture: None,
    }
}

fn mqtt(settings: MqttSettings) -> Mqtt {
    Mqtt::new(settings).unwrap()
}

async fn broker() -> Mosquitto {
    Mosquitto::start(Options::default()).await
}

async fn deliver(mqtt: &Mqtt, text: &str) -> Verdict {
    mqtt.deliver(&message(text)).await
}

/// What a lane does with an outage, in short: again, until there is another verdict than that.
async fn settled(mqtt: &Mqtt, message: &Message) -> Verdict {
    for _ in 0..100 {
        let verdict = mqtt.deliver(message).await;
        let outage = Scope::Destination;
        if !matches!(&verdict, Verdict::Retry { scope, .. } if *scope == outage) {
            return verdict;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    unreachable!("an outage without end");
}

async fn until_delivered(mqtt: &Mqtt, message: &Message) {
    let verdict = settled(mqtt, message).await;
    assert!(matches!(verdict, Verdict::Delivered { .. }), "{verdict:?}");
}

fn delivered(word: &'static str) -> Verdict {
    let code = Code::word(word);
    Verdict::Delivered { code }
}

fn refused(word: &'static str) -> Verdict {
    let code = Code::word(word);
    Verdict::Refused { code }
}

fn buried(word: &'static str) -> Verdict {
    let code = Code::word(word);
    Verdict::Bury { code }
}

fn outage(word: &'static str) -> Verdict {
    Verdict::Retry {
        scope: Scope::Destination,
        code: Code::word(word),
        after: None,
    }
}
