//! What we say ourselves, and a broker does not want: the status, the last will, announcements. Events arrive all the same.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use faceway_core::Outbound as _;
use faceway_outbound_mqtt::MqttSettings;
use faceway_testkit::broker::mosquitto::{Mosquitto, Options, Subscriber};

use crate::home::{STATUS, seen};
use crate::peer::{Answer, CONNECT, PING, PUBLISH, Packet, Peer, SUBSCRIBE};
use crate::{VERSIONS, delivered, mqtt, settings, until_delivered};
use faceway_testkit::lines::Lines;

/// With everything that we may say.
fn talkative(address: std::net::SocketAddr, version: u8) -> MqttSettings {
    let mut settings = settings(address);
    settings.version = version;
    settings.home_assistant = true;
    settings.status_topic = Some(STATUS.into());
    settings
}

/// What is at `kind` of our own messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ours {
    Will,
    Status,
    Announcement,
}

const OURS: [Ours; 3] = [Ours::Will, Ours::Status, Ours::Announcement];

fn ours(packet: &Packet) -> Option<Ours> {
    match packet.kind {
        CONNECT if packet.has_will() => Some(Ours::Will),
        PUBLISH if packet.topic() == STATUS => Some(Ours::Status),
        PUBLISH if packet.topic().starts_with("homeassistant/") => Some(Ours::Announcement),
        _ => None,
    }
}

fn welcome(version: u8) -> Vec<u8> {
    match version {
        5 => vec![0x20, 3, 0, 0, 0],
        _ => vec![0x20, 2, 0, 0],
    }
}

/// What a broker says that takes everything.
fn takes(packet: &Packet) -> Vec<u8> {
    match packet.kind {
        CONNECT => welcome(packet.version()),
        PUBLISH if packet.qos() == 1 => vec![0x40, 2, packet.id[0], packet.id[1]],
        PING => vec![0xD0, 0],
        // Read as MQTT 3.1.1, it grants one filter more.
        SUBSCRIBE => vec![0x90, 5, packet.body[0], packet.body[1], 0, 0, 0],
        _ => Vec::new(),
    }
}

/// What came to a peer, in order: ours, and topics of events.
type Came = Arc<Mutex<Vec<Result<String, Ours>>>>;

/// Of a packet that announces a device: whether it says where the status is.
fn is_available(packet: &Packet) -> Option<bool> {
    let announces = ours(packet) == Some(Ours::Announcement);
    let configures = announces && packet.topic().ends_with("/config");
    let mut names = packet.body.windows(18);
    configures.then(|| names.any(|name| name == b"availability_topic"))
}

fn note(came: &Came, packet: &Packet) {
    let mut came = came.lock().unwrap();
    match ours(packet) {
        Some(ours) => came.push(Err(ours)),
        None if packet.kind == PUBLISH => came.push(Ok(packet.topic())),
        None => {}
    }
}

fn count(came: &Came, what: Ours) -> usize {
    let came = came.lock().unwrap();
    came.iter().filter(|one| **one == Err(what)).count()
}

fn events(came: &Came) -> Vec<String> {
    came.lock().unwrap().iter().flatten().cloned().collect()
}

