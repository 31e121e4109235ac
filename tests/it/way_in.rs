//! What devices do to the device port: ends of their own direction, bodies without a length or cut off, odd paths, pages.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Device, Gateway, PATIENCE, Site, recognition, text};

const ROUTES: &str = "[inbound.nebula.lobby]\n[inbound.findface.city]\n";

/// Sends bytes, ends the own direction, and gives all that comes back.
async fn say_all(address: std::net::SocketAddr, said: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(said).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut heard = Vec::new();
    let reading = stream.read_to_end(&mut heard);
    // A reset behind the answer takes nothing of it away.
    let _ = tokio::time::timeout(PATIENCE, reading)
        .await
        .expect("it ends");
    text(&heard)
}

fn request(version: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut request =
        format!("POST /in/lobby HTTP/{version}\r\nHost: gateway\r\n{headers}\r\n").into_bytes();
    request.extend_from_slice(body);
    request
}

async fn counted(gateway: &Gateway, result: &str) -> f64 {
    let series = format!("faceway_received_total{{inbound=\"lobby\",result=\"{result}\"}}");
    gateway.metric(&series).await
}

#[tokio::test]
async fn a_whole_request_is_answered_when_its_sender_has_nothing_more_to_say() {
    let gateway = Site::new(ROUTES).start().await;
    let mut stored = 0.0;
    for version in ["1.0", "1.1"] {
        for round in 0..10 {
            let body = recognition("PSC1", &format!("u-{version}-{round}"));
            let length = format!("Content-Length: {}\r\n", body.len());
            let heard = say_all(gateway.devices, &request(version, &length, &body)).await;
            assert!(
                heard.contains(" 200 ") && heard.contains("success"),
                "{heard}"
            );
            stored += 1.0;
        }
    }
    let body = recognition("PSC1", "chunked");
    let mut chunked = format!("{:x}\r\n", body.len()).into_bytes();
    chunked.extend_from_slice(&body);
    chunked.extend_from_slice(b"\r\n0\r\n\r\n");
    let heard = say_all(
        gateway.devices,
        &request("1.1", "Transfer-Encoding: chunked\r\n", &chunked),
    )
    .await;
    assert!(heard.contains(" 200 "), "{heard}");
    let several: Vec<u8> = (0..3)
        .flat_map(|number| {
            let body = recognition("PSC1", &format!("several-{number}"));
            request("1.1", &format!("Content-Length: {}\r\n", body.len()), &body)
        })
        .collect();
    let heard = say_all(gateway.devices, &several).await;
    assert_eq!(heard.matches("HTTP/1.1 200").count(), 3, "{heard}");
    assert_eq!(counted(&gateway, "stored").await, stored + 4.0);
    let heard = say_all(
        gateway.admin,
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    )
    .await;
    assert!(heard.contains(" 200 "), "{heard}");
}

#[tokio::test]
async fn a_body_without_a_length_is_never_success() {
    let gateway = Site::new(ROUTES).start().await;
    for version in ["1.0", "1.1"] {
        let heard = say_all(
            gateway.devices,
            &request(version, "", &recognition("PSC1", "u-1")),
        )
        .await;
        assert!(
            heard.contains(" 411 ") && heard.contains("Content-Length"),
            "{heard}"
        );
        assert_eq!(
            heard.matches("HTTP/1.").count(),
            1,
            "the rest was read as a request: {heard}"
        );
    }
    assert_eq!(counted(&gateway, "refused").await, 2.0);
    assert!(
        gateway.log().contains("says where its body ends"),
        "{}",
        gateway.log()
    );
}

#[tokio::test]
async fn a_body_that_breaks_off_is_never_success_and_kept_in_quarantine() {
    let gateway = Site::new(ROUTES).start().await;
    let body = recognition("PSC1", "u-1");
    let more = format!("Content-Length: {}\r\n", body.len() + 10);
    let heard = say_all(gateway.devices, &request("1.1", &more, &body)).await;
    assert!(!heard.contains(" 200 "), "{heard}");
    let quarantined = "faceway_received_total{inbound=\"lobby\",result=\"quarantined\"}";
    gateway
        .wait_for_metric(quarantined, |count| count == 1.0)
        .await;
    // Counted in characters: the rest stands behind it as if it were the next request. Each time it hears an error, and
    // the piece is kept once.
    let less = format!("Content-Length: {}\r\n", body.len() - 10);
    for _ in 0..3 {
        let heard = say_all(gateway.devices, &request("1.1", &less, &body)).await;
        assert!(
            heard.starts_with("HTTP/1.1 400") && heard.contains("characters"),
            "{heard}"
        );
        assert_eq!(heard.matches("HTTP/1.").count(), 1, "{heard}");
    }
    assert_eq!(counted(&gateway, "quarantined").await, 2.0);
    assert_eq!(counted(&gateway, "stored").await, 0.0);
    let batch = br#"[{"id":"1","matched":true},{"id":"2","mat"#;
    let mut device = Device::connect(gateway.devices).await;
    let answer = device.send("POST", "/in/city", &[], batch).await.unwrap();
    assert_eq!(answer.status, 400, "{}", text(&answer.body));
}

