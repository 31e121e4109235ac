//! What a consumer in another language gets.

use faceway_core::Outbound as _;
use faceway_outbound_amqp::ExchangeType;
use serde_json::{Value, json};

use crate::{amqp, buried, deliver, delivered, message, settings, shared};

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
        amqp.deliver(&message("two", "no-queue")).await,
        buried("unroutable")
    );
    assert_eq!(broker.drain("by-name").await.len(), 1);
}

/// Whatever is taken away of what the outbound declares, it declares again, and nothing is buried.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_or_binding_that_was_taken_away_is_declared_again() {
    let broker = shared().await;
    let settings = settings(broker.address(), "taken-away");
    let amqp = amqp(&settings);
    assert_eq!(deliver(&amqp, "first").await, delivered());
    let unbind = "rabbit_binding:remove({binding, rabbit_misc:r(<<\"/\">>, exchange, <<\"taken-away\">>), <<\"#\">>, \
                  rabbit_misc:r(<<\"/\">>, queue, <<\"taken-away\">>), []}, <<\"test\">>).";
    for take_away in [["delete_queue", "taken-away"], ["eval", unbind]] {
        broker.control(&take_away).await;
        let mut delivering = tokio::task::JoinSet::new();
        for number in 0..20 {
            let amqp = std::sync::Arc::clone(&amqp);
            delivering.spawn(async move { deliver(&amqp, &format!("{number}")).await });
        }
        for verdict in delivering.join_all().await {
            assert_eq!(verdict, delivered(), "{take_away:?}");
        }
    }
    assert!(broker.drain("taken-away").await.len() >= 40);
}

/// What the binding does not take is not for the queue, however often it is declared.
#[tokio::test]
async fn what_the_binding_does_not_take_is_unroutable() {
    let broker = shared().await;
    let mut settings = settings(broker.address(), "narrow");
    settings.bind = Some("recognition.#".into());
    let amqp = amqp(&settings);
    for _ in 0..2 {
        let other = message("one", "alarm.fire");
        assert_eq!(amqp.deliver(&other).await, buried("unroutable"));
        assert_eq!(deliver(&amqp, "two").await, delivered());
    }
}
