//! Several gateways at one site: what one has answered, another one delivers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use faceway_testkit::broker::nats::{Nats, Options};
use faceway_testkit::platform::Platform;
use faceway_testkit::receiver::{Behaviour, FaultProxy, Received, Receiver, Traffic};
use rustix::process::Signal;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::until;
use crate::harness::{
    Device, Gateway, LOBBY, Site, device_id, event_id, recognition, reload, replace, route,
    vendor_id, vendor_ids, webhook,
};

/// Within so long another gateway works what a dead or frozen one did.
const TAKEN_OVER: Duration = Duration::from_secs(20);

/// A gateway of this name at these servers.
pub(crate) fn member(nats: &Nats, name: &str, routes: &str) -> Site {
    let site = Site::new(routes).unset("FACEWAY_SPOOL__FREE_MIN");
    let gateway = format!(
        "site = \"north\"\n\n[spool]\nengine = \"jetstream\"\n\n[spool.jetstream]\nservers = {:?}\nmonitor = {:?}\n\
         replicas = {}\ngateway = \"{name}\"\n",
        nats.urls(),
        nats.monitors(),
        nats.count()
    );
    std::fs::write(site.path().join("gateway.toml"), gateway).unwrap();
    site
}

fn to_erp(receiver: &Receiver) -> String {
    [LOBBY, &webhook("erp", receiver), &route("all", &["erp"])].concat()
}

/// Two gateways of one site.
async fn two(nats: &Nats, routes: &str) -> [(Site, Gateway); 2] {
    let sites = ["gw-1", "gw-2"].map(|name| member(nats, name, routes));
    let [first, second] = sites;
    // The first makes the site.
    let started = first.start().await;
    let other = second.start().await;
    [(first, started), (second, other)]
}

/// Which gateway works the lane, as this one knows.
async fn works(gateway: &Gateway, lane: &str) -> Option<String> {
    let (status, body) = gateway.get("/api/v1/lanes").await;
    if status != 200 {
        return None;
    }
    let lanes: Value = serde_json::from_str(&body).unwrap();
    let lane = lanes.as_array()?.iter().find(|one| one["name"] == lane)?;
    Some(lane["gateway"].as_str()?.to_owned())
}

/// Devices that push through two gateways, as behind a load balancer: each sends its next record when the last was answered
/// with success, and the same one to the other gateway when it was not.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    devices: Vec<JoinHandle<usize>>,
}

const DEVICES: usize = 4;

impl Load {
    fn start(gateways: [SocketAddr; 2]) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let devices = (0..DEVICES).map(|device| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            tokio::spawn(push_on(device, gateways, stop, answered))
        });
        Self {
            devices: devices.collect(),
            stop,
            answered,
        }
    }

    /// Waits until so many more records were answered with success.
    async fn go_on(&self, count: usize) {
        let before = self.answered.load(Ordering::SeqCst);
        until(async || self.answered.load(Ordering::SeqCst) >= before + count).await;
    }

    /// Gives how many records of each device were answered.
    async fn end(self) -> Vec<usize> {
        self.stop.store(true, Ordering::SeqCst);
        let mut counts = Vec::new();
        for device in self.devices {
            counts.push(device.await.unwrap());
        }
        counts
    }
}

