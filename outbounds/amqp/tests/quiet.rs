//! What must not be left behind: nothing of a message in the log, whatever the level and whatever logs (the client library
//! would log every message that is returned, with its body), and no thread of the library. Alone in its binary, as both
//! are looked for in the whole process.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use faceway_core::{Code, Outbound as _, Verdict};
use faceway_outbound_amqp::{Amqp, AmqpSettings, ExchangeType};
use faceway_testkit::broker::rabbitmq::RabbitMq;
use faceway_testkit::outbound::message;
use tokio::net::TcpListener;

/// What is logged, on every thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_message_is_logged() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    failing_leaves_no_thread().await;
    let broker = RabbitMq::start().await;
    let amqp = Amqp::new(&settings(broker.address())).unwrap();
    let mut message = message("Li Wei");
    message
        .headers
        .push(("x-name".into(), "Li Wei".to_owned().into()));
    for (key, expected) in [("known", true), ("Li Wei", false), ("known", true)] {
        message.address = key.to_owned().into();
        let verdict = amqp.deliver(&message).await;
        let code = Code::word("unroutable");
        let expected = match expected {
            true => matches!(verdict, Verdict::Delivered { .. }),
            false => verdict == Verdict::Bury { code },
        };
        assert!(expected, "{key}: {verdict:?}");
    }
    broker.kill();
    assert!(matches!(
        amqp.deliver(&message).await,
        Verdict::Retry { .. }
    ));
    amqp.close().await;
    drop(amqp);
    wait_for_no_thread().await;
    let text = log.text();
    assert!(
        text.contains("the connection to the broker failed"),
        "the log is listened to"
    );
    // Names as they are, and as bytes of a body in a debug format.
    let bytes: Vec<String> = b"Li Wei".iter().map(ToString::to_string).collect();
    for name in ["Li Wei".to_owned(), bytes.join(", ")] {
        let line = text.lines().find(|line| line.contains(&name));
        assert_eq!(line, None);
    }
}

fn settings(address: SocketAddr) -> AmqpSettings {
    AmqpSettings {
        url: format!("amqp://{address}/%2f"),
        username: Some("guest".into()),
        password: Some("guest".to_owned().into()),
        exchange: "quiet".into(),
        declare: Some(ExchangeType::Topic),
        queue: Some("quiet".into()),
        bind: Some("known".into()),
        payload_bytes_max: 1 << 20,
        heartbeat: Duration::from_secs(30),
        tls: None,
        timeout: Duration::from_secs(60),
        window: 8,
    }
}

async fn failing_leaves_no_thread() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = settings(silent.local_addr().unwrap());
    settings.timeout = Duration::from_millis(100);
    let amqp = Amqp::new(&settings).unwrap();
    for _ in 0..10 {
        let verdict = amqp.deliver(&message("Li Wei")).await;
        assert!(matches!(verdict, Verdict::Retry { .. }), "{verdict:?}");
    }
    wait_for_no_thread().await;
}

async fn wait_for_no_thread() {
    let deadline = Instant::now() + Duration::from_secs(30);
    while threads() > 0 {
        assert!(
            Instant::now() < deadline,
            "{} threads of the library are left",
            threads()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One for each connection of the library, by its name.
fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = tasks.map(|task| std::fs::read_to_string(task.path().join("comm")));
    names
        .flatten()
        .filter(|name| name.starts_with("lapin"))
        .count()
}
