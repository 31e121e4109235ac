//! What the spool has kept and does not give as it was: pictures that are damaged, buried events among many, events that no
//! route leads to a destination.

use faceway_testkit::receiver::{Behaviour, Receiver};
use serde_json::Value;

use crate::harness::{
    Device, LOBBY, Site, event_id, recognition, recognition_with, route, routes_to, vendor_id,
    vendor_ids, webhook,
};

const PICTURES: [&str; 3] = [
    "/9j/4AAQSkZJRgABAQEASABIAAD/2Q==",
    "/9j/4AAQSkZJRgABAQEASABJAAD/2Q==",
    "/9j/4AAQSkZJRgABAQEASABKAAD/2Q==",
];

/// One picture is damaged: its event leaves without it, all others as they are, and the lane goes on.
#[tokio::test]
async fn a_damaged_picture_holds_no_lane_up() {
    let receiver = Receiver::start().await;
    receiver.script(Behaviour::status(503));
    let routes = routes_to(
        &receiver.url(),
        "images = \"inline\"\nretry.backoff_max = \"200ms\"",
    );
    let site = Site::new(&routes);
    let gateway = site.start().await;
    let mut device = Device::connect(gateway.devices).await;
    for (n, picture) in PICTURES.iter().enumerate() {
        let record = recognition_with(&format!("PSC{n}"), &format!("u-{n}"), picture);
        assert!(device.push(&record).await.unwrap().is_success());
    }
    gateway.stop().await;
    let pack = site.path().join("data/images/1.pack");
    let mut bytes = std::fs::read(&pack).unwrap();
    let length = bytes.len() / PICTURES.len();
    bytes[length + length / 2] ^= 1;
    std::fs::write(&pack, bytes).unwrap();

    receiver.script(Behaviour::status(200));
    let gateway = site.start().await;
    gateway.delivered_all("erp").await;
    let received = receiver.received();
    let inline = |n: usize| {
        let sent = received.iter().rev();
        let mut sent = sent.filter(|one| vendor_id(&one.body) == format!("u-{n}"));
        let event: Value = serde_json::from_slice(&sent.next().unwrap().body).unwrap();
        let image = &event["images"][0];
        assert_eq!(image["role"], "face", "{event:#}");
        image["url"].as_str().map(ToOwned::to_owned)
    };
    let whole = |n: usize| Some(format!("data:image/jpeg;base64,{}", PICTURES[n]));
    assert_eq!(
        [inline(0), inline(1), inline(2)],
        [whole(0), None, whole(2)]
    );
    gateway
        .wait_for_metric("faceway_damaged_pictures_total", |count| count == 1.0)
        .await;
    assert!(gateway.log().contains("a picture is damaged"));
    assert_eq!(
        gateway.metric("faceway_buried{outbound=\"erp\"}").await,
        0.0
    );
}

/// Its link is dead, and stays so: 410 tells who has it not to come again.
#[tokio::test]
async fn the_link_of_a_damaged_picture_is_gone() {
    let receiver = Receiver::start().await;
    let site = Site::new(&routes_to(&receiver.url(), "images = \"url\""))
        .set("FACEWAY_LISTEN__PUBLIC_URL", "http://gateway.example");
    let gateway = site.start().await;
    let mut device = Device::connect(gateway.devices).await;
    let record = recognition_with("PSC1", "u-1", PICTURES[0]);
    assert!(device.push(&record).await.unwrap().is_success());
    let event: Value = serde_json::from_slice(&receiver.wait_for(1).await[0].body).unwrap();
    let link = event["images"][0]["url"].as_str().unwrap();
    let path = link.strip_prefix("http://gateway.example").unwrap();
    let served = device.send("GET", path, &[], b"").await.unwrap();
    assert_eq!(served.status, 200);
    let pack = site.path().join("data/images/1.pack");
    let bytes = std::fs::read(&pack).unwrap();
    std::fs::write(&pack, &bytes[..bytes.len() - 1]).unwrap();
    for _ in 0..2 {
        let served = device.send("GET", path, &[], b"").await.unwrap();
        assert_eq!(served.status, 410);
    }
    gateway.stop().await;
    let gateway = site.start().await;
    let mut device = Device::connect(gateway.devices).await;
    let served = device.send("GET", path, &[], b"").await.unwrap();
    assert_eq!(served.status, 410);
}

