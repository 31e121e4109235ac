//! Several events in one request: every promise holds for each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use faceway_core::EventId;
use faceway_testkit::receiver::{Behaviour, Received, Receiver, Reply};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;

use crate::harness::{
    Device, Gateway, Site, event_id, recognition, recognition_with, routes_to, text,
};

/// The id under which a record of `/in/lobby` is delivered.
fn id(uuid: &str) -> EventId {
    let serial = uuid.split('-').next().unwrap_or_default();
    event_id(&recognition(serial, uuid))
}

fn array(body: &[u8]) -> Vec<Value> {
    serde_json::from_slice(body).unwrap_or_else(|error| panic!("{error}: {}", text(body)))
}

/// The vendor's record ids of these requests, in order.
fn uuids<'r>(received: impl IntoIterator<Item = &'r Received>) -> Vec<String> {
    let events = received.into_iter().flat_map(|one| array(&one.body));
    events
        .map(|event| event["vendor_id"].as_str().unwrap().to_owned())
        .collect()
}

/// The record `number` of device `number % devices`.
fn uuid(number: usize, devices: usize) -> String {
    format!("PSC{}-{number}", number % devices)
}

async fn push(gateway: &Gateway, events: usize, devices: usize) {
    let mut device = Device::connect(gateway.devices).await;
    for number in 0..events {
        let serial = format!("PSC{}", number % devices);
        let record = recognition(&serial, &uuid(number, devices));
        assert!(device.push(&record).await.unwrap().is_success());
    }
}

/// A gateway that finds so many events waiting when it starts.
async fn with_backlog(url: &str, more: &str, events: usize, devices: usize) -> (Site, Gateway) {
    let site = Site::new("[inbound.nebula.lobby]\n");
    let gateway = site.start().await;
    push(&gateway, events, devices).await;
    assert!(gateway.stop().await.success());
    let routes = routes_to(url, &format!("since = \"oldest\"\n{more}"));
    std::fs::write(site.path().join("routes.toml"), routes).unwrap();
    let gateway = site.start().await;
    (site, gateway)
}

/// What was confirmed is exactly this, each event once, each device in its order.
fn assert_each_once_in_order(confirmed: &[Received], expected: impl Iterator<Item = String>) {
    let mut devices: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let device = |uuid: &str| uuid.split_once('-').unwrap().0.to_owned();
    for uuid in uuids(confirmed) {
        devices.entry(device(&uuid)).or_default().push(uuid);
    }
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for uuid in expected {
        all.entry(device(&uuid)).or_default().push(uuid);
    }
    assert_eq!(devices, all);
}

/// Answers so whatever holds one of these events.
fn poison(receiver: &Receiver, uuids: &[String], behaviour: Behaviour) {
    let ids: Vec<_> = uuids.iter().map(|uuid| id(uuid).to_string()).collect();
    receiver.script_whole(move |request| {
        let body = text(&request.body);
        let holds = ids.iter().any(|id| body.contains(id));
        holds.then(|| behaviour.clone())
    });
}

async fn attempts(gateway: &Gateway, result: &str, code: &str) -> f64 {
    let labels = format!("outbound=\"erp\",result=\"{result}\",code=\"{code}\"");
    gateway
        .metric(&format!("faceway_attempts_total{{{labels}}}"))
        .await
}

