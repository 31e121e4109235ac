//! A broker that does not want announcements gets the events all the same.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinSet;

use super::*;
use crate::PATIENT;
use crate::peer::{self, Answer, CONNECT, PING, PUBLISH, Packet, Peer, SUBSCRIBE};
use faceway_testkit::lines::Lines;

/// More devices at once than the window has places, and none of the announcements is allowed. This broker ends the
/// connection when it has refused a message.
#[tokio::test]
async fn announcements_that_are_refused_break_no_delivery() {
    for version in VERSIONS {
        let options = Options {
            access: Some("topic write faceway/#\n".into()),
            ..Options::default()
        };
        let broker = Mosquitto::start(options).await;
        let subscriber = Subscriber::start(&broker, 1).await;
        let mut settings = announcing(&broker, version);
        settings.window = 3;
        let mqtt = Arc::new(mqtt(settings));
        let mut deliveries = JoinSet::new();
        for at in 0..40 {
            let mqtt = Arc::clone(&mqtt);
            let message = seen(&format!("SN-{at}"), 0);
            deliveries.spawn(async move { mqtt.deliver(&message).await });
        }
        for verdict in deliveries.join_all().await {
            is_delivered(&verdict);
        }
        subscriber.catch_up().await;
        let topics: HashSet<_> = topics(&subscriber).into_iter().collect();
        assert_eq!(topics.len(), 40, "{topics:?}");
    }
}

/// Else Home Assistant would wait for `online` for ever.
#[tokio::test]
async fn a_status_that_is_refused_is_not_what_devices_depend_on() {
    let options = Options {
        access: Some("topic write faceway/lobby/#\ntopic homeassistant/#\n".into()),
        ..Options::default()
    };
    let broker = Mosquitto::start(options).await;
    let subscriber = Subscriber::start(&broker, 1).await;
    let mqtt = mqtt(announcing(&broker, 5));
    // Whether it was refused before the first is announced or after: with the second it is known.
    for at in 0..2 {
        until_delivered(&mqtt, &unpictured("SN-1", at)).await;
    }
    subscriber.catch_up().await;
    let said = payloads(&subscriber, &config("SN-1"));
    let last: Value = serde_json::from_str(said.last().unwrap()).unwrap();
    assert_eq!(last["availability_topic"], Value::Null);
}

/// Whether a packet is of the connection that announces.
fn is_home(packet: &Packet) -> bool {
    packet
        .body
        .windows(17)
        .any(|bytes| bytes == b"faceway-test-home")
}

/// A broker that speaks with a client that announces as `home` says, and with deliveries as it should.
async fn peer(home: impl Fn(&Packet) -> Option<Vec<u8>> + Send + Sync + 'static) -> Peer {
    let homes = Mutex::new(HashSet::new());
    let common = peer::broker(|packet| peer::reason(4, packet, 0));
    Peer::start(move |packet| {
        let mut homes = homes.lock().unwrap();
        if packet.kind == CONNECT && is_home(packet) {
            homes.insert(packet.connection);
        }
        let said = homes.contains(&packet.connection).then(|| home(packet));
        said.flatten().unwrap_or_else(|| common(packet))
    })
    .await
}

fn to_settings(peer: &Peer) -> MqttSettings {
    let mut settings = settings(peer.address);
    settings.home_assistant = true;
    settings
}

fn to(peer: &Peer) -> Mqtt {
    mqtt(to_settings(peer))
}

/// `DISCONNECT` for no reason that is told.
const BYE: [u8; 2] = [0xE0, 0];

/// `SUBACK`, with the same reason for both filters.
fn subscribed(packet: &Packet, reason: u8) -> Option<Vec<u8>> {
    let id = packet.body.get(..2)?;
    let answer = vec![0x90, 5, id[0], id[1], 0, reason, reason];
    (packet.kind == SUBSCRIBE).then_some(answer)
}

#[tokio::test]
async fn a_subscription_that_is_refused_only_costs_the_memory() {
    let peer = peer(|packet| subscribed(packet, 0x87)).await;
    let began = Instant::now();
    deliver(&to(&peer), &seen("SN-1", 0)).await;
    assert!(began.elapsed() >= HOLD, "it is announced");
}

#[tokio::test]
async fn a_broker_that_says_nothing_to_a_subscription_gets_the_events() {
    let peer = peer(|packet| match packet.kind {
        SUBSCRIBE | PING => Some(Vec::new()),
        _ => None,
    })
    .await;
    deliver(&to(&peer), &seen("SN-1", 0)).await;
}