#[tokio::test]
async fn a_broker_without_retained_messages_gets_the_events() {
    for version in VERSIONS {
        let (lines, _listening) = Lines::listen();
        let options = Options {
            no_retain: true,
            ..Options::default()
        };
        let mut broker = Mosquitto::start(options).await;
        let subscriber = Subscriber::start(&broker, 1).await;
        let mqtt = mqtt(talkative(broker.address(), version));
        for device in ["SN-1", "SN-2"] {
            for at in 0..3 {
                let verdict = mqtt.deliver(&seen(device, at)).await;
                assert_eq!(verdict, delivered("puback"), "version {version}");
            }
        }
        subscriber.catch_up().await;
        assert_eq!(subscriber.got().len(), 6, "{:?}", subscriber.got());
        // One for the status and the last will, one for announcements; MQTT 3.1.1 has no word for the reason.
        let told = match version {
            5 => 2,
            _ => OURS.len(),
        };
        assert_eq!(lines.all().len(), told, "{:?}", lines.all());
        for possible in ["retained messages", "status", "last will", "announcements"] {
            assert!(lines.with(possible) > 0, "{possible}: {:?}", lines.all());
        }
        // Neither is tried again on the next connection, nor told.
        broker.kill().await;
        broker.run().await;
        subscriber.catch_up().await;
        until_delivered(&mqtt, &seen("SN-3", 0)).await;
        mqtt.close().await;
        subscriber.catch_up().await;
        assert_eq!(subscriber.got().len(), 7, "{:?}", subscriber.got());
        assert_eq!(lines.all().len(), told, "{:?}", lines.all());
    }
}

#[tokio::test]
async fn a_user_who_may_write_events_alone_gets_them_out() {
    for version in VERSIONS {
        let (lines, _listening) = Lines::listen();
        let options = Options {
            access: Some("topic write faceway/lobby/#\n".into()),
            ..Options::default()
        };
        let broker = Mosquitto::start(options).await;
        let subscriber = Subscriber::start(&broker, 1).await;
        let mqtt = mqtt(talkative(broker.address(), version));
        for device in ["SN-1", "SN-2"] {
            for at in 0..3 {
                until_delivered(&mqtt, &seen(device, at)).await;
            }
        }
        mqtt.close().await;
        subscriber.catch_up().await;
        assert_eq!(subscriber.got().len(), 6, "{:?}", subscriber.got());
        // MQTT 3.1.1 has no word for it: this broker ends the connection (2.0.11), or drops such messages with a PUBACK.
        for topic in [STATUS, "homeassistant/#"] {
            let told = lines.with(topic);
            let fine = if version == 5 { told == 1 } else { told <= 1 };
            assert!(fine, "version {version}: {:?}", lines.all());
        }
        assert!(lines.all().len() <= 2, "{:?}", lines.all());
    }
}

/// The broker ends the connection at one of ours, and takes all else: that one is left out, and the others are not.
#[tokio::test]
async fn each_of_ours_is_left_out_for_itself() {
    for version in VERSIONS {
        for qos in [0, 1] {
            for unwanted in OURS {
                let case = format!("{unwanted:?}, version {version}, qos {qos}");
                let (lines, _listening) = Lines::listen();
                let came = Came::default();
                let noted = Arc::clone(&came);
                let last_announced = Arc::new(Mutex::new(None));
                let announced = Arc::clone(&last_announced);
                let peer = Peer::start(move |packet| {
                    note(&noted, packet);
                    if let Some(available) = is_available(packet) {
                        *announced.lock().unwrap() = Some(available);
                    }
                    match ours(packet) == Some(unwanted) {
                        true => Answer::HangUp(Vec::new()),
                        false => takes(packet).into(),
                    }
                })
                .await;
                let mut settings = talkative(peer.address, version);
                settings.qos = qos;
                let mqtt = mqtt(settings);
                mqtt.start();
                for (device, at) in [("SN-1", 0), ("SN-1", 1), ("SN-2", 0)] {
                    until_delivered(&mqtt, &seen(device, at)).await;
                }
                mqtt.close().await;
                assert_eq!(lines.all().len(), 1, "{case}: {:?}", lines.all());
                let events = events(&came);
                let last = events.last().map(String::as_str);
                assert_eq!(last, Some("faceway/lobby/SN-2/recognition"), "{case}");
                assert_eq!(events.len(), 3, "{case}: {events:?}");
                // Where nothing is at the topic of the status, a device would be unavailable for ever.
                let available = Some(unwanted != Ours::Status);
                assert_eq!(*last_announced.lock().unwrap(), available, "{case}");
                assert!(count(&came, unwanted) <= 3, "{case}: tried no more");
                for wanted in OURS.into_iter().filter(|one| *one != unwanted) {
                    // Without the status the last will would be half of it.
                    assert!(count(&came, wanted) > 0, "{case}: no {wanted:?}");
                }
            }
        }
    }
}