async fn push_on(
    device: usize,
    gateways: [SocketAddr; 2],
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
) -> usize {
    let mut at = device % 2;
    let mut number = 0;
    let mut connected: Option<Device> = None;
    while !stop.load(Ordering::SeqCst) {
        let body = recognition(&format!("PSC{device}"), &record(device, number));
        let once = async {
            let mut open = match connected.take() {
                Some(open) => open,
                None => Device::try_connect(gateways[at]).await.ok()?,
            };
            let answer = open.push(&body).await.ok()?;
            answer.is_success().then_some(open)
        };
        // A frozen gateway holds the connection and answers nothing.
        match tokio::time::timeout(Duration::from_secs(3), once).await {
            Ok(Some(open)) => {
                connected = Some(open);
                number += 1;
                answered.fetch_add(1, Ordering::SeqCst);
            }
            _ => {
                at = 1 - at;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    number
}

fn record(device: usize, number: usize) -> String {
    format!("{device}-{number:05}")
}

/// Everything that was answered has arrived, each device in its order. What was in flight where a gateway ended may come again,
/// from there on in order.
async fn all_arrived(receiver: &Receiver, answered: &[usize]) {
    let wanted: BTreeSet<String> = (answered.iter().enumerate())
        .flat_map(|(device, count)| (0..*count).map(move |number| record(device, number)))
        .collect();
    until(async || {
        let confirmed = receiver.confirmed();
        let got: BTreeSet<String> = vendor_ids(&confirmed).into_iter().collect();
        wanted.is_subset(&got)
    })
    .await;
    assert_in_order(&receiver.confirmed());
}

/// Of each device a record comes first only when all before it have come.
fn assert_in_order(confirmed: &[Received]) {
    let mut newest: BTreeMap<String, String> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for one in confirmed {
        let (device, id) = (device_id(&one.body), vendor_id(&one.body));
        if !seen.insert(id.clone()) {
            continue;
        }
        let before = newest.insert(device.clone(), id.clone());
        assert!(
            before < Some(id.clone()),
            "{device}: {before:?} before {id}"
        );
    }
}

/// A gateway that is killed under load: what it answered is delivered by the other one, and devices go on there. A record that
/// is sent to both is kept once.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_gateway_is_replaced_by_the_other_one() {
    let nats = Nats::start(Options::cluster()).await;
    let receiver = Receiver::start().await;
    let [(site, first), (other, second)] = two(&nats, &to_erp(&receiver)).await;
    until(async || works(&second, "erp").await.is_some()).await;
    assert_eq!(works(&first, "erp").await, works(&second, "erp").await);
    let owner = works(&first, "erp").await.unwrap();
    let is_first = owner == "gw-1";
    // As an operator sees it, at either.
    let (here, there) = if is_first {
        ((&site, &first), (&other, &second))
    } else {
        ((&other, &second), (&site, &first))
    };
    let listed = here.0.ask(here.1, &["lanes"]).await;
    assert!(!listed.contains("claimed elsewhere"), "{listed}");
    let listed = there.0.ask(there.1, &["lanes"]).await;
    assert!(
        listed.contains(&format!("claimed elsewhere: {owner}")),
        "{listed}"
    );
    let told = there.0.ask(there.1, &["cluster"]).await;
    for part in [
        "Site north: every server proves",
        "gw-1",
        "gw-2",
        "janitor",
        "FW_north_EVENTS",
    ] {
        assert!(told.contains(part), "{part} is missing in\n{told}");
    }
    let held = "faceway_duty_held{duty=\"lane\",name=\"erp\"}";
    assert_eq!(
        (here.1.metric(held).await, there.1.metric(held).await),
        (1.0, 0.0)
    );
    let janitor = "faceway_duty_held{duty=\"janitor\",name=\"\"}";
    let janitors = here.1.metric(janitor).await + there.1.metric(janitor).await;
    assert_eq!(janitors, 1.0);
    let (_, metrics) = there.1.get("/metrics").await;
    assert!(
        !metrics.contains("\nfaceway_lane_backlog{"),
        "the owner tells it"
    );

    let load = Load::start([first.devices, second.devices]);
    load.go_on(200).await;
    let (gone, alive, name) = if is_first {
        (first, second, "gw-2")
    } else {
        (second, first, "gw-1")
    };
    gone.kill().await;
    let killed = Instant::now();
    until(async || works(&alive, "erp").await.as_deref() == Some(name)).await;
    assert!(killed.elapsed() < TAKEN_OVER, "{:?}", killed.elapsed());
    load.go_on(200).await;
    let answered = load.end().await;
    all_arrived(&receiver, &answered).await;

    // What the dead gateway had is known at the living one.
    let before = alive
        .metric("faceway_received_total{inbound=\"lobby\",result=\"duplicate\"}")
        .await;
    let mut device = Device::connect(alive.devices).await;
    assert!(
        device
            .push(&recognition("PSC0", &record(0, 0)))
            .await
            .unwrap()
            .is_success()
    );
    let after = alive
        .metric("faceway_received_total{inbound=\"lobby\",result=\"duplicate\"}")
        .await;
    assert_eq!(after, before + 1.0);
    alive.stop().await;
}

/// A frozen gateway loses what it did, and does nothing of it when it wakes up.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_gateway_is_replaced_and_stays_so_when_it_awakes() {
    let nats = Nats::start(Options::cluster()).await;
    let receiver = Receiver::start().await;
    let [(_site, first), (_other, second)] = two(&nats, &to_erp(&receiver)).await;
    until(async || works(&second, "erp").await.is_some()).await;
    let is_first = works(&first, "erp").await.as_deref() == Some("gw-1");
    let load = Load::start([first.devices, second.devices]);
    load.go_on(100).await;
    let (frozen, alive, name) = if is_first {
        (&first, &second, "gw-2")
    } else {
        (&second, &first, "gw-1")
    };
    frozen.signal(Signal::STOP);
    let since = Instant::now();
    until(async || works(alive, "erp").await.as_deref() == Some(name)).await;
    assert!(since.elapsed() < TAKEN_OVER, "{:?}", since.elapsed());
    load.go_on(100).await;
    frozen.signal(Signal::CONT);
    let lost = "faceway_duty_changes_total{duty=\"lane\",reason=\"lost\"}";
    frozen.wait_for_metric(lost, |count| count == 1.0).await;
    load.go_on(100).await;
    let answered = load.end().await;
    all_arrived(&receiver, &answered).await;
    assert_eq!(works(frozen, "erp").await.as_deref(), Some(name));
    first.stop().await;
    second.stop().await;
}

/// A gateway whose cable is pulled answers devices 503, does nothing of its duties, and comes back by itself; the other one has
/// them meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_cut_off_says_so_and_comes_back() {
    let nats = Nats::start(Options::single()).await;
    let receiver = Receiver::start().await;
    let server = nats.urls()[0]
        .strip_prefix("nats://")
        .unwrap()
        .parse()
        .unwrap();
    let cables = [
        FaultProxy::start(server).await,
        FaultProxy::start(server).await,
    ];
    let routes = to_erp(&receiver);
    let mut gateways = Vec::new();
    for (number, cable) in cables.iter().enumerate() {
        let url = format!("[\"nats://{}\"]", cable.address());
        let site = member(&nats, &format!("gw-{}", number + 1), &routes)
            .set("FACEWAY_SPOOL__JETSTREAM__SERVERS", &url)
            .set("FACEWAY_SPOOL__JETSTREAM__APPEND_TIMEOUT", "2s");
        let gateway = site.start().await;
        gateways.push((site, gateway));
    }
    let [(_here, first), (_there, second)] = <[_; 2]>::try_from(gateways).ok().unwrap();
    until(async || works(&second, "erp").await.is_some()).await;
    let is_first = works(&first, "erp").await.as_deref() == Some("gw-1");
    let (cut, cable, alive, name) = if is_first {
        (&first, &cables[0], &second, "gw-2")
    } else {
        (&second, &cables[1], &first, "gw-1")
    };
    let load = Load::start([first.devices, second.devices]);
    load.go_on(50).await;
    cable.set(Traffic::Stall);
    let since = Instant::now();
    until(async || works(alive, "erp").await.as_deref() == Some(name)).await;
    assert!(since.elapsed() < TAKEN_OVER, "{:?}", since.elapsed());
    let lost = "faceway_duty_changes_total{duty=\"lane\",reason=\"lost\"}";
    cut.wait_for_metric(lost, |count| count >= 1.0).await;
    let connected = "faceway_cluster_connected";
    cut.wait_for_metric(connected, |value| value == 0.0).await;
    let mut device = Device::connect(cut.devices).await;
    let answer = device.push(&recognition("PSC8", "cut off")).await.unwrap();
    assert_eq!(answer.status, 503);
    load.go_on(50).await;
    cable.set(Traffic::Cut);
    cable.set(Traffic::Pass);
    cut.wait_for_metric(connected, |value| value == 1.0).await;
    until(async || {
        let mut device = Device::connect(cut.devices).await;
        let answer = device.push(&recognition("PSC9", "back")).await;
        answer.is_ok_and(|answer| answer.is_success())
    })
    .await;
    load.go_on(50).await;
    let answered = load.end().await;
    all_arrived(&receiver, &answered).await;
    first.stop().await;
    second.stop().await;
}

