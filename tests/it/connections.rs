//! Connections on which no request comes, and those that hold the places of others.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use faceway_testkit::receiver::Authority;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::{Device, Gateway, LOBBY, PATIENCE, Site, recognition, text, wait_for_log};
use crate::tls;

/// Long enough that no deadline of a head ends what a test holds open.
const NEVER: &str = "10m";

async fn refused(gateway: &Gateway, listener: &str, reason: &str) -> f64 {
    gateway.metric(&series(listener, reason)).await
}

fn series(listener: &str, reason: &str) -> String {
    format!("faceway_connections_refused_total{{listener=\"{listener}\",reason=\"{reason}\"}}")
}

/// Sends bytes and gives what comes back until the other side ends.
async fn say(address: SocketAddr, said: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(said).await.unwrap();
    hear(&mut stream).await
}

async fn hear(stream: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    let reading = stream.read_to_end(&mut heard);
    let ended = tokio::time::timeout(PATIENCE, reading).await;
    // A reset takes nothing of what came before.
    let _ = ended.expect("it ends");
    text(&heard)
}

/// The lines of the log that say this.
fn lines(gateway: &Gateway, part: &str) -> Vec<String> {
    let log = gateway.log();
    let lines = log.lines().filter(|line| line.contains(part));
    lines.map(str::to_owned).collect()
}

#[tokio::test]
async fn what_is_no_request_is_counted_and_logged_once_with_its_address() {
    let gateway = Site::new(LOBBY)
        .set("FACEWAY_LIMITS__HEADER_TIMEOUT", "500ms")
        .start()
        .await;
    let body = recognition("PSC1", "u-1");
    let head = format!(
        "POST /in/lobby HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let longer = [head.as_bytes(), &body, b"\"}}} and more"].concat();
    let large = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(300_000));
    let cases: [(&[u8], &str, &str); 6] = [
        (
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
            "not-http",
            "HTTP/2 came",
        ),
        (
            b"\x03\0\0\x13 garbage \x01\r\n\r\n",
            "not-http",
            "no HTTP/1.1 request",
        ),
        (
            &tls::hello([3, 3], [0x13, 0x01]),
            "not-http",
            "TLS came to a port",
        ),
        (&longer, "not-http", "what follows a request is none"),
        (large.as_bytes(), "head-too-large", "is too large"),
        (
            b"POST /in/lobby HT",
            "head-too-slow",
            "did not come in time",
        ),
    ];
    let mut counts = std::collections::BTreeMap::new();
    for (said, reason, why) in cases {
        for _ in 0..2 {
            let heard = say(gateway.devices, said).await;
            assert_eq!(heard.contains("HTTP/1.1 200"), said == longer, "{heard}");
            if reason == "head-too-slow" {
                assert!(heard.starts_with("HTTP/1.1 408"), "{heard}");
            }
            *counts.entry(reason).or_insert(0.0) += 1.0;
            let series = series("devices", reason);
            gateway
                .wait_for_metric(&series, |count| count == counts[reason])
                .await;
        }
        let lines = lines(&gateway, why);
        assert_eq!(lines.len(), 1, "{why}: {lines:?}\n{}", gateway.log());
        for part in ["127.0.0.1", "turned away: ", "\"devices\"", reason] {
            assert!(lines[0].contains(part), "{part} is missing in {}", lines[0]);
        }
    }
    let mut stream = TcpStream::connect(gateway.devices).await.unwrap();
    stream.write_all(b"POST /in/lob").await.unwrap();
    drop(stream);
    let cut = series("devices", "head-cut");
    gateway.wait_for_metric(&cut, |count| count == 1.0).await;
    assert!(!gateway.log().contains("garbage"), "{}", gateway.log());
}

#[tokio::test]
async fn a_connection_without_a_byte_and_one_that_was_idle_are_not_worth_a_word() {
    let site = Site::new(LOBBY).set("FACEWAY_LIMITS__HEADER_TIMEOUT", "300ms");
    let (plain, tls) = (
        site.start().await,
        tls::site(&Authority::new()).start().await,
    );
    for gateway in [&plain, &tls] {
        let mut silent = TcpStream::connect(gateway.devices).await.unwrap();
        silent.shutdown().await.unwrap();
        assert_eq!(hear(&mut silent).await, "");
    }
    // The gateway ends these by itself.
    assert_eq!(say(plain.devices, b"").await, "");
    let mut device = Device::connect(plain.devices).await;
    assert!(
        device
            .push(&recognition("PSC1", "u-1"))
            .await
            .unwrap()
            .is_success()
    );
    assert!(device.answer().await.is_err(), "it was idle for too long");
    for gateway in [&plain, &tls] {
        assert_eq!(lines(gateway, "turned away"), Vec::<String>::new());
        for reason in ["not-http", "not-tls", "tls", "head-cut", "head-too-slow"] {
            assert_eq!(refused(gateway, "devices", reason).await, 0.0, "{reason}");
        }
    }
}

