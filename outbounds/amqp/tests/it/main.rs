//! AMQP against a real RabbitMQ.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod bursts;
mod consumers;
mod limits;
mod outages;
mod suite;
mod tls;

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use faceway_core::{Code, Message, Outbound as _, Scope, Verdict};
use faceway_outbound_amqp::{Amqp, AmqpSettings, ExchangeType};
use faceway_testkit::broker::rabbitmq::{Options, RabbitMq};
use tokio::sync::Mutex;

/// Long enough that no busy machine runs into it.
const PATIENT: Duration = Duration::from_secs(60);
/// The shared broker's limit of a message.
const BROKER_BYTES_MAX: usize = 100_000;

/// One broker for all tests that do it no harm. It is gone with the last of them.
async fn shared() -> Arc<RabbitMq> {
    static SHARED: Mutex<Weak<RabbitMq>> = Mutex::const_new(Weak::new());
    let mut shared = SHARED.lock().await;
    if let Some(broker) = shared.upgrade() {
        return broker;
    }
    let options = Options {
        message_bytes_max: Some(BROKER_BYTES_MAX),
        ..Options::default()
    };
    let broker = Arc::new(RabbitMq::start_with(options).await);
    *shared = Arc::downgrade(&broker);
    broker
}

/// A topic exchange of this name with a queue of the same name that gets everything.
fn settings(address: SocketAddr, name: &str) -> AmqpSettings {
    AmqpSettings {
        url: format!("amqp://{address}/%2f"),
        username: Some("guest".into()),
        password: Some("guest".to_owned().into()),
        exchange: name.into(),
        declare: Some(ExchangeType::Topic),
        queue: Some(name.into()),
        bind: Some("#".into()),
        payload_bytes_max: 32 * 1024 * 1024,
        heartbeat: Duration::from_secs(30),
        tls: None,
        timeout: PATIENT,
        window: 256,
    }
}

fn amqp(settings: &AmqpSettings) -> Arc<Amqp> {
    Arc::new(Amqp::new(settings).unwrap())
}

/// The suite's message with this text and routing key.
fn message(text: &str, key: &str) -> Message {
    let mut message = faceway_testkit::outbound::message(text);
    message.address = key.to_owned().into();
    message
}

async fn deliver(amqp: &Amqp, text: &str) -> Verdict {
    amqp.deliver(&message(text, "recognition.known")).await
}

fn delivered() -> Verdict {
    let code = Code::word("ack");
    Verdict::Delivered { code }
}

fn outage(word: &'static str) -> Verdict {
    Verdict::Retry {
        scope: Scope::Destination,
        code: Code::word(word),
        after: None,
    }
}

fn buried(word: &'static str) -> Verdict {
    let code = Code::word(word);
    Verdict::Bury { code }
}

/// As a lane does: again after a pause, as long as it may help.
async fn deliver_at_last(amqp: &Amqp, message: &Message) -> Verdict {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(240);
    loop {
        let verdict = amqp.deliver(message).await;
        let may_help = matches!(verdict, Verdict::Retry { .. });
        if !may_help || tokio::time::Instant::now() > deadline {
            return verdict;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
