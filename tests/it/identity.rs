//! The same record is kept once, and another one never taken for it: through the whole gateway, over kills.

use std::collections::BTreeSet;

use faceway_testkit::receiver::{Received, Receiver};
use serde_json::Value;

use crate::harness::{Device, Gateway, Site, recognition, text};

/// Posts bodies one after another; each must be answered with success.
async fn post(gateway: &Gateway, path: &str, bodies: &[&str]) {
    let mut device = Device::connect(gateway.devices).await;
    for body in bodies {
        let answer = device.send("POST", path, &[], body.as_bytes()).await;
        let answer = answer.unwrap();
        assert_eq!(answer.status, 200, "{}", text(&answer.body));
    }
}

fn routes(receiver: &Receiver) -> String {
    format!(
        "[inbound.se5.hall]\npath = \"/in/hall\"\n[inbound.nebula.lobby]\n[inbound.findface.city]\n\
         [outbound.webhook.erp]\nurl = \"{}\"\n[[route]]\nname = \"all\"\nto = [\"erp\"]\n",
        receiver.url()
    )
}

/// The ids that arrived, once there are as many. What was on its way at a kill comes twice under one id.
async fn ids(receiver: &Receiver, count: usize) -> BTreeSet<String> {
    let all = |received: &[Received]| {
        let id = |one: &Received| {
            let event: Value = serde_json::from_slice(&one.body).unwrap();
            event["id"].as_str().unwrap().to_owned()
        };
        received.iter().map(id).collect::<BTreeSet<String>>()
    };
    receiver
        .wait_until(|received| all(received).len() >= count)
        .await;
    let ids = all(&receiver.received());
    assert_eq!(ids.len(), count, "{ids:?}");
    ids
}

async fn counted(gateway: &Gateway, inbound: &str, result: &str) -> f64 {
    let series = format!("faceway_received_total{{inbound=\"{inbound}\",result=\"{result}\"}}");
    gateway.metric(&series).await
}

#[tokio::test]
async fn a_camera_that_goes_off_and_on_is_told_each_time_and_resends_are_not() {
    let receiver = Receiver::start().await;
    let site = Site::new(&routes(&receiver));
    let mut gateway = site.start().await;
    let [on, off, all] = [
        r#"{"sub_devices":[{"media_device_id":"cam-7","media_device_status":"online"}]}"#,
        r#"{"sub_devices":[{"media_device_id":"cam-7","media_device_status":"offline"}]}"#,
        r#"{"sub_devices":[{"media_device_id":"cam-7","media_device_status":"online"},{"media_device_id":"cam-8"}]}"#,
    ];
    post(&gateway, "/in/hall", &[off, on, off, on, off, off]).await;
    ids(&receiver, 5).await;
    assert_eq!(counted(&gateway, "hall", "duplicate").await, 1.0);
    // What was said last is known after a kill as well.
    gateway.kill().await;
    gateway = site.start().await;
    post(&gateway, "/in/hall", &[off, all, all, off, on]).await;
    ids(&receiver, 8).await;
    assert_eq!(counted(&gateway, "hall", "duplicate").await, 2.0);
    assert_eq!(counted(&gateway, "hall", "stored").await, 3.0);
    // In one list, as history comes: each of them follows the one before it.
    let list = format!("[{off},{on},{on},{off}]");
    post(&gateway, "/in/hall", &[&list]).await;
    ids(&receiver, 11).await;
    assert_eq!(counted(&gateway, "hall", "conflict").await, 0.0);
}

#[tokio::test]
async fn equal_reports_at_the_same_time_are_one() {
    let receiver = Receiver::start().await;
    let gateway = Site::new(&routes(&receiver)).start().await;
    let off = r#"{"sub_devices":[{"media_device_id":"cam-7","media_device_status":"offline"}]}"#;
    let bodies = [off];
    let posts = (0..8).map(|_| post(&gateway, "/in/hall", &bodies));
    futures_util::future::join_all(posts).await;
    ids(&receiver, 1).await;
    assert_eq!(counted(&gateway, "hall", "stored").await, 1.0);
    assert_eq!(counted(&gateway, "hall", "duplicate").await, 7.0);
}

#[tokio::test]
async fn two_strangers_of_one_frame_are_two_events() {
    let receiver = Receiver::start().await;
    let gateway = Site::new(&routes(&receiver)).start().await;
    let stranger = |face: &str| {
        format!(
            r#"{{"identity_id":"","identity_name":"","device_id":"cam-7","timestamp":1767250800123,"score":0.2,
                "ext_data":{{"person_type":4,"recognize_face":"{face}"}}}}"#
        )
    };
    let (one, other) = (stranger("/9j/4AAQ"), stranger("/9j/4AAR"));
    post(&gateway, "/in/hall", &[&one, &other, &one, &other]).await;
    ids(&receiver, 2).await;
    assert_eq!(counted(&gateway, "hall", "duplicate").await, 2.0);
}

#[tokio::test]
async fn another_person_under_a_known_uuid_is_kept_and_counted() {
    let receiver = Receiver::start().await;
    let site = Site::new(&routes(&receiver));
    let mut gateway = site.start().await;
    let uuid = "5a0c7e10-0000-4000-8000-000000000001";
    let first = String::from_utf8(recognition("PSC1", uuid)).unwrap();
    let person = first.replace("\"user_id\":\"5\"", "\"user_id\":\"6\"");
    let later = first
        .replace("1764000000", "1764000001")
        .replace("0.93", "0.95");
    let elsewhere = first.replace("PSC1", "PSC2");
    assert!(person != first && later != first && elsewhere != first);
    post(
        &gateway,
        "/in/lobby",
        &[&first, &person, &later, &elsewhere],
    )
    .await;
    let before = ids(&receiver, 3).await;
    assert_eq!(counted(&gateway, "lobby", "stored").await, 2.0);
    assert_eq!(counted(&gateway, "lobby", "conflict").await, 1.0);
    assert_eq!(counted(&gateway, "lobby", "duplicate").await, 1.0);
    assert!(gateway.log().contains("both are kept"), "{}", gateway.log());
    gateway.kill().await;
    gateway = site.start().await;
    post(&gateway, "/in/lobby", &[&person, &first, &elsewhere]).await;
    assert_eq!(counted(&gateway, "lobby", "duplicate").await, 3.0);
    assert_eq!(ids(&receiver, 3).await, before);
}

#[tokio::test]
async fn every_update_of_an_object_is_an_event() {
    let receiver = Receiver::start().await;
    let gateway = Site::new(&routes(&receiver)).start().await;
    let updated = |card: u32| {
        format!(
            r#"[{{"id":"4401183360077000000","created_date":"2026-03-04T10:20:30.123Z","camera":4,"matched":true,
                "matched_card":{card},"confidence":0.9,"webhook_type":"face_events","event_model_class":"event_updated"}}]"#
        )
    };
    let bodies = [1, 2, 3].map(updated);
    let bodies: Vec<&str> = bodies.iter().chain(&bodies).map(String::as_str).collect();
    post(&gateway, "/in/city", &bodies).await;
    ids(&receiver, 3).await;
    assert_eq!(counted(&gateway, "city", "duplicate").await, 3.0);
}
