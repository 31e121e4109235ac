//! What a review found: each was a defect once.

use std::collections::HashMap;
use std::sync::Mutex;

use faceway_core::EventId;
use faceway_testkit::receiver::{Behaviour, Receiver};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::harness::{
    Device, Gateway, PATIENCE, Site, event_id, recognition, routes_to, text, vendor_id,
};

/// The id under which a record of `/in/lobby` is delivered.
fn id(serial: &str, uuid: &str) -> EventId {
    event_id(&recognition(serial, uuid))
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
        receiver.script_for(
            id(&poison.replace("poison-", "PSC"), poison),
            Some(Behaviour::Hang),
        );
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

/// How many events the route `everything` has matched, once it is so many or more.
async fn routed(gateway: &Gateway, events: f64) -> f64 {
    let series = "faceway_routed_total{route=\"everything\"}";
    gateway
        .wait_for_metric(series, |count| count >= events)
        .await;
    gateway.metric(series).await
}

#[tokio::test]
async fn events_that_waited_behind_another_are_counted_by_their_route() {
    let receiver = Receiver::start().await;
    receiver.script_for(id("PSC1", "poison"), Some(Behaviour::status(500)));
    let more = "retry.attempts_max = 3\nretry.backoff_max = \"400ms\"";
    let site = Site::new(&routes_to(&receiver.url(), more));
    let gateway = site.start().await;
    push(&gateway, "PSC1", &["poison"]).await;
    gateway
        .wait_for_metric("faceway_parked{outbound=\"erp\"}", |parked| parked == 1.0)
        .await;
    push(&gateway, "PSC1", &["behind-1", "behind-2"]).await;
    push(&gateway, "PSC2", &["other"]).await;
    gateway.delivered_all("erp").await;
    assert_eq!(routed(&gateway, 4.0).await, 4.0, "each once");
}

#[tokio::test]
async fn an_outage_counts_no_event_twice() {
    let receiver = Receiver::start().await;
    receiver.script(Behaviour::status(503));
    let site = Site::new(&routes_to(&receiver.url(), "retry.backoff_max = \"100ms\""));
    let gateway = site.start().await;
    push(&gateway, "PSC1", &["u-1", "u-2", "u-3"]).await;
    receiver.wait_for(6).await;
    receiver.script(Behaviour::status(200));
    receiver
        .wait_until(|received| {
            let confirmed = received.iter().filter(|one| one.answered == Some(200));
            confirmed.count() == 3
        })
        .await;
    assert_eq!(routed(&gateway, 3.0).await, 3.0);
}

#[tokio::test]
async fn what_is_turned_away_is_counted() {
    let routes = "[inbound.nebula.lobby]\n[inbound.nebula.gate]\ntoken = { env = \"GATE\" }\n";
    let site = Site::new(routes)
        .set("GATE", "t0ken")
        .set("FACEWAY_LIMITS__BODY_BYTES_MAX", "2KiB");
    let gateway = site.start().await;
    let refused = async |inbound: &str| {
        let series = format!("faceway_received_total{{inbound=\"{inbound}\",result=\"refused\"}}");
        gateway.metric(&series).await
    };
    let mut device = Device::connect(gateway.devices).await;
    let denied = device.send("POST", "/in/gate", &[], b"{}").await.unwrap();
    assert_eq!((denied.status, refused("gate").await), (401, 1.0));
    let large = device.push(&[b' '; 3000]).await.unwrap();
    assert_eq!((large.status, refused("lobby").await), (413, 1.0));
}

#[tokio::test]
async fn a_body_in_chunks_has_the_same_limit() {
    let site = Site::new("[inbound.nebula.lobby]\n").set("FACEWAY_LIMITS__BODY_BYTES_MAX", "2KiB");
    let gateway = site.start().await;
    let mut device = Device::connect(gateway.devices).await;
    let head = b"POST /in/lobby HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    let body = [b"bb8\r\n".as_slice(), &[b' '; 3000], b"\r\n0\r\n\r\n"].concat();
    device
        .write(&[head, body.as_slice()].concat())
        .await
        .unwrap();
    assert_eq!(device.answer().await.unwrap().status, 413);
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_one() {
    let gateway = Site::new("[inbound.nebula.lobby]\n").start().await;
    let mut device = Device::connect(gateway.devices).await;
    for (method, path, allowed) in [
        ("DELETE", "/images/0123", "GET, HEAD"),
        ("GET", "/in/lobby", "POST"),
    ] {
        let answer = device.send(method, path, &[], b"").await.unwrap();
        assert_eq!(answer.status, 405, "{path}");
        assert_eq!(answer.headers["allow"], allowed, "{path}");
    }
}

#[tokio::test]
async fn every_trouble_of_the_api_is_told_in_its_own_shape() {
    let gateway = Site::new("[inbound.nebula.lobby]\n").start().await;
    let mut client = Device::connect(gateway.admin).await;
    for (method, path, status) in [
        ("GET", "/api/v1/quarantine/abc", 400),
        ("GET", "/api/v1/buried?max=many", 400),
        ("GET", "/api/v1/replay", 405),
        ("GET", "/api/v1/nothing", 404),
        ("POST", "/api/v1/replay", 415),
    ] {
        let answer = client.send(method, path, &[], b"").await.unwrap();
        assert_eq!(answer.status, status, "{method} {path}");
        let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        assert!(
            problem["error"].is_string(),
            "{method} {path}: {}",
            text(&answer.body)
        );
    }
}

/// A browser sends such requests to any address without asking; others it asks about first, and is not allowed.
#[tokio::test]
async fn a_web_page_cannot_make_a_browser_drop_events() {
    let receiver = Receiver::start().await;
    receiver.script(Behaviour::status(422));
    let gateway = Site::new(&routes_to(&receiver.url(), "")).start().await;
    push(&gateway, "PSC1", &["u-1"]).await;
    let buried = "faceway_buried{outbound=\"erp\"}";
    gateway.wait_for_metric(buried, |count| count == 1.0).await;
    let mut browser = Device::connect(gateway.admin).await;
    for media_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=application/json",
    ] {
        let headers = [
            ("content-type", media_type),
            ("origin", "http://evil.example"),
        ];
        let body = br#"{"all":true}"#;
        let answer = browser
            .send("POST", "/api/v1/buried/drop", &headers, body)
            .await
            .unwrap();
        assert_eq!(answer.status, 415, "{media_type}");
    }
    let asked = [
        ("origin", "http://evil.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type"),
    ];
    let answer = browser
        .send("OPTIONS", "/api/v1/buried/drop", &asked, b"")
        .await
        .unwrap();
    assert!(
        !answer
            .headers
            .keys()
            .any(|name| name.starts_with("access-control-")),
        "{answer:?}"
    );
    assert_eq!(gateway.metric(buried).await, 1.0);
}

#[tokio::test]
async fn slow_requests_to_the_admin_listener_are_cut_off() {
    let site = Site::new("[inbound.nebula.lobby]\n").set("FACEWAY_LIMITS__HEADER_TIMEOUT", "300ms");
    let gateway = site.start().await;
    let mut slow = Device::connect(gateway.admin).await;
    slow.write(b"GET /healthz HTTP/1.1\r\nhost:").await.unwrap();
    let ended = slow.answer().await.map(|answer| answer.status);
    assert!(
        matches!(&ended, Ok(408) | Err(_)),
        "it was not cut off: {ended:?}"
    );
    assert!(
        !matches!(&ended, Err(error) if error.to_string().contains("elapsed")),
        "nothing came within a minute"
    );
    assert_eq!(gateway.get("/healthz").await.0, 200);
}

#[tokio::test]
async fn who_takes_no_answer_gives_way() {
    let site = Site::new("[inbound.nebula.lobby]\n")
        .set("FACEWAY_LIMITS__BODY_TIMEOUT", "500ms")
        .set("FACEWAY_LIMITS__CONNECTIONS_MAX", "1");
    let gateway = site.start().await;
    let mut deaf = Device::connect(gateway.devices).await;
    let requests = "GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1000);
    // Answers pile up until no more requests are taken, and then the connection is cut.
    let asking = async { while deaf.write(requests.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, asking)
        .await
        .expect("it is cut off");
    push(&gateway, "PSC1", &["u-1"]).await;
}

#[tokio::test]
async fn the_backlog_of_an_outbound_that_was_taken_out_is_shown() {
    let receiver = Receiver::start().await;
    receiver.refuse().await;
    let site = Site::new(&routes_to(&receiver.url(), ""));
    let gateway = site.start().await;
    push(&gateway, "PSC1", &["u-1", "u-2"]).await;
    assert!(gateway.stop().await.success());
    std::fs::write(
        site.path().join("routes.toml"),
        "[inbound.nebula.lobby]\n[outbound.stdout.screen]\n",
    )
    .unwrap();
    let gateway = site.start().await;
    let (_, lanes) = gateway.get("/api/v1/lanes").await;
    let lanes: serde_json::Value = serde_json::from_str(&lanes).unwrap();
    let lanes = lanes.as_array().unwrap();
    let erp = lanes.iter().find(|lane| lane["name"] == "erp").unwrap();
    assert_eq!(erp["leaving"], true);
    assert_eq!(erp["backlog"], 2, "it holds room in the spool: {erp}");
    assert!(gateway.log().contains("erp"), "and the log says so");
    // One that is in the file is not dropped by mistake.
    let told = site.refuse(&gateway, &["lanes", "drop", "screen"]).await;
    assert!(told.contains("this outbound is in routes.toml"), "{told}");
    assert!(told.contains("buried drop --to screen --all"), "{told}");
    let told = site.refuse(&gateway, &["lanes", "drop", "../lanes"]).await;
    assert!(told.contains("there is no lane of this name"), "{told}");
    let told = site.ask(&gateway, &["lanes", "drop", "erp"]).await;
    let gone = "The lane of erp is gone, with 2 events that waited and 0 that were buried.\n";
    assert_eq!(told, gone);
    let log = gateway.log();
    let told = log.lines().find(|line| line.contains("dropped for good"));
    let told: serde_json::Value = serde_json::from_str(told.unwrap()).unwrap();
    assert_eq!(
        (&told["level"], &told["outbound"], &told["backlog"]),
        (&"WARN".into(), &"erp".into(), &2.into())
    );
    let (_, lanes) = gateway.get("/api/v1/lanes").await;
    assert!(!lanes.contains("erp"), "{lanes}");
}

#[tokio::test]
async fn large_events_that_wait_fill_no_memory() {
    const EVENT_BYTES: usize = 4 << 20;
    let receiver = Receiver::start().await;
    receiver.script(Behaviour::Hang);
    let gateway = Site::new(&routes_to(&receiver.url(), "timeout = \"60s\""))
        .start()
        .await;
    push(&gateway, "PSC0", &["first"]).await;
    let before = gateway.memory();
    let junk = "x".repeat(EVENT_BYTES);
    for number in 0..48 {
        let record = format!(
            r#"{{"type":0,"data":{{"deviceSN":"PSC{number}","uuid":"large-{number}","recognitionType":1,"timestamp":1764000000,"junk":"{junk}"}}}}"#
        );
        let mut device = Device::connect(gateway.devices).await;
        assert!(device.push(record.as_bytes()).await.unwrap().is_success());
    }
    receiver.wait_for(4).await;
    let growth = gateway.memory().saturating_sub(before);
    assert!(
        growth < 128 << 20,
        "{} MiB for a lane that waits",
        growth >> 20
    );
}

#[tokio::test]
async fn a_standard_output_that_is_not_read_holds_no_stop_up() {
    let routes = "[inbound.nebula.lobby]\n[outbound.stdout.screen]\n[[route]]\nname = \"all\"\nto = [\"screen\"]\n";
    let gateway = Site::new(routes).output_unread().start().await;
    // More than a pipe holds.
    let uuids: Vec<String> = (0..400).map(|number| format!("u-{number}")).collect();
    let uuids: Vec<&str> = uuids.iter().map(String::as_str).collect();
    push(&gateway, "PSC1", &uuids).await;
    let backlog = "faceway_lane_backlog{outbound=\"screen\"}";
    gateway
        .wait_for_metric(backlog, |count| count < 380.0)
        .await;
    assert!(gateway.metric(backlog).await > 0.0, "the pipe is full");
    assert!(gateway.stop().await.success());
}

/// Everything at once: outages, events that fail alone, events that are given up, hanging, resets; several devices.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_destination_does_nothing_is_lost_nor_out_of_order() {
    const DEVICES: usize = 6;
    const EVENTS: usize = 60;
    let receiver = Receiver::start().await;
    let random = Mutex::new(StdRng::seed_from_u64(11));
    receiver.script_with(move |_| match random.lock().unwrap().random_range(0..20) {
        0 | 1 => Behaviour::status(500),
        2 => Behaviour::status(503),
        3 => Behaviour::status(422),
        4 => Behaviour::Reset,
        5 => Behaviour::Hang,
        _ => Behaviour::status(200),
    });
    let more = "timeout = \"100ms\"\nretry.backoff_max = \"150ms\"\nretry.attempts_max = 3";
    let mut site = Site::new(&routes_to(&receiver.url(), more));
    site = site.set("FACEWAY_LOG", "warn,faceway=info");
    let mut gateway = site.start().await;
    for part in 0..3 {
        for number in part * EVENTS / 3..(part + 1) * EVENTS / 3 {
            for device in 0..DEVICES {
                push(
                    &gateway,
                    &format!("PSC{device}"),
                    &[&format!("{device}-{number}")],
                )
                .await;
            }
        }
        if part == 1 {
            gateway.kill().await;
            gateway = site.start().await;
        }
    }
    gateway.delivered_all("erp").await;
    let (_, buried) = gateway.get("/api/v1/buried?max=1000").await;
    let buried: Vec<serde_json::Value> = serde_json::from_str(&buried).unwrap();
    let is_buried = |uuid: &str| {
        let device = uuid.split('-').next().unwrap_or_default();
        let id = id(&format!("PSC{device}"), uuid).to_string();
        buried.iter().any(|entry| entry["id"] == id.as_str())
    };
    let mut confirmed: HashMap<String, Vec<usize>> = HashMap::new();
    for one in receiver.confirmed() {
        let uuid = vendor_id(&one.body);
        let (device, number) = uuid.split_once('-').unwrap();
        let numbers = confirmed.entry(device.to_owned()).or_default();
        let number = number.parse().unwrap();
        // What was on its way when the gateway was killed may come twice, or be given up when it comes again.
        if !numbers.contains(&number) && !is_buried(&uuid) {
            numbers.push(number);
        }
    }
    for (device, numbers) in &confirmed {
        let expected: Vec<usize> = (0..EVENTS)
            .filter(|number| !is_buried(&format!("{device}-{number}")))
            .collect();
        assert_eq!(numbers, &expected, "of device {device}");
    }
    assert_eq!(confirmed.len(), DEVICES);
    assert!(!buried.is_empty(), "some were given up");

    receiver.script(Behaviour::status(200));
    receiver.forget();
    site.ask(&gateway, &["buried", "revive", "--all"]).await;
    let revived = receiver
        .wait_until(|received| received.len() >= buried.len())
        .await;
    assert_eq!(revived.len(), buried.len());
}
