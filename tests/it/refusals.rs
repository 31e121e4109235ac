//! What brokers refuse: for now, as they are short of memory, or for good.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use faceway_testkit::broker::mosquitto::{Got, Mosquitto, Options, Subscriber};
use faceway_testkit::broker::rabbitmq::{self, RabbitMq};
use faceway_testkit::receiver::{Behaviour, Receiver, Reply};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::brokers::LOGIN;
use crate::harness::{Device, Gateway, PATIENCE, Site, recognition, text, vendor_id, vendor_ids};

const RETRY: &str = "retry = { backoff_min = \"100ms\", backoff_max = \"1s\" }";
/// The limit of a message that each far side here has.
const LIMIT: usize = 100_000;

/// Sends from so many devices at once; `each` makes a device's records by its number, and says which inbound is for them.
async fn send(
    gateway: &Gateway,
    devices: usize,
    each: impl Fn(usize) -> Vec<(&'static str, Vec<u8>)>,
) {
    let mut sending = JoinSet::new();
    for device in 0..devices {
        let mut connection = Device::connect(gateway.devices).await;
        let records = each(device);
        sending.spawn(async move {
            for (path, record) in records {
                let answer = connection.send("POST", path, &[], &record).await.unwrap();
                assert!(answer.is_success(), "{answer:?}");
            }
        });
    }
    while let Some(sent) = sending.join_next().await {
        sent.unwrap();
    }
}

async fn json(site: &Site, gateway: &Gateway, arguments: &[&str]) -> Vec<Value> {
    serde_json::from_str(&site.ask(gateway, arguments).await).unwrap()
}

fn drained(messages: &[Value]) -> Vec<String> {
    let bodies = messages.iter().map(|message| message["body"].as_str());
    bodies
        .map(|body| vendor_id(body.unwrap().as_bytes()))
        .collect()
}

fn once(ids: Vec<String>) -> BTreeSet<String> {
    ids.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn while_rabbitmq_is_short_of_memory_its_lane_waits_and_devices_notice_nothing() {
    let broker = RabbitMq::start().await;
    let site = Site::new(&format!(
        "[inbound.nebula.lobby]\n\n[outbound.amqp.queue]\nurl = \"amqp://{}/%2f\"\n{LOGIN}\nexchange = \"faces\"\n\
         declare = \"topic\"\nqueue = \"faces\"\n{RETRY}\n\n[[route]]\nname = \"everything\"\nto = [\"queue\"]\n",
        broker.address()
    ))
    .set("QUEUE_PASSWORD", "guest");
    let gateway = site.start().await;
    let records = |phase: &'static str| {
        move |device: usize| {
            let record =
                |at| recognition(&format!("PSC{device}"), &format!("{phase}-{device}-{at}"));
            (0..100).map(|at| ("/in/lobby", record(at))).collect()
        }
    };
    send(&gateway, 4, records("before")).await;
    gateway.delivered_all("queue").await;
    broker.set_memory_alarm(true).await;
    send(&gateway, 4, records("blocked")).await;
    let deadline = Instant::now() + PATIENCE;
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    loop {
        let lanes = json(&site, &gateway, &["lanes", "--json"]).await;
        if lanes[0]["state"] == "waiting" && lanes[0]["last_failure"]["code"] == "blocked" {
            break;
        }
        assert!(Instant::now() < deadline, "{lanes:?}");
        ticks.tick().await;
    }
    send(&gateway, 4, records("waiting")).await;
    broker.set_memory_alarm(false).await;
    gateway.delivered_all("queue").await;
    let came = drained(&broker.drain("faces").await);
    let phases = ["before", "blocked", "waiting"];
    for device in 0..4 {
        let mut expected = Vec::new();
        for phase in phases {
            expected.extend((0..100).map(|at| format!("{phase}-{device}-{at}")));
        }
        let middle = format!("-{device}-");
        let mut of_device: Vec<_> = came.iter().filter(|id| id.contains(&middle)).collect();
        // The one that was on its way when the broker shut may have come twice.
        of_device.dedup();
        assert!(of_device.into_iter().eq(&expected), "{device}: {came:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_queue_is_bound_for_is_buried_and_nothing_else() {
    let broker = RabbitMq::start().await;
    let site = Site::new(&format!(
        "[inbound.nebula.good]\n\n[inbound.nebula.lost]\n\n\
         [outbound.amqp.queue]\nurl = \"amqp://{}/%2f\"\n{LOGIN}\nexchange = \"faces\"\ndeclare = \"topic\"\n\
         queue = \"faces\"\nbind = \"good.#\"\nrouting_key = \"{{inbound}}.{{device.id}}\"\n\
         concurrency_max = 100\n{RETRY}\n\n[[route]]\nname = \"everything\"\nto = [\"queue\"]\n",
        broker.address()
    ))
    .set("QUEUE_PASSWORD", "guest");
    let gateway = site.start().await;
    let name = |device: usize, at: usize| format!("{device}-{at}");
    let is_lost = |at: usize| at % 10 == 3;
    send(&gateway, 40, |device| {
        let record = |at| {
            let path = if is_lost(at) { "/in/lost" } else { "/in/good" };
            (
                path,
                recognition(&format!("PSC{device}"), &name(device, at)),
            )
        };
        (0..50).map(record).collect()
    })
    .await;
    gateway.delivered_all("queue").await;

    let all = (0..40).flat_map(|device| (0..50).map(move |at| (device, at)));
    let (lost, good): (Vec<_>, Vec<_>) = all.partition(|(_, at)| is_lost(*at));
    let names = |of: &[(usize, usize)]| once(of.iter().map(|(d, at)| name(*d, *at)).collect());
    let came = drained(&broker.drain("faces").await);
    assert_eq!(came.len(), 1800, "each once");
    assert_eq!(once(came), names(&good));

    gateway.buried("queue", 200).await;
    let buried = json(
        &site,
        &gateway,
        &["buried", "list", "--json", "--max", "1000"],
    )
    .await;
    assert_eq!(buried.len(), 200);
    assert!(buried.iter().all(|one| one["code"] == "unroutable"));
    let ids: Vec<_> = buried
        .iter()
        .map(|one| one["id"].as_str().unwrap())
        .collect();
    let shown = json(&site, &gateway, &[&["buried", "show"], &ids[..]].concat()).await;
    let shown = shown.iter().map(|one| one["event"]["vendor_id"].as_str());
    let shown = shown.map(|id| id.unwrap().to_owned()).collect();
    assert_eq!(once(shown), names(&lost));
}

/// A record of 300 KB.
fn large(device: &str, uuid: &str) -> Vec<u8> {
    let mut record: Value = serde_json::from_slice(&recognition(device, uuid)).unwrap();
    record["data"]["user"]["remark"] = json!("r".repeat(300_000));
    record.to_string().into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_event_over_the_limit_is_buried_everywhere_and_its_neighbours_arrive() {
    let mosquitto = Mosquitto::start(Options {
        packet_bytes_max: Some(LIMIT as u32),
        ..Options::default()
    })
    .await;
    let subscriber = Subscriber::start(&mosquitto, 1).await;
    let rabbit = RabbitMq::start_with(rabbitmq::Options {
        message_bytes_max: Some(LIMIT),
        ..rabbitmq::Options::default()
    })
    .await;
    let receiver = Receiver::start().await;
    receiver.script_with(|request| {
        let length = request.header("content-length").parse().unwrap_or(0);
        match length > LIMIT {
            true => Behaviour::AnswerEarly(Reply::status(413)),
            false => Behaviour::status(200),
        }
    });
    let site = Site::new(&format!(
        "[inbound.nebula.lobby]\n\n\
         [outbound.mqtt.bus]\nurl = \"mqtt://{0}\"\nversion = 5\npayload_bytes_max = \"1MiB\"\n{RETRY}\n\n\
         [outbound.mqtt.old-bus]\nurl = \"mqtt://{0}\"\nversion = 4\ntopic = \"old/{{device.id}}\"\n\
         payload_bytes_max = \"90KiB\"\n{RETRY}\n\n\
         [outbound.amqp.queue]\nurl = \"amqp://{1}/%2f\"\n{LOGIN}\nexchange = \"faces\"\ndeclare = \"topic\"\n\
         queue = \"faces\"\npayload_bytes_max = \"1MiB\"\n{RETRY}\n\n\
         [outbound.webhook.erp]\nurl = \"{2}\"\n{RETRY}\n\n\
         [[route]]\nname = \"everything\"\nto = [\"bus\", \"old-bus\", \"queue\", \"erp\"]\n",
        mosquitto.address(),
        rabbit.address(),
        receiver.url(),
    ))
    .set("QUEUE_PASSWORD", "guest");
    let gateway = site.start().await;
    send(&gateway, 4, |device| {
        let serial = format!("PSC{device}");
        let record = |at: usize| match (device, at) {
            (2, 20) => large(&serial, "large"),
            _ => recognition(&serial, &format!("{device}-{at}")),
        };
        (0..40).map(|at| ("/in/lobby", record(at))).collect()
    })
    .await;
    for outbound in ["bus", "old-bus", "queue", "erp"] {
        gateway.delivered_all(outbound).await;
        gateway.buried(outbound, 1).await;
    }

    let buried = json(&site, &gateway, &["buried", "list", "--json"]).await;
    let told = buried
        .iter()
        .map(|one| (one["to"].as_str(), one["code"].as_str()));
    let told: BTreeSet<_> = told.collect();
    let expected = [
        ("bus", "too-large"),
        ("old-bus", "too-large"),
        ("queue", "too-large"),
        ("erp", "413"),
    ];
    let expected = expected.map(|(to, code)| (Some(to), Some(code)));
    assert_eq!((told, buried.len()), (expected.into(), 4));
    let table = site.ask(&gateway, &["buried", "list"]).await;
    assert!(table.contains("too-large"), "{table}");

    let mut expected = BTreeSet::new();
    for device in 0..4 {
        expected.extend((0..40).map(|at| format!("{device}-{at}")));
    }
    expected.remove("2-20");
    subscriber.catch_up().await;
    for topic in ["faceway/lobby/", "old/"] {
        let got = subscriber.got().into_iter();
        let got = got.filter(|got| got.topic.starts_with(topic));
        let ids = got.map(|got| vendor_id(got.payload.as_bytes())).collect();
        assert_eq!(once(ids), expected, "{topic}");
    }
    assert_eq!(once(drained(&rabbit.drain("faces").await)), expected);
    assert_eq!(once(vendor_ids(&receiver.confirmed())), expected);
}

/// Of MQTT before version 5 a broker tells no limit: it answers what is too large by closing the connection, under all
/// that is on its way.
#[tokio::test(flavor = "multi_thread")]
async fn thirty_devices_that_break_the_connection_hold_up_no_other() {
    let mosquitto = Mosquitto::start(Options {
        packet_bytes_max: Some(LIMIT as u32),
        ..Options::default()
    })
    .await;
    let subscriber = Subscriber::start(&mosquitto, 1).await;
    let site = Site::new(&format!(
        "[inbound.nebula.lobby]\n\n\
         [outbound.mqtt.bus]\nurl = \"mqtt://{}\"\nversion = 4\npayload_bytes_max = \"1MiB\"\n\
         retry = {{ backoff_min = \"200ms\", attempts_max = 2 }}\n\n\
         [[route]]\nname = \"everything\"\nto = [\"bus\"]\n",
        mosquitto.address(),
    ));
    let gateway = site.start().await;
    let good = |part: &str| {
        let part = part.to_owned();
        move |device: usize| {
            let serial = format!("PSC{device}");
            let record = |at| recognition(&serial, &format!("{device}-{part}-{at}"));
            (0..20).map(|at| ("/in/lobby", record(at))).collect()
        }
    };
    send(&gateway, 4, good("before")).await;
    gateway.delivered_all("bus").await;
    send(&gateway, 30, |device| {
        let serial = format!("BAD{device}");
        let record = large(&serial, &format!("bad-{device}"));
        vec![("/in/lobby", record)]
    })
    .await;
    send(&gateway, 4, good("between")).await;
    let ids = |got: &[Got]| -> Vec<String> {
        let events = got
            .iter()
            .filter(|got| got.topic.starts_with("faceway/lobby/"));
        events
            .map(|got| vendor_id(got.payload.as_bytes()))
            .collect()
    };
    subscriber.until(|got| once(ids(got)).len() == 160).await;
    // While others go on, each of them is tried alone and buried in the end.
    let mut more = 0;
    while gateway
        .metric("faceway_lane_backlog{outbound=\"bus\"}")
        .await
        > 0.0
    {
        let mut device = Device::connect(gateway.devices).await;
        let record = recognition("PSC0", &format!("more-{more}"));
        assert!(device.push(&record).await.unwrap().is_success());
        more += 1;
        subscriber
            .until(|got| once(ids(got)).len() == 160 + more)
            .await;
    }
    gateway.buried("bus", 30).await;
    for device in 0..4 {
        let mut first = Vec::new();
        for id in ids(&subscriber.got()) {
            if id.starts_with(&format!("{device}-")) && !first.contains(&id) {
                first.push(id);
            }
        }
        let part = |part| (0..20).map(move |at| format!("{device}-{part}-{at}"));
        let expected: Vec<String> = part("before").chain(part("between")).collect();
        assert_eq!(first, expected);
    }
    let log = gateway.log();
    assert!(
        log.contains("the connection ends whenever this event is sent"),
        "{log}"
    );
}

/// MQTT 5, section 1.5.4, lets a broker end the connection at them, and Mosquitto does.
#[tokio::test(flavor = "multi_thread")]
async fn no_character_of_a_device_s_name_ends_a_connection() {
    let mosquitto = Mosquitto::start(Options::default()).await;
    let subscriber = Subscriber::start(&mosquitto, 1).await;
    let site = Site::new(&format!(
        "[inbound.nebula.lobby]\n\n\
         [outbound.mqtt.bus]\nurl = \"mqtt://{0}\"\nheaders = {{ x-name = \"{{person.name}}\" }}\n{RETRY}\n\n\
         [outbound.mqtt.old-bus]\nurl = \"mqtt://{0}\"\nversion = 4\ntopic = \"old/{{device.id}}\"\n{RETRY}\n\n\
         [[route]]\nname = \"everything\"\nto = [\"bus\", \"old-bus\"]\n",
        mosquitto.address(),
    ));
    let gateway = site.start().await;
    let bad = [
        '\u{FFFE}',
        '\u{FFFF}',
        '\u{FDD0}',
        '\u{FDEF}',
        '\u{1FFFE}',
        '\u{10FFFF}',
        '\u{1}',
        '\u{7F}',
        '\u{9B}',
    ];
    for (number, char) in bad.into_iter().enumerate() {
        let serial = format!("PSC{number}{char}x");
        let record = text(&recognition(&serial, &format!("u-{number}")));
        let record = record.replace("Wanda Probst", &format!("Wanda{char}Probst"));
        let mut device = Device::connect(gateway.devices).await;
        let record = record.replace('\u{1}', "\\u0001");
        assert!(device.push(record.as_bytes()).await.unwrap().is_success());
    }
    for outbound in ["bus", "old-bus"] {
        gateway.delivered_all(outbound).await;
    }
    subscriber.catch_up().await;
    let topics: BTreeSet<String> = subscriber.got().into_iter().map(|got| got.topic).collect();
    for number in 0..bad.len() {
        assert!(topics.contains(&format!("old/PSC{number}_x")), "{topics:?}");
    }
    let log = gateway.log();
    assert!(
        !log.contains("destination is down") && !log.contains("whenever this event"),
        "{log}"
    );
}
