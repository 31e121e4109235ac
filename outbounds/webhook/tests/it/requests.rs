//! What a receiver gets.

use faceway_core::{Code, Private, Verdict};
use faceway_outbound_webhook::Webhook;
use faceway_testkit::clock::TestClock;
use faceway_testkit::outbound::message;
use faceway_testkit::receiver::{Received, Receiver};
use http::{HeaderName, HeaderValue};

use crate::{deliver, delivered, settings, to, webhook};

#[tokio::test]
async fn a_request_is_as_promised() {
    let receiver = Receiver::start().await;
    let mut settings = settings(&format!("{}?site=7&x=%20", receiver.url()));
    let mut secret = HeaderValue::from_static("Bearer t0ken");
    secret.set_sensitive(true);
    settings.headers = vec![
        (HeaderName::from_static("authorization"), secret),
        (
            HeaderName::from_static("x-room"),
            HeaderValue::from_static("north"),
        ),
    ];
    assert_eq!(deliver(&webhook(settings), "one").await, delivered(200));

    let received = receiver.wait_for(1).await;
    let request = &received[0];
    let message = message("one");
    assert_eq!(
        (&*request.method, &*request.target),
        ("POST", "/faces?site=7&x=%20")
    );
    assert_eq!(request.body, *message.body.reveal());
    let expected = [
        ("host", receiver.address().to_string()),
        ("content-type", "application/json".into()),
        (
            "user-agent",
            format!("faceway/{}", env!("CARGO_PKG_VERSION")),
        ),
        ("webhook-id", message.id.to_string()),
        ("webhook-timestamp", "1795334400".into()),
        ("webhook-signature", String::new()),
        ("authorization", "Bearer t0ken".into()),
        ("x-room", "north".into()),
        ("x-site", "suite".into()),
        ("content-length", request.body.len().to_string()),
    ];
    for (name, value) in expected {
        assert_eq!(request.header(name), value, "{name}");
    }
}

#[tokio::test]
async fn a_request_is_signed_with_every_secret() {
    let request = signed(&["whsec_c2VjcmV0LW9mLXRoZS1FUlA=", "an older one"]).await;
    assert!(request.is_signed_by(b"secret-of-the-ERP"));
    assert!(request.is_signed_by(b"an older one"));
    assert!(!request.is_signed_by(b"another"));
    assert_eq!(request.header("webhook-signature").split(' ').count(), 2);

    let mut forged = request.clone();
    forged.body = message("forged").body.into_revealed();
    assert!(!forged.is_signed_by(b"an older one"), "the body is signed");
    let mut forged = request.clone();
    let later = HeaderValue::from_static("1795334401");
    forged.headers.insert("webhook-timestamp", later);
    assert!(!forged.is_signed_by(b"an older one"), "the time is signed");
    let mut forged = request;
    let other = HeaderValue::try_from(message("other").id.to_string()).unwrap();
    forged.headers.insert("webhook-id", other);
    assert!(!forged.is_signed_by(b"an older one"), "the id is signed");
}

async fn signed(secrets: &[&str]) -> Received {
    let receiver = Receiver::start().await;
    let mut settings = settings(&receiver.url());
    settings.sign = secrets
        .iter()
        .map(|secret| Private::new((*secret).to_owned()))
        .collect();
    assert_eq!(deliver(&webhook(settings), "signed").await, delivered(200));
    receiver.wait_for(1).await.remove(0)
}

#[tokio::test]
async fn user_and_password_of_the_url_become_a_header() {
    let receiver = Receiver::start().await;
    let url = receiver.url().replace("http://", "http://erp:s3cret@");
    assert_eq!(
        deliver(&webhook(settings(&url)), "one").await,
        delivered(200)
    );
    let received = receiver.wait_for(1).await;
    // base64 of erp:s3cret
    assert_eq!(
        received[0].header("authorization"),
        "Basic ZXJwOnMzY3JldA=="
    );
    assert_eq!(received[0].target, "/faces");
}

