//! A destination that is down, and an event that fails alone.

use std::collections::HashMap;
use std::time::Duration;

use faceway_testkit::receiver::{Behaviour, Received, Receiver, Reply};

use crate::harness::{
    Device, Gateway, Site, device_id, event_id, recognition, routes_to, vendor_id, vendor_ids,
};

const QUICK: &str = "retry.backoff_max = \"1s\"\ntimeout = \"500ms\"";

async fn push(gateway: &Gateway, serial: &str, uuids: &[String]) {
    let mut device = Device::connect(gateway.devices).await;
    for uuid in uuids {
        assert!(
            device
                .push(&recognition(serial, uuid))
                .await
                .unwrap()
                .is_success()
        );
    }
}

fn uuids(prefix: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{prefix}-{number}"))
        .collect()
}

/// What was confirmed of each device, in order.
fn by_device(confirmed: &[Received]) -> HashMap<String, Vec<String>> {
    let mut devices: HashMap<String, Vec<String>> = HashMap::new();
    for one in confirmed {
        devices
            .entry(device_id(&one.body))
            .or_default()
            .push(vendor_id(&one.body));
    }
    devices
}

async fn settled(gateway: &Gateway) {
    gateway.delivered_all("erp").await;
}

#[tokio::test]
async fn refused_then_hanging_then_busy_nothing_is_lost_nor_out_of_order() {
    let receiver = Receiver::start().await;
    let site = Site::new(&routes_to(&receiver.url(), QUICK));
    let gateway = site.start().await;
    let devices = ["PSC1", "PSC2", "PSC3"];
    let waiting = "faceway_lane_state{outbound=\"erp\",state=\"waiting\"}";

    receiver.refuse().await;
    for serial in devices {
        push(&gateway, serial, &uuids(&format!("{serial}-refused"), 50)).await;
    }
    gateway.wait_for_metric(waiting, |here| here == 1.0).await;
    receiver.script(Behaviour::Hang);
    receiver.listen().await;
    for serial in devices {
        push(&gateway, serial, &uuids(&format!("{serial}-hanging"), 50)).await;
    }
    receiver.wait_for(3).await;
    let before = receiver.received().len();
    receiver.script(Behaviour::Answer(
        Reply::status(503).header("retry-after", "1"),
    ));
    for serial in devices {
        push(&gateway, serial, &uuids(&format!("{serial}-busy"), 50)).await;
    }
    receiver.wait_for(before + 3).await;
    let attempts = receiver.received().len();
    receiver.script(Behaviour::status(200));
    settled(&gateway).await;

    let confirmed = receiver.confirmed();
    let mut expected = HashMap::new();
    for serial in devices {
        let all = ["refused", "hanging", "busy"]
            .into_iter()
            .flat_map(|phase| uuids(&format!("{serial}-{phase}"), 50));
        expected.insert(serial.to_owned(), all.collect::<Vec<_>>());
    }
    assert_eq!(
        by_device(&confirmed),
        expected,
        "every event once, each device in its order"
    );
    assert!(
        attempts < 40,
        "{attempts} attempts at a destination that was down are a storm"
    );
    let buried = gateway.metric("faceway_buried{outbound=\"erp\"}").await;
    assert_eq!(buried, 0.0, "an outage uses nothing up");
}

#[tokio::test]
async fn an_outage_over_night_costs_few_attempts_and_survives_a_restart() {
    let receiver = Receiver::start().await;
    let site = Site::new(&routes_to(&receiver.url(), "retry.backoff_max = \"1s\""));
    receiver.refuse().await;
    let gateway = site.start().await;
    push(&gateway, "PSC1", &uuids("night", 2000)).await;
    gateway.kill().await;
    let gateway = site.start().await;
    gateway
        .wait_for_metric(
            "faceway_lane_state{outbound=\"erp\",state=\"waiting\"}",
            |here| here == 1.0,
        )
        .await;
    push(&gateway, "PSC1", &uuids("morning", 100)).await;
    receiver.listen().await;
    settled(&gateway).await;
    let mut expected = uuids("night", 2000);
    expected.extend(uuids("morning", 100));
    assert_eq!(by_device(&receiver.confirmed())["PSC1"], expected);
}