/// Wherever the length ends that was counted wrongly, also within a character.
#[tokio::test]
async fn a_body_that_is_cut_off_anywhere_is_never_success() {
    let routes = "[inbound.nebula.lobby]\n[inbound.findface.city]\n[inbound.omni.campus]\n\
                  [inbound.se5.hall]\npath = \"/in/hall\"\n";
    let gateway = Site::new(routes).start().await;
    let lobby =
        text(&recognition("PSC1", "u-1")).replace("Wanda Probst", "\u{738B}\u{5C0F}\u{660E}");
    let face = r#"{"id":"1","matched":true,"camera":1,"webhook_type":"face_events","x":"王"}"#;
    let city = format!("[{face},{face}]");
    let event = r#"{"type":"face","camera":{"id":"1","title":"門"},"event":{"id":"7"}}"#;
    for (path, whole) in [
        ("/in/lobby", lobby.as_str()),
        ("/in/city", face),
        ("/in/city", &city),
        ("/in/campus", event),
        ("/in/hall", event),
        ("/in/hall", &format!("[{event}]")),
    ] {
        for end in 1..whole.len() {
            let piece = &whole.as_bytes()[..end];
            let status = post(&gateway, path, &[], piece).await;
            assert_eq!(status, 400, "{path} {end}: {}", text(piece));
        }
    }
    for inbound in ["lobby", "city", "campus", "hall"] {
        let series = format!("faceway_received_total{{inbound=\"{inbound}\",result=\"stored\"}}");
        assert_eq!(gateway.metric(&series).await, 0.0, "{inbound}");
    }
}

#[tokio::test]
async fn spellings_of_a_path_reach_its_inbound() {
    let gateway = Site::new(ROUTES).start().await;
    let mut device = Device::connect(gateway.devices).await;
    for path in ["/in/lobby/", "//in/lobby", "/in/l%6fbby", "/in/./lobby"] {
        let answer = device
            .send("POST", path, &[], &recognition("PSC1", path))
            .await
            .unwrap();
        assert!(answer.is_success(), "{path}: {}", answer.status);
    }
    for path in ["/in/Lobby", "/in%2flobby", "/in/lobby/x"] {
        let answer = device
            .send("POST", path, &[], &recognition("PSC1", path))
            .await
            .unwrap();
        assert_eq!(answer.status, 404, "{path}");
    }
}

#[tokio::test]
async fn web_pages_may_not_push_without_a_token() {
    let routes = format!("{ROUTES}[inbound.nebula.gate]\ntoken = {{ env = \"GATE\" }}\n");
    let gateway = Site::new(&routes).set("GATE", "let-me-in").start().await;
    let mut device = Device::connect(gateway.devices).await;
    let record = recognition("PSC1", "u-1");
    for header in [
        ("origin", "http://evil.example"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let answer = device
            .send("POST", "/in/lobby", &[header], &record)
            .await
            .unwrap();
        assert_eq!(answer.status, 403, "{header:?}");
        let path = "/in/gate?token=let-me-in";
        let answer = device.send("POST", path, &[header], &record).await.unwrap();
        assert!(answer.is_success(), "{header:?}");
    }
    assert_eq!(counted(&gateway, "refused").await, 2.0);
    assert!(
        gateway.log().contains("a web page sent it"),
        "{}",
        gateway.log()
    );
}

#[tokio::test]
async fn a_mapped_network_is_the_network_of_its_ipv4_addresses() {
    let routes = "[inbound.nebula.lobby]\nallow = [\"::ffff:127.0.0.0/104\"]\n[inbound.nebula.gate]\nallow = [\"::ffff:10.0.0.1\"]\n";
    let gateway = Site::new(routes).start().await;
    let mut device = Device::connect(gateway.devices).await;
    let record = recognition("PSC1", "u-1");
    assert!(device.push(&record).await.unwrap().is_success());
    let answer = device.send("POST", "/in/gate", &[], &record).await.unwrap();
    assert_eq!(answer.status, 403);
}

async fn post(gateway: &Gateway, path: &str, headers: &[(&str, &str)], body: &[u8]) -> u16 {
    let mut device = Device::connect(gateway.devices).await;
    device
        .send("POST", path, headers, body)
        .await
        .unwrap()
        .status
}

/// Headers and a body.
type Case<'h> = (&'h [(&'h str, &'h str)], Vec<u8>);