#[tokio::test]
async fn handshakes_that_fail_are_logged_with_what_to_do() {
    let gateway = tls::site(&Authority::new()).start().await;
    let rsa = [0x00, 0x2F];
    for (said, reason, why) in [
        (
            b"POST /in/lobby HTTP/1.1\r\n\r\n".to_vec(),
            "not-tls",
            "plain HTTP came",
        ),
        (vec![0; 32], "not-tls", "is no TLS"),
        (
            tls::hello([3, 2], rsa),
            "tls",
            "neither TLS 1.2 nor TLS 1.3",
        ),
        (tls::hello([3, 3], rsa), "tls", "no TLS key exchange"),
    ] {
        let before = refused(&gateway, "devices", reason).await;
        say(gateway.devices, &said).await;
        let series = series("devices", reason);
        gateway
            .wait_for_metric(&series, |count| count == before + 1.0)
            .await;
        // The line comes by a pipe, and may be behind the count.
        wait_for_log(&gateway, why).await;
        let lines = lines(&gateway, why);
        assert_eq!(lines.len(), 1, "{why}\n{}", gateway.log());
        assert!(lines[0].contains("127.0.0.1"), "{}", lines[0]);
    }
    // Devices that trust another authority: one of the same name, or none.
    let before = refused(&gateway, "devices", "tls").await;
    let none = tls::trusting(rustls::RootCertStore::empty());
    for client in [tls::connector(&Authority::new()), none] {
        let stream = TcpStream::connect(gateway.devices).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        assert!(client.connect(name, stream).await.is_err());
    }
    let series = series("devices", "tls");
    gateway
        .wait_for_metric(&series, |count| count == before + 2.0)
        .await;
    wait_for_log(&gateway, "does not trust the certificate").await;
    let lines = lines(&gateway, "does not trust the certificate");
    assert_eq!(lines.len(), 1, "{}", gateway.log());
}

