//! Garbage of every kind at the intake, and more of a good thing than is comfortable.

use std::time::Duration;

use faceway_testkit::receiver::Receiver;
use rand::RngExt as _;
use rand::SeedableRng as _;

use crate::harness::{
    Device, Gateway, PATIENCE, Site, recognition, recognition_with, routes_to, vendor_id,
};

/// Idle, the gateway takes a few dozen MiB; no client may make it take more than this on top.
const GROWTH_BYTES_MAX: u64 = 200 << 20;

async fn still_works(gateway: &Gateway) {
    let mut device = Device::connect(gateway.devices).await;
    assert!(
        device
            .push(&recognition("PSC1", "still-works"))
            .await
            .unwrap()
            .is_success()
    );
    assert!(!gateway.log().contains("panicked"), "{}", gateway.log());
}

#[tokio::test]
async fn garbage_is_answered_and_kept() {
    let gateway = Site::new("[inbound.nebula.lobby]\n").start().await;
    let record = String::from_utf8(recognition("PSC1", "u-1")).unwrap();
    let mut random = rand::rngs::StdRng::seed_from_u64(7);
    let mut bodies: Vec<Vec<u8>> = vec![
        Vec::new(),
        b" ".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"{\"type\":0}".to_vec(),
        vec![b'['; 100_000],
        "{\"data\":".repeat(50_000).into_bytes(),
        record.replace("0.93", "1e999").into_bytes(),
        record
            .replace("1764000000", &"9".repeat(10_000))
            .into_bytes(),
        record.replace("1764000000", "-1").into_bytes(),
        record.replace("\"u-1\"", "\"\\ud800\"").into_bytes(),
        record
            .replace("\"u-1\"", &format!("\"{}\"", "u".repeat(1_000_000)))
            .into_bytes(),
        record.replace("\"type\":0", "\"type\":0.5").into_bytes(),
        record.replace("\"user\":{", "\"user\":[{").into_bytes(),
        record.as_bytes()[..record.len() / 2].to_vec(),
        [b"\xEF\xBB\xBF", record.as_bytes()].concat(),
        [record.as_bytes(), b"\0"].concat(),
    ];
    for length in [1, 100, 10_000, 1_000_000] {
        bodies.push((0..length).map(|_| random.random::<u8>()).collect());
    }
    for value in [
        "null",
        "{}",
        "[]",
        "\"\"",
        "\" \"",
        "1e400",
        "-0",
        "true",
        "\"\\u0000\"",
        "12345678901234567890123",
    ] {
        for name in [
            "deviceSN",
            "recognitionType",
            "uuid",
            "recognizeScore",
            "mask",
            "rgb_image",
            "timestamp",
            "pass",
            "user",
        ] {
            let start = record.find(&format!("\"{name}\":")).unwrap() + name.len() + 3;
            let end = start + value_length(&record[start..]);
            bodies.push(format!("{}{value}{}", &record[..start], &record[end..]).into_bytes());
        }
    }
    let mut device = Device::connect(gateway.devices).await;
    for (number, body) in bodies.iter().enumerate() {
        let answer = device
            .push(body)
            .await
            .unwrap_or_else(|error| panic!("body {number}: {error}\n{}", gateway.log()));
        // What was cut off is kept as well, but must be sent again whole.
        let is_cut = answer.status == 400
            && crate::harness::text(&answer.body).contains("did not come whole");
        assert!(answer.is_success() || is_cut, "body {number}: {answer:?}");
        if is_cut {
            device = Device::connect(gateway.devices).await;
        }
    }
    let quarantined = gateway
        .metric("faceway_received_total{inbound=\"lobby\",result=\"quarantined\"}")
        .await;
    // Two of the above are read now: the zero byte behind the document, and half a surrogate at the end of a text.
    assert!(
        quarantined >= 13.0,
        "what could not be read is kept: {quarantined}"
    );
    still_works(&gateway).await;
}

/// The length of the JSON value at the beginning of `text`.
fn value_length(text: &str) -> usize {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<serde::de::IgnoredAny>();
    values.next().unwrap().unwrap();
    values.byte_offset()
}