#[tokio::test]
async fn dialects_that_leave_no_doubt_are_read() {
    let gateway = Site::new(ROUTES).start().await;
    let named = |name: &[u8], uuid: &str| {
        let record = String::from_utf8(recognition("PSC1", uuid)).unwrap();
        let (before, behind) = record.split_once("Wanda Probst").unwrap();
        [before.as_bytes(), name, behind.as_bytes()].concat()
    };
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut packed, &recognition("PSC1", "packed")).unwrap();
    let packed = packed.finish().unwrap();
    let utf16: Vec<u8> = [0xFEFF_u16]
        .into_iter()
        .chain(text(&recognition("PSC1", "utf-16")).encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let gbk = [("content-type", "application/json; charset=GBK")];
    let nan = text(&recognition("PSC1", "nan")).replace("0.93", "NaN");
    let zero = [recognition("PSC1", "zero"), vec![0]].concat();
    let cases: [Case<'_>; 6] = [
        (&[("content-encoding", "gzip")], packed.clone()),
        (&gbk, named(&[0xCD, 0xF5, 0xD0, 0xA1, 0xC3, 0xF7], "gbk")),
        (&[], utf16),
        (&[], nan.into_bytes()),
        (&[], zero),
        (&[], named(&[0xE7, 0x8E, 0x8B, 0xE6, 0x98], "cut name")),
    ];
    for (number, (headers, body)) in cases.iter().enumerate() {
        assert_eq!(
            post(&gateway, "/in/lobby", headers, body).await,
            200,
            "{number}"
        );
        let stored = counted(&gateway, "stored").await;
        assert_eq!(
            stored,
            (number + 1) as f64,
            "case {number}: {}",
            gateway.log()
        );
    }
    assert_eq!(
        post(
            &gateway,
            "/in/lobby",
            &[("content-encoding", "br")],
            &packed
        )
        .await,
        415
    );
    assert_eq!(counted(&gateway, "refused").await, 1.0);
    // Not to be guessed at.
    assert_eq!(
        post(&gateway, "/in/lobby", &[], &named(&[0xCD, 0xF5], "unnamed")).await,
        200
    );
    assert_eq!(counted(&gateway, "quarantined").await, 1.0);
}

#[tokio::test]
async fn what_is_packed_has_the_limit_of_what_comes_out() {
    let gateway = Site::new(ROUTES)
        .set("FACEWAY_LIMITS__BODY_BYTES_MAX", "1MiB")
        .start()
        .await;
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut bomb, &vec![b' '; 8 << 20]).unwrap();
    let bomb = bomb.finish().unwrap();
    assert_eq!(
        post(
            &gateway,
            "/in/lobby",
            &[("content-encoding", "gzip")],
            &bomb
        )
        .await,
        413
    );
}

#[tokio::test]
async fn what_is_packed_and_cut_off_is_never_success() {
    let site = Site::new(ROUTES);
    let gateway = site.start().await;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut packed, &recognition("PSC1", "packed")).unwrap();
    let packed = packed.finish().unwrap();
    let cut = &packed[..packed.len() - 20];
    for _ in 0..2 {
        let status = post(&gateway, "/in/lobby", &[("content-encoding", "gzip")], cut).await;
        assert_eq!(status, 400);
    }
    assert_eq!(counted(&gateway, "quarantined").await, 1.0);
}

#[tokio::test]
async fn reading_a_piece_again_says_what_is_wrong_with_it() {
    let site = Site::new(ROUTES);
    let gateway = site.start().await;
    let body = recognition("PSC1", "u-1");
    assert_eq!(
        post(&gateway, "/in/lobby", &[], &body[..body.len() - 10]).await,
        400
    );
    let told = site.ask(&gateway, &["quarantine", "retry", "--all"]).await;
    assert!(told.contains("cut off"), "{told}");
    assert!(!told.contains("cannot keep"), "{told}");
    let listed = site.ask(&gateway, &["quarantine", "list", "--json"]).await;
    assert!(listed.contains("lobby"), "{listed}");
}

#[tokio::test]
async fn one_bad_element_costs_one_element() {
    let gateway = Site::new(ROUTES).start().await;
    let element = |id: u32, name: &[u8]| {
        let start = format!(
            "{{\"id\":\"{id}\",\"matched\":true,\"camera\":1,\"created_date\":\"2026-03-04T10:20:30Z\",\"webhook_type\":\"face_events\",\"x\":\""
        );
        [start.as_bytes(), name, b"\"}"].concat()
    };
    let batch = [
        element(1, b"a"),
        element(2, b"Br\xfcnner"),
        element(3, b"c"),
    ]
    .join(&b","[..]);
    let batch = [b"[", &batch[..], b"]"].concat();
    assert_eq!(post(&gateway, "/in/city", &[], &batch).await, 200);
    let city = |result| format!("faceway_received_total{{inbound=\"city\",result=\"{result}\"}}");
    assert_eq!(gateway.metric(&city("stored")).await, 2.0);
    assert_eq!(gateway.metric(&city("quarantined")).await, 1.0);
}

/// A device that sends nothing else must not fill the disk with lines.
#[tokio::test]
async fn what_cannot_be_read_is_logged_by_a_throttle() {
    let gateway = Site::new(ROUTES).start().await;
    for number in 0..40 {
        let junk = format!("{}{{\"cut\": ]", " ".repeat(number));
        post(&gateway, "/in/lobby", &[], junk.as_bytes()).await;
    }
    post(&gateway, "/in/city", &[], b"{\"cut\": ]").await;
    assert_eq!(counted(&gateway, "quarantined").await, 40.0);
    let log = gateway.log();
    let told = |inbound: &str| {
        let lines = log
            .lines()
            .filter(|line| line.contains("it is in quarantine"));
        lines.filter(|line| line.contains(inbound)).count()
    };
    assert_eq!((told("lobby"), told("city")), (1, 1), "{log}");
}