#[tokio::test]
async fn a_backlog_leaves_in_full_arrays_in_order_and_signed() {
    let receiver = Receiver::start().await;
    let site = Site::new("[inbound.nebula.lobby]\n").set("SECRET", "secret of the ERP");
    let gateway = site.start().await;
    push(&gateway, 1000, 5).await;
    assert!(gateway.stop().await.success());
    let more = "since = \"oldest\"\nbatch_max = 100\nsign = [{ env = \"SECRET\" }]";
    let routes = routes_to(&receiver.url(), more);
    std::fs::write(site.path().join("routes.toml"), routes).unwrap();
    let gateway = site.start().await;
    gateway.delivered_all("erp").await;

    let received = receiver.received();
    let sizes: Vec<_> = received.iter().map(|one| array(&one.body).len()).collect();
    assert_eq!(sizes, [100; 10]);
    assert_each_once_in_order(&received, (0..1000).map(|number| uuid(number, 5)));
    for one in &received {
        assert_eq!(one.header("content-type"), "application/json");
        assert!(one.is_signed_by(b"secret of the ERP"));
        let ids = array(&one.body);
        let ids = ids.iter().map(|event| event["id"].as_str().unwrap());
        let together = EventId::of_several(ids.map(|id| id.parse().unwrap()));
        assert_eq!(one.id(), together.to_string());
    }
    assert_eq!(attempts(&gateway, "delivered", "200").await, 1000.0);
    let why = site
        .ask(&gateway, &["why", &id(&uuid(7, 5)).to_string()])
        .await;
    assert!(why.contains("200"), "{why}");
}

#[tokio::test]
async fn an_event_alone_is_an_array_of_one_under_its_own_id() {
    let receiver = Receiver::start().await;
    let more = "batch_max = 100\nformat = \"cloudevents\"";
    let gateway = Site::new(&routes_to(&receiver.url(), more)).start().await;
    push(&gateway, 1, 1).await;
    let received = receiver.wait_for(1).await.remove(0);
    assert_eq!(received.id(), id("PSC0-0").to_string());
    let type_ = "application/cloudevents-batch+json";
    assert_eq!(received.header("content-type"), type_);
    let events = array(&received.body);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["specversion"], "1.0");
    assert_eq!(events[0]["id"], received.id());
    assert_eq!(events[0]["data"]["vendor_id"], "PSC0-0");
}

#[tokio::test]
async fn who_is_refused_for_good_takes_no_other_along() {
    let receiver = Receiver::start().await;
    // Two in one array, one of them followed by others of its device there, and one in another array.
    let bad = [7, 9, 130].map(|number| uuid(number, 6));
    poison(&receiver, &bad, Behaviour::status(422));
    let (site, gateway) = with_backlog(&receiver.url(), "batch_max = 50", 300, 6).await;
    gateway.delivered_all("erp").await;

    let good = (0..300).map(|number| uuid(number, 6));
    let good = good.filter(|uuid| !bad.contains(uuid));
    assert_each_once_in_order(&receiver.confirmed(), good);
    let received = receiver.received();
    for uuid in &bad {
        let tries = received.iter().filter(|one| uuids([*one]).contains(uuid));
        let sizes: Vec<_> = tries.map(|one| array(&one.body).len()).collect();
        let (with, alone) = (sizes[0], sizes.get(1));
        assert!(with > 1 && alone == Some(&1), "{uuid}: {sizes:?}");
        assert_eq!(sizes.len(), 2, "once with others, once alone");
    }
    // Two arrays are refused, each of their events goes alone, and then arrays leave again.
    let refused = received.iter().filter(|one| one.answered == Some(422));
    let refused = refused.map(|one| array(&one.body).len());
    let refused: Vec<_> = refused.filter(|size| *size > 1).collect();
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert!(received.len() <= 120, "{}", received.len());
    let taken_apart = refused.iter().sum::<usize>() as f64;
    gateway.buried("erp", 3).await;
    assert_eq!(attempts(&gateway, "buried", "422").await, 3.0);
    assert_eq!(attempts(&gateway, "retry", "422").await, taken_apart);
    assert_eq!(attempts(&gateway, "delivered", "200").await, 297.0);
    let innocent = id(&uuid(8, 6)).to_string();
    let why = site.ask(&gateway, &["why", &innocent]).await;
    let told = why.find("422").zip(why.find("200"));
    assert!(told.is_some_and(|(first, then)| first < then), "{why}");
}

