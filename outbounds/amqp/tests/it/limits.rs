//! What is too large for the broker, for AMQP, or for the settings.

use std::sync::Arc;

use bytes::Bytes;
use faceway_core::{Message, Outbound as _, Verdict};
use tokio::task::JoinSet;

use crate::{
    BROKER_BYTES_MAX, amqp, buried, deliver_at_last, delivered, message, settings, shared,
};

fn of_bytes(text: &str, bytes: usize) -> Message {
    let mut message = message(text, "recognition.known");
    message.body = Bytes::from(vec![b' '; bytes]).into();
    message
}

/// The verdicts of 40 messages at once, of which number 20 has 300 KB.
async fn forty(
    amqp: &Arc<faceway_outbound_amqp::Amqp>,
    round: u32,
) -> Vec<(bool, Message, Verdict)> {
    let mut deliveries = JoinSet::new();
    for at in 0..40 {
        let amqp = Arc::clone(amqp);
        let is_large = at == 20;
        let bytes = if is_large { 300_000 } else { 1000 };
        let message = of_bytes(&format!("large {round} {at}"), bytes);
        deliveries.spawn(async move {
            let verdict = amqp.deliver(&message).await;
            (is_large, message, verdict)
        });
    }
    deliveries.join_all().await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_over_the_brokers_limit_is_buried_and_its_neighbours_arrive() {
    let broker = shared().await;
    let amqp = amqp(&settings(broker.address(), "too-large"));
    for (is_large, message, verdict) in forty(&amqp, 0).await {
        if is_large {
            assert_eq!(verdict, buried("too-large"));
        } else {
            assert!(!matches!(verdict, Verdict::Bury { .. }), "{verdict:?}");
            assert_eq!(deliver_at_last(&amqp, &message).await, delivered());
        }
    }
    // Now the limit is known: no delivery is disturbed any more.
    for (is_large, _, verdict) in forty(&amqp, 1).await {
        let expected = if is_large {
            buried("too-large")
        } else {
            delivered()
        };
        assert_eq!(verdict, expected);
    }
    let exact = of_bytes("exact", BROKER_BYTES_MAX);
    assert_eq!(amqp.deliver(&exact).await, delivered());
    let taken = broker.drain("too-large").await;
    let bodies = taken
        .iter()
        .map(|message| message["body"].as_str().unwrap().len());
    assert_eq!(bodies.max(), Some(BROKER_BYTES_MAX));
}

#[tokio::test]
async fn what_does_not_fit_is_buried_before_it_is_sent() {
    let broker = shared().await;
    let mut settings = settings(broker.address(), "fits");
    settings.payload_bytes_max = 2000;
    let amqp = amqp(&settings);
    let fits = of_bytes("fits", 2000);
    assert_eq!(amqp.deliver(&fits).await, delivered());
    assert_eq!(
        amqp.deliver(&of_bytes("fits not", 2001)).await,
        buried("too-large")
    );

    let mut longest = message("longest", &"k".repeat(255));
    longest
        .headers
        .push(("x-long".into(), "v".repeat(32_000).into()));
    assert_eq!(amqp.deliver(&longest).await, delivered());
    let longer = message("longer", &"k".repeat(256));
    assert_eq!(amqp.deliver(&longer).await, buried("address"));
    let mut headers = message("headers", "k");
    headers
        .headers
        .push(("x-long".into(), "v".repeat(40_000).into()));
    assert_eq!(amqp.deliver(&headers).await, buried("address"));
    assert_eq!(broker.drain("fits").await.len(), 2);
}

#[tokio::test]
async fn a_small_window_delivers_everything() {
    let broker = shared().await;
    let mut settings = settings(broker.address(), "window");
    settings.window = 1;
    let amqp = amqp(&settings);
    let mut deliveries = JoinSet::new();
    for at in 0..20 {
        let amqp = Arc::clone(&amqp);
        deliveries.spawn(async move { crate::deliver(&amqp, &format!("window {at}")).await });
    }
    assert_eq!(deliveries.join_all().await, vec![delivered(); 20]);
    assert_eq!(broker.drain("window").await.len(), 20);
}