#[tokio::test]
async fn a_device_that_ends_tls_without_a_farewell_is_answered() {
    let authority = Authority::new();
    let gateway = tls::site(&authority).start().await;
    for farewell in [false, true] {
        let stream = TcpStream::connect(gateway.devices).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = tls::connector(&authority)
            .connect(name, stream)
            .await
            .unwrap();
        let body = recognition("PSC1", &format!("u-{farewell}"));
        let head = format!(
            "POST /in/lobby HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream
            .write_all(&[head.as_bytes(), &body].concat())
            .await
            .unwrap();
        stream.flush().await.unwrap();
        match farewell {
            true => stream.shutdown().await.unwrap(),
            false => stream.get_mut().0.shutdown().await.unwrap(),
        }
        let mut answer = Vec::new();
        let reading = stream.read_to_end(&mut answer);
        let _ = tokio::time::timeout(PATIENCE, reading)
            .await
            .expect("it ends");
        let answer = text(&answer);
        assert!(answer.starts_with("HTTP/1.1 200"), "{farewell}: {answer}");
    }
}

/// Connects from another address of this machine.
async fn connect_from(address: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((address, 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

/// Sends a record over a connection, and whether it is taken.
async fn is_taken(stream: &mut TcpStream, uuid: &str) -> bool {
    let body = recognition("PSC1", uuid);
    let head = format!(
        "POST /in/lobby HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream
        .write_all(&[head.as_bytes(), &body].concat())
        .await
        .unwrap();
    hear(stream).await.starts_with("HTTP/1.1 200")
}

#[tokio::test]
async fn one_address_cannot_hold_all_places() {
    let gateway = Site::new(LOBBY)
        .set("FACEWAY_LIMITS__CONNECTIONS_MAX", "8")
        .set("FACEWAY_LIMITS__HEADER_TIMEOUT", NEVER)
        .set("FACEWAY_LIMITS__BODY_TIMEOUT", NEVER)
        .start()
        .await;
    let mut other = connect_from([127, 0, 0, 2], gateway.devices).await;
    let starts = [
        ("idle", ""),
        (
            "half heads",
            "POST /in/lobby HTTP/1.1\r\nhost: x\r\ncontent-",
        ),
        (
            "half bodies",
            "POST /in/lobby HTTP/1.1\r\nhost: x\r\ncontent-length: 999\r\n\r\n{",
        ),
    ];
    for (what, start) in starts {
        let mut held = Vec::new();
        for _ in 0..20 {
            let mut stream = TcpStream::connect(gateway.devices).await.unwrap();
            stream.write_all(start.as_bytes()).await.unwrap();
            held.push(stream);
        }
        let mut device = connect_from([127, 0, 0, 3], gateway.devices).await;
        assert!(is_taken(&mut device, what).await, "{what}");
        // An idle one goes before a body is cut off, whose record would have to be sent again.
        if what == "half heads" {
            let held_out = is_taken(&mut other, "other").await;
            assert!(
                held_out,
                "an address with one place lost it to one with many"
            );
        }
    }
    assert!(refused(&gateway, "devices", "gave-way").await >= 12.0);
    let lines = lines(&gateway, "all places are taken");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("127.0.0.1") && lines[0].contains("\"places\":8"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn the_admin_listener_answers_whatever_somebody_holds_open_there() {
    let site = Site::new(LOBBY).set("FACEWAY_LIMITS__HEADER_TIMEOUT", NEVER);
    let gateway = site.start().await;
    let begun = [
        "GET /healthz HTTP/1.1\r\nhost:",
        "POST /api/v1/replay HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{",
    ];
    let mut held = Vec::new();
    for number in 0..400 {
        let mut stream = TcpStream::connect(gateway.admin).await.unwrap();
        stream
            .write_all(begun[number % 2].as_bytes())
            .await
            .unwrap();
        held.push(stream);
    }
    assert_eq!(gateway.get("/healthz").await.0, 200);
}

#[tokio::test]
async fn devices_take_no_place_of_the_admin_listener() {
    let site = Site::new(LOBBY)
        .set("FACEWAY_LIMITS__CONNECTIONS_MAX", "2")
        .set("FACEWAY_LIMITS__HEADER_TIMEOUT", NEVER);
    let gateway = site.start().await;
    let mut held = Vec::new();
    for number in 0..2 {
        let body = recognition("PSC1", &format!("u-{number}"));
        let head = format!(
            "POST /in/lobby HTTP/1.1\r\nhost: x\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut stream = TcpStream::connect(gateway.devices).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        // It has its place, and its body is awaited.
        let mut heard = [0; 25];
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"HTTP/1.1 100 Continue\r\n\r\n");
        held.push((stream, body));
    }
    // Neither has to go for a connection to the other listener.
    assert_eq!(gateway.get("/healthz").await.0, 200);
    for (mut stream, body) in held {
        stream.write_all(&body).await.unwrap();
        let heard = hear(&mut stream).await;
        assert!(heard.starts_with("HTTP/1.1 200"), "{heard}");
    }
}

#[tokio::test]
async fn an_answer_reaches_a_device_that_still_sends() {
    let gateway = Site::new(LOBBY)
        .set("FACEWAY_LIMITS__BODY_BYTES_MAX", "2KiB")
        .start()
        .await;
    let head = "POST /in/lobby HTTP/1.1\r\nhost: x\r\ncontent-length: 8000000\r\n\r\n";
    let large = [head.as_bytes(), &vec![b' '; 8_000_000]].concat();
    let none = [
        b"POST /in/lobby HTTP/1.1\r\nhost: x\r\n\r\n",
        &vec![b'{'; 4_000_000][..],
    ]
    .concat();
    for (said, status) in [(large, "HTTP/1.1 413"), (none, "HTTP/1.1 411")] {
        let mut stream = TcpStream::connect(gateway.devices).await.unwrap();
        stream.write_all(&said).await.expect("all of it is taken");
        stream.shutdown().await.unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.expect("no reset");
        assert!(heard.starts_with(status.as_bytes()), "{}", text(&heard));
    }
}

#[tokio::test]
async fn a_stop_does_not_wait_for_what_nobody_reads_any_more() {
    let gateway = Site::new(LOBBY).start().await;
    let mut refused = TcpStream::connect(gateway.devices).await.unwrap();
    refused
        .write_all(b"POST /in/lobby HTTP/1.1\r\nhost: x\r\n\r\n{")
        .await
        .unwrap();
    let mut heard = [0; 12];
    refused.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"HTTP/1.1 411");
    let _idle = Device::connect(gateway.devices).await;
    let began = std::time::Instant::now();
    assert!(gateway.stop().await.success());
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_target_with_the_whole_address_reaches_its_inbound() {
    let gateway = Site::new(LOBBY).start().await;
    let mut device = Device::connect(gateway.devices).await;
    for target in [
        "http://gateway:8080/in/lobby",
        "http://gateway/in/./lobby/?x=1",
    ] {
        let record = recognition("PSC1", target);
        let answer = device.send("POST", target, &[], &record).await.unwrap();
        assert!(answer.is_success(), "{target}: {}", answer.status);
    }
}

/// Proves that what gives way is only what does nothing: many devices over fewer places, each record kept once.
#[tokio::test(flavor = "multi_thread")]
async fn where_there_are_more_devices_than_places_all_are_heard() {
    let gateway = Site::new(LOBBY)
        .set("FACEWAY_LIMITS__CONNECTIONS_MAX", "4")
        .set("FACEWAY_LIMITS__HEADER_TIMEOUT", NEVER)
        .start()
        .await;
    let gateway = Arc::new(gateway);
    let mut sending = tokio::task::JoinSet::new();
    for device in 0..16 {
        let to = gateway.devices;
        sending.spawn(async move {
            for record in 0..10 {
                let mut stream = connect_from([127, 0, 1, device], to).await;
                // A place may be taken from a connection whose request is still on its way: a device sends again.
                while !is_taken(&mut stream, &format!("u-{device}-{record}")).await {
                    stream = connect_from([127, 0, 1, device], to).await;
                }
            }
        });
    }
    while let Some(sent) = sending.join_next().await {
        sent.unwrap();
    }
    let stored = "faceway_received_total{inbound=\"lobby\",result=\"stored\"}";
    assert_eq!(gateway.metric(stored).await, 160.0);
}
