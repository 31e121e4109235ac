//! The webhook against a real HTTP server on loopback.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod answers;
mod connections;
mod requests;
mod suite;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use faceway_core::{Code, Outbound as _, Scope, Verdict};
use faceway_outbound_webhook::{Webhook, WebhookSettings};
use faceway_testkit::clock::TestClock;
use faceway_testkit::outbound::message;
use faceway_testkit::receiver::Receiver;

/// Long enough that no busy machine runs into it.
const PATIENT: Duration = Duration::from_secs(30);

fn settings(url: &str) -> WebhookSettings {
    WebhookSettings {
        url: url.into(),
        headers: Vec::new(),
        sign: Vec::new(),
        timeout: PATIENT,
        tls: None,
        proxy: None,
        gzip: false,
        connections_max: 4,
    }
}

fn webhook(settings: WebhookSettings) -> Webhook {
    Webhook::new(settings, Arc::new(TestClock::default())).unwrap()
}

fn to(receiver: &Receiver) -> Webhook {
    webhook(settings(&receiver.url()))
}

async fn deliver(webhook: &Webhook, text: &str) -> Verdict {
    webhook.deliver(&message(text)).await
}

fn delivered(code: u16) -> Verdict {
    let code = Code::status(code);
    Verdict::Delivered { code }
}

fn outage(word: &'static str) -> Verdict {
    Verdict::Retry {
        scope: Scope::Destination,
        code: Code::word(word),
        after: None,
    }
}