#[tokio::test]
async fn a_configured_header_wins() {
    let receiver = Receiver::start().await;
    let mut settings = settings(&receiver.url());
    settings.headers = vec![
        (
            HeaderName::from_static("content-type"),
            HeaderValue::from_static("application/x-face"),
        ),
        (
            HeaderName::from_static("user-agent"),
            HeaderValue::from_static("door/1"),
        ),
    ];
    assert_eq!(deliver(&webhook(settings), "one").await, delivered(200));
    let received = receiver.wait_for(1).await;
    assert_eq!(received[0].header("content-type"), "application/x-face");
    assert_eq!(received[0].header("user-agent"), "door/1");
}

#[tokio::test]
async fn a_big_body_arrives_whole() {
    let receiver = Receiver::start().await;
    let mut message = message("big");
    let body: Vec<u8> = (0..16 * 1024 * 1024_u32)
        .map(|at| b'a' + u8::try_from(at % 26).unwrap())
        .collect();
    message.body = bytes::Bytes::from(body).into();
    let verdict = faceway_core::Outbound::deliver(&to(&receiver), &message).await;
    assert_eq!(
        verdict,
        Verdict::Delivered {
            code: Code::status(200)
        }
    );
    assert_eq!(receiver.received()[0].body, *message.body.reveal());
}

/// Python unpacks what we packed and checks the signature over what it has unpacked, as a receiver's server and code do.
#[tokio::test]
async fn a_packed_body_is_the_same_body() {
    let receiver = Receiver::start().await;
    let mut settings = settings(&receiver.url());
    settings.gzip = true;
    settings.sign = vec![Private::new("key".to_owned())];
    let webhook = webhook(settings);
    let mut message = message("packed");
    for (turn, size) in [2048, 300 * 1024].into_iter().enumerate() {
        let body = format!("{{\"text\":\"{}\"}}", "abcdefgh".repeat(size / 8));
        message.body = bytes::Bytes::from(body).into();
        let verdict = faceway_core::Outbound::deliver(&webhook, &message).await;
        assert_eq!(verdict, delivered(200));
        let request = &receiver.wait_for(turn + 1).await[turn];
        assert_eq!(request.header("content-encoding"), "gzip");
        assert!(request.body.len() < message.body.size() / 4);
        let unpacked = unpacked(request).await;
        assert_eq!(unpacked, *message.body.reveal());
        let mut as_seen = request.clone();
        as_seen.body = unpacked.into();
        assert!(as_seen.is_signed_by(b"key"));
    }
    assert_eq!(deliver(&webhook, "small").await, delivered(200));
    let received = receiver.wait_for(3).await;
    assert_eq!(received[2].header("content-encoding"), "");
}

async fn unpacked(request: &Received) -> Vec<u8> {
    use tokio::io::AsyncWriteExt as _;
    let code = "import gzip,sys; sys.stdout.buffer.write(gzip.decompress(sys.stdin.buffer.read()))";
    let mut python = tokio::process::Command::new("/usr/bin/python3")
        .args(["-c", code])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = python.stdin.take().unwrap();
    let body = request.body.clone();
    tokio::spawn(async move { stdin.write_all(&body).await });
    let output = python.wait_with_output().await.unwrap();
    assert!(output.status.success());
    output.stdout
}

#[tokio::test]
async fn what_is_wrong_is_named_without_secrets() {
    let refused = |change: fn(&mut faceway_outbound_webhook::WebhookSettings)| {
        let mut settings = settings("https://erp.example/faces");
        change(&mut settings);
        let clock = std::sync::Arc::new(TestClock::default());
        Webhook::new(settings, clock).err().unwrap().to_string()
    };
    let errors = [
        ("url: ", refused(|to| to.url = "//s3cret".into())),
        (
            "proxy: ",
            refused(|to| to.proxy = Some("socks5://s3cret".to_owned().into())),
        ),
        (
            "sign: secret 1: ",
            refused(|to| to.sign = vec![Private::new("whsec_s3cret!".into())]),
        ),
    ];
    for (start, error) in errors {
        assert!(error.starts_with(start), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
}
