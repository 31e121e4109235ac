//! Brokers that do not speak what is configured: only MQTT 3.1.1, or no QoS 2.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use faceway_core::Outbound as _;
use faceway_outbound_mqtt::MqttSettings;

use crate::home::seen;
use crate::peer::{Answer, CONNECT, PING, PUBLISH, Packet, Peer, SUBSCRIBE};
use crate::{PATIENT, deliver, delivered, mqtt, outage, settings, until_delivered};
use faceway_testkit::lines::Lines;

const HINT: &str = "write `version = 4`";

/// Takes everything in MQTT 3.1.1.
fn old(packet: &Packet) -> Answer {
    Answer::Say(match packet.kind {
        CONNECT => vec![0x20, 2, 0, 0],
        PUBLISH if packet.qos() > 0 => vec![0x40, 2, packet.id[0], packet.id[1]],
        PING => vec![0xD0, 0],
        SUBSCRIBE => vec![0x90, 4, packet.body[0], packet.body[1], 0, 0],
        _ => Vec::new(),
    })
}

/// A broker of MQTT 3.1.1 that does this at a greeting of MQTT 5.
async fn only_old(at_new: impl Fn() -> Answer + Send + Sync + 'static) -> Peer {
    let is_new = |packet: &Packet| packet.kind == CONNECT && packet.version() == 5;
    let answer = move |packet: &Packet| match is_new(packet) {
        true => at_new(),
        false => old(packet),
    };
    Peer::start(answer).await
}

fn to(peer: &Peer, fall_back: bool) -> MqttSettings {
    let mut settings = settings(peer.address);
    settings.fall_back = fall_back;
    settings.status_topic = Some("faceway/status/test".into());
    settings
}

/// MQTT 3.1.1's own refusal, whatever its code, and MQTT 5's.
const REFUSALS: [&[u8]; 4] = [
    &[0x20, 2, 0, 1],
    &[0x20, 2, 0, 0],
    &[0x20, 2, 0, 5],
    &[0x20, 3, 0, 0x84, 0],
];

#[tokio::test]
async fn a_broker_that_says_that_it_speaks_only_3_1_1_gets_3_1_1() {
    for refusal in REFUSALS {
        let (lines, _listening) = Lines::listen();
        let peer = only_old(|| Answer::HangUp(refusal.to_vec())).await;
        let mqtt = mqtt(to(&peer, true));
        assert_eq!(deliver(&mqtt, "one").await, outage("version"));
        for text in ["one", "two"] {
            assert_eq!(deliver(&mqtt, text).await, delivered("puback"));
        }
        assert_eq!(lines.with(HINT), 1, "{:?}", lines.all());
        assert_eq!(lines.all().len(), 1, "{:?}", lines.all());
    }
}

/// What is said to Home Assistant, on its own connection, goes out in the older version too, and the operator is told
/// no more than without it. Also where the broker hangs up in place of an answer.
#[tokio::test]
async fn devices_are_announced_in_the_version_that_the_broker_speaks() {
    for (refusal, told) in [(REFUSALS[0], 1), (REFUSALS[3], 1), (&[], 2)] {
        let (lines, _listening) = Lines::listen();
        let announced = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&announced);
        let peer = Peer::start(move |packet| {
            let new = packet.kind == CONNECT && packet.version() == 5;
            let is_ours = packet.kind == PUBLISH && packet.topic().ends_with("/config");
            counted.fetch_add(usize::from(is_ours), Ordering::SeqCst);
            match new {
                true => Answer::HangUp(refusal.to_vec()),
                false => old(packet),
            }
        })
        .await;
        let mut settings = to(&peer, true);
        settings.home_assistant = true;
        let mqtt = mqtt(settings);
        for at in 0..2 {
            until_delivered(&mqtt, &seen("SN-1", at)).await;
        }
        assert_eq!(announced.load(Ordering::SeqCst), 1, "{:?}", lines.all());
        assert_eq!(lines.with(HINT), told, "{:?}", lines.all());
        assert_eq!(lines.all().len(), told, "{:?}", lines.all());
    }
}