/// An orderly stop hands everything over at once, and nothing is delivered twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_gateway_hands_over_and_repeats_nothing() {
    let nats = Nats::start(Options::single()).await;
    let receiver = Receiver::start().await;
    let [(_site, first), (_other, second)] = two(&nats, &to_erp(&receiver)).await;
    until(async || works(&second, "erp").await.is_some()).await;
    let is_first = works(&first, "erp").await.as_deref() == Some("gw-1");
    let load = Load::start([first.devices, second.devices]);
    load.go_on(100).await;
    let (leaving, staying, name) = if is_first {
        (first, second, "gw-2")
    } else {
        (second, first, "gw-1")
    };
    assert!(leaving.stop().await.success());
    until(async || works(&staying, "erp").await.as_deref() == Some(name)).await;
    load.go_on(100).await;
    let answered = load.end().await;
    all_arrived(&receiver, &answered).await;
    let confirmed = receiver.confirmed();
    let distinct: BTreeSet<&str> = confirmed.iter().map(Received::id).collect();
    assert_eq!(confirmed.len(), distinct.len(), "each once");
    staying.stop().await;
}

/// What one gateway reads anew holds for both, from the same event on: each event goes to one of two receivers, none to both and
/// none to neither.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_at_one_gateway_holds_for_both_from_the_same_event_on() {
    let nats = Nats::start(Options::single()).await;
    let (left, right) = (Receiver::start().await, Receiver::start().await);
    let routes = |to: &str| {
        let outbounds = webhook("left", &left) + &webhook("right", &right);
        [LOBBY, &outbounds, &route("all", &[to])].concat()
    };
    let [(site, first), (other, second)] = two(&nats, &routes("left")).await;
    let load = Load::start([first.devices, second.devices]);
    load.go_on(50).await;
    for to in ["right", "left", "right"] {
        replace(&site, &routes(to));
        assert_eq!(reload(&first).await.0, 200);
        load.go_on(50).await;
    }
    let answered = load.end().await;
    let total: usize = answered.iter().sum();
    until(async || left.confirmed().len() + right.confirmed().len() >= total).await;
    let (on_the_left, on_the_right) = (left.confirmed(), right.confirmed());
    let of = |received: &[Received]| vendor_ids(received).into_iter().collect::<BTreeSet<_>>();
    let (l, r) = (of(&on_the_left), of(&on_the_right));
    assert_eq!(l.intersection(&r).count(), 0, "none to both");
    assert_eq!(l.len() + r.len(), total, "none to neither");
    assert!(l.len() > 50 && r.len() > 50);
    assert_in_order(&on_the_left);
    assert_in_order(&on_the_right);
    // The other gateway has another file than the one in force, and says so.
    second
        .wait_for_metric("faceway_routes_differ", |value| value == 1.0)
        .await;
    assert_eq!(first.metric("faceway_routes_differ").await, 0.0);
    // It goes by what is in force also after a start, and not by its older file.
    second.stop().await;
    let second = other.start().await;
    second
        .wait_for_metric("faceway_routes_differ", |value| value == 1.0)
        .await;
    let before = right.confirmed().len();
    let mut device = Device::connect(second.devices).await;
    assert!(
        device
            .push(&recognition("PSC9", "after"))
            .await
            .unwrap()
            .is_success()
    );
    right.wait_for(before + 1).await;
    first.stop().await;
    second.stop().await;
}

