//! The contract's own suite, with a bad network between the outbound and the broker.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faceway_core::Outbound;
use faceway_testkit::broker::rabbitmq::RabbitMq;
use faceway_testkit::outbound::{Fate, Harness, all};
use faceway_testkit::receiver::{FaultProxy, Traffic};
use lapin::options::BasicGetOptions;
use lapin::{Channel, Connection, ConnectionProperties};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::{amqp, settings, shared};

/// The suite waits for it once. Opening a connection fits into it on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(5);
const NAME: &str = "suite";

struct Broker {
    _broker: Arc<RabbitMq>,
    proxy: Arc<FaultProxy>,
    outbound: Arc<dyn Outbound>,
    cutting: Mutex<Option<JoinHandle<()>>>,
    /// A connection of our own, past the proxy.
    consumer: Channel,
    seen: Mutex<Vec<Bytes>>,
}

impl Broker {
    async fn start() -> Self {
        let broker = shared().await;
        let proxy = Arc::new(FaultProxy::start(broker.address()).await);
        let mut settings = settings(proxy.address(), NAME);
        settings.timeout = TIMEOUT;
        let url = format!("amqp://{}/%2f", broker.address());
        let consumer = Connection::connect(&url, ConnectionProperties::default())
            .await
            .unwrap();
        Self {
            _broker: broker,
            proxy,
            outbound: amqp(&settings),
            cutting: Mutex::default(),
            consumer: consumer.create_channel().await.unwrap(),
            seen: Mutex::default(),
        }
    }
}

impl Harness for Broker {
    fn outbound(&self) -> Arc<dyn Outbound> {
        Arc::clone(&self.outbound)
    }

    fn timeout(&self) -> Duration {
        TIMEOUT
    }

    async fn set(&self, fate: Fate) {
        if let Some(cutting) = self.cutting.lock().await.take() {
            cutting.abort();
            let _ = cutting.await;
        }
        self.proxy.set(match fate {
            Fate::Confirm | Fate::TooLarge => Traffic::Pass,
            Fate::Slow => Traffic::Delay(Duration::from_millis(200)),
            Fate::Refuse => Traffic::Cut,
            Fate::Hang | Fate::Cut => Traffic::Stall,
        });
        if fate == Fate::Cut {
            let proxy = Arc::clone(&self.proxy);
            let cut = async move {
                proxy.wait_held(0).await;
                proxy.set(Traffic::Cut);
            };
            *self.cutting.lock().await = Some(tokio::spawn(cut));
        }
    }

    /// The broker's own limit is a test of its own (`limits.rs`): the suite's messages are small.
    fn knows(&self, fate: Fate) -> bool {
        fate != Fate::TooLarge
    }

    async fn seen(&self) -> Vec<Bytes> {
        let mut seen = self.seen.lock().await;
        let options = BasicGetOptions { no_ack: true };
        while let Some(got) = self.consumer.basic_get(NAME.into(), options).await.unwrap() {
            seen.push(Bytes::from(got.delivery.data));
        }
        seen.clone()
    }

    async fn wait_hanging(&self) {
        self.proxy.wait_held(0).await;
    }
}

#[tokio::test]
async fn amqp_keeps_the_contract() {
    all(&Broker::start().await).await;
}
