//! Killed and restarted: what was answered with success is delivered, with the same id.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use faceway_testkit::receiver::Receiver;
use rand::RngExt as _;

use crate::harness::{
    Device, Gateway, Site, recognition, recognition_with, routes_to, vendor_id, vendor_ids,
};

const ROUNDS: usize = 20;
const CONNECTIONS: usize = 64;

/// Pushes from one connection until it is gone; notes what was answered with success.
async fn push_until_cut(
    address: std::net::SocketAddr,
    name: String,
    kept: Arc<Mutex<HashSet<String>>>,
) {
    let Ok(mut device) = Device::try_connect(address).await else {
        return;
    };
    for number in 0.. {
        let uuid = format!("{name}-{number}");
        let picture = if number % 8 == 0 {
            "/9j/4AAQSkZJRgABAQEASABIAAD/2Q=="
        } else {
            " "
        };
        match device.push(&recognition_with(&name, &uuid, picture)).await {
            Ok(answer) if answer.is_success() => {
                kept.lock().unwrap().insert(uuid);
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_under_load_nothing_that_was_answered_is_missing() {
    let receiver = Receiver::start().await;
    let site = Site::new(&routes_to(&receiver.url(), ""));
    let kept = Arc::new(Mutex::new(HashSet::new()));
    for round in 0..ROUNDS {
        let gateway = site.start().await;
        let mut devices = tokio::task::JoinSet::new();
        for connection in 0..CONNECTIONS {
            let name = format!("r{round}-c{connection}");
            devices.spawn(push_until_cut(gateway.devices, name, Arc::clone(&kept)));
        }
        let lives = rand::rng().random_range(20..300);
        tokio::time::sleep(Duration::from_millis(lives)).await;
        gateway.kill().await;
        while devices.join_next().await.is_some() {}
    }
    let gateway = site.start().await;
    let kept = kept.lock().unwrap().clone();
    assert!(
        kept.len() > 1000,
        "the load was too small to show anything: {}",
        kept.len()
    );
    wait_until_all_are_there(&gateway, &receiver, &kept).await;
    let received = receiver.confirmed();
    let mut ids: HashMap<String, HashSet<String>> = HashMap::new();
    for one in &received {
        ids.entry(vendor_id(&one.body))
            .or_default()
            .insert(one.id().to_owned());
    }
    assert!(
        ids.values().all(|ids| ids.len() == 1),
        "a record came with two ids"
    );
    // What was on its way, or confirmed and not yet noted, when the gateway was killed: a window of each kill.
    let duplicates = received.len() - ids.len();
    println!(
        "{} answered, {} delivered, {duplicates} twice",
        kept.len(),
        received.len()
    );
    assert!(
        duplicates <= ROUNDS * 256,
        "{duplicates} duplicates are more than what can be on its way"
    );
}

async fn wait_until_all_are_there(gateway: &Gateway, receiver: &Receiver, kept: &HashSet<String>) {
    gateway.delivered_all("erp").await;
    let there: HashSet<String> = receiver
        .confirmed()
        .iter()
        .map(|one| vendor_id(&one.body))
        .collect();
    let missing: Vec<&String> = kept.difference(&there).take(5).collect();
    assert!(missing.is_empty(), "missing: {missing:?} …");
}

#[tokio::test]
async fn a_graceful_stop_delivers_nothing_twice() {
    let receiver = Receiver::start().await;
    let site = Site::new(&routes_to(&receiver.url(), ""));
    let mut sent = Vec::new();
    for round in 0..5 {
        let gateway = site.start().await;
        let mut device = Device::connect(gateway.devices).await;
        for number in 0..200 {
            let uuid = format!("{round}-{number}");
            assert!(
                device
                    .push(&recognition("PSC1", &uuid))
                    .await
                    .unwrap()
                    .is_success()
            );
            sent.push(uuid);
        }
        assert!(gateway.stop().await.success());
    }
    let gateway = site.start().await;
    gateway.delivered_all("erp").await;
    let received = vendor_ids(&receiver.confirmed());
    assert_eq!(received, sent, "in order, each once");
}

#[tokio::test]
async fn a_hang_up_does_not_end_the_gateway() {
    let gateway = Site::new("[inbound.nebula.lobby]\n").start().await;
    gateway.signal(rustix::process::Signal::HUP);
    let mut device = Device::connect(gateway.devices).await;
    assert!(
        device
            .push(&recognition("PSC1", "u-1"))
            .await
            .unwrap()
            .is_success()
    );
    let told = gateway.stop().await;
    assert!(told.success(), "{told}");
}