#[tokio::test]
async fn who_fails_is_tried_alone_and_takes_no_other_along() {
    let receiver = Receiver::start().await;
    let bad = uuid(8, 6);
    poison(
        &receiver,
        std::slice::from_ref(&bad),
        Behaviour::status(500),
    );
    let more = "batch_max = 50\nretry.attempts_max = 3\nretry.backoff_max = \"200ms\"";
    let (_site, gateway) = with_backlog(&receiver.url(), more, 300, 6).await;
    gateway.delivered_all("erp").await;

    let good = (0..300).map(|number| uuid(number, 6));
    assert_each_once_in_order(&receiver.confirmed(), good.filter(|uuid| *uuid != bad));
    let received = receiver.received();
    let tries = received.iter().filter(|one| uuids([*one]).contains(&bad));
    let sizes: Vec<_> = tries.map(|one| array(&one.body).len()).collect();
    assert_eq!(
        sizes,
        [50, 1, 1, 1],
        "the try with the others is not counted"
    );
    assert_eq!(attempts(&gateway, "buried", "500").await, 1.0);
    assert_eq!(attempts(&gateway, "delivered", "200").await, 299.0);
}

#[tokio::test]
async fn who_brings_the_destination_to_a_halt_takes_no_other_along() {
    let receiver = Receiver::start().await;
    let bad = uuid(57, 3);
    poison(&receiver, std::slice::from_ref(&bad), Behaviour::Hang);
    let more = "batch_max = 20\ntimeout = \"500ms\"\nretry.backoff_max = \"200ms\"";
    let (_site, gateway) = with_backlog(&receiver.url(), more, 60, 3).await;
    let others = |received: &[Received]| {
        let confirmed = received.iter().filter(|one| one.answered == Some(200));
        uuids(confirmed).into_iter().collect::<BTreeSet<_>>()
    };
    let received = receiver
        .wait_until(|received| others(received).len() == 59)
        .await;
    assert!(!others(&received).contains(&bad));
    let together = received.iter().map(|one| uuids([one]));
    let together = together.filter(|uuids| uuids.contains(&bad) && uuids.len() > 1);
    assert!(together.count() <= 2, "then it goes alone");
    drop(gateway);
}

#[tokio::test]
async fn an_outage_between_batches_waits_with_one_event_as_probe() {
    let receiver = Receiver::start().await;
    receiver.script(Behaviour::Answer(
        Reply::status(429).header("retry-after", "3600"),
    ));
    for _ in 0..2 {
        receiver.script_next(Behaviour::status(200));
    }
    let more = "batch_max = 50\nretry.backoff_max = \"300ms\"";
    let (_site, gateway) = with_backlog(&receiver.url(), more, 400, 4).await;
    receiver.wait_for(6).await;
    receiver.script(Behaviour::status(200));
    gateway.delivered_all("erp").await;

    let all = (0..400).map(|number| uuid(number, 4));
    assert_each_once_in_order(&receiver.confirmed(), all);
    let received = receiver.received();
    let sizes: Vec<_> = received.iter().map(|one| array(&one.body).len()).collect();
    assert_eq!(sizes[..6], [50, 50, 50, 1, 1, 1], "a batch, then probes");
    assert!(
        sizes.len() < 20,
        "after one outage no event goes alone: {sizes:?}"
    );
    let buried = gateway.metric("faceway_buried{outbound=\"erp\"}").await;
    assert_eq!(buried, 0.0, "nothing is counted");
}

#[tokio::test]
async fn a_batch_that_was_on_its_way_when_the_gateway_was_killed_comes_again_under_its_id() {
    let receiver = Receiver::start().await;
    receiver.script(Behaviour::Hang);
    let (site, gateway) = with_backlog(&receiver.url(), "batch_max = 40", 100, 2).await;
    let cut = receiver.wait_for(1).await.remove(0);
    gateway.kill().await;
    receiver.script(Behaviour::status(200));
    let gateway = site.start().await;
    gateway.delivered_all("erp").await;
    let confirmed = receiver.confirmed();
    assert_each_once_in_order(&confirmed, (0..100).map(|number| uuid(number, 2)));
    assert_eq!(confirmed[0].id(), cut.id());
    assert_eq!(confirmed[0].body, cut.body);
}

