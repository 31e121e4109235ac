//! A face at a door reaches a webhook.

use faceway_testkit::receiver::Receiver;
use serde_json::Value;

use crate::harness::{Device, Site, recognition, recognition_with, routes_to, vendor_id};

/// The smallest JPEG that has its magic bytes, in base64.
const PICTURE: &str = "/9j/4AAQSkZJRgABAQEASABIAAD/2Q==";

#[tokio::test]
async fn a_face_at_a_door_reaches_the_webhook() {
    let receiver = Receiver::start().await;
    let site = Site::new(&routes_to(&receiver.url(), ""));
    let gateway = site.start().await;
    let answer = Device::connect(gateway.devices)
        .await
        .push(&recognition("PSC1", "u-1"))
        .await
        .unwrap();
    assert_eq!(answer.status, 200);
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        answer,
        serde_json::json!({ "code": 200, "msg": "success", "message": "success", "data": {} })
    );

    let received = receiver.wait_for(1).await;
    let event: Value = serde_json::from_slice(&received[0].body).unwrap();
    assert_eq!(
        received[0].id(),
        event["id"].as_str().unwrap(),
        "receivers can drop what they have seen"
    );
    assert_eq!(event["schema"], "faceway.event/1");
    assert_eq!(event["kind"], "recognition");
    assert_eq!(event["inbound"], "lobby");
    assert_eq!(event["occurred_at"], "2025-11-24T16:00:00.000Z");
    assert_eq!(event["person"]["name"], "Wanda Probst");
    assert_eq!(event["access"]["granted"], true);
    assert!(gateway.stop().await.success());
}

#[tokio::test]
async fn an_alarm_comes_with_the_device_of_its_header() {
    let receiver = Receiver::start().await;
    let site = Site::new(&routes_to(&receiver.url(), ""));
    let gateway = site.start().await;
    let alarm = br#"{"type":1,"data":{"trace_id":"SPX-1","description":" ","code":10002,"event_time":1764000000123,"status":1,"alarm_photo":" "}}"#;
    let mut device = Device::connect(gateway.devices).await;
    let answer = device
        .send("POST", "/in/lobby", &[("sn", "PSC9")], alarm)
        .await
        .unwrap();
    assert!(answer.is_success());
    let event: Value = serde_json::from_slice(&receiver.wait_for(1).await[0].body).unwrap();
    assert_eq!(event["kind"], "alarm");
    assert_eq!(event["alarm"]["type"], "forced_door");
    assert_eq!(event["device"]["id"], "PSC9");
    assert_eq!(event["occurred_at"], "2025-11-24T16:00:00.123Z");
}

#[tokio::test]
async fn a_record_that_is_sent_again_arrives_once() {
    let receiver = Receiver::start().await;
    let site = Site::new(&routes_to(&receiver.url(), ""));
    let gateway = site.start().await;
    let mut device = Device::connect(gateway.devices).await;
    for uuid in ["u-1", "u-1", "u-2", "u-1"] {
        assert!(
            device
                .push(&recognition("PSC1", uuid))
                .await
                .unwrap()
                .is_success()
        );
    }
    // Also after a restart.
    assert!(gateway.stop().await.success());
    let gateway = site.start().await;
    let mut device = Device::connect(gateway.devices).await;
    for uuid in ["u-2", "u-1", "u-3"] {
        assert!(
            device
                .push(&recognition("PSC1", uuid))
                .await
                .unwrap()
                .is_success()
        );
    }
    let received = receiver
        .wait_until(|received| received.iter().any(|one| vendor_id(&one.body) == "u-3"))
        .await;
    let ids: Vec<String> = received.iter().map(|one| vendor_id(&one.body)).collect();
    assert_eq!(ids, ["u-1", "u-2", "u-3"]);
    assert_eq!(
        gateway
            .metric("faceway_received_total{inbound=\"lobby\",result=\"duplicate\"}")
            .await,
        2.0
    );
}

#[tokio::test]
async fn a_picture_leaves_the_event_and_is_served_at_a_signed_link() {
    let receiver = Receiver::start().await;
    let site = Site::new(&routes_to(&receiver.url(), "images = \"url\""))
        .set("FACEWAY_LISTEN__PUBLIC_URL", "http://gateway.example");
    let gateway = site.start().await;
    let mut device = Device::connect(gateway.devices).await;
    assert!(
        device
            .push(&recognition_with("PSC1", "u-1", PICTURE))
            .await
            .unwrap()
            .is_success()
    );
    let body = receiver.wait_for(1).await[0].body.clone();
    assert!(!String::from_utf8_lossy(&body).contains(PICTURE));
    let event: Value = serde_json::from_slice(&body).unwrap();
    let image = &event["images"][0];
    assert_eq!(
        (&image["role"], &image["media_type"], &image["bytes"]),
        (&"face".into(), &"image/jpeg".into(), &22.into())
    );
    let path = image["url"]
        .as_str()
        .unwrap()
        .strip_prefix("http://gateway.example")
        .unwrap()
        .to_owned();

    let picture = device.send("GET", &path, &[], b"").await.unwrap();
    assert_eq!(
        (picture.status, picture.headers["content-type"].as_str()),
        (200, "image/jpeg")
    );
    assert_eq!(picture.body[..3], [0xFF, 0xD8, 0xFF]);
    let later = path.replace("exp=", "exp=9");
    assert_eq!(
        device.send("GET", &later, &[], b"").await.unwrap().status,
        403,
        "the time is signed too"
    );
    let unsigned = path.split('?').next().unwrap();
    assert_eq!(
        device.send("GET", unsigned, &[], b"").await.unwrap().status,
        403
    );
}

