//! 20,000 events through a gateway, while what it delivers to is killed again and again, and the gateway itself too. What
//! arrived, how often and in which order is counted at the far side, by programs that are none of ours.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use faceway_testkit::broker::mosquitto::{Mosquitto, Options, Subscriber};
use faceway_testkit::broker::rabbitmq::RabbitMq;
use faceway_testkit::receiver::{FaultProxy, Receiver, Traffic};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::brokers::LOGIN;
use crate::harness::{Device, Gateway, PATIENCE, Site, recognition};

const EVENTS: usize = 20_000;
/// Each a connection that sends its next record when the last one is answered.
const DEVICES: usize = 32;
/// So many are sent before the first disaster, and at each of the three disasters.
const PORTION: usize = EVENTS / 4;
/// Disasters, and those that hit the gateway too.
const DISASTERS: usize = 3;
const GATEWAY_KILLS: usize = 2;
/// What a lane may have in its hands, which a killed gateway delivers again.
const HANDS_MAX: usize = 256;

/// A device's name and the number of its event.
type Arrived = (String, usize);

/// Devices that send whatever happens, each in its order.
struct Load {
    /// Where the gateway is.
    place: watch::Sender<SocketAddr>,
    allowed: watch::Sender<usize>,
    answered: watch::Sender<usize>,
    devices: JoinSet<()>,
}

impl Load {
    fn start(place: SocketAddr) -> Self {
        let mut load = Self {
            place: watch::Sender::new(place),
            allowed: watch::Sender::new(PORTION),
            answered: watch::Sender::new(0),
            devices: JoinSet::new(),
        };
        for device in 0..DEVICES {
            let (place, allowed) = (load.place.subscribe(), load.allowed.subscribe());
            let answered = load.answered.clone();
            load.devices.spawn(send(device, place, allowed, answered));
        }
        load
    }

    fn allow_more(&self) {
        self.allowed.send_modify(|allowed| *allowed += PORTION);
    }

    async fn answered(&self, count: usize) {
        let mut answered = self.answered.subscribe();
        let waiting = answered.wait_for(|answered| *answered >= count);
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .expect("records are answered")
            .unwrap();
    }

    /// Waits until about `count` events are through, so that the next disaster comes amid the others.
    async fn delivered(&self, gateway: &Gateway, outbound: &str, count: usize) {
        let series = format!("faceway_lane_backlog{{outbound=\"{outbound}\"}}");
        let deadline = Instant::now() + PATIENCE;
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        loop {
            let backlog = gateway.metric(&series).await;
            if *self.answered.borrow() as f64 - backlog >= count as f64 {
                return;
            }
            assert!(Instant::now() < deadline, "{backlog}\n{}", gateway.log());
            ticks.tick().await;
        }
    }

    /// A power cut for the gateway, which comes back elsewhere.
    async fn kill(&self, gateway: &mut Option<Gateway>, site: &Site) {
        gateway.take().unwrap().kill().await;
        let again = gateway.insert(site.start().await);
        self.place.send_replace(again.devices);
    }

    async fn end(mut self, gateway: &Gateway, outbound: &str) {
        self.answered(EVENTS).await;
        while let Some(device) = self.devices.join_next().await {
            device.unwrap();
        }
        gateway.delivered_all(outbound).await;
    }
}

async fn send(
    device: usize,
    mut place: watch::Receiver<SocketAddr>,
    mut allowed: watch::Receiver<usize>,
    answered: watch::Sender<usize>,
) {
    let serial = format!("PSC{device}");
    let mut connection = None;
    for at in (device..EVENTS).step_by(DEVICES) {
        allowed.wait_for(|allowed| at < *allowed).await.unwrap();
        let record = recognition(&serial, &at.to_string());
        loop {
            let address = *place.borrow_and_update();
            let mut open = match connection.take() {
                Some(open) => open,
                None => match Device::try_connect(address).await {
                    Ok(open) => open,
                    Err(_) => {
                        place.changed().await.unwrap();
                        continue;
                    }
                },
            };
            // A device that heard no answer sends the same again.
            if let Ok(answer) = open.push(&record).await {
                assert!(answer.is_success(), "{answer:?}");
                connection = Some(open);
                break;
            }
        }
        answered.send_modify(|answered| *answered += 1);
    }
}