/// The same, in the words that a broker may have for it.
#[tokio::test]
async fn a_refusal_in_words_leaves_out_what_it_is_about() {
    let connack = |code| vec![0x20, 3, 0, code, 0];
    let goodbye = |code| vec![0xE0, 1, code];
    for (version, unwanted, words) in [
        (4, Ours::Will, vec![0x20, 2, 0, 5]),
        (5, Ours::Will, connack(0x80)),
        (5, Ours::Will, connack(0x87)),
        (5, Ours::Will, connack(0x90)),
        (5, Ours::Will, connack(0x9A)),
        (5, Ours::Will, connack(0x9B)),
        (5, Ours::Status, goodbye(0x87)),
        (5, Ours::Status, goodbye(0x9A)),
        (
            5,
            Ours::Status,
            [vec![0x40, 3, 0, 1, 0x87], goodbye(0x87)].concat(),
        ),
        (5, Ours::Status, vec![0x40, 3, 0, 1, 0x87]),
        (5, Ours::Announcement, vec![0x40, 3, 0, 2, 0x87]),
        (5, Ours::Announcement, goodbye(0x9A)),
        (5, Ours::Announcement, goodbye(0x87)),
    ] {
        let case = format!("{unwanted:?}, version {version}, {words:x?}");
        let (lines, _listening) = Lines::listen();
        let came = Came::default();
        let noted = Arc::clone(&came);
        let peer = Peer::start(move |packet| {
            note(&noted, packet);
            match ours(packet) == Some(unwanted) {
                true => Answer::HangUp(words.clone()),
                false => takes(packet).into(),
            }
        })
        .await;
        let mqtt = mqtt(talkative(peer.address, version));
        for at in 0..3 {
            until_delivered(&mqtt, &seen("SN-1", at)).await;
        }
        mqtt.close().await;
        assert_eq!(lines.all().len(), 1, "{case}: {:?}", lines.all());
        assert!(count(&came, unwanted) <= 3, "{case}: tried no more");
        for wanted in OURS.into_iter().filter(|one| *one != unwanted) {
            assert!(count(&came, wanted) > 0, "{case}: no {wanted:?}");
        }
    }
}

/// Also with a window of one message, as a broker may tell. What holds for announcements is in `home/refused.rs`.
#[tokio::test]
async fn ours_that_stay_unconfirmed_hold_nothing_back() {
    unconfirmed(1, true).await;
}

/// Nor does it answer pings.
#[tokio::test]
async fn ours_that_are_not_answered_at_all_hold_nothing_back() {
    for qos in [0, 1] {
        unconfirmed(qos, false).await;
    }
}

async fn unconfirmed(qos: u8, pongs: bool) {
    let devices = if pongs { 20 } else { 2 };
    for version in VERSIONS {
        let came = Came::default();
        let noted = Arc::clone(&came);
        let peer = Peer::start(move |packet| {
            note(&noted, packet);
            match packet.kind {
                CONNECT if version == 5 => vec![0x20, 6, 0, 0, 3, 33, 0, 1],
                PUBLISH if ours(packet).is_some() => Vec::new(),
                PING if !pongs => Vec::new(),
                _ => takes(packet),
            }
        })
        .await;
        let mut settings = talkative(peer.address, version);
        settings.home_assistant = false;
        settings.qos = qos;
        let mqtt = mqtt(settings);
        let word = if qos == 0 { "sent" } else { "puback" };
        for at in 0..devices {
            let message = seen(&format!("SN-{at}"), 0);
            let deliver = tokio::time::timeout(Duration::from_secs(20), mqtt.deliver(&message));
            assert_eq!(deliver.await.unwrap(), delivered(word));
        }
        assert_eq!(count(&came, Ours::Will), 1, "one connection is enough");
    }
}

