//! The contract's own suite.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faceway_core::Outbound;
use faceway_testkit::outbound::{Fate, Harness, all};
use faceway_testkit::receiver::{Behaviour, Received, Receiver, Reply};

use crate::{settings, webhook};

/// The suite waits for it once.
const TIMEOUT: Duration = Duration::from_secs(2);

struct Endpoint(Receiver);

impl Harness for Endpoint {
    fn outbound(&self) -> Arc<dyn Outbound> {
        let mut settings = settings(&self.0.url());
        settings.timeout = TIMEOUT;
        Arc::new(webhook(settings))
    }

    fn timeout(&self) -> Duration {
        TIMEOUT
    }

    async fn set(&self, fate: Fate) {
        self.0.forget();
        self.0.listen().await;
        match fate {
            Fate::Confirm => self.0.script(Behaviour::status(200)),
            Fate::Slow => {
                let late = Duration::from_millis(300);
                self.0
                    .script(Behaviour::AnswerAfter(late, Reply::status(202)));
            }
            Fate::Refuse => self.0.refuse().await,
            Fate::Hang => self.0.script(Behaviour::Hang),
            Fate::Cut => self.0.script_with(cut),
            Fate::TooLarge => self.0.script(Behaviour::status(413)),
        }
    }

    async fn seen(&self) -> Vec<Bytes> {
        let received = self.0.received().into_iter();
        received.map(|request| request.body).collect()
    }

    async fn wait_hanging(&self) {
        self.0.wait_for(1).await;
    }
}

/// Each connection is cut at another place.
fn cut(request: &Received) -> Behaviour {
    match request.connection % 4 {
        0 => Behaviour::Close,
        1 => Behaviour::Reset,
        2 => Behaviour::ResetEarly,
        _ => Behaviour::CutAnswer(Reply::status(200)),
    }
}

#[tokio::test]
async fn webhook_keeps_the_contract() {
    all(&Endpoint(Receiver::start().await)).await;
}