/// The one attempt of a start must do.
#[tokio::test]
async fn devices_are_taken_back_in_the_version_that_the_broker_speaks() {
    let (asked, mut asks) = tokio::sync::watch::channel(false);
    let peer = Peer::start(move |packet| {
        if packet.kind == SUBSCRIBE {
            asked.send_replace(true);
        }
        match packet.kind == CONNECT && packet.version() == 5 {
            true => Answer::HangUp(REFUSALS[0].to_vec()),
            false => old(packet),
        }
    })
    .await;
    let mut settings = to(&peer, true);
    settings.withdraw = true;
    let mqtt = mqtt(settings);
    mqtt.open();
    let asked = tokio::time::timeout(PATIENT, asks.wait_for(|asked| *asked)).await;
    asked.expect("it is asked what it keeps").unwrap();
}

/// Where messages say what only MQTT 5 can carry, the operator decides.
#[tokio::test]
async fn a_broker_of_3_1_1_is_named_where_it_cannot_be_given_in_to() {
    for refusal in REFUSALS {
        let (lines, _listening) = Lines::listen();
        let peer = only_old(|| Answer::HangUp(refusal.to_vec())).await;
        let mqtt = mqtt(to(&peer, false));
        for text in ["one", "one", "one", "one"] {
            assert_eq!(deliver(&mqtt, text).await, outage("version"));
        }
        assert_eq!(lines.with(HINT), 1, "{:?}", lines.all());
        assert_eq!(lines.all().len(), 1, "{:?}", lines.all());
    }
}

/// A broker of MQTT 5 alone says so in its own words too.
#[tokio::test]
async fn a_broker_of_mqtt_5_alone_is_named() {
    for refusal in [&[0x20, 3, 0, 0x84, 0][..], &[0x20, 2, 0, 1]] {
        let (lines, _listening) = Lines::listen();
        let peer = Peer::start(|_| Answer::HangUp(refusal.to_vec())).await;
        let mut settings = to(&peer, true);
        settings.version = 4;
        let mqtt = mqtt(settings);
        for _ in 0..3 {
            assert_eq!(deliver(&mqtt, "one").await, outage("version"));
        }
        assert_eq!(lines.with("write `version = 5`"), 1, "{:?}", lines.all());
        assert_eq!(lines.all().len(), 1, "{:?}", lines.all());
    }
}

/// It refuses both: the outage has its word, and the operator one line.
#[tokio::test]
async fn a_broker_that_takes_no_version_is_told_once() {
    let (lines, _listening) = Lines::listen();
    let peer = Peer::start(|_| Answer::HangUp(vec![0x20, 2, 0, 1])).await;
    let mqtt = mqtt(to(&peer, true));
    for _ in 0..5 {
        assert_eq!(deliver(&mqtt, "one").await, outage("version"));
    }
    assert_eq!(lines.with(HINT), 1, "{:?}", lines.all());
    assert_eq!(lines.all().len(), 1, "{:?}", lines.all());
}

#[tokio::test]
async fn a_greeting_that_is_hung_up_on_brings_the_hint_at_the_third_try() {
    let (lines, _listening) = Lines::listen();
    let peer = only_old(|| Answer::HangUp(Vec::new())).await;
    let strict = mqtt(to(&peer, false));
    for at in 1..=6 {
        assert_eq!(deliver(&strict, "one").await, outage("closed"));
        let told = usize::from(at >= 3);
        assert_eq!(lines.with(HINT), told, "try {at}: {:?}", lines.all());
    }
    drop(strict);
    // The same, where the older version may be spoken: found out at the same try.
    let (lines, _listening) = Lines::listen();
    let mqtt = mqtt(to(&peer, true));
    for _ in 0..2 {
        assert_eq!(deliver(&mqtt, "one").await, outage("closed"));
        assert_eq!(lines.all().len(), 0, "{:?}", lines.all());
    }
    assert_eq!(deliver(&mqtt, "one").await, delivered("puback"));
    assert_eq!(lines.with(HINT), 2, "the hint, and what came of it");
    assert_eq!(lines.all().len(), 2, "{:?}", lines.all());
}