/// The oldest of many is found by its id, and a list goes on page by page.
#[tokio::test]
async fn the_oldest_buried_event_is_shown() {
    const EVENTS: usize = 260;
    let receiver = Receiver::start().await;
    receiver.script(Behaviour::status(422));
    let site = Site::new(&routes_to(&receiver.url(), "concurrency_max = 16"));
    let gateway = site.start().await;
    let mut device = Device::connect(gateway.devices).await;
    for n in 0..EVENTS {
        let record = recognition(&format!("PSC{}", n % 20), &format!("u-{n}"));
        assert!(device.push(&record).await.unwrap().is_success());
    }
    let buried = "faceway_buried{outbound=\"erp\"}";
    let all = |count: f64| count as usize == EVENTS;
    gateway.wait_for_metric(buried, all).await;
    let id = event_id(&recognition("PSC0", "u-0")).to_string();
    let shown = site.ask(&gateway, &["buried", "show", &id]).await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown.as_array().unwrap().len(), 1);
    assert_eq!(
        (&shown[0]["id"], &shown[0]["to"]),
        (&id.as_str().into(), &"erp".into())
    );
    assert_eq!(shown[0]["event"]["id"], id.as_str());

    let mut ids = std::collections::BTreeSet::new();
    let mut before = u64::MAX;
    loop {
        let path = format!("/api/v1/buried?max=100&before={before}");
        let (status, page) = gateway.get(&path).await;
        assert_eq!(status, 200, "{page}");
        let page: Vec<Value> = serde_json::from_str(&page).unwrap();
        let Some(last) = page.last() else {
            break;
        };
        before = last["number"].as_u64().unwrap();
        assert!(page.iter().all(|entry| entry.get("event").is_none()));
        ids.extend(page.iter().map(|entry| entry["id"].to_string()));
    }
    assert_eq!(ids.len(), EVENTS);
    let listed = site
        .ask(&gateway, &["buried", "list", "--max", "999", "--json"])
        .await;
    let listed: Vec<Value> = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.len(), EVENTS);
}

/// A destination that is down, and an event that no route leads there: it waits for nothing, and `why` says so at once.
#[tokio::test]
async fn why_says_at_once_that_no_route_leads_to_a_destination() {
    let (down, up) = (Receiver::start().await, Receiver::start().await);
    down.script(Behaviour::status(503));
    let to_one =
        "[[route]]\nname = \"first\"\nwhen = { \"device.id\" = \"PSC1\" }\nto = [\"down\"]\n";
    let routes = [
        LOBBY,
        &webhook("down", &down),
        &webhook("up", &up),
        to_one,
        &route("all", &["up"]),
    ];
    let site = Site::new(&routes.concat());
    let gateway = site.start().await;
    let mut device = Device::connect(gateway.devices).await;
    for (serial, uuid) in [
        ("PSC1", "u-1"),
        ("PSC1", "u-2"),
        ("PSC2", "u-3"),
        ("PSC1", "u-4"),
    ] {
        let record = recognition(serial, uuid);
        assert!(device.push(&record).await.unwrap().is_success());
    }
    let received = up.wait_for(4).await;
    assert_eq!(vendor_ids(&received).len(), 4);
    let waiting = "faceway_lane_state{outbound=\"down\",state=\"waiting\"}";
    gateway.wait_for_metric(waiting, |here| here == 1.0).await;
    for (serial, uuid, said) in [
        ("PSC2", "u-3", "down: no route leads here"),
        ("PSC1", "u-4", "down: its turn has not come"),
    ] {
        let id = event_id(&recognition(serial, uuid)).to_string();
        let told = site.ask(&gateway, &["why", &id]).await;
        assert!(told.contains(said), "{told}");
    }
}