fn arrived(body: &[u8]) -> Arrived {
    let event: Value = serde_json::from_slice(body).unwrap();
    let device = event["device"]["id"].as_str().unwrap().to_owned();
    (
        device,
        event["vendor_id"].as_str().unwrap().parse().unwrap(),
    )
}

/// Everything is there, each device's in its order by what came first, and little came twice.
fn check(outbound: &str, arrived: &[Arrived], began: Instant) {
    let mut copies = BTreeMap::<usize, usize>::new();
    let mut last = HashMap::<&str, usize>::new();
    let mut disordered = 0;
    for (device, at) in arrived {
        let copies = copies.entry(*at).or_default();
        *copies += 1;
        if *copies == 1 && last.insert(device, *at).is_some_and(|last| last > *at) {
            disordered += 1;
        }
    }
    let missing: Vec<_> = (0..EVENTS).filter(|at| !copies.contains_key(at)).collect();
    let few: Vec<_> = missing.iter().take(10).collect();
    let duplicates = arrived.len() - copies.len();
    println!(
        "{outbound}: {} of {EVENTS} there, {duplicates} twice, {:.0} s",
        copies.len(),
        began.elapsed().as_secs_f64()
    );
    assert!(missing.is_empty(), "{} lost: {few:?} …", missing.len());
    assert_eq!(disordered, 0, "events of one device came in another order");
    // What was on its way each time, and what the gateway had delivered and not yet noted.
    let most = DISASTERS * DEVICES + GATEWAY_KILLS * (HANDS_MAX + DEVICES);
    assert!(duplicates <= most, "{duplicates} duplicates");
}

