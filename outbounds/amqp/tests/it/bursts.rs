//! Many at once, and a broker that goes away in the middle. What arrived is counted by another library.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use faceway_core::{Message, Outbound as _, Verdict};
use faceway_testkit::broker::rabbitmq::RabbitMq;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::{amqp, buried, delivered, message, settings, shared};

fn ids(taken: &[Value]) -> BTreeMap<String, usize> {
    let mut ids = BTreeMap::new();
    for message in taken {
        let id = message["message_id"].as_str().unwrap().to_owned();
        *ids.entry(id).or_default() += 1;
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn of_2000_pipelined_messages_exactly_the_200_unroutable_are_buried() {
    let broker = shared().await;
    let mut settings = settings(broker.address(), "unroutable");
    settings.bind = Some("good.#".into());
    settings.window = 1000;
    let amqp = amqp(&settings);
    for round in 0..3 {
        let mut deliveries = JoinSet::new();
        for at in 0..2000 {
            let amqp = Arc::clone(&amqp);
            deliveries.spawn(async move {
                let good = at % 10 != 3;
                let key = if good { "good.known" } else { "bad.known" };
                let message = message(&format!("unroutable {round} {at}"), key);
                (good, message.id.to_string(), amqp.deliver(&message).await)
            });
        }
        let mut expected = BTreeSet::new();
        let mut buried_count = 0;
        while let Some(joined) = deliveries.join_next().await {
            let (good, id, verdict) = joined.unwrap();
            if good {
                assert_eq!(verdict, delivered(), "{id}");
                expected.insert(id);
            } else {
                assert_eq!(verdict, buried("unroutable"), "{id}");
                buried_count += 1;
            }
        }
        assert_eq!(buried_count, 200);
        let taken = ids(&broker.drain("unroutable").await);
        assert!(
            taken.keys().eq(expected.iter()),
            "round {round}: every good one is there"
        );
        assert!(taken.values().all(|copies| *copies == 1), "once");
    }
}

/// How many are published, and how many at once.
const COUNT: usize = 20_000;
const WORKERS: usize = 128;

#[tokio::test(flavor = "multi_thread")]
async fn of_20000_none_is_lost_while_the_broker_is_stopped_and_killed() {
    let broker = Arc::new(RabbitMq::start().await);
    let mut settings = settings(broker.address(), "burst");
    settings.timeout = Duration::from_secs(20);
    let amqp = amqp(&settings);
    let (next, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        let (amqp, next, done) = (Arc::clone(&amqp), Arc::clone(&next), Arc::clone(&done));
        workers.spawn(async move {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= COUNT {
                    return;
                }
                until_delivered(&amqp, &kilobyte(at)).await;
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    for (disaster, at) in [3_000, 8_000, 13_000].into_iter().enumerate() {
        while done.load(Ordering::Relaxed) < at {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        match disaster {
            0 => broker.stop().await,
            _ => broker.kill(),
        }
        broker.run().await;
    }
    while let Some(worker) = workers.join_next().await {
        worker.unwrap();
    }
    let taken = ids(&broker.drain("burst").await);
    let expected: BTreeSet<_> = (0..COUNT).map(|at| kilobyte(at).id.to_string()).collect();
    assert!(
        taken.keys().eq(expected.iter()),
        "{} of {COUNT}",
        taken.len()
    );
    let copies: usize = taken.values().sum();
    println!("{COUNT} events, {} duplicates", copies - COUNT);
    // At most the window is unconfirmed at each disaster.
    assert!(copies <= COUNT + 3 * WORKERS, "{copies} copies");
}

fn kilobyte(at: usize) -> Message {
    message(&format!("{at} {}", "x".repeat(900)), "recognition.known")
}

async fn until_delivered(amqp: &faceway_outbound_amqp::Amqp, message: &Message) {
    loop {
        match amqp.deliver(message).await {
            Verdict::Delivered { .. } => return,
            Verdict::Retry { .. } => tokio::time::sleep(Duration::from_millis(100)).await,
            Verdict::Refused { code } | Verdict::Bury { code } => panic!("{code}"),
        }
    }
}
