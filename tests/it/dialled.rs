//! Sources that are dialled: websockets that break in every way, without loss of what was read and without a storm.

use std::time::Duration;

use faceway_testkit::platform::Platform;
use faceway_testkit::receiver::{Authority, Received, Receiver};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness::{Device, Gateway, PATIENCE, Site};

/// A site that dials one OMNI platform and delivers to a receiver.
fn omni(url: &str, more: &str, receiver: &Receiver) -> Site {
    Site::new(&format!(
        "[inbound.omni.campus]\nurl = \"{url}/event-service/ws?endpoint_id=7\"\n{more}\n\
         [outbound.webhook.erp]\nurl = \"{}\"\n\
         [[route]]\nname = \"all\"\nto = [\"erp\"]\n",
        receiver.url()
    ))
}

fn event_id(n: u32) -> String {
    format!("6c1d2f00-0000-4000-8000-{n:012}")
}

/// A message of OMNI Platform 1.18.
fn identification(n: u32) -> String {
    json!({
        "type": "non_identification",
        "camera": { "id": "72aa3a70-0000-4000-8000-000000000001", "title": "Gate" },
        "event": { "id": event_id(n), "detection_date": "2026-03-02 07:15:00.250000+00:00" },
    })
    .to_string()
}

/// Waits until exactly these have been delivered, each once, in this order.
async fn delivered(receiver: &Receiver, numbers: std::ops::Range<u32>) {
    receiver.wait_for(numbers.len()).await;
    let got: Vec<u32> = receiver.received().iter().map(number).collect();
    assert_eq!(got, numbers.collect::<Vec<_>>());
}

fn number(request: &Received) -> u32 {
    let event: Value = serde_json::from_slice(&request.body).unwrap();
    let id = event["vendor_id"].as_str().unwrap();
    id[id.len() - 12..].parse().unwrap()
}

const CONNECTED: &str = "faceway_inbound_connected{inbound=\"campus\"}";
const GAPS: &str = "faceway_inbound_gaps_total{inbound=\"campus\"}";

/// How the one source stands, by the API.
async fn source(gateway: &Gateway) -> Value {
    let (status, body) = gateway.get("/api/v1/inbounds").await;
    assert_eq!(status, 200);
    let inbounds: Value = serde_json::from_str(&body).unwrap();
    inbounds[0]["source"].clone()
}