/// aMQTT says nothing and keeps the connection.
#[tokio::test]
async fn a_greeting_without_any_answer_brings_the_hint_at_the_third_try() {
    let (lines, _listening) = Lines::listen();
    let peer = only_old(|| Answer::Say(Vec::new())).await;
    let mut settings = to(&peer, true);
    settings.timeout = Duration::from_millis(300);
    let mqtt = mqtt(settings);
    let mut tries = 0;
    while deliver(&mqtt, "one").await == outage("timeout") {
        tries += 1;
        assert!(tries < 20, "{:?}", lines.all());
    }
    assert!(tries >= 3);
    assert_eq!(lines.with(HINT), 2, "{:?}", lines.all());
    assert_eq!(lines.all().len(), 2, "{:?}", lines.all());
    assert_eq!(deliver(&mqtt, "two").await, delivered("puback"));
}

/// It has spoken MQTT 5 before; that it hangs up now has other reasons.
#[tokio::test]
async fn a_broker_that_has_spoken_mqtt_5_is_not_taken_for_an_older_one() {
    let (lines, _listening) = Lines::listen();
    let versions = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&versions);
    let peer = Peer::start(move |packet| {
        if packet.kind == CONNECT {
            seen.lock().unwrap().push(packet.version());
        }
        match (packet.kind, packet.connection) {
            (CONNECT, 1) => Answer::Say(vec![0x20, 3, 0, 0, 0]),
            (PUBLISH, 1) => Answer::HangUp(vec![0x40, 2, packet.id[0], packet.id[1]]),
            (PING, 1) => Answer::Say(vec![0xD0, 0]),
            _ => Answer::HangUp(Vec::new()),
        }
    })
    .await;
    let mut settings = to(&peer, true);
    settings.status_topic = None;
    let mqtt = mqtt(settings);
    assert_eq!(deliver(&mqtt, "one").await, delivered("puback"));
    for _ in 0..6 {
        deliver(&mqtt, "two").await;
    }
    assert!(versions.lock().unwrap().iter().all(|version| *version == 5));
    assert_eq!(lines.with("version"), 0, "{:?}", lines.all());
}

/// RabbitMQ before 3.13 does it with 3.1.1.
#[tokio::test]
async fn what_is_acknowledged_in_place_of_received_is_delivered_and_not_sent_again() {
    let (lines, _listening) = Lines::listen();
    let published = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&published);
    let peer = Peer::start(move |packet| {
        counted.fetch_add(usize::from(packet.kind == PUBLISH), Ordering::SeqCst);
        old(packet)
    })
    .await;
    let mut settings = settings(peer.address);
    (settings.version, settings.qos) = (4, 2);
    let mqtt = mqtt(settings);
    for at in 0..5 {
        let verdict = deliver(&mqtt, &format!("event {at}")).await;
        assert_eq!(verdict, delivered("puback"));
    }
    assert_eq!(published.load(Ordering::SeqCst), 5);
    assert_eq!(lines.with("write `qos = 1`"), 1, "{:?}", lines.all());
    assert_eq!(lines.all().len(), 1, "{:?}", lines.all());
}

/// NATS 2.9 has no QoS 2.
#[tokio::test]
async fn messages_that_are_hung_up_on_bring_the_hint_at_the_third_time() {
    for (qos, retain, hint) in [
        (2, false, "write `qos = 1`"),
        (1, true, "write `retain = false`"),
        (1, false, "the user publish to this topic"),
    ] {
        let (lines, _listening) = Lines::listen();
        let peer = Peer::start(|packet| match packet.kind {
            PUBLISH => Answer::HangUp(Vec::new()),
            _ => old(packet),
        })
        .await;
        let mut settings = settings(peer.address);
        (settings.version, settings.qos, settings.retain) = (4, qos, retain);
        let mqtt = mqtt(settings);
        for at in 1..=6 {
            assert_eq!(deliver(&mqtt, "one").await, outage("closed"));
            let told = usize::from(at >= 3);
            assert_eq!(lines.with(hint), told, "{at}: {:?}", lines.all());
            assert_eq!(lines.all().len(), told, "{at}: {:?}", lines.all());
        }
    }
}