/// Two operators at two gateways at the same moment: their rules come one after the other, and each event goes by one of them.
#[tokio::test(flavor = "multi_thread")]
async fn reloads_at_two_gateways_at_once_come_one_after_the_other() {
    let nats = Nats::start(Options::single()).await;
    let (left, right) = (Receiver::start().await, Receiver::start().await);
    let routes = |to: &str, text: &str| {
        let outbounds = webhook("left", &left) + &webhook("right", &right);
        [LOBBY, &outbounds, &route("all", &[to]), "# ", text, "\n"].concat()
    };
    let [(site, first), (other, second)] = two(&nats, &routes("left", "first")).await;
    let load = Load::start([first.devices, second.devices]);
    load.go_on(20).await;
    for round in 0..8 {
        let (to, back) = if round % 2 == 0 {
            ("right", "left")
        } else {
            ("left", "right")
        };
        replace(&site, &routes(to, &format!("here {round}")));
        replace(&other, &routes(back, &format!("there {round}")));
        let (here, there) = tokio::join!(reload(&first), reload(&second));
        assert_eq!((here.0, there.0), (200, 200), "{here:?} {there:?}");
        load.go_on(20).await;
    }
    let answered = load.end().await;
    let total: usize = answered.iter().sum();
    until(async || left.confirmed().len() + right.confirmed().len() >= total).await;
    let of = |received: &[Received]| vendor_ids(received).into_iter().collect::<BTreeSet<_>>();
    let (l, r) = (of(&left.confirmed()), of(&right.confirmed()));
    assert_eq!(l.intersection(&r).count(), 0, "none to both");
    assert_eq!(l.len() + r.len(), total, "none to neither");
    // In the end both go by the same.
    let rules = async |gateway: &Gateway| {
        let (_, body) = gateway.get("/api/v1/cluster").await;
        let cluster: Value = serde_json::from_str(&body).unwrap();
        let members = cluster["members"].as_array().unwrap().clone();
        members
            .iter()
            .map(|one| one["rules"].as_u64().unwrap())
            .collect::<BTreeSet<_>>()
    };
    until(async || rules(&first).await.len() == 1).await;
    let differ = "faceway_routes_differ";
    until(async || first.metric(differ).await + second.metric(differ).await == 1.0).await;
    first.stop().await;
    second.stop().await;
}