#[tokio::test]
async fn pictures_can_travel_in_the_event() {
    let receiver = Receiver::start().await;
    let site = Site::new(&routes_to(
        &receiver.url(),
        "images = \"inline\"\nomit = [\"person.name\", \"vendor\"]",
    ));
    let gateway = site.start().await;
    let mut device = Device::connect(gateway.devices).await;
    assert!(
        device
            .push(&recognition_with("PSC1", "u-1", PICTURE))
            .await
            .unwrap()
            .is_success()
    );
    let event: Value = serde_json::from_slice(&receiver.wait_for(1).await[0].body).unwrap();
    assert_eq!(
        event["images"][0]["url"],
        format!("data:image/jpeg;base64,{PICTURE}")
    );
    assert_eq!(event["person"].get("name"), None);
    assert_eq!(event["person"]["id"], "5");
    assert_eq!(event.get("vendor"), None);
}

#[tokio::test]
async fn a_picture_that_is_broken_does_not_lose_its_event() {
    let receiver = Receiver::start().await;
    let site = Site::new(&routes_to(&receiver.url(), ""));
    let gateway = site.start().await;
    let mut device = Device::connect(gateway.devices).await;
    assert!(
        device
            .push(&recognition_with("PSC1", "u-1", "not base64!"))
            .await
            .unwrap()
            .is_success()
    );
    let event: Value = serde_json::from_slice(&receiver.wait_for(1).await[0].body).unwrap();
    assert_eq!(event.get("images"), None);
    assert_eq!(event["warnings"].as_array().unwrap().len(), 1, "{event:#}");
}

#[tokio::test]
async fn rules_choose_and_standard_output_shows_one_event_a_line() {
    let receiver = Receiver::start().await;
    let routes = format!(
        "[inbound.nebula.lobby]\n[outbound.webhook.erp]\nurl = \"{}\"\n[outbound.stdout.screen]\n\
         [[route]]\nname = \"gate two\"\nwhen = {{ \"device.id\" = \"PSC2\" }}\nto = [\"erp\"]\n\
         [[route]]\nname = \"the rest\"\notherwise = true\nto = [\"screen\"]\n",
        receiver.url()
    );
    let gateway = Site::new(&routes).start().await;
    let mut device = Device::connect(gateway.devices).await;
    for (serial, uuid) in [("PSC1", "u-1"), ("PSC2", "u-2"), ("PSC3", "u-3")] {
        assert!(
            device
                .push(&recognition(serial, uuid))
                .await
                .unwrap()
                .is_success()
        );
    }
    let received = receiver.wait_for(1).await;
    assert_eq!(vendor_id(&received[0].body), "u-2");
    gateway
        .wait_for_metric(
            "faceway_attempts_total{outbound=\"screen\",result=\"delivered\",code=\"written\"}",
            |count| count >= 2.0,
        )
        .await;
    let printed: Vec<String> = gateway
        .output()
        .lines()
        .map(|line| vendor_id(line.as_bytes()))
        .collect();
    assert_eq!(printed, ["u-1", "u-3"]);
    gateway
        .wait_for_metric("faceway_routed_total{route=\"gate two\"}", |count| {
            count == 1.0
        })
        .await;
}

#[tokio::test]
async fn webhooks_are_signed_with_secrets_that_are_named() {
    let receiver = Receiver::start().await;
    let more = "sign = [{ env = \"NEW\" }, { env = \"OLD\" }]\nheaders = { authorization = { env = \"AUTH\" } }";
    let site = Site::new(&routes_to(&receiver.url(), more))
        .set("NEW", "new-secret")
        .set("OLD", "whsec_b2xkLXNlY3JldA==")
        .set("AUTH", "Basic abc");
    let gateway = site.start().await;
    Device::connect(gateway.devices)
        .await
        .push(&recognition("PSC1", "u-1"))
        .await
        .unwrap();
    let received = receiver.wait_for(1).await;
    assert!(received[0].is_signed_by(b"new-secret"));
    assert!(received[0].is_signed_by(b"old-secret"));
    assert_eq!(received[0].header("authorization"), "Basic abc");
}