/// A broker that is away looks the same at first; nothing is left out for that.
#[tokio::test]
async fn an_outage_is_not_held_against_what_we_say() {
    for version in VERSIONS {
        for at in [CONNECT, PUBLISH] {
            for away in [&[1][..], &[1, 2], &[1, 3, 5], &[1, 2, 3, 4, 5, 6, 7]] {
                let (lines, _listening) = Lines::listen();
                let came = Came::default();
                let noted = Arc::clone(&came);
                let peer = Peer::start(move |packet| {
                    note(&noted, packet);
                    let ends = (at == CONNECT) == (packet.kind == CONNECT);
                    match ends && away.contains(&packet.connection) {
                        true => Answer::HangUp(Vec::new()),
                        false => takes(packet).into(),
                    }
                })
                .await;
                let mut settings = talkative(peer.address, version);
                // It would take connections that are counted here.
                settings.home_assistant = false;
                settings.fall_back = false;
                let mqtt = mqtt(settings);
                // What had to be certain was asked again, with everything.
                for event in 0..3 {
                    until_delivered(&mqtt, &seen("SN-1", event)).await;
                }
                mqtt.close().await;
                let case = format!("version {version}, {at}, {away:?}: {:?}", lines.all());
                let came = came.lock().unwrap();
                assert_eq!(came.last(), Some(&Err(Ours::Status)), "{case}: offline");
                let last = came.iter().rposition(|one| *one == Err(Ours::Will));
                let last = &came[last.unwrap()..];
                for ours in [Ours::Will, Ours::Status] {
                    assert!(last.contains(&Err(ours)), "{case}: {ours:?} in {last:?}");
                }
                let hints = lines
                    .all()
                    .iter()
                    .filter(|line| line.contains("MQTT 5"))
                    .count();
                assert_eq!(lines.all().len(), hints, "{case}");
            }
        }
    }
}

/// A guard counts wrong passwords, and bans a client that has too many.
#[tokio::test]
async fn a_wrong_password_is_not_shown_twice_as_often() {
    let came = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&came);
    let peer = Peer::start(move |_| {
        *counted.lock().unwrap() += 1;
        Answer::HangUp(vec![0x20, 3, 0, 0x87, 0])
    })
    .await;
    let mqtt = mqtt(talkative(peer.address, 5));
    for at in 0..8 {
        let verdict = mqtt.deliver(&seen("SN-1", at)).await;
        assert_eq!(verdict, crate::outage("not-authorized"));
    }
    // Two without the last will, and one to announce devices.
    assert_eq!(*came.lock().unwrap(), 8 + 2 + 1);
}

/// Some brokers ask another server what a user may do, and meanwhile answer what came after it.
#[tokio::test]
async fn what_ends_the_connection_a_while_later_is_found_too() {
    for unwanted in [Ours::Status, Ours::Announcement] {
        let (lines, _listening) = Lines::listen();
        let came = Came::default();
        let noted = Arc::clone(&came);
        let peer = Peer::start(move |packet| {
            note(&noted, packet);
            match ours(packet) == Some(unwanted) {
                true => Answer::HangUpSoon(takes(packet)),
                false => takes(packet).into(),
            }
        })
        .await;
        let mqtt = mqtt(talkative(peer.address, 4));
        let told = async {
            for at in 0.. {
                until_delivered(&mqtt, &seen("SN-1", at)).await;
                if !lines.all().is_empty() {
                    return;
                }
            }
        };
        tokio::time::timeout(crate::PATIENT, told).await.unwrap();
        let word = match unwanted {
            Ours::Status => "the status",
            _ => "announcements",
        };
        assert_eq!(lines.with(word), 1, "{:?}", lines.all());
        assert_eq!(lines.all().len(), 1, "{:?}", lines.all());
        // Three times in a row, and the status once more to be certain; an announcement is two messages.
        assert!(count(&came, unwanted) <= 10, "{}", count(&came, unwanted));
    }
}
