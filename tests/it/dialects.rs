//! Bodies as they come in the field: packed, in other character sets, with a broken element, with a name that was cut.

use std::io::Write as _;

use faceway_testkit::platform::Platform;
use faceway_testkit::receiver::{Received, Receiver};
use serde_json::{Value, json};

use crate::harness::{Device, Gateway, Site, recognition, routes_to, text, vendor_ids};

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(body).unwrap();
    writer.finish().unwrap()
}

fn zlib(body: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(body).unwrap();
    writer.finish().unwrap()
}

/// `李娜` in GBK.
const LI_NA: &[u8] = b"\xC0\xEE\xC4\xC8";

/// A recognition whose person's name is these bytes.
fn named(uuid: &str, name: &[u8]) -> Vec<u8> {
    let body = text(&recognition("PSC1", uuid));
    let (before, behind) = body.split_once("Wanda Probst").unwrap();
    [before.as_bytes(), name, behind.as_bytes()].concat()
}

fn counted(inbound: &str, result: &str) -> String {
    format!("faceway_received_total{{inbound=\"{inbound}\",result=\"{result}\"}}")
}

fn event(received: &Received) -> Value {
    serde_json::from_slice(&received.body).unwrap()
}

async fn quarantine(site: &Site, gateway: &Gateway) -> Vec<Value> {
    let listed = site.ask(gateway, &["quarantine", "list", "--json"]).await;
    let mut shown = Vec::new();
    let entries: Vec<Value> = serde_json::from_str(&listed).unwrap();
    for entry in entries {
        let (status, body) = gateway
            .get(&format!("/api/v1/quarantine/{}", entry["number"]))
            .await;
        assert_eq!(status, 200);
        shown.push(serde_json::from_str(&body).unwrap());
    }
    shown.sort_by_key(|entry: &Value| entry["number"].as_u64());
    shown
}

#[tokio::test]
async fn packed_bodies_are_read_within_the_limits_of_what_comes_out() {
    let receiver = Receiver::start().await;
    let site =
        Site::new(&routes_to(&receiver.url(), "")).set("FACEWAY_LIMITS__BODY_BYTES_MAX", "1MiB");
    let gateway = site.start().await;
    let mut device = Device::connect(gateway.devices).await;
    let bomb = gzip(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 1 << 20);
    let memory = gateway.memory();
    // One connection for all: none of them breaks it.
    for (coding, body, status) in [
        ("gzip", gzip(&recognition("PSC1", "u-1")), 200),
        ("deflate", zlib(&recognition("PSC1", "u-2")), 200),
        ("br", recognition("PSC1", "u-3"), 415),
        ("gzip", bomb, 413),
        ("gzip, gzip", gzip(&gzip(b"{}")), 415),
        ("identity", recognition("PSC1", "u-4"), 200),
    ] {
        let headers = [("content-encoding", coding)];
        let answer = device
            .send("POST", "/in/lobby", &headers, &body)
            .await
            .unwrap();
        assert_eq!(answer.status, status, "{coding}: {}", text(&answer.body));
        if status == 415 {
            assert_eq!(answer.headers["accept-encoding"], "gzip, deflate");
            assert!(
                text(&answer.body).contains("send"),
                "{}",
                text(&answer.body)
            );
        }
    }
    assert!(gateway.memory() < memory + (32 << 20), "the bomb went off");
    let received = receiver.wait_for(3).await;
    assert_eq!(vendor_ids(&received), ["u-1", "u-2", "u-4"]);
    assert_eq!(gateway.metric(&counted("lobby", "refused")).await, 3.0);
    for told in [
        "Content-Encoding br is not understood",
        "unpacked, the body is larger",
    ] {
        assert!(gateway.log().contains(told), "{told}: {}", gateway.log());
    }
}

#[tokio::test]
async fn the_header_says_in_which_characters_a_body_is() {
    let receiver = Receiver::start().await;
    let site = Site::new(&routes_to(&receiver.url(), ""));
    let gateway = site.start().await;
    let mut device = Device::connect(gateway.devices).await;
    let gbk = [("content-type", "application/json; charset=GBK")];
    for (headers, uuid) in [(gbk.as_slice(), "u-1"), (&[], "u-2")] {
        let body = named(uuid, LI_NA);
        let answer = device
            .send("POST", "/in/lobby", headers, &body)
            .await
            .unwrap();
        assert!(answer.is_success());
    }
    let received = receiver.wait_for(1).await;
    assert_eq!(event(&received[0])["person"]["name"], "李娜");
    let kept = quarantine(&site, &gateway).await;
    assert_eq!(kept.len(), 1);
    let reason = kept[0]["reason"].as_str().unwrap();
    assert!(
        reason.contains("probably GBK") && reason.contains("charset=GBK"),
        "{reason}"
    );
}