/// Servers die one after the other, then all of them: what was answered is delivered in order, and nothing has to be started
/// anew at the gateways.
#[tokio::test(flavor = "multi_thread")]
async fn servers_that_die_under_load_cost_nothing_that_was_answered() {
    let nats = Nats::start(Options::cluster()).await;
    let receiver = Receiver::start().await;
    let [(_site, first), (_other, second)] = two(&nats, &to_erp(&receiver)).await;
    let load = Load::start([first.devices, second.devices]);
    load.go_on(50).await;
    for server in 0..3 {
        nats.kill(server);
        load.go_on(50).await;
        nats.run(server);
        nats.wait().await;
        load.go_on(50).await;
    }
    for server in 0..3 {
        nats.kill(server);
    }
    for server in 0..3 {
        nats.run(server);
    }
    nats.wait().await;
    load.go_on(50).await;
    let answered = load.end().await;
    all_arrived(&receiver, &answered).await;
    first.stop().await;
    second.stop().await;
}

/// A source has one connection, whichever gateway keeps it.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_dialled_by_one_gateway_at_a_time() {
    let nats = Nats::start(Options::single()).await;
    let (receiver, platform) = (Receiver::start().await, Platform::start().await);
    let routes = format!(
        "[inbound.omni.campus]\nurl = \"{}/event-service/ws?endpoint_id=7\"\n{}{}",
        platform.url(),
        webhook("erp", &receiver),
        route("all", &["erp"])
    );
    let [(_site, first), (_other, second)] = two(&nats, &routes).await;
    let connection = platform.connection().await;
    let connected = "faceway_inbound_connected{inbound=\"campus\"}";
    until(async || first.metric(connected).await + second.metric(connected).await == 1.0).await;
    let is_first = first.metric(connected).await == 1.0;
    assert_eq!(platform.accepted(), 1);
    let (gone, alive) = if is_first {
        (first, second)
    } else {
        (second, first)
    };
    gone.kill().await;
    let killed = Instant::now();
    drop(connection);
    let _again = platform.connection().await;
    assert!(killed.elapsed() < TAKEN_OVER, "{:?}", killed.elapsed());
    alive.wait_for_metric(connected, |value| value == 1.0).await;
    assert_eq!(platform.accepted(), 2);
    alive.stop().await;
}

/// What an operator asks at one gateway is done by the one that works the lane.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_repairs_a_lane_at_any_gateway() {
    let nats = Nats::start(Options::single()).await;
    let receiver = Receiver::start().await;
    let routes = to_erp(&receiver);
    let [(site, first), (other, second)] = two(&nats, &routes).await;
    until(async || works(&second, "erp").await.is_some()).await;
    let is_first = works(&first, "erp").await.as_deref() == Some("gw-1");
    let (owner, asked) = if is_first {
        (&first, (&other, &second))
    } else {
        (&second, (&site, &first))
    };
    receiver.script_for("bad", None);
    let mut device = Device::connect(owner.devices).await;
    let bad = recognition("PSC1", "bad");
    let id = event_id(&bad);
    receiver.script_for(id, Some(Behaviour::status(422)));
    for body in [
        recognition("PSC2", "good-1"),
        bad,
        recognition("PSC2", "good-2"),
    ] {
        assert!(device.push(&body).await.unwrap().is_success());
    }
    // Kept, and seen from over there.
    until(async || asked.1.get("/api/v1/buried").await.1.contains("erp")).await;
    receiver.script_for(id, None);
    let told = asked
        .0
        .ask(asked.1, &["buried", "revive", "--to", "erp", "--all"])
        .await;
    assert!(told.contains('1'), "{told}");
    receiver
        .wait_until(|received| {
            vendor_ids(received)
                .iter()
                .filter(|id| *id == "bad")
                .count()
                >= 2
        })
        .await;
    owner.buried("erp", 0).await;
    let told = asked
        .0
        .ask(asked.1, &["replay", "--to", "erp", "--since", "1h"])
        .await;
    assert!(told.contains("3 events"), "{told}");
    until(async || receiver.confirmed().len() >= 6).await;
    let told = asked.0.ask(asked.1, &["lanes", "probe", "erp"]).await;
    assert!(told.contains("does not wait for its destination"), "{told}");
    first.stop().await;
    second.stop().await;
}
