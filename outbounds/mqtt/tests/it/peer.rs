//! A peer that says what a test wants: what brokers may say by MQTT 5 and Mosquitto does not.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use faceway_core::{Code, Scope, Verdict};
use faceway_outbound_mqtt::Mqtt;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::{PATIENT, buried, deliver, delivered, mqtt, outage, refused, settings};

/// Kinds of packets, section 2.1.2.
pub(crate) const CONNECT: u8 = 1;
pub(crate) const PUBLISH: u8 = 3;
pub(crate) const PUBREL: u8 = 6;
pub(crate) const SUBSCRIBE: u8 = 8;
pub(crate) const PING: u8 = 12;

/// What the peer does about a packet.
pub(crate) enum Answer {
    /// It says this.
    Say(Vec<u8>),
    /// It says this and ends the connection.
    HangUp(Vec<u8>),
    /// It says this, and ends the connection a while later.
    HangUpSoon(Vec<u8>),
}

impl From<Vec<u8>> for Answer {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Say(bytes)
    }
}

/// What came.
pub(crate) struct Packet {
    pub(crate) kind: u8,
    /// Of a `PUBLISH` (not with QoS 0) or of an acknowledgement.
    pub(crate) id: [u8; 2],
    /// The lower half of the first byte.
    pub(crate) flags: u8,
    /// Everything after the length.
    pub(crate) body: Vec<u8>,
    /// The how-manieth connection it came on, from 1.
    pub(crate) connection: usize,
}

impl Packet {
    /// Of a `CONNECT`.
    pub(crate) fn version(&self) -> u8 {
        self.body[6]
    }

    /// Of a `CONNECT`.
    pub(crate) fn has_will(&self) -> bool {
        self.body[7] & 4 > 0
    }

    /// Of a `PUBLISH`.
    pub(crate) fn topic(&self) -> String {
        let length = usize::from(u16::from_be_bytes([self.body[0], self.body[1]]));
        String::from_utf8(self.body[2..2 + length].to_vec()).unwrap()
    }

    /// Of a `PUBLISH`.
    pub(crate) fn qos(&self) -> u8 {
        (self.flags >> 1) & 3
    }
}

/// How long a peer takes that ends the connection soon.
const A_WHILE: Duration = Duration::from_millis(300);