#[tokio::test]
async fn quarantine_keeps_a_body_as_it_was_sent_and_reads_it_so_again() {
    use base64::Engine as _;
    let receiver = Receiver::start().await;
    let site = Site::new(&routes_to(&receiver.url(), ""));
    let gateway = site.start().await;
    let mut device = Device::connect(gateway.devices).await;
    let mut broken = named("u-1", LI_NA);
    let end = broken.len() - 2;
    broken.insert(end, b',');
    let sent = gzip(&broken);
    let headers = [
        ("content-type", "application/json; charset=GBK"),
        ("content-encoding", "gzip"),
    ];
    let answer = device
        .send("POST", "/in/lobby", &headers, &sent)
        .await
        .unwrap();
    assert!(answer.is_success(), "no retry can cure it");
    let kept = quarantine(&site, &gateway).await;
    let shown = kept[0]["base64"].as_str().unwrap();
    assert_eq!(
        base64::engine::general_purpose::STANDARD
            .decode(shown)
            .unwrap(),
        sent
    );
    let reason = kept[0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("not JSON at line 1"), "{reason}");
    // Unpacked and in its characters, it is what it was.
    let (told, _) = retried(&site, &gateway).await;
    assert!(told.contains(reason), "{told}");
}

async fn retried(site: &Site, gateway: &Gateway) -> (String, Vec<Value>) {
    let output = site
        .run_against(gateway, &["quarantine", "retry", "--all"])
        .await;
    let told = text(&output.stdout) + &text(&output.stderr);
    (told, quarantine(site, gateway).await)
}

