//! Repair through the commands, as an operator does it.

use faceway_testkit::receiver::{Behaviour, Receiver};
use serde_json::Value;

use crate::harness::{Device, Site, recognition, routes_to, vendor_id};

#[tokio::test]
async fn a_lane_is_replayed() {
    let receiver = Receiver::start().await;
    let site = Site::new(&routes_to(&receiver.url(), ""));
    let gateway = site.start().await;
    let mut device = Device::connect(gateway.devices).await;
    for uuid in ["u-1", "u-2", "u-3"] {
        device.push(&recognition("PSC1", uuid)).await.unwrap();
    }
    receiver.wait_for(3).await;
    let told = site
        .ask(&gateway, &["replay", "--to", "erp", "--since", "1h"])
        .await;
    assert!(told.contains('3'), "{told}");
    let received = receiver.wait_for(6).await;
    let ids: Vec<String> = received.iter().map(|one| vendor_id(&one.body)).collect();
    assert_eq!(ids, ["u-1", "u-2", "u-3", "u-1", "u-2", "u-3"]);
    assert_eq!(received[0].id(), received[3].id(), "the same id always");
}

#[tokio::test]
async fn what_cannot_be_read_is_kept_shown_and_dropped() {
    let receiver = Receiver::start().await;
    let site = Site::new(&routes_to(&receiver.url(), ""));
    let gateway = site.start().await;
    let mut device = Device::connect(gateway.devices).await;
    let broken = br#"{"type":0,"data":{"uuid":"u-1",}}"#;
    assert!(
        device.push(broken).await.unwrap().is_success(),
        "no retry can cure it"
    );
    let listed: Value =
        serde_json::from_str(&site.ask(&gateway, &["quarantine", "list", "--json"]).await).unwrap();
    let entry = if listed.is_array() {
        &listed[0]
    } else {
        &listed
    };
    assert_eq!(entry["inbound"], "lobby");
    assert!(
        entry["reason"].as_str().unwrap().contains("line 1"),
        "{entry}"
    );
    let number = entry["number"].to_string();
    let shown = site.ask(&gateway, &["quarantine", "show", &number]).await;
    assert!(
        shown.contains(r#""uuid":"u-1",}"#) || shown.contains(r#"\"uuid\":\"u-1\",}"#),
        "{shown}"
    );
    assert_eq!(gateway.metric("faceway_quarantine").await, 1.0);
    let (status, body) = gateway.get("/api/v1/quarantine").await;
    assert_eq!(status, 200);
    assert!(!body.contains("u-1"), "the list has no bodies");
    site.ask(&gateway, &["quarantine", "drop", &number]).await;
    gateway
        .wait_for_metric("faceway_quarantine", |count| count == 0.0)
        .await;
}

#[tokio::test]
async fn lanes_show_what_is_stuck() {
    let receiver = Receiver::start().await;
    receiver.script(Behaviour::status(503));
    let site = Site::new(&routes_to(&receiver.url(), ""));
    let gateway = site.start().await;
    let mut device = Device::connect(gateway.devices).await;
    device.push(&recognition("PSC1", "u-1")).await.unwrap();
    gateway
        .wait_for_metric(
            "faceway_lane_state{outbound=\"erp\",state=\"waiting\"}",
            |here| here == 1.0,
        )
        .await;
    let shown = site.ask(&gateway, &["lanes"]).await;
    for part in ["erp", "waiting", "503"] {
        assert!(shown.contains(part), "{part} is missing in\n{shown}");
    }
    let (status, body) = gateway.get("/api/v1/overview").await;
    assert_eq!(status, 200);
    let overview: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (&overview["ready"], &overview["lanes"][0]["backlog"]),
        (&true.into(), &1.into())
    );
}

/// The destination is back, and the lane waits for hours.
#[tokio::test]
async fn a_lane_tries_at_once_when_it_is_asked_to() {
    let receiver = Receiver::start().await;
    receiver.script(Behaviour::status(503));
    let routes = routes_to(&receiver.url(), "retry.backoff_max = \"2h\"");
    let site = Site::new(&routes.replace("\"100ms\"", "\"1h\""));
    let gateway = site.start().await;
    let told = site.ask(&gateway, &["lanes", "probe", "erp"]).await;
    assert_eq!(told, "erp does not wait for its destination: it is idle.\n");
    let told = site.refuse(&gateway, &["lanes", "probe", "epr"]).await;
    assert!(told.contains("did you mean `erp`?"), "{told}");
    let mut device = Device::connect(gateway.devices).await;
    device.push(&recognition("PSC1", "u-1")).await.unwrap();
    let waiting = "faceway_lane_state{outbound=\"erp\",state=\"waiting\"}";
    gateway.wait_for_metric(waiting, |here| here == 1.0).await;

    // In vain, and more often than an event probes before it makes room for others, of which there are none here.
    for attempts in 2..=6 {
        let told = site.ask(&gateway, &["lanes", "probe", "erp"]).await;
        assert!(told.starts_with("erp tries now"), "{told}");
        receiver.wait_for(attempts).await;
        let failed = "faceway_attempts_total{outbound=\"erp\",result=\"retry\",code=\"503\"}";
        let all = |count: f64| count as usize == attempts;
        gateway.wait_for_metric(failed, all).await;
    }
    assert_eq!(receiver.received().len(), 6, "one each time it was asked");
    receiver.script(Behaviour::status(200));
    site.ask(&gateway, &["lanes", "probe", "erp"]).await;
    gateway.delivered_all("erp").await;
    assert_eq!(receiver.received().len(), 7);
}

#[tokio::test]
async fn the_api_describes_itself_and_needs_its_token() {
    let site = Site::new("[inbound.nebula.lobby]\n")
        .set("FACEWAY_LISTEN__ADMIN_TOKEN", "{ env = \"ADMIN\" }")
        .set("ADMIN", "open sesame");
    let gateway = site.start().await;
    let mut client = Device::connect(gateway.admin).await;
    let (status, document) = gateway.get("/api/v1/openapi.json").await;
    assert_eq!(status, 200);
    let document: Value = serde_json::from_str(&document).unwrap();
    for path in document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .filter(|path| !path.contains('{'))
    {
        let answer = client.send("GET", path, &[], b"").await.unwrap();
        assert_eq!(answer.status, 401, "{path}");
    }
    let token = [("authorization", "Bearer open sesame")];
    assert_eq!(
        client
            .send("GET", "/api/v1/lanes", &token, b"")
            .await
            .unwrap()
            .status,
        200
    );
    let output = site
        .run(&["lanes", "--admin", &format!("http://{}", gateway.admin)])
        .await;
    assert_eq!(
        output.status.code(),
        Some(2),
        "a token is the operator's to give"
    );
    assert!(String::from_utf8_lossy(&output.stderr).contains("FACEWAY_ADMIN_TOKEN"));
}

#[tokio::test]
async fn without_a_token_no_web_page_can_use_the_api() {
    let gateway = Site::new("[inbound.nebula.lobby]\n").start().await;
    let mut client = Device::connect(gateway.admin).await;
    client
        .write(b"GET /api/v1/lanes HTTP/1.1\r\nhost: evil.example\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(client.answer().await.unwrap().status, 403);
}
