//! What a consumer in another language gets.

use faceway_core::Outbound as _;
use faceway_outbound_amqp::ExchangeType;
use serde_json::{Value, json};

use crate::{amqp, buried, delivered, message, settings, shared};

#[tokio::test]
async fn pika_reads_what_is_published() {
    let broker = shared().await;
    let amqp = amqp(&settings(broker.address(), "pika"));
    let message = message("王五 in the lobby", "recognition.blocklisted");
    assert_eq!(amqp.deliver(&message).await, delivered());
    let id = message.id.to_string();
    let body: Value = serde_json::from_slice(message.body.reveal()).unwrap();
    let expected = json!({
        "exchange": "pika",
        "routing_key": "recognition.blocklisted",
        "message_id": id,
        "type": "recognition",
        "content_type": "application/json",
        "delivery_mode": 2,
        "timestamp": 1_795_334_400,
        "app_id": "faceway",
        "headers": { "id": id, "kind": "recognition", "x-site": "suite" },
    });
    let [mut taken] = <[Value; 1]>::try_from(broker.drain("pika").await).unwrap();
    let text = taken.as_object_mut().unwrap().remove("body").unwrap();
    assert_eq!(taken, expected);
    assert_eq!(
        serde_json::from_str::<Value>(text.as_str().unwrap()).unwrap(),
        body
    );
}

#[tokio::test]
async fn exchange_and_quorum_queue_are_durable() {
    let broker = shared().await;
    let amqp = amqp(&settings(broker.address(), "durable"));
    assert_eq!(crate::deliver(&amqp, "one").await, delivered());
    let queues = broker
        .control(&["list_queues", "name", "type", "durable"])
        .await;
    assert!(
        queues.lines().any(|line| line == "durable\tquorum\ttrue"),
        "{queues}"
    );
    let exchanges = broker
        .control(&["list_exchanges", "name", "type", "durable"])
        .await;
    assert!(
        exchanges.lines().any(|line| line == "durable\ttopic\ttrue"),
        "{exchanges}"
    );
}

#[tokio::test]
async fn every_type_of_exchange_routes() {
    let broker = shared().await;
    for (name, declare, bind, key) in [
        (
            "type-direct",
            ExchangeType::Direct,
            Some("recognition"),
            "recognition",
        ),
        ("type-topic", ExchangeType::Topic, None, "recognition.known"),
        ("type-fanout", ExchangeType::Fanout, None, "whatever"),
        ("type-headers", ExchangeType::Headers, None, "whatever"),
    ] {
        let mut settings = settings(broker.address(), name);
        settings.declare = Some(declare);
        settings.bind = bind.map(Into::into);
        assert_eq!(
            amqp(&settings).deliver(&message("one", key)).await,
            delivered(),
            "{name}"
        );
        assert_eq!(broker.drain(name).await.len(), 1, "{name}");
    }
}

#[tokio::test]
async fn the_default_exchange_knows_queues_by_name() {
    let broker = shared().await;
    let mut settings = settings(broker.address(), "by-name");
    settings.exchange = String::new();
    settings.declare = None;
    settings.bind = None;
    let amqp = amqp(&settings);
    assert_eq!(amqp.deliver(&message("one", "by-name")).await, delivered());
    assert_eq!(
        amqp.deliver(&message("two", "nobody")).await,
        buried("unroutable")
    );
    assert_eq!(broker.drain("by-name").await.len(), 1);
}