#[tokio::test]
async fn an_event_that_no_retry_can_cure_is_buried_and_its_device_goes_on() {
    let receiver = Receiver::start().await;
    let site = Site::new(&routes_to(&receiver.url(), ""));
    let gateway = site.start().await;
    push(&gateway, "PSC1", &uuids("good", 1)).await;
    receiver.wait_for(1).await;
    receiver.script_next(Behaviour::status(422));
    push(&gateway, "PSC1", &uuids("bad", 1)).await;
    push(&gateway, "PSC1", &uuids("later", 2)).await;
    settled(&gateway).await;
    let confirmed = vendor_ids(&receiver.confirmed());
    assert_eq!(confirmed, ["good-0", "later-0", "later-1"]);
    assert_eq!(
        gateway.metric("faceway_buried{outbound=\"erp\"}").await,
        1.0
    );

    let listed = site.ask(&gateway, &["buried", "list", "--json"]).await;
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let entry = if listed.is_array() {
        &listed[0]
    } else {
        &listed
    };
    assert_eq!(
        (&entry["code"], &entry["to"], &entry["attempts"]),
        (&"422".into(), &"erp".into(), &1.into())
    );
    // A name that no lane has is a mistake, not a lane without buried events.
    for command in ["list", "revive", "drop"] {
        let all: &[&str] = if command == "list" { &[] } else { &["--all"] };
        let words = [&["buried", command, "--to", "epr"], all].concat();
        let told = site.refuse(&gateway, &words).await;
        assert!(told.contains("did you mean `erp`?"), "{command}: {told}");
    }
    let id = entry["id"].as_str().unwrap();
    let why = site.ask(&gateway, &["why", id]).await;
    assert!(why.contains("422") && why.contains("everything"), "{why}");

    // Who only reads the log hears of it too, and neither who it was nor what was in it.
    let log = gateway.log();
    let given_up = log.lines().find(|line| line.contains("given up"));
    let told: serde_json::Value = serde_json::from_str(given_up.unwrap()).unwrap();
    assert_eq!(told["level"], "WARN", "{told}");
    assert_eq!(
        (&told["outbound"], &told["code"], &told["times"]),
        (&"erp".into(), &"422".into(), &1.into())
    );
    assert_eq!(told["event"], id, "{told}");

    site.ask(&gateway, &["buried", "revive", id]).await;
    receiver.wait_until(|received| received.len() == 5).await;
    settled(&gateway).await;
    assert_eq!(vendor_id(&receiver.confirmed()[3].body), "bad-0");
    assert_eq!(receiver.confirmed()[3].id(), id);
    assert_eq!(
        gateway.metric("faceway_buried{outbound=\"erp\"}").await,
        0.0
    );
}

#[tokio::test]
async fn an_event_that_fails_alone_waits_with_its_device_while_the_others_go_on() {
    let receiver = Receiver::start().await;
    // The third record of PSC1 fails, whatever comes.
    receiver.script_with(|request| match request.header("webhook-id") {
        "" => Behaviour::status(400),
        _ => Behaviour::status(200),
    });
    let site = Site::new(&routes_to(
        &receiver.url(),
        "retry.attempts_max = 4\nretry.backoff_max = \"400ms\"",
    ));
    let gateway = site.start().await;
    push(&gateway, "PSC1", &uuids("first", 1)).await;
    receiver.wait_for(1).await;
    receiver.script_next(Behaviour::status(500));
    push(&gateway, "PSC1", &uuids("poison", 1)).await;
    let poison = receiver.wait_for(2).await[1].id().to_owned();
    receiver.script_for(&poison, Some(Behaviour::status(500)));
    push(&gateway, "PSC1", &uuids("behind", 3)).await;
    push(&gateway, "PSC2", &uuids("other", 3)).await;
    settled(&gateway).await;

    let received = receiver.received();
    let attempts = received.iter().filter(|one| one.id() == poison).count();
    assert_eq!(attempts, 4, "attempts_max counts the first one too");
    let devices = by_device(&receiver.confirmed());
    assert_eq!(
        devices["PSC1"],
        ["first-0", "behind-0", "behind-1", "behind-2"]
    );
    assert_eq!(devices["PSC2"], ["other-0", "other-1", "other-2"]);
    let last_try = received.iter().rposition(|one| one.id() == poison).unwrap();
    let behind = received
        .iter()
        .position(|one| vendor_id(&one.body) == "behind-0")
        .unwrap();
    assert!(last_try < behind, "its device waits behind it");
    let listed = site.ask(&gateway, &["buried", "list", "--json"]).await;
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed[0]["attempts"], 4, "as `why` lists them: {listed}");
    assert_eq!(
        gateway.metric("faceway_buried{outbound=\"erp\"}").await,
        1.0
    );
}

#[tokio::test]
async fn one_slow_outbound_slows_neither_another_nor_the_intake() {
    let (slow, fast) = (Receiver::start().await, Receiver::start().await);
    slow.script(Behaviour::Hang);
    let routes = format!(
        "[inbound.nebula.lobby]\n[outbound.webhook.slow]\nurl = \"{}\"\n[outbound.webhook.fast]\nurl = \"{}\"\n\
         [[route]]\nname = \"all\"\nto = [\"slow\", \"fast\"]\n",
        slow.url(),
        fast.url()
    );
    let gateway = Site::new(&routes).start().await;
    push(&gateway, "PSC1", &uuids("u", 500)).await;
    // The slow one's first timeout is ten seconds away; all of these come before it.
    let confirmed = fast.wait_until(|received| received.len() == 500).await;
    assert_eq!(by_device(&confirmed)["PSC1"], uuids("u", 500));
    assert!(slow.confirmed().is_empty());
}