#[tokio::test]
async fn a_broken_element_costs_one_element() {
    let receiver = Receiver::start().await;
    let routes =
        routes_to(&receiver.url(), "").replace("[inbound.nebula.lobby]", "[inbound.se5.lobby]");
    let site = Site::new(&routes);
    let gateway = site.start().await;
    let mut device = Device::connect(gateway.devices).await;
    let record = |id: &str, name: &[u8]| {
        let head = format!(
            r#"{{"event_id":"{id}","timestamp":1767250800123,"score":NaN,"identity_id":"7","identity_name":""#
        );
        [head.as_bytes(), name, b"\"}"].concat()
    };
    let batch = |name: &[u8], prefix: &str| {
        let broken = br#"{"event_id":"x","identity_name":'?'}"#.as_slice();
        let id = |n: u8| format!("{prefix}-{n}");
        [
            b"[",
            record(&id(1), name).as_slice(),
            b",",
            broken,
            b",",
            &record(&id(2), name),
            b"]",
        ]
        .concat()
    };
    let plain = batch(b"Nadia Okonkwo", "a");
    assert_eq!(device.push(&plain).await.unwrap().status, 200);
    let headers = [
        ("content-type", "application/json; charset=gb2312"),
        ("content-encoding", "gzip"),
    ];
    let packed = gzip(&batch(LI_NA, "b"));
    assert_eq!(
        device
            .send("POST", "/in/lobby", &headers, &packed)
            .await
            .unwrap()
            .status,
        200
    );

    let received = receiver.wait_for(4).await;
    assert_eq!(vendor_ids(&received), ["a-1", "a-2", "b-1", "b-2"]);
    let last = event(&received[3]);
    assert_eq!(last["person"]["name"], "李娜");
    assert_eq!(
        last["warnings"],
        json!(["score: not a number, so it is absent"])
    );
    assert_eq!(gateway.metric(&counted("lobby", "quarantined")).await, 2.0);
    let kept = quarantine(&site, &gateway).await;
    let broken = r#"{"event_id":"x","identity_name":'?'}"#;
    for entry in &kept {
        assert_eq!(entry["text"], broken, "only what is broken, as text");
    }
    // Neither is taken for packed, or for another character set, when it is read again.
    let (told, kept) = retried(&site, &gateway).await;
    assert_eq!(
        told.matches("not JSON at line 1 column").count(),
        2,
        "{told}"
    );
    assert_eq!(kept.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_is_no_utf_8_costs_one_message_of_a_websocket() {
    let (platform, receiver) = (Platform::start().await, Receiver::start().await);
    let site = Site::new(&format!(
        "[inbound.se5.hall]\nurl = \"{}\"\ndevices = [\"3f1a\"]\nprotocol = \"v2\"\n\
         [outbound.webhook.erp]\nurl = \"{}\"\n[[route]]\nname = \"all\"\nto = [\"erp\"]\n",
        platform.url(),
        receiver.url()
    ));
    let gateway = site.start().await;
    let mut connection = platform.connection().await;
    connection.hear().await.unwrap();
    let message = |id: &str, name: &[u8]| {
        let head = format!(
            r#"{{"event_id":"{id}","media_device_id":"3f1a","timestamp":1772435700250,"user_type":"employee","identity_id":"17","identity_name":""#
        );
        [head.as_bytes(), name, b"\"}"].concat()
    };
    let latin1 = message("e-2", b"J\xF6rn Br\xFCning");
    let in_two = message("e-4", "Jörn".as_bytes());
    // Between the two bytes of a character.
    let (first, second) = in_two.split_at(in_two.len() - 4);
    connection
        .say_raw(&frame(0x81, &message("e-1", b"Amara Obi-Lindt")))
        .await;
    connection.say_raw(&frame(0x81, &latin1)).await;
    connection
        .say_raw(&frame(
            0x81,
            &message("e-3", "Zoë".as_bytes().split_last().unwrap().1),
        ))
        .await;
    connection.say_raw(&frame(0x01, first)).await;
    connection.say_raw(&frame(0x89, b"in between")).await;
    connection.say_raw(&frame(0x80, second)).await;

    let received = receiver.wait_for(3).await;
    assert_eq!(vendor_ids(&received), ["e-1", "e-3", "e-4"]);
    let cut = event(&received[1]);
    assert_eq!(cut["person"]["name"], "Zo");
    assert!(
        cut["warnings"][0]
            .as_str()
            .unwrap()
            .starts_with("identity_name: cut"),
        "{cut}"
    );
    assert_eq!(event(&received[2])["person"]["name"], "Jörn");
    // Counted a moment after it is kept: the receiver may have the others before.
    let quarantined = counted("hall", "quarantined");
    gateway
        .wait_for_metric(&quarantined, |count| count == 1.0)
        .await;
    let kept = quarantine(&site, &gateway).await;
    use base64::Engine as _;
    let raw = base64::engine::general_purpose::STANDARD.decode(kept[0]["base64"].as_str().unwrap());
    assert_eq!((kept.len(), raw.unwrap()), (1, latin1));
    assert_eq!(platform.accepted(), 1, "the connection is the first one");
}

/// A frame of a server, which is not masked.
fn frame(first: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap();
    let mut frame = vec![first];
    match length {
        short @ 0..126 => frame.push(short.to_be_bytes()[1]),
        long => {
            frame.push(126);
            frame.extend_from_slice(&long.to_be_bytes());
        }
    }
    frame.extend_from_slice(content);
    frame
}

#[tokio::test]
async fn a_secret_with_a_byte_order_mark_is_the_secret() {
    let site = Site::new("[inbound.nebula.lobby]\ntoken = { file = \"secret.txt\" }\n");
    std::fs::write(site.path().join("secret.txt"), "\u{feff}let-me-in-33\r\n").unwrap();
    let gateway = site.start().await;
    let mut device = Device::connect(gateway.devices).await;
    let bearer = [("authorization", "Bearer let-me-in-33")];
    let record = recognition("PSC1", "u-1");
    let answer = device
        .send("POST", "/in/lobby", &bearer, &record)
        .await
        .unwrap();
    assert!(answer.is_success(), "{}", answer.status);
}

#[tokio::test]
async fn reading_by_hand_does_what_the_gateway_does() {
    let site = Site::new("");
    std::fs::write(
        site.path().join("batch.json"),
        br#"[{"event_id":"1","score":0.5},{"event_id":"2","score":},{"event_id":"3","score":NaN}]"#,
    )
    .unwrap();
    let output = site.run(&["read", "se5", "batch.json"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stdout).lines().count(), 2);
    assert!(text(&output.stderr).starts_with("error: element 2 cannot be read: not JSON"));

    std::fs::write(site.path().join("push.gz"), gzip(&named("u-1", LI_NA))).unwrap();
    let words = [
        "read",
        "nebula",
        "push.gz",
        "--header",
        "content-encoding: gzip",
        "--header",
        "content-type: a/b; charset=gbk",
    ];
    let output = site.run(&words).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("李娜"));
    let output = site
        .run(&[
            "read",
            "nebula",
            "push.gz",
            "--header",
            "content-encoding: br",
        ])
        .await;
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("br is not understood"));
}
