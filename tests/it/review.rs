//! What a review found: each was a defect once.

use faceway_core::{EventId, RecordKey};
use faceway_testkit::receiver::{Behaviour, Receiver};

use crate::harness::{Device, Gateway, Site, recognition, routes_to, vendor_id};

/// The id under which a record of `/in/lobby` is delivered.
fn id(uuid: &str) -> EventId {
    EventId::new("lobby", &RecordKey::of(&["uuid", uuid]))
}

async fn push(gateway: &Gateway, serial: &str, uuids: &[&str]) {
    let mut device = Device::connect(gateway.devices).await;
    for uuid in uuids {
        let answer = device.push(&recognition(serial, uuid)).await.unwrap();
        assert!(answer.is_success(), "{answer:?}");
    }
}

#[tokio::test]
async fn several_poisonous_events_cannot_pass_for_an_outage_either() {
    let receiver = Receiver::start().await;
    let more = "timeout = \"200ms\"\nretry.backoff_max = \"200ms\"\nconcurrency_max = 1";
    let site = Site::new(&routes_to(&receiver.url(), more));
    for poison in ["poison-1", "poison-2", "poison-3"] {
        receiver.script_for(id(poison), Some(Behaviour::Hang));
    }
    let gateway = site.start().await;
    push(&gateway, "PSC1", &["poison-1", "behind-1"]).await;
    push(&gateway, "PSC2", &["poison-2", "behind-2"]).await;
    push(&gateway, "PSC3", &["poison-3", "behind-3"]).await;
    push(&gateway, "PSC4", &["healthy"]).await;
    let confirmed = |uuid: &'static str| {
        receiver.wait_until(move |received| {
            let mut confirmed = received.iter().filter(|one| one.answered == Some(200));
            confirmed.any(|one| vendor_id(&one.body) == uuid)
        })
    };
    confirmed("healthy").await;
}