fn routes(outbound: &str) -> String {
    format!(
        "[inbound.nebula.lobby]\n\n{outbound}\nconcurrency_max = {DEVICES}\n\
         retry = {{ backoff_min = \"100ms\", backoff_max = \"1s\" }}\n\n\
         [[route]]\nname = \"everything\"\nto = [\"far\"]\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_gets_everything_though_its_endpoint_and_the_gateway_are_killed() {
    let began = Instant::now();
    let receiver = Receiver::start().await;
    let url = receiver.url();
    let site = Site::new(&routes(&format!("[outbound.webhook.far]\nurl = \"{url}\"")));
    let mut gateway = Some(site.start().await);
    let load = Load::start(gateway.as_ref().unwrap().devices);
    for disaster in 0..DISASTERS {
        let threshold = disaster * PORTION + PORTION / 2;
        load.delivered(gateway.as_ref().unwrap(), "far", threshold)
            .await;
        receiver.refuse().await;
        load.allow_more();
        load.answered(threshold + PORTION).await;
        if disaster > 0 {
            load.kill(&mut gateway, &site).await;
        }
        receiver.listen().await;
    }
    load.end(gateway.as_ref().unwrap(), "far").await;
    let confirmed = receiver.confirmed();
    let all: Vec<_> = confirmed.iter().map(|one| arrived(&one.body)).collect();
    check("webhook", &all, began);
}

#[tokio::test(flavor = "multi_thread")]
async fn mqtt_subscribers_get_everything_though_the_broker_and_the_gateway_are_killed() {
    let began = Instant::now();
    let mut broker = Mosquitto::start(Options::default()).await;
    let proxy = FaultProxy::start(broker.address()).await;
    let subscriber = Subscriber::start(&broker, 1).await;
    let url = proxy.address();
    let outbound = format!("[outbound.mqtt.far]\nurl = \"mqtt://{url}\"");
    let site = Site::new(&routes(&outbound));
    let mut gateway = Some(site.start().await);
    let load = Load::start(gateway.as_ref().unwrap().devices);
    for disaster in 0..DISASTERS {
        let threshold = disaster * PORTION + PORTION / 2;
        load.delivered(gateway.as_ref().unwrap(), "far", threshold)
            .await;
        // A broker without persistence confirms what it has in memory alone, so what it has not handed on dies with it,
        // and so does what it confirms while no client is subscribed; neither is the gateway's to lose. So the network goes
        // first, with messages and confirmations on it, and comes back when the subscriber has.
        proxy.set(Traffic::Stall);
        subscriber.catch_up().await;
        broker.kill().await;
        proxy.set(Traffic::Cut);
        load.allow_more();
        load.answered(threshold + PORTION).await;
        if disaster > 0 {
            load.kill(&mut gateway, &site).await;
        }
        broker.run().await;
        subscriber.catch_up().await;
        proxy.set(Traffic::Pass);
    }
    load.end(gateway.as_ref().unwrap(), "far").await;
    subscriber.catch_up().await;
    check("mqtt", &published(&subscriber), began);
}

/// The events among what the subscriber got.
fn published(subscriber: &Subscriber) -> Vec<Arrived> {
    let got = subscriber.got().into_iter();
    let events = got.filter(|got| got.topic.starts_with("faceway/lobby/"));
    events.map(|got| arrived(got.payload.as_bytes())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_amqp_queue_gets_everything_though_the_broker_and_the_gateway_are_killed() {
    let began = Instant::now();
    let broker = RabbitMq::start().await;
    let outbound = format!(
        "[outbound.amqp.far]\nurl = \"amqp://{}/%2f\"\n{LOGIN}\nexchange = \"faces\"\ndeclare = \"topic\"\nqueue = \"faces\"",
        broker.address()
    );
    let site = Site::new(&routes(&outbound)).set("QUEUE_PASSWORD", "guest");
    let mut gateway = Some(site.start().await);
    let load = Load::start(gateway.as_ref().unwrap().devices);
    for disaster in 0..DISASTERS {
        let threshold = disaster * PORTION + PORTION / 2;
        load.delivered(gateway.as_ref().unwrap(), "far", threshold)
            .await;
        match disaster {
            0 => broker.stop().await,
            _ => broker.kill(),
        }
        load.allow_more();
        if disaster > 0 {
            load.kill(&mut gateway, &site).await;
        }
        broker.run().await;
    }
    load.end(gateway.as_ref().unwrap(), "far").await;
    let taken = broker.drain("faces").await.into_iter();
    let bodies = taken.map(|message| message["body"].as_str().unwrap().to_owned());
    let all: Vec<_> = bodies.map(|body| arrived(body.as_bytes())).collect();
    check("amqp", &all, began);
}

/// Each of `devices` sends `count` events, one after another, and so they are published.
async fn in_order(devices: usize, count: usize) {
    let broker = Mosquitto::start(Options::default()).await;
    let subscriber = Subscriber::start(&broker, 1).await;
    let url = broker.address();
    let outbound = format!("[outbound.mqtt.far]\nurl = \"mqtt://{url}\"");
    let gateway = Site::new(&routes(&outbound)).start().await;
    let mut sending = JoinSet::new();
    for device in 0..devices {
        let mut connection = Device::connect(gateway.devices).await;
        sending.spawn(async move {
            for at in (device..devices * count).step_by(devices) {
                let record = recognition(&format!("PSC{device}"), &at.to_string());
                assert!(connection.push(&record).await.unwrap().is_success());
            }
        });
    }
    sending.join_all().await;
    gateway.delivered_all("far").await;
    subscriber.catch_up().await;
    let mut by_device = BTreeMap::<_, Vec<usize>>::new();
    for (device, at) in published(&subscriber) {
        by_device.entry(device).or_default().push(at);
    }
    assert_eq!(by_device.len(), devices);
    for (device, came) in by_device {
        assert_eq!(came.len(), count, "{device}");
        assert!(came.is_sorted(), "{device} is out of order");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_events_of_one_device_are_published_in_order() {
    in_order(1, 10_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_three_devices_are_published_in_order_each() {
    in_order(3, 2_000).await;
}