/// Answers each packet with what `answer` returns. It is gone when dropped.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Peer {
    pub(crate) async fn start<A: Into<Answer>>(
        answer: impl Fn(&Packet) -> A + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Arc::new(answer);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            let mut connection = 0;
            while let Ok((stream, _)) = listener.accept().await {
                let answer = Arc::clone(&answer);
                connection += 1;
                connections.spawn(async move { speak(stream, connection, &*answer).await });
            }
        });
        Self { address, task }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn speak<A: Into<Answer>>(
    mut stream: TcpStream,
    connection: usize,
    answer: &(impl Fn(&Packet) -> A + Sync),
) -> Option<()> {
    let mut until = None;
    loop {
        let first = match until {
            None => stream.read_u8().await.ok()?,
            Some(until) => timeout_at(until, stream.read_u8()).await.ok()?.ok()?,
        };
        let (mut length, mut shift) = (0usize, 0);
        loop {
            let byte = stream.read_u8().await.ok()?;
            length |= usize::from(byte & 127) << shift;
            shift += 7;
            if byte < 128 {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let kind = first >> 4;
        let at = match kind {
            PUBLISH => 2 + usize::from(u16::from_be_bytes([body[0], body[1]])),
            _ => 0,
        };
        let id = body.get(at..at + 2).map_or([0; 2], |id| [id[0], id[1]]);
        let packet = Packet {
            kind,
            id,
            flags: first & 15,
            body,
            connection,
        };
        let answer = answer(&packet).into();
        match answer {
            Answer::Say(bytes) => stream.write_all(&bytes).await.ok()?,
            Answer::HangUp(bytes) => return stream.write_all(&bytes).await.ok(),
            Answer::HangUpSoon(bytes) => {
                stream.write_all(&bytes).await.ok()?;
                until = Some(Instant::now() + A_WHILE);
            }
        }
    }
}

/// `CONNACK` with success and these properties.
fn welcome(properties: &[u8]) -> Vec<u8> {
    let length = u8::try_from(properties.len()).unwrap();
    [&[0x20, length + 3, 0, 0, length], properties].concat()
}

/// Welcomes every client, answers pings, and each `PUBLISH` as `publish` says.
pub(crate) fn broker(
    publish: impl Fn(&Packet) -> Vec<u8> + Send + Sync + 'static,
) -> impl Fn(&Packet) -> Vec<u8> + Send + Sync + 'static {
    move |packet| match packet.kind {
        CONNECT => welcome(&[]),
        PUBLISH => publish(packet),
        PUBREL => vec![0x70, 2, packet.id[0], packet.id[1]],
        PING => vec![0xD0, 0],
        _ => Vec::new(),
    }
}

/// `PUBACK` or `PUBREC` with a reason.
pub(crate) fn reason(kind: u8, packet: &Packet, reason: u8) -> Vec<u8> {
    vec![kind << 4, 3, packet.id[0], packet.id[1], reason]
}

fn to(peer: &Peer, qos: u8) -> Mqtt {
    let mut settings = settings(peer.address);
    settings.qos = qos;
    settings.window = 4;
    mqtt(settings)
}

fn failed(word: &'static str) -> Verdict {
    Verdict::Retry {
        scope: Scope::Message,
        code: Code::word(word),
        after: None,
    }
}

#[tokio::test]
async fn each_reason_has_its_verdict_and_takes_no_place() {
    let table = [
        (0x10, delivered("no-subscribers")),
        (0x80, failed("unspecified")),
        (0x83, failed("implementation")),
        (0x87, refused("not-authorized")),
        (0x90, buried("topic")),
        (0x91, outage("packet-id")),
        (0x97, outage("quota")),
        (0x99, buried("payload-format")),
    ];
    for (qos, kind) in [(1, 4), (2, 5)] {
        for (code, verdict) in &table {
            let code = *code;
            let answer = broker(move |packet| reason(kind, packet, code));
            let peer = Peer::start(answer).await;
            let mqtt = to(&peer, qos);
            // Three times as many as the window has places.
            for at in 0..12 {
                let got = deliver(&mqtt, &format!("event {at}")).await;
                assert_eq!(got, *verdict, "qos {qos}, reason {code:#x}");
            }
        }
    }
}

#[tokio::test]
async fn a_connection_that_is_refused_says_why() {
    for (code, word) in [
        (0x84, "version"),
        (0x85, "client-id"),
        (0x86, "credentials"),
        (0x87, "not-authorized"),
        (0x88, "unavailable"),
        (0x89, "busy"),
        (0x8A, "banned"),
        (0x97, "quota"),
        (0x9D, "moved"),
        (0x80, "rejected"),
    ] {
        let peer = Peer::start(move |_| vec![0x20, 3, 0, code, 0]).await;
        assert_eq!(deliver(&to(&peer, 1), "one").await, outage(word));
    }
}

/// What is said on leaving is about a message only when there is just one, and the reason is one of a message.
#[tokio::test]
async fn a_goodbye_that_blames_the_message_buries_it() {
    for (code, verdict) in [
        (0x95, buried("too-large")),
        (0x99, buried("payload-format")),
        (0x89, outage("busy")),
        (0x8B, outage("shutting-down")),
        (0x8E, outage("taken-over")),
    ] {
        // With and without properties.
        for goodbye in [vec![0xE0, 1, code], vec![0xE0, 2, code, 0]] {
            let peer = Peer::start(broker(move |_| goodbye.clone())).await;
            assert_eq!(deliver(&to(&peer, 1), "one").await, verdict);
        }
    }
}

#[tokio::test]
async fn a_broker_that_cannot_do_what_is_configured_is_an_outage() {
    // Maximum QoS 0.
    let answer = |packet: &Packet| match packet.kind {
        CONNECT => welcome(&[36, 0]),
        _ => Vec::new(),
    };
    let peer = Peer::start(answer).await;
    assert_eq!(deliver(&to(&peer, 1), "one").await, outage("qos"));
    assert_eq!(deliver(&to(&peer, 0), "one").await, delivered("sent"));
    // Retain not available.
    let answer = |packet: &Packet| match packet.kind {
        CONNECT => welcome(&[37, 0]),
        PUBLISH => reason(4, packet, 0),
        _ => Vec::new(),
    };
    let peer = Peer::start(answer).await;
    let mut settings = settings(peer.address);
    settings.retain = true;
    assert_eq!(deliver(&mqtt(settings), "one").await, outage("retain"));
    assert_eq!(deliver(&to(&peer, 1), "one").await, delivered("puback"));
}

/// Each verdict is that of its own message, in whatever order the broker confirms.
#[tokio::test]
async fn confirmations_in_another_order_find_their_messages() {
    let held = Mutex::new(Vec::new());
    let peer = Peer::start(broker(move |packet| {
        let refused = packet.body.windows(6).any(|bytes| bytes == b"refuse");
        let mut held = held.lock().unwrap();
        held.push(reason(4, packet, if refused { 0x87 } else { 0 }));
        match held.len() {
            4 => held.drain(..).rev().flatten().collect(),
            _ => Vec::new(),
        }
    }))
    .await;
    let mqtt = Arc::new(to(&peer, 1));
    let mut deliveries = JoinSet::new();
    for at in 0..40 {
        let mqtt = Arc::clone(&mqtt);
        deliveries.spawn(async move {
            let refuse = at % 3 == 0;
            let text = format!("{} {at}", if refuse { "refuse" } else { "take" });
            (refuse, deliver(&mqtt, &text).await)
        });
    }
    for (refuse, verdict) in deliveries.join_all().await {
        let expected = match refuse {
            true => refused("not-authorized"),
            false => delivered("puback"),
        };
        assert_eq!(verdict, expected);
    }
}

/// A connection that is alive, with pongs, on which nothing is ever confirmed: it is broken off, and the next one serves.
#[tokio::test]
async fn a_connection_without_confirmations_is_replaced() {
    for (qos, kind) in [(1, 4), (2, 5)] {
        let peer = Peer::start(broker(move |packet| match packet.connection {
            1 => Vec::new(),
            _ => reason(kind, packet, 0),
        }))
        .await;
        let mut settings = settings(peer.address);
        (settings.qos, settings.window) = (qos, 2);
        settings.timeout = Duration::from_secs(2);
        settings.keep_alive = Duration::from_secs(1);
        let mqtt = mqtt(settings);
        assert_eq!(deliver(&mqtt, "one").await, outage("timeout"));
        let word = if qos == 1 { "puback" } else { "pubcomp" };
        assert_eq!(deliver(&mqtt, "two").await, delivered(word));
    }
}

/// Receive Maximum 1, and a confirmation that comes with the next packet only: with two on their way, both would arrive.
#[tokio::test]
async fn no_more_are_on_their_way_than_the_broker_allows() {
    let on_their_way = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let most = Arc::clone(&on_their_way);
    let peer = Peer::start(move |packet| match packet.kind {
        CONNECT => welcome(&[33, 0, 1]),
        PUBLISH => {
            most.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            reason(5, packet, 0)
        }
        PUBREL => {
            let before = most.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
            assert_eq!(before, 1, "two at once");
            vec![0x70, 2, packet.id[0], packet.id[1]]
        }
        _ => Vec::new(),
    })
    .await;
    let mqtt = Arc::new(to(&peer, 2));
    let mut deliveries = JoinSet::new();
    for at in 0..20 {
        let mqtt = Arc::clone(&mqtt);
        deliveries.spawn(async move { deliver(&mqtt, &format!("event {at}")).await });
    }
    for verdict in deliveries.join_all().await {
        assert_eq!(verdict, delivered("pubcomp"));
    }
    assert_eq!(on_their_way.load(std::sync::atomic::Ordering::SeqCst), 0);
}

/// Nothing is delivered and pings stay unanswered: the connection is given up and dialled again.
#[tokio::test]
async fn a_silent_broker_is_noticed_without_a_delivery() {
    let (connected, mut connections) = watch::channel(0);
    let peer = Peer::start(move |packet| {
        match packet.kind {
            CONNECT => drop(connected.send_replace(packet.connection)),
            _ if packet.connection == 1 => return Vec::new(),
            _ => {}
        }
        broker(|_| Vec::new())(packet)
    })
    .await;
    let mut settings = settings(peer.address);
    settings.keep_alive = Duration::from_secs(1);
    settings.timeout = Duration::from_secs(1);
    let mqtt = mqtt(settings);
    mqtt.start();
    let again = connections.wait_for(|count| *count == 2);
    let again = tokio::time::timeout(PATIENT, again).await;
    again.expect("it is dialled again").unwrap();
}
