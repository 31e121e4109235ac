//! What Home Assistant finds at the broker, from the first person at a door until nothing is announced any more.

use faceway_testkit::broker::mosquitto::{Got, Mosquitto, Options, Subscriber};
use serde_json::Value;

use crate::harness::{Device, Gateway, Site, recognition, recognition_with, reload, replace, text};

/// A picture of one pixel.
const PICTURE: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==";

/// The routes; `more` is said of the outbound.
fn routes(broker: &Mosquitto, more: &str) -> String {
    let url = broker.open_address();
    format!(
        "[inbound.nebula.lobby]\n[outbound.mqtt.home]\nurl = \"mqtt://{url}\"\nimages = \"url\"\n{more}\n\
         [[route]]\nname = \"all\"\nto = [\"home\"]\n"
    )
}

fn ends<'a>(got: &'a [Got], with: &'a str) -> impl Iterator<Item = &'a Got> {
    let ours = |got: &&Got| got.topic.starts_with("homeassistant/device/faceway/");
    let got = got.iter().filter(ours);
    got.filter(move |got| got.topic.ends_with(with))
}

async fn push(gateway: &Gateway, body: &[u8]) {
    let answer = Device::connect(gateway.devices).await.push(body).await;
    assert!(answer.unwrap().is_success());
}

/// The bytes behind a link of this gateway.
async fn behind(gateway: &Gateway, link: &str) -> Vec<u8> {
    let path = link.split_once("/images/").unwrap().1;
    let mut device = Device::connect(gateway.devices).await;
    let path = format!("/images/{path}");
    let answer = device.send("GET", &path, &[], b"").await.unwrap();
    assert_eq!(answer.status, 200, "{link}");
    answer.body.to_vec()
}

/// Waits until everything that was announced is taken back.
async fn until_taken_back(broker: &Mosquitto, subscriber: &Subscriber) {
    let is_empty = |got: &[Got], what| {
        ends(got, what)
            .last()
            .is_some_and(|got| got.payload.is_empty())
    };
    subscriber
        .until(|got| is_empty(got, "/config") && is_empty(got, "/picture"))
        .await;
    let late = Subscriber::start(broker, 1).await;
    assert_eq!(ends(&late.got(), "").count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_come_to_home_assistant_and_go() {
    let broker = Mosquitto::start(Options::default()).await;
    let on = routes(&broker, "home_assistant = true");
    let site = Site::new(&on);
    let gateway = site.start().await;
    let subscriber = Subscriber::start(&broker, 1).await;
    push(&gateway, &recognition_with("SN-1", "u-1", PICTURE)).await;
    push(&gateway, &recognition("SN-1", "u-2")).await;
    gateway.delivered_all("home").await;
    subscriber.catch_up().await;
    let got = subscriber.got();
    let config: Value =
        serde_json::from_str(&ends(&got, "/config").next().unwrap().payload).unwrap();
    assert_eq!(config["device"]["serial_number"], "SN-1");
    let pictures: Vec<_> = ends(&got, "/picture")
        .map(|got| got.payload.clone())
        .collect();
    let [face, none] = pictures.as_slice() else {
        panic!("{pictures:?}")
    };
    let face = behind(&gateway, face).await;
    let none = behind(&gateway, none).await;
    assert!(face.starts_with(b"\x89PNG") && none.starts_with(b"\x89PNG"));
    assert_ne!(face, none);

    // The line says so, or is gone; and at last the whole outbound.
    let gone = "[inbound.nebula.lobby]\n[outbound.stdout.screen]\n[[route]]\nname = \"all\"\nto = [\"screen\"]\n";
    let off = [
        routes(&broker, "home_assistant = false"),
        routes(&broker, ""),
        gone.to_owned(),
    ];
    for (at, off) in off.iter().enumerate() {
        replace(&site, off);
        let (status, said) = reload(&gateway).await;
        assert_eq!(status, 200, "{said}");
        until_taken_back(&broker, &subscriber).await;
        subscriber.forget();
        replace(&site, &on);
        assert_eq!(reload(&gateway).await.0, 200);
        push(
            &gateway,
            &recognition_with("SN-1", &format!("again {at}"), PICTURE),
        )
        .await;
        subscriber
            .until(|got| ends(got, "/picture").any(|got| !got.payload.is_empty()))
            .await;
        gateway.delivered_all("home").await;
    }
    assert!(gateway.stop().await.success());

    // It was switched off while the gateway was away.
    replace(&site, &off[0]);
    let checked = site.run(&["check"]).await;
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    subscriber.forget();
    let gateway = site.start().await;
    until_taken_back(&broker, &subscriber).await;
    assert!(gateway.stop().await.success());
}