/// Waits until the source's last error contains this.
async fn wait_for_error(gateway: &Gateway, part: &str) {
    let waiting = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        loop {
            let source = source(gateway).await;
            if source["last_error"]
                .as_str()
                .is_some_and(|error| error.contains(part))
            {
                return;
            }
            ticks.tick().await;
        }
    };
    if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
        panic!(
            "no error with {part:?}: {}\n{}",
            source(gateway).await,
            gateway.log()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_source_is_dialled_again_and_nothing_that_was_read_is_lost() {
    let (platform, receiver) = (Platform::start().await, Receiver::start().await);
    let gateway = omni(&platform.url(), "", &receiver).start().await;

    let mut connection = platform.connection().await;
    assert_eq!(connection.path(), "/event-service/ws?endpoint_id=7");
    for n in 0..500 {
        assert!(connection.say(identification(n)).await);
    }
    connection.read_by_client().await;
    connection.reset();

    let mut connection = platform.connection().await;
    for n in 500..600 {
        assert!(connection.say(identification(n)).await);
    }
    delivered(&receiver, 0..600).await;
    assert_eq!(platform.accepted(), 2, "one connection at a time");
    gateway.wait_for_metric(GAPS, |gaps| gaps == 1.0).await;
    let shown = source(&gateway).await;
    assert_eq!(shown["state"], "connected");
    assert_eq!(shown["gaps"], 1);
    assert!(shown["last_gap"]["from"].as_str() < shown["last_gap"]["to"].as_str());
    assert!(
        gateway.log().contains("nothing was read for a while"),
        "{}",
        gateway.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_restarts_is_found_again() {
    let (platform, receiver) = (Platform::start().await, Receiver::start().await);
    let gateway = omni(&platform.url(), "", &receiver).start().await;
    let mut connection = platform.connection().await;
    connection.say(identification(0)).await;
    connection.read_by_client().await;

    platform.refuse().await;
    connection.close().await;
    gateway
        .wait_for_metric(CONNECTED, |connected| connected == 0.0)
        .await;
    wait_for_error(&gateway, "refused").await;

    platform.listen().await;
    let mut connection = platform.connection().await;
    connection.say(identification(1)).await;
    delivered(&receiver, 0..2).await;
    gateway
        .wait_for_metric(CONNECTED, |connected| connected == 1.0)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gigabyte_that_is_announced_takes_no_memory_and_ends_only_its_connection() {
    let (platform, receiver) = (Platform::start().await, Receiver::start().await);
    let gateway = omni(&platform.url(), "", &receiver).start().await;
    let mut connection = platform.connection().await;
    connection.say(identification(0)).await;
    connection.read_by_client().await;
    let before = gateway.memory();
    let mut frame = vec![0x81, 127];
    frame.extend_from_slice(&(1_u64 << 30).to_be_bytes());
    frame.extend_from_slice(&[b' '; 64 * 1024]);
    connection.say_raw(&frame).await;

    let mut again = platform.connection().await;
    again.say(identification(1)).await;
    delivered(&receiver, 0..2).await;
    let grown = gateway.memory().saturating_sub(before);
    assert!(grown < 64 * 1024 * 1024, "{grown} bytes more");
    assert!(
        gateway.log().contains("limits.body_bytes_max"),
        "{}",
        gateway.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_up_at_once_is_not_dialled_in_a_storm() {
    let (platform, receiver) = (Platform::start().await, Receiver::start().await);
    let _gateway = omni(&platform.url(), "", &receiver).start().await;
    let began = Instant::now();
    for _ in 0..4 {
        platform.connection().await.reset();
    }
    // Half a second, one, two: the shortest that chance may make of the three pauses between.
    assert!(
        began.elapsed() >= Duration::from_millis(3_500),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_by_an_own_authority_and_by_no_other() {
    let receiver = Receiver::start().await;
    let (ours, other) = (Authority::new(), Authority::new());
    let wrong = Platform::start_tls(&other.issue("127.0.0.1")).await;
    let site = omni(&wrong.url(), "tls = { ca = \"ca.pem\" }", &receiver);
    std::fs::write(site.path().join("ca.pem"), ours.pem()).unwrap();
    let gateway = site.start().await;
    wait_for_error(&gateway, "no TLS with it").await;
    assert_eq!(gateway.metric(CONNECTED).await, 0.0);
    assert!(gateway.stop().await.success());

    let good = Platform::start_tls(&ours.issue("127.0.0.1")).await;
    let site = omni(&good.url(), "tls = { ca = \"ca.pem\" }", &receiver);
    std::fs::write(site.path().join("ca.pem"), ours.pem()).unwrap();
    let _gateway = site.start().await;
    let mut connection = good.connection().await;
    connection.say(identification(0)).await;
    delivered(&receiver, 0..1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_before_a_stop_is_kept_and_the_source_is_told() {
    let (platform, receiver) = (Platform::start().await, Receiver::start().await);
    receiver.refuse().await;
    let site = omni(&platform.url(), "", &receiver);
    let gateway = site.start().await;
    let mut connection = platform.connection().await;
    for n in 0..200 {
        connection.say(identification(n)).await;
    }
    connection.read_by_client().await;
    let (stopped, heard) = tokio::join!(gateway.stop(), connection.hear());
    assert!(stopped.success());
    assert_eq!(heard, None, "closed");

    receiver.listen().await;
    let _gateway = site.start().await;
    delivered(&receiver, 0..200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_boxs_stream_and_its_posts_give_a_record_once() {
    let (platform, receiver) = (Platform::start().await, Receiver::start().await);
    let site = Site::new(&format!(
        "[inbound.se5.hall]\nurl = \"{}\"\ndevices = [\"3f1a\"]\nprotocol = \"v2\"\npath = \"/in/lobby\"\n\
         [outbound.webhook.erp]\nurl = \"{}\"\n\
         [[route]]\nname = \"all\"\nto = [\"erp\"]\n",
        platform.url(),
        receiver.url()
    ));
    let gateway = site.start().await;
    let mut connection = platform.connection().await;
    let greeting: Value = serde_json::from_str(&connection.hear().await.unwrap()).unwrap();
    assert_eq!(
        greeting,
        json!({ "with_face_image": true, "with_register_image": true, "media_device_ids": ["3f1a"] })
    );
    let record = json!({
        "event_id": "e-1", "media_device_id": "3f1a", "timestamp": 1_772_435_700_250_i64,
        "identity_id": "17", "identity_name": "Amara Obi-Lindt", "user_type": "employee", "score": 0.93,
    })
    .to_string();
    connection.say(record.clone()).await;
    connection.say("{'event_id': None}").await;
    receiver.wait_for(1).await;
    let mut device = Device::connect(gateway.devices).await;
    let answer = device.push(record.as_bytes()).await.unwrap();
    assert_eq!(answer.status, 200);
    let counted =
        |result: &str| format!("faceway_received_total{{inbound=\"hall\",result=\"{result}\"}}");
    gateway
        .wait_for_metric(&counted("quarantined"), |count| count == 1.0)
        .await;
    assert_eq!(gateway.metric(&counted("stored")).await, 1.0);
    assert_eq!(gateway.metric(&counted("duplicate")).await, 1.0);
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_the_url_reaches_the_source_and_nobody_else() {
    let (platform, receiver) = (Platform::start().await, Receiver::start().await);
    let site = omni(
        &platform.url(),
        "query = { access = { env = \"OMNI_ACCESS\" } }",
        &receiver,
    )
    .set("OMNI_ACCESS", "s3cr3t/&token")
    .set("FACEWAY_LOG", "trace");
    let gateway = site.start().await;
    let mut connection = platform.connection().await;
    assert_eq!(
        connection.path(),
        "/event-service/ws?endpoint_id=7&access=s3cr3t%2F%26token"
    );
    connection.say(identification(0)).await;
    delivered(&receiver, 0..1).await;
    platform.refuse().await;
    connection.reset();
    wait_for_error(&gateway, "refused").await;
    let mut told = gateway.log();
    for path in ["/metrics", "/api/v1/overview", "/api/v1/inbounds"] {
        told.push_str(&gateway.get(path).await.1);
    }
    for secret in ["s3cr3t", "OMNI_ACCESS"] {
        assert!(!told.contains(secret), "{secret} in {told}");
    }
}
