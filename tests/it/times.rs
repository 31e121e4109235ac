//! Times as operators type them, in the zone of their machine.

use faceway_testkit::receiver::Receiver;
use serde_json::Value;

use crate::harness::{Device, Site, recognition, routes_to, text};

#[tokio::test]
async fn a_time_is_local_and_what_is_printed_can_be_typed() {
    let receiver = Receiver::start().await;
    let site = Site::new(&routes_to(&receiver.url(), "")).set("TZ", "Asia/Kolkata");
    let gateway = site.start().await;
    let mut device = Device::connect(gateway.devices).await;
    device.push(&recognition("PSC1", "u-1")).await.unwrap();
    receiver.wait_for(1).await;

    let words = ["replay", "--to", "erp", "--since", "2 hours ago"];
    let told = site.ask(&gateway, &words).await;
    let (_, since) = told.split_once("1 event since ").expect(&told);
    let (since, _) = since.split_once(": ").expect(&told);
    assert!(since.ends_with("+05:30[Asia/Kolkata]"), "{told}");
    receiver.wait_for(2).await;

    let words = ["replay", "--to", "erp", "--since", since];
    let again = site.ask(&gateway, &words).await;
    assert_eq!(again, told);
    receiver.wait_for(3).await;

    let until = "2001-02-03 4:05";
    let words = [
        "replay",
        "--to",
        "erp",
        "--since",
        "2001-02-03",
        "--until",
        until,
    ];
    let none = site.ask(&gateway, &words).await;
    let edges = "since 2001-02-03T00:00:00+05:30[Asia/Kolkata] until 2001-02-03T04:05:00+05:30[Asia/Kolkata]";
    assert!(none.starts_with(&format!("0 events {edges}")), "{none}");

    for (since, until, said) in [
        ("9 o'clock", "now", "yesterday 18:30"),
        ("2999-01-01", "now", "still to come"),
        ("1h", "2h", "--until must be after --since"),
    ] {
        let words = ["replay", "--to", "erp", "--since", since, "--until", until];
        let told = site.refuse(&gateway, &words).await;
        assert!(told.contains(said), "{since}: {told}");
    }
    let site = site.set("TZ", "Asia/Kolkatta");
    let words = ["replay", "--to", "erp", "--since", "1h"];
    let told = site.refuse(&gateway, &words).await;
    assert!(told.contains("TZ=Asia/Kolkatta is no time zone"), "{told}");
}

#[tokio::test]
async fn what_is_read_by_hand_came_at_a_local_time() {
    let site = Site::new("").set("TZ", "Asia/Shanghai");
    std::fs::write(site.path().join("push.json"), recognition("PSC1", "u-1")).unwrap();
    let words = ["read", "nebula", "push.json", "--now", "2026-11-29 9:00"];
    let output = site.run(&words).await;
    let told = text(&output.stderr);
    let event: Value = serde_json::from_slice(&output.stdout).expect(&told);
    assert_eq!(event["received_at"], "2026-11-29T01:00:00.000Z");
}
