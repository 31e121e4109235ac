//! A broker that is killed in the middle of everything.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use faceway_core::{DeviceKey, Message, Outbound as _, Verdict};
use faceway_outbound_mqtt::Mqtt;
use faceway_testkit::broker::mosquitto::{Mosquitto, Subscriber};
use faceway_testkit::outbound::message;
use faceway_testkit::receiver::{FaultProxy, Traffic};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::{broker, delivered, mqtt, settings};

const EVENTS: usize = 20_000;
const HANDS: usize = 32;
/// After these many are delivered, the power goes.
const KILLS: [usize; 3] = [4_000, 9_000, 14_000];

/// A lane's work, with one event of each device on its way: hand `n` has every `HANDS`th event, all of one device.
async fn hand(
    mqtt: Arc<Mqtt>,
    hand: usize,
    delivered: Arc<watch::Sender<usize>>,
    retries: Arc<AtomicUsize>,
) {
    for at in (hand..EVENTS).step_by(HANDS) {
        let message = event(at, hand);
        loop {
            match mqtt.deliver(&message).await {
                Verdict::Delivered { .. } => break,
                Verdict::Retry { .. } => {
                    retries.fetch_add(1, Ordering::Relaxed);
                    // The lane's pause.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Verdict::Refused { code } | Verdict::Bury { code } => unreachable!("{code}"),
            }
        }
        delivered.send_modify(|count| *count += 1);
    }
}

fn event(at: usize, hand: usize) -> Message {
    let mut message = message(&format!("event {at}"));
    message.device = DeviceKey::new("suite", &hand.to_string());
    message.address = format!("faceway/hall/{hand}/recognition").into();
    message
}

async fn survives(version: u8, qos: u8) {
    let mut broker = broker().await;
    let proxy = FaultProxy::start(broker.address()).await;
    let subscriber = Subscriber::start(&broker, 1).await;
    let mut settings = settings(proxy.address());
    (settings.version, settings.qos) = (version, qos);
    let mqtt = Arc::new(mqtt(settings));
    let (delivered, mut count) = watch::channel(0);
    let (delivered, retries) = (Arc::new(delivered), Arc::<AtomicUsize>::default());
    let mut hands = JoinSet::new();
    for at in 0..HANDS {
        let (mqtt, delivered) = (Arc::clone(&mqtt), Arc::clone(&delivered));
        hands.spawn(hand(mqtt, at, delivered, Arc::clone(&retries)));
    }
    for kill in KILLS {
        count.wait_for(|count| *count >= kill).await.unwrap();
        lose_power(&mut broker, &proxy, &subscriber).await;
    }
    hands.join_all().await;
    subscriber.catch_up().await;
    compare(&subscriber, retries.load(Ordering::Relaxed));
}

/// A broker without persistence confirms what it has in memory only, so what it has not handed on is gone with it, and so
/// is what it confirms while no client is subscribed. Neither is the outbound's to lose. So the network stops first, with
/// messages and confirmations on it; what was confirmed is handed on; then the broker dies, and is reached again when the
/// subscriber is back.
async fn lose_power(broker: &mut Mosquitto, proxy: &FaultProxy, subscriber: &Subscriber) {
    proxy.set(Traffic::Stall);
    subscriber.catch_up().await;
    broker.kill().await;
    proxy.set(Traffic::Cut);
    broker.run().await;
    subscriber.catch_up().await;
    proxy.set(Traffic::Pass);
}

fn compare(subscriber: &Subscriber, retries: usize) {
    let got = subscriber.got();
    let mut first_seen = HashMap::<&str, usize>::new();
    let mut last_of = HashMap::<&str, usize>::new();
    let mut disordered = 0;
    for one in &got {
        let body = one.payload.rsplit("event ").next().unwrap();
        let at: usize = body.trim_end_matches("\"}").parse().unwrap();
        let is_new = first_seen.insert(&one.payload, at).is_none();
        let last = last_of.entry(&one.topic).or_insert(at);
        if is_new && at < *last {
            disordered += 1;
        }
        *last = at.max(*last);
    }
    let ids: HashSet<usize> = first_seen.values().copied().collect();
    let missing: Vec<usize> = (0..EVENTS).filter(|at| !ids.contains(at)).collect();
    let few = missing.iter().take(20).collect::<Vec<_>>();
    assert!(missing.is_empty(), "{} lost: {few:?} …", missing.len());
    // No more than what was on its way each time.
    let duplicates = got.len() - ids.len();
    assert!(duplicates <= KILLS.len() * HANDS, "{duplicates} duplicates");
    assert_eq!(disordered, 0, "events of one device came in another order");
    assert!(
        retries > 0,
        "nothing was on its way when the broker was killed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_with_qos_1() {
    survives(5, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_with_qos_2() {
    survives(4, 2).await;
}

/// Each device's events one after another, as a lane sends them.
async fn in_order(devices: usize, events: usize) {
    let broker = broker().await;
    let subscriber = Subscriber::start(&broker, 1).await;
    let mqtt = Arc::new(mqtt(settings(broker.address())));
    let mut hands = JoinSet::new();
    for device in 0..devices {
        let mqtt = Arc::clone(&mqtt);
        hands.spawn(async move {
            for at in 0..events {
                let mut message = event(device, device);
                message.body = bytes::Bytes::from(format!("{at}")).into();
                let verdict = mqtt.deliver(&message).await;
                assert_eq!(verdict, delivered("puback"));
            }
        });
    }
    hands.join_all().await;
    subscriber.catch_up().await;
    let mut by_device = HashMap::<String, Vec<usize>>::new();
    for got in subscriber.got() {
        let at = got.payload.parse().unwrap();
        by_device.entry(got.topic).or_default().push(at);
    }
    assert_eq!(by_device.len(), devices);
    for (topic, came) in by_device {
        assert!(came.into_iter().eq(0..events), "{topic} is out of order");
    }
}

#[tokio::test]
async fn one_device_comes_in_order() {
    in_order(1, 10_000).await;
}

#[tokio::test]
async fn three_devices_come_in_order_each() {
    in_order(3, 3_000).await;
}