#[tokio::test]
async fn an_announced_gigabyte_takes_no_memory() {
    let gateway = Site::new("[inbound.nebula.lobby]\n").start().await;
    still_works(&gateway).await;
    let before = gateway.memory();
    for length in ["1073741824", "18446744073709551615"] {
        let mut device = Device::connect(gateway.devices).await;
        let head =
            format!("POST /in/lobby HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
        device.write(head.as_bytes()).await.unwrap();
        let status = device.answer().await.unwrap().status;
        assert!((400..500).contains(&status), "{length}: {status}");
    }
    // Within the limit, but never sent: a hundred promises of 15 MiB.
    let mut promises = Vec::new();
    for _ in 0..100 {
        let mut device = Device::connect(gateway.devices).await;
        device
            .write(b"POST /in/lobby HTTP/1.1\r\nhost: x\r\ncontent-length: 15728640\r\n\r\n{")
            .await
            .unwrap();
        promises.push(device);
    }
    still_works(&gateway).await;
    assert!(
        gateway.memory() < before + GROWTH_BYTES_MAX / 4,
        "promises took memory"
    );
}

#[tokio::test]
async fn a_body_without_end_is_cut_off() {
    let site = Site::new("[inbound.nebula.lobby]\n").set("FACEWAY_LIMITS__BODY_BYTES_MAX", "1MiB");
    let gateway = site.start().await;
    let mut device = Device::connect(gateway.devices).await;
    device
        .write(b"POST /in/lobby HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        .await
        .unwrap();
    let chunk = [b"10000\r\n".as_slice(), &[b'a'; 65_536], b"\r\n"].concat();
    for _ in 0..64 {
        if device.write(&chunk).await.is_err() {
            break;
        }
    }
    // The answer may be lost in the reset that cuts off the rest of the body; what counts is that it ended.
    if let Ok(answer) = device.answer().await {
        assert_eq!(answer.status, 413);
    }
    still_works(&gateway).await;
}

#[tokio::test]
async fn slow_headers_and_slow_bodies_are_cut_off() {
    let site = Site::new("[inbound.nebula.lobby]\n")
        .set("FACEWAY_LIMITS__HEADER_TIMEOUT", "300ms")
        .set("FACEWAY_LIMITS__BODY_TIMEOUT", "300ms")
        .set("FACEWAY_LIMITS__CONNECTIONS_MAX", "4");
    let gateway = site.start().await;
    let mut slow = Vec::new();
    for head in [
        &b""[..],
        b"POST /in/lob",
        b"POST /in/lobby HTTP/1.1\r\nhost: x\r\n",
        b"POST /in/lobby HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{",
    ] {
        let mut device = Device::connect(gateway.devices).await;
        device.write(head).await.unwrap();
        slow.push(device);
    }
    // All connections are taken; this one is let in when the slow ones are cut off.
    tokio::time::timeout(PATIENCE, still_works(&gateway))
        .await
        .expect("slow connections were cut off");
    let body_too_slow = slow.pop().unwrap().answer().await;
    assert!(body_too_slow.is_ok_and(|answer| answer.status == 408));
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_thousand_records_of_a_terminal_that_was_offline_are_taken() {
    const RECORDS: usize = 50_000;
    let receiver = Receiver::start().await;
    receiver.refuse().await;
    let site = Site::new(&routes_to(&receiver.url(), "retry.backoff_max = \"500ms\""));
    let gateway = site.start().await;
    still_works(&gateway).await;
    let before = gateway.memory();
    let mut terminals = tokio::task::JoinSet::new();
    // Four connections, because a terminal may open several; one device each, so that order can be told.
    for terminal in 0..4 {
        let address = gateway.devices;
        terminals.spawn(async move {
            let mut device = Device::connect(address).await;
            for number in 0..RECORDS / 4 {
                let picture = if number % 100 == 0 {
                    "/9j/4AAQSkZJRgABAQEASABIAAD/2Q=="
                } else {
                    " "
                };
                let record = recognition_with(
                    &format!("PSC{terminal}"),
                    &format!("{terminal}-{number}"),
                    picture,
                );
                assert!(device.push(&record).await.unwrap().is_success());
            }
        });
    }
    while let Some(ended) = terminals.join_next().await {
        ended.unwrap();
    }
    let growth = gateway.memory().saturating_sub(before);
    assert!(
        growth < GROWTH_BYTES_MAX,
        "memory grew by {} MiB",
        growth >> 20
    );
    receiver.listen().await;
    let drained = async {
        gateway
            .wait_for_metric("faceway_lane_oldest_seconds{outbound=\"erp\"}", |age| {
                age < 1e9
            })
            .await;
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        while gateway
            .metric("faceway_lane_backlog{outbound=\"erp\"}")
            .await
            > 0.0
        {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(4 * PATIENCE, drained)
        .await
        .expect("the backlog is delivered");
    let mut next = [0; 4];
    for one in receiver.confirmed() {
        let id = vendor_id(&one.body);
        let Some((terminal, number)) = id
            .split_once('-')
            .and_then(|(t, n)| Some((t.parse::<usize>().ok()?, n.parse::<usize>().ok()?)))
        else {
            continue;
        };
        assert_eq!(next[terminal], number, "in order, each once");
        next[terminal] += 1;
    }
    assert_eq!(next, [RECORDS / 4; 4]);
}