#[tokio::test]
async fn a_poisonous_event_that_hangs_the_destination_cannot_pass_for_an_outage() {
    let receiver = Receiver::start().await;
    let more = "timeout = \"200ms\"\nretry.backoff_max = \"200ms\"\nconcurrency_max = 1";
    let site = Site::new(&routes_to(&receiver.url(), more));
    let gateway = site.start().await;
    receiver.script_next(Behaviour::Hang);
    push(&gateway, "PSC1", &uuids("poison", 1)).await;
    let poison = receiver.wait_for(1).await[0].id().to_owned();
    receiver.script_for(&poison, Some(Behaviour::Hang));
    push(&gateway, "PSC2", &uuids("other", 20)).await;
    receiver
        .wait_until(|received| {
            received
                .iter()
                .filter(|one| one.answered == Some(200))
                .count()
                >= 20
        })
        .await;
    let tries = receiver
        .received()
        .iter()
        .filter(|one| one.id() == poison)
        .count();
    assert!(
        (4..=8).contains(&tries),
        "the first, three probes, and then another device's turn: {tries}"
    );
}

#[tokio::test]
async fn retry_after_is_honoured_up_to_the_longest_pause() {
    let receiver = Receiver::start().await;
    let site = Site::new(&routes_to(&receiver.url(), "retry.backoff_max = \"2s\""));
    receiver.script(Behaviour::Answer(
        Reply::status(429).header("retry-after", "3600"),
    ));
    let gateway = site.start().await;
    push(&gateway, "PSC1", &uuids("u", 3)).await;
    receiver.wait_for(1).await;
    gateway
        .wait_for_metric(
            "faceway_lane_state{outbound=\"erp\",state=\"waiting\"}",
            |here| here == 1.0,
        )
        .await;
    receiver.script(Behaviour::status(200));
    tokio::time::timeout(Duration::from_secs(30), settled(&gateway))
        .await
        .expect("an hour was asked for, two seconds are the most");
    assert_eq!(receiver.received().len(), 4, "one refused, three delivered");
}

/// Every event hears the same answer, for a while.
async fn none_is_taken(devices: &[&str], status: u16) {
    let receiver = Receiver::start().await;
    receiver.script(Behaviour::status(status));
    let more = "retry.backoff_max = \"150ms\"\nretry.attempts_max = 2";
    let gateway = Site::new(&routes_to(&receiver.url(), more)).start().await;
    for serial in devices {
        push(&gateway, serial, &uuids(serial, 3)).await;
    }
    let waiting = "faceway_lane_state{outbound=\"erp\",state=\"waiting\"}";
    gateway.wait_for_metric(waiting, |here| here == 1.0).await;
    receiver.wait_for(20).await;
    receiver.script(Behaviour::status(200));
    settled(&gateway).await;
    let expected: HashMap<String, Vec<String>> = (devices.iter())
        .map(|serial| ((*serial).to_owned(), uuids(serial, 3)))
        .collect();
    assert_eq!(by_device(&receiver.confirmed()), expected, "{status}");
    let buried = gateway.metric("faceway_buried{outbound=\"erp\"}").await;
    assert_eq!(buried, 0.0, "{status}");
    let log = gateway.log();
    assert!(log.contains("takes none of the events"), "{status}: {log}");
    assert!(!log.contains("given up"), "{status}: {log}");
}

/// A token that is exchanged, a service that is not up behind its ingress or its proxy: none of the events is to blame,
/// wherever there is one door or many.
#[tokio::test]
async fn an_answer_that_every_event_gets_is_the_destination_s() {
    for status in [401, 403, 404, 500, 520, 530] {
        tokio::join!(
            none_is_taken(&["PSC1"], status),
            none_is_taken(&["PSC1", "PSC2", "PSC3", "PSC4"], status),
        );
    }
}

/// One that the destination knows nothing of, among others that it takes, at a site with one door.
#[tokio::test]
async fn an_answer_that_one_event_gets_is_that_event_s() {
    for status in [403, 404, 500] {
        let receiver = Receiver::start().await;
        let stranger = event_id(&recognition("PSC1", "door-1"));
        receiver.script_for(stranger, Some(Behaviour::status(status)));
        let more = "retry.backoff_max = \"150ms\"
retry.attempts_max = 2";
        let gateway = Site::new(&routes_to(&receiver.url(), more)).start().await;
        push(&gateway, "PSC1", &uuids("door", 4)).await;
        settled(&gateway).await;
        let taken = ["door-0", "door-2", "door-3"].map(str::to_owned);
        assert_eq!(by_device(&receiver.confirmed())["PSC1"], taken, "{status}");
        let buried = gateway.metric("faceway_buried{outbound=\"erp\"}").await;
        assert_eq!(buried, 1.0, "{status}");
        let counted = format!(
            "faceway_attempts_total{{outbound=\"erp\",result=\"buried\",code=\"{status}\"}}"
        );
        assert_eq!(gateway.metric(&counted).await, 1.0);
        assert!(gateway.log().contains("given up"));
    }
}