#[tokio::test]
async fn through_every_kind_of_trouble_each_event_comes_and_each_device_in_its_order() {
    const EVENTS: usize = 400;
    let receiver = Receiver::start().await;
    let more = "batch_max = 30\ntimeout = \"300ms\"\nretry = { backoff_min = \"10ms\", backoff_max = \"50ms\", attempts_max = 0 }";
    let more = more.to_owned() + "\nsince = \"oldest\"";
    let routes = routes_to(&receiver.url(), &more).replace("retry.backoff_min = \"100ms\"\n", "");
    let site = Site::new(&routes);
    receiver.refuse().await;
    let gateway = site.start().await;
    push(&gateway, EVENTS, 5).await;
    gateway.kill().await;
    let dice = Mutex::new(StdRng::seed_from_u64(7));
    receiver.script_whole(move |request| {
        let several = array(&request.body).len() > 1;
        let status = Behaviour::status;
        Some(match dice.lock().unwrap().random_range(0..20) {
            0 | 1 => status(500),
            2 => status(503),
            3 => Behaviour::Close,
            4 => Behaviour::Hang,
            5 | 6 if several => status(400),
            _ => status(200),
        })
    });
    receiver.listen().await;
    for confirmed in [60, 150, 240] {
        let gateway = site.start().await;
        let count = |received: &[Received]| {
            let confirmed = received.iter().filter(|one| one.answered == Some(200));
            uuids(confirmed).into_iter().collect::<BTreeSet<_>>().len()
        };
        receiver
            .wait_until(|received| count(received) >= confirmed)
            .await;
        gateway.kill().await;
    }
    let gateway = site.start().await;
    gateway.delivered_all("erp").await;
    let mut seen = BTreeSet::new();
    let mut first = uuids(&receiver.confirmed());
    first.retain(|uuid| seen.insert(uuid.clone()));
    for device in 0..5 {
        let serial = format!("PSC{device}-");
        let came = first.iter().filter(|uuid| uuid.starts_with(&serial));
        let all = (device..EVENTS).step_by(5).map(|number| uuid(number, 5));
        assert_eq!(came.cloned().collect::<Vec<_>>(), all.collect::<Vec<_>>());
    }
    let buried = gateway.metric("faceway_buried{outbound=\"erp\"}").await;
    assert_eq!(buried, 0.0);
}

#[tokio::test]
async fn pictures_make_an_array_no_larger_than_it_may_be() {
    let receiver = Receiver::start().await;
    let more = "batch_max = 10\nimages = \"inline\"";
    let site = Site::new(&routes_to(&receiver.url(), more));
    receiver.refuse().await;
    let gateway = site.start().await;
    // 300 KB in base64, beginning like a JPEG.
    let picture = format!("/9j/4AAQSkZJRgABAQEASABI{}", "AAAA".repeat(75_000));
    let mut device = Device::connect(gateway.devices).await;
    for number in 0..9 {
        let record = recognition_with("PSC0", &uuid(number, 1), &picture);
        assert!(device.push(&record).await.unwrap().is_success());
    }
    receiver.listen().await;
    gateway.delivered_all("erp").await;
    let confirmed = receiver.confirmed();
    assert_each_once_in_order(&confirmed, (0..9).map(|number| uuid(number, 1)));
    let sizes: Vec<_> = confirmed.iter().map(|one| array(&one.body).len()).collect();
    assert!(sizes.contains(&3), "as many as fit: {sizes:?}");
    for one in &confirmed {
        assert!(one.body.len() <= 1024 * 1024, "{}", one.body.len());
    }
}
