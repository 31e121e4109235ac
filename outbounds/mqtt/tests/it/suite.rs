//! The contract's own suite, with a proxy before a real broker.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faceway_core::Outbound;
use faceway_outbound_mqtt::Mqtt;
use faceway_testkit::broker::mosquitto::{Mosquitto, Subscriber};
use faceway_testkit::outbound::{Fate, Harness, all};
use faceway_testkit::receiver::{FaultProxy, Traffic};
use tokio::sync::Mutex;

use crate::{broker, mqtt, settings};

/// The suite waits for it once.
const TIMEOUT: Duration = Duration::from_secs(2);

struct Far {
    broker: Mutex<Mosquitto>,
    proxy: FaultProxy,
    subscriber: Subscriber,
    /// One for the whole suite, so that each trouble meets what the one before it left.
    mqtt: Arc<Mqtt>,
}

impl Far {
    async fn start(version: u8, qos: u8) -> Self {
        let broker = broker().await;
        let proxy = FaultProxy::start(broker.address()).await;
        let mut settings = settings(proxy.address());
        (settings.version, settings.qos) = (version, qos);
        settings.timeout = TIMEOUT;
        settings.keep_alive = Duration::from_secs(1);
        Self {
            subscriber: Subscriber::start(&broker, 2).await,
            broker: Mutex::new(broker),
            proxy,
            mqtt: Arc::new(mqtt(settings)),
        }
    }
}

impl Harness for Far {
    fn outbound(&self) -> Arc<dyn Outbound> {
        Arc::clone(&self.mqtt) as Arc<dyn Outbound>
    }

    fn timeout(&self) -> Duration {
        TIMEOUT
    }

    async fn set(&self, fate: Fate) {
        let mut broker = self.broker.lock().await;
        if fate == Fate::Refuse {
            return broker.kill().await;
        }
        broker.run().await;
        self.subscriber.catch_up().await;
        self.subscriber.forget();
        self.proxy.set(match fate {
            Fate::Slow => Traffic::Delay(Duration::from_millis(200)),
            Fate::Hang => Traffic::Stall,
            Fate::Cut => Traffic::Cut,
            _ => Traffic::Pass,
        });
    }

    /// Too large is what settings and broker say, not what the broker does; `refusals` has it.
    fn knows(&self, fate: Fate) -> bool {
        fate != Fate::TooLarge
    }

    async fn seen(&self) -> Vec<Bytes> {
        self.subscriber.catch_up().await;
        let got = self.subscriber.got().into_iter();
        got.map(|got| got.payload.into()).collect()
    }

    /// No end sees what hangs in the proxy. The suite then gives the delivery up when its own timeout ends it.
    async fn wait_hanging(&self) {
        std::future::pending().await
    }
}

async fn keeps_the_contract(version: u8, qos: u8) {
    all(&Far::start(version, qos).await).await;
}

#[tokio::test]
async fn version_4_keeps_the_contract() {
    keeps_the_contract(4, 1).await;
}

#[tokio::test]
async fn version_5_keeps_the_contract() {
    keeps_the_contract(5, 1).await;
}

#[tokio::test]
async fn version_5_with_qos_2_keeps_the_contract() {
    keeps_the_contract(5, 2).await;
}