#[tokio::test]
async fn a_broker_that_hangs_up_at_a_subscription_is_not_asked_again() {
    let peer = peer(|packet| (packet.kind == SUBSCRIBE).then(|| BYE.to_vec())).await;
    let mqtt = to(&peer);
    deliver(&mqtt, &seen("SN-1", 0)).await;
    let began = Instant::now();
    deliver(&mqtt, &seen("SN-2", 0)).await;
    assert!(began.elapsed() >= HOLD, "it is announced without");
}

/// It takes neither a connection beside the other nor what is said on it. Events leave at once after the first.
#[tokio::test]
async fn a_broker_that_ends_every_such_connection_is_left_alone() {
    for kind in [CONNECT, PUBLISH] {
        let tried = Arc::new(Mutex::new(0));
        let count = Arc::clone(&tried);
        let peer = peer(move |packet| {
            let ends = packet.kind == kind;
            *count.lock().unwrap() += usize::from(ends);
            let refused = vec![0x20, 3, 0, 0x87, 0];
            let ends = ends.then(|| {
                if kind == CONNECT {
                    refused
                } else {
                    BYE.to_vec()
                }
            });
            ends.or_else(|| subscribed(packet, 0))
        })
        .await;
        let mqtt = to(&peer);
        for at in 0..20 {
            deliver(&mqtt, &seen(&format!("SN-{at}"), at)).await;
        }
        let tried = *tried.lock().unwrap();
        assert!(tried <= 3, "{tried} times");
    }
}

/// A wrong password, or a version that is not spoken: that is told of the connection of the events. Once it is put right,
/// devices are announced at once.
#[tokio::test]
async fn what_keeps_events_out_too_is_not_held_against_announcements() {
    for code in [0x84, 0x86, 0x87, 0x88, 0x89] {
        let (lines, _listening) = Lines::listen();
        let (let_in, announced) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let (lets, notes) = (Arc::clone(&let_in), Arc::<AtomicBool>::clone(&announced));
        let common = peer::broker(|packet| peer::reason(4, packet, 0));
        let peer = Peer::start(move |packet| {
            let announces = packet.kind == PUBLISH && packet.topic().ends_with("/config");
            notes.fetch_or(announces, Ordering::SeqCst);
            match packet.kind == CONNECT && !lets.load(Ordering::SeqCst) {
                true => Answer::HangUp(vec![0x20, 3, 0, code, 0]),
                false => subscribed(packet, 0)
                    .unwrap_or_else(|| common(packet))
                    .into(),
            }
        })
        .await;
        let mut settings = to_settings(&peer);
        settings.fall_back = false;
        let mqtt = mqtt(settings);
        for at in 0..3 {
            let verdict = mqtt.deliver(&seen("SN-1", at)).await;
            assert!(matches!(verdict, Verdict::Retry { .. }), "{verdict:?}");
        }
        let_in.store(true, Ordering::SeqCst);
        let until_announced = async {
            for at in 3.. {
                until_delivered(&mqtt, &seen("SN-1", at)).await;
                if announced.load(Ordering::SeqCst) {
                    return;
                }
            }
        };
        let in_time = tokio::time::timeout(PATIENT, until_announced).await;
        in_time.expect("it is announced");
        assert_eq!(lines.all().len(), 1, "{code:#x}: {:?}", lines.all());
    }
}

/// It never welcomes such a connection, or never confirms what is said on it. Only the first events wait for that.
#[tokio::test]
async fn a_broker_that_says_nothing_on_such_a_connection_holds_no_event_for_ever() {
    for kind in [CONNECT, PUBLISH] {
        let tried = Arc::new(Mutex::new(0));
        let count = Arc::clone(&tried);
        let peer = peer(move |packet| {
            let silent = packet.kind == kind;
            *count.lock().unwrap() += usize::from(silent);
            let silent = silent.then(Vec::new);
            silent.or_else(|| subscribed(packet, 0))
        })
        .await;
        let mut settings = to_settings(&peer);
        settings.timeout = Duration::from_secs(2);
        let mqtt = mqtt(settings);
        for at in 0..200 {
            deliver(&mqtt, &seen("SN-1", at)).await;
        }
        let tried = *tried.lock().unwrap();
        assert!(tried <= 6, "{tried} times");
    }
}

/// Any client may publish where we listen.
#[tokio::test]
async fn what_is_too_large_where_we_listen_is_passed_over() {
    for version in VERSIONS {
        let broker = broker().await;
        let large = "x".repeat(100_000);
        broker.publish("homeassistant/status", &large, true).await;
        let foreign = "homeassistant/device/faceway/0000000000000001/config";
        broker.publish(foreign, &large, true).await;
        let first = mqtt(announcing(&broker, version));
        until_delivered(&first, &seen("SN-1", 0)).await;
        first.close().await;
        let second = Arc::new(mqtt(announcing(&broker, version)));
        only_the_new_one_waits(&second, "SN-1", "SN-2").await;
    }
}
