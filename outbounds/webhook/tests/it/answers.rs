//! How an answer is taken.

use std::time::Duration;

use bytes::Bytes;
use faceway_core::{Code, Scope, Verdict};
use faceway_testkit::receiver::{Behaviour, Receiver, Reply};

use crate::{deliver, delivered, outage, settings, to, webhook};

#[tokio::test]
async fn each_status_has_its_verdict() {
    let receiver = Receiver::start().await;
    let webhook = to(&receiver);
    let retry = |scope, status| {
        let (code, after) = (Code::status(status), None);
        Verdict::Retry { scope, code, after }
    };
    for status in [
        200, 201, 202, 204, 400, 401, 403, 404, 405, 407, 408, 409, 410, 413, 415, 422, 425,
    ]
    .into_iter()
    .chain([429, 500, 501, 502, 503, 504, 505, 301, 302, 304, 307, 308])
    {
        receiver.script(Behaviour::status(status));
        let expected = match status {
            200..=299 => delivered(status),
            429 | 502..=504 | 300..=399 => retry(Scope::Destination, status),
            408 | 425 | 500..=599 => retry(Scope::Message, status),
            401 | 403..=405 | 407 | 410 => Verdict::Refused {
                code: Code::status(status),
            },
            _ => Verdict::Bury {
                code: Code::status(status),
            },
        };
        assert_eq!(deliver(&webhook, "one").await, expected, "{status}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (receiver, elsewhere) = (Receiver::start().await, Receiver::start().await);
    let webhook = to(&receiver);
    for status in [301, 302, 303, 307, 308] {
        let reply = Reply::status(status).header("location", elsewhere.url());
        receiver.script(Behaviour::Answer(reply));
        let verdict = deliver(&webhook, "one").await;
        assert!(
            matches!(
                verdict,
                Verdict::Retry {
                    scope: Scope::Destination,
                    ..
                }
            ),
            "{verdict:?}"
        );
    }
    assert_eq!(receiver.received().len(), 5);
    assert_eq!(elsewhere.accepted(), 0);
}

#[tokio::test]
async fn retry_after_is_told_on() {
    let receiver = Receiver::start().await;
    let webhook = to(&receiver);
    let after = async |reply: Reply| {
        receiver.script(Behaviour::Answer(reply));
        match deliver(&webhook, "one").await {
            Verdict::Retry { after, .. } => after,
            other => panic!("{other:?}"),
        }
    };
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let unavailable = || Reply::status(503);
    assert_eq!(
        after(unavailable().header("retry-after", 17)).await,
        seconds(17)
    );
    assert_eq!(
        after(Reply::status(429).header("Retry-After", 3)).await,
        seconds(3)
    );
    // The test's clock stands at 08:00:00.
    let at = "Sun, 22 Nov 2026 08:00:45 GMT";
    assert_eq!(
        after(unavailable().header("retry-after", at)).await,
        seconds(45)
    );
    let dated = unavailable()
        .header("retry-after", at)
        .header("date", "Sun, 22 Nov 2026 08:00:40 GMT");
    assert_eq!(after(dated).await, seconds(5));
    assert_eq!(
        after(unavailable().header("retry-after", "tomorrow")).await,
        None
    );
}

fn many_headers(count: usize) -> Bytes {
    let headers: String = (0..count).map(|n| format!("x-{n}: y\r\n")).collect();
    format!("HTTP/1.1 200 OK\r\n{headers}content-length: 0\r\n\r\n").into()
}

#[tokio::test]
async fn a_confirmation_stands_whatever_follows() {
    let receiver = Receiver::start().await;
    let webhook = to(&receiver);
    let raw = |text: &'static [u8]| Behaviour::Raw(Bytes::from_static(text));
    for behaviour in [
        raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\ncut"),
        raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nno chunk"),
        raw(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 \r\n\r\n"),
        raw(b"HTTP/1.0 200 OK\r\n\r\nold"),
        raw(b"HTTP/1.1 200 OK\r\nserver: box\r\nx-powered-by : 7\r\ncontent-length: 0\r\n\r\n"),
        raw(b"HTTP/1.1 200 OK\r\nx-note: first\r\n second\r\ncontent-length: 0\r\n\r\n"),
        raw(b"HTTP/1.1 200 OK\r\nx note: 1\r\nno colon\r\nb\xFCro: 1\r\ncontent-length: 0\r\n\r\n"),
        Behaviour::Raw(many_headers(150)),
        Behaviour::Raw(many_headers(900)),
        Behaviour::Dribble(Duration::from_millis(1), Reply::status(200).body("slowly")),
    ] {
        receiver.script(behaviour.clone());
        assert_eq!(
            deliver(&webhook, "one").await,
            delivered(200),
            "{behaviour:?}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_the_destinations_trouble() {
    let receiver = Receiver::start().await;
    let webhook = to(&receiver);
    let mut huge = b"HTTP/1.1 200 OK\r\nx: ".to_vec();
    huge.resize(10 * 1024 * 1024, b'x');
    let mut many = b"HTTP/1.1 200 OK\r\n".to_vec();
    many.extend_from_slice(&b"x: y\r\n".repeat(10_000));
    many.extend_from_slice(b"\r\n");
    for raw in [
        b"220 mail.example ESMTP\r\n".to_vec(),
        b"\x00\xff\x00\xff".repeat(100),
        b"HTTP/1.1 2x0 OK\r\n\r\n".to_vec(),
        huge,
        many,
    ] {
        let start = String::from_utf8_lossy(&raw[..8]).into_owned();
        receiver.script(Behaviour::Raw(raw.into()));
        assert_eq!(
            deliver(&webhook, "one").await,
            outage("malformed"),
            "{start:?}"
        );
    }
}

#[tokio::test]
async fn an_endless_answer_fills_nothing() {
    let receiver = Receiver::start().await;
    let webhook = to(&receiver);
    let before = peak_memory_kib();
    for length in [Some(1 << 30), Some(u64::MAX / 2), None] {
        receiver.script(Behaviour::Flood(200, length));
        assert_eq!(deliver(&webhook, "one").await, delivered(200), "{length:?}");
    }
    let grown = peak_memory_kib() - before;
    assert!(grown < 64 * 1024, "{grown} KiB");
}

fn peak_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_answer_before_the_body_was_read_counts() {
    let receiver = Receiver::start().await;
    let webhook = to(&receiver);
    receiver.script(Behaviour::AnswerEarly(Reply::status(413)));
    let code = Code::status(413);
    assert_eq!(deliver(&webhook, "one").await, Verdict::Bury { code });
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_a_timeout() {
    let receiver = Receiver::start().await;
    let mut settings = settings(&receiver.url());
    settings.timeout = Duration::from_millis(200);
    let webhook = webhook(settings);
    for behaviour in [
        Behaviour::Hang,
        Behaviour::Dribble(Duration::from_millis(50), Reply::status(200)),
    ] {
        receiver.script(behaviour.clone());
        assert_eq!(
            deliver(&webhook, "one").await,
            outage("timeout"),
            "{behaviour:?}"
        );
    }
}
