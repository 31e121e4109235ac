//! From a device through the gateway to real brokers, by `routes.toml` alone.

use faceway_testkit::broker::mosquitto::{Mosquitto, Options, Subscriber};
use faceway_testkit::broker::rabbitmq::RabbitMq;
use serde_json::{Value, json};

use crate::harness::{Device, Site, recognition_with, text};

/// The smallest JPEG that has its magic bytes, in base64.
const PICTURE: &str = "/9j/4AAQSkZJRgABAQEASABIAAD/2Q==";

#[tokio::test]
async fn a_face_at_a_door_reaches_both_brokers() {
    let mosquitto = Mosquitto::start(Options::default()).await;
    let rabbit = RabbitMq::start().await;
    let subscriber = Subscriber::start(&mosquitto, 1).await;
    let site = Site::new(&format!(
        r#"
[inbound.nebula.lobby]

[outbound.mqtt.bus]
url = "mqtt://{}"
client_id = "lobby-gateway"
headers = {{ x-door = "{{device.id}}" }}
images = "inline"
omit = ["person.name"]

[outbound.amqp.queue]
url = "amqp://{}/%2f"
username = "guest"
password = {{ env = "QUEUE_PASSWORD" }}
exchange = "faces"
declare = "topic"
queue = "faceway"
routing_key = "{{kind}}.{{device.id}}"
headers = {{ x-category = "{{person.category}}" }}
format = "cloudevents"

[[route]]
name = "everything"
to = ["bus", "queue"]
"#,
        mosquitto.open_address(),
        rabbit.address()
    ))
    .set("QUEUE_PASSWORD", "guest");
    let checked = site.run(&["check"]).await;
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    let gateway = site.start().await;
    let push = recognition_with("PSC/1.a", "u-1", PICTURE);
    let answer = Device::connect(gateway.devices).await.push(&push).await;
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

    let messages = rabbit.drain("faceway").await;
    let [message] = messages.as_slice() else {
        panic!("{messages:?}")
    };
    assert_eq!(message["routing_key"], "recognition.PSC/1_a");
    assert_eq!(message["content_type"], "application/cloudevents+json");
    assert_eq!(message["headers"]["x-category"], "employee");
    let envelope: Value = serde_json::from_str(message["body"].as_str().unwrap()).unwrap();
    assert_eq!(envelope["id"], payload["id"]);
    assert_eq!(envelope["subject"], json!("PSC/1.a"));
    assert_eq!(envelope["data"]["person"]["name"], "Wanda Probst");
    assert!(gateway.stop().await.success());
}
