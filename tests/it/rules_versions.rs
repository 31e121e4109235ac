//! An event goes by the rules that were in force when it was kept: over reloads, restarts and crashes.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use faceway_testkit::receiver::Receiver;
use rand::RngExt as _;
use serde_json::{Value, json};

use crate::harness::{
    Device, Gateway, LOBBY, Site, reload, replace, route, vendor_id, vendor_ids, wait_for_log,
    webhook,
};

fn record(uuid: &str, person: &str) -> Vec<u8> {
    json!({ "type": 0, "data": {
        "deviceSN": format!("PSC{:03}", uuid.len()), "recognitionType": 1, "uuid": uuid, "timestamp": 1_767_250_800,
        "user": { "user_id": person, "name": "Wanda Probst", "type": 1 },
    } })
    .to_string()
    .into_bytes()
}

async fn push(gateway: &Gateway, uuids: impl IntoIterator<Item = usize>) {
    let mut device = Device::connect(gateway.devices).await;
    for n in uuids {
        let answer = device.push(&record(&n.to_string(), "5")).await.unwrap();
        assert!(answer.is_success(), "{answer:?}");
    }
}

/// The numbers of the records that arrived, in order.
fn numbers(receiver: &Receiver) -> Vec<usize> {
    let ids = vendor_ids(&receiver.confirmed());
    ids.iter().map(|id| id.parse().unwrap()).collect()
}

fn numbered(range: std::ops::Range<usize>) -> Vec<usize> {
    range.collect()
}

async fn lanes(gateway: &Gateway) -> Value {
    serde_json::from_str(&gateway.get("/api/v1/lanes").await.1).unwrap()
}

/// A file that sends everything to one of these outbounds; all of them are named.
fn all_to(name: &str, outbounds: &[(&str, &Receiver)]) -> String {
    let outbounds: String = outbounds
        .iter()
        .map(|(name, receiver)| webhook(name, receiver))
        .collect();
    format!("{LOBBY}{outbounds}{}", route("all", &[name]))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_goes_by_its_rules_after_a_restart_too() {
    let (left, right) = (Receiver::start().await, Receiver::start().await);
    let to = |name: &str| all_to(name, &[("left", &left), ("right", &right)]);
    let site = Site::new(&to("left"));
    let gateway = site.start().await;
    left.refuse().await;
    push(&gateway, 0..20).await;
    replace(&site, &to("right"));
    assert_eq!(reload(&gateway).await.0, 200);
    push(&gateway, 20..40).await;
    gateway.kill().await;

    // Started with the same file, and then with one that was edited meanwhile.
    let gateway = site.start().await;
    push(&gateway, 40..60).await;
    gateway.delivered_all("right").await;
    assert!(gateway.stop().await.success());
    replace(&site, &to("left"));
    let gateway = site.start().await;
    push(&gateway, 60..80).await;
    left.listen().await;
    gateway.delivered_all("left").await;
    gateway.delivered_all("right").await;

    let expected: Vec<_> = (0..20).chain(60..80).collect();
    assert_eq!(sorted(numbers(&left)), expected);
    assert_eq!(sorted(numbers(&right)), numbered(20..60));
}

fn sorted(mut numbers: Vec<usize>) -> Vec<usize> {
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_outbound_goes_on_after_a_restart() {
    let (old, new) = (Receiver::start().await, Receiver::start().await);
    let before = all_to("old", &[("old", &old)]);
    let after = all_to("new", &[("new", &new)]);
    let site = Site::new(&before);
    let gateway = site.start().await;
    old.refuse().await;
    push(&gateway, 0..10).await;
    assert!(gateway.stop().await.success());
    // Taken out while no gateway runs; and once more killed while it leaves.
    replace(&site, &after);
    for from in [10, 20] {
        let gateway = site.start().await;
        push(&gateway, from..from + 10).await;
        gateway.delivered_all("new").await;
        let lanes = lanes(&gateway).await;
        let old = lanes
            .as_array()
            .unwrap()
            .iter()
            .find(|lane| lane["name"] == "old");
        assert_eq!(old.unwrap()["leaving"], json!(true), "{lanes}");
        gateway.kill().await;
    }
    let gateway = site.start().await;
    old.listen().await;
    wait_for_log(&gateway, "its lane is removed").await;
    assert_eq!(numbers(&old), numbered(0..10));
    assert_eq!(sorted(numbers(&new)), numbered(10..30));
    assert_eq!(lanes(&gateway).await.as_array().unwrap().len(), 1);
}

/// What an outbound cannot do any more is told, and its events stay until the operator decides.
#[tokio::test(flavor = "multi_thread")]
async fn an_outbound_that_was_taken_out_with_its_secret_keeps_its_events() {
    let old = Receiver::start().await;
    let signed = webhook("old", &old) + "sign = [{ env = \"OLD_SECRET\" }]\n";
    let before = format!("{LOBBY}{signed}{}", route("all", &["old"]));
    let site = Site::new(&before).set("OLD_SECRET", "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ=");
    let gateway = site.start().await;
    old.refuse().await;
    push(&gateway, 0..3).await;
    assert!(gateway.stop().await.success());
    replace(&site, LOBBY);
    let site = site.unset("OLD_SECRET");
    let gateway = site.start().await;
    wait_for_log(&gateway, "OLD_SECRET").await;
    let told = lanes(&gateway).await;
    assert_eq!(
        (&told[0]["state"], &told[0]["backlog"]),
        (&json!("removed"), &json!(3)),
        "{told}"
    );
    // With file and secret there again, they are delivered.
    replace(&site, &before);
    let site = site.set("OLD_SECRET", "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ=");
    assert!(gateway.stop().await.success());
    old.listen().await;
    let gateway = site.start().await;
    gateway.delivered_all("old").await;
    assert_eq!(numbers(&old), numbered(0..3));
}

/// An outbound that is new and asks for the history goes through it by the rules of when it came, also after a crash.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_outbound_goes_through_the_history_by_the_rules_that_it_came_with() {
    let (old, new) = (Receiver::start().await, Receiver::start().await);
    let before = all_to("old", &[("old", &old)]);
    let after = format!(
        "{LOBBY}{}{}since = \"oldest\"\n{}",
        webhook("old", &old),
        webhook("new", &new),
        route("all", &["old", "new"])
    );
    let site = Site::new(&before);
    let gateway = site.start().await;
    push(&gateway, 0..20).await;
    new.refuse().await;
    replace(&site, &after);
    assert_eq!(reload(&gateway).await.0, 200);
    push(&gateway, 20..30).await;
    gateway.kill().await;
    // Another reading of the file, in which the new one gets nothing of what comes from now on.
    replace(&site, &after.replace("[\"old\", \"new\"]", "[\"old\"]"));
    let gateway = site.start().await;
    push(&gateway, 30..40).await;
    new.listen().await;
    gateway.delivered_all("new").await;
    assert_eq!(sorted(numbers(&new)), numbered(0..30));
    // A replay asks the rules of now, which send it nothing.
    let day = "--since=1d";
    let told = site.ask(&gateway, &["replay", "--to", "new", day]).await;
    assert!(told.contains("40"), "{told}");
    gateway.delivered_all("new").await;
    assert_eq!(sorted(numbers(&new)), numbered(0..30));
}

/// Whatever the moment at which the gateway is killed, every lane goes by the same rules about an event: it reaches the
/// one outbound that it was kept for, and no other.
#[tokio::test(flavor = "multi_thread")]
async fn killed_while_it_reloads_every_event_reaches_the_one_that_it_was_kept_for() {
    let receivers = [Receiver::start().await, Receiver::start().await];
    let [left, right] = &receivers;
    let to = |name: &str| all_to(name, &[("left", left), ("right", right)]);
    let site = Site::new(&to("left"));
    let kept = Arc::new(Mutex::new(HashSet::new()));
    for round in 0..12 {
        // One of them is behind, so that the lanes come to the same events at other times.
        receivers[round % 2].refuse().await;
        receivers[(round + 1) % 2].listen().await;
        let gateway = site.start().await;
        let load = tokio::spawn(push_until_cut(gateway.devices, round, Arc::clone(&kept)));
        let lives = Duration::from_millis(rand::rng().random_range(50..400));
        let flips = async {
            for n in 0.. {
                replace(&site, &to(["right", "left"][n % 2]));
                assert_eq!(reload(&gateway).await.0, 200);
            }
        };
        // Any moment, but not before there is something to lose.
        let enough = async {
            tokio::time::sleep(lives).await;
            let mut ticks = tokio::time::interval(Duration::from_millis(1));
            while kept.lock().unwrap().len() < (round + 1) * 20 {
                ticks.tick().await;
            }
        };
        tokio::select! {
            () = flips => {}
            () = enough => {}
        }
        gateway.kill().await;
        load.await.unwrap();
    }
    left.listen().await;
    right.listen().await;
    let gateway = site.start().await;
    gateway.delivered_all("left").await;
    gateway.delivered_all("right").await;
    let kept = kept.lock().unwrap().clone();
    assert!(!ids(left).is_empty() && !ids(right).is_empty());
    reached_one_each(&kept, &receivers);
}

async fn push_until_cut(
    address: std::net::SocketAddr,
    round: usize,
    kept: Arc<Mutex<HashSet<String>>>,
) {
    let mut device = Device::connect(address).await;
    for n in 0.. {
        let uuid = format!("{round}-{n}");
        match device.push(&record(&uuid, "5")).await {
            Ok(answer) if answer.is_success() => {
                kept.lock().unwrap().insert(uuid);
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn why_tells_the_rules_by_which_an_event_went() {
    let receiver = Receiver::start().await;
    let text = |name: &str| {
        let outbound = webhook("erp", &receiver);
        format!("{LOBBY}{outbound}{}", route(name, &["erp"]))
    };
    let site = Site::new(&text("everything"));
    let gateway = site.start().await;
    push(&gateway, 0..1).await;
    let id = receiver.wait_for(1).await[0].id().to_owned();
    let why = async |gateway: &Gateway| site.ask(gateway, &["why", &id]).await;
    let told = why(&gateway).await;
    assert!(
        told.contains("Routes, as they are now\n  + everything: matches"),
        "{told}"
    );
    replace(&site, &text("all there is"));
    assert_eq!(reload(&gateway).await.0, 200);
    assert!(gateway.stop().await.success());
    let gateway = site.start().await;
    let told = why(&gateway).await;
    assert!(
        told.contains("Routes, as they were then (from ") && told.contains("+ everything: matches"),
        "{told}"
    );
    // The outbound goes, and another of its name comes: what the first one did is still told.
    replace(&site, LOBBY);
    assert_eq!(reload(&gateway).await.0, 200);
    wait_for_log(&gateway, "its lane is removed").await;
    replace(&site, &text("all there is"));
    assert_eq!(reload(&gateway).await.0, 200);
    let told = why(&gateway).await;
    assert!(
        told.contains("erp: through without an attempt: it was silenced by `once`, or is older"),
        "{told}"
    );
    assert!(
        told.contains("erp: this lane is gone; before that:\n"),
        "{told}"
    );
    assert!(told.contains("delivered, 200"), "{told}");
}

/// The same person again is silenced, whatever the outbound has become meanwhile, and however the gateway ended.
#[tokio::test(flavor = "multi_thread")]
async fn once_outlives_changes_restarts_and_kills() {
    let receiver = Receiver::start().await;
    let text = |timeout: &str| {
        let once = "once = { per = [\"person.id\"], within = \"1h\" }\n";
        let outbound = webhook("erp", &receiver) + timeout;
        format!("{LOBBY}{outbound}{}{once}", route("first", &["erp"]))
    };
    let site = Site::new(&text(""));
    let mut gateway = site.start().await;
    let persons = [1, 1, 2, 1, 2, 3, 3, 2];
    for (n, person) in persons.into_iter().enumerate() {
        match n % 3 {
            0 => {
                replace(&site, &text(&format!("timeout = \"{}s\"\n", n + 1)));
                assert_eq!(reload(&gateway).await.1["changed"], json!(["outbound erp"]));
            }
            1 => {
                assert!(gateway.stop().await.success());
                gateway = site.start().await;
            }
            _ => {
                gateway.kill().await;
                gateway = site.start().await;
            }
        }
        let mut device = Device::connect(gateway.devices).await;
        let record = record(&n.to_string(), &person.to_string());
        assert!(device.push(&record).await.unwrap().is_success());
        gateway.delivered_all("erp").await;
    }
    // What was confirmed just before a kill may come twice.
    assert_eq!(sorted(numbers(&receiver)), [0, 2, 5]);
}

fn ids(receiver: &Receiver) -> HashSet<String> {
    let confirmed = receiver.confirmed();
    confirmed.iter().map(|one| vendor_id(&one.body)).collect()
}

/// Each of these reached one of the two, and none both.
fn reached_one_each(kept: &HashSet<String>, [left, right]: &[Receiver; 2]) {
    let (left, right) = (ids(left), ids(right));
    let lost = kept
        .iter()
        .filter(|id| !left.contains(*id) && !right.contains(*id));
    let both = left.intersection(&right).count();
    assert_eq!((lost.count(), both), (0, 0), "of {}", kept.len());
}

/// A deployment writes the file and restarts: the gateway is told to stop while it takes the file over.
#[tokio::test(flavor = "multi_thread")]
async fn stopped_while_it_reloads_every_event_reaches_the_one_that_it_was_kept_for() {
    let receivers = [Receiver::start().await, Receiver::start().await];
    let [left, right] = &receivers;
    let to = |name: &str| all_to(name, &[("left", left), ("right", right)]);
    let site = Site::new(&to("left"));
    let kept = Arc::new(Mutex::new(HashSet::new()));
    left.refuse().await;
    for round in 0..12 {
        replace(&site, &to("left"));
        let gateway = site.start().await;
        let devices = (0..16).map(|device| {
            let kept = Arc::clone(&kept);
            tokio::spawn(push_until_cut(gateway.devices, round * 100 + device, kept))
        });
        let devices: Vec<_> = devices.collect();
        while kept.lock().unwrap().len() < (round + 1) * 50 {
            tokio::task::yield_now().await;
        }
        replace(&site, &to("right"));
        let mut admin = Device::connect(gateway.admin).await;
        let json = [("content-type", "application/json")];
        let reload = admin.send("POST", "/api/v1/reload", &json, b"{}");
        let moment = Duration::from_micros(rand::rng().random_range(0..20_000));
        let _ = tokio::time::timeout(moment, reload).await;
        assert!(gateway.stop().await.success());
        for device in devices {
            device.await.unwrap();
        }
    }
    left.listen().await;
    let gateway = site.start().await;
    gateway.delivered_all("left").await;
    gateway.delivered_all("right").await;
    reached_one_each(&kept.lock().unwrap(), &receivers);
}

/// What is kept between the making of a lane and the moment from which its rules count is for the one before.
#[tokio::test(flavor = "multi_thread")]
async fn an_outbound_that_is_renamed_under_load_gets_every_event_once() {
    let receivers = [Receiver::start().await, Receiver::start().await];
    let name = |n: usize| format!("out{n}");
    let text = |n: usize| all_to(&name(n), &[(name(n).as_str(), &receivers[n % 2])]);
    let site = Site::new(&text(0));
    let gateway = site.start().await;
    let kept = Arc::new(Mutex::new(HashSet::new()));
    let devices = (0..8).map(|device| {
        tokio::spawn(push_until_cut(
            gateway.devices,
            100 + device,
            Arc::clone(&kept),
        ))
    });
    let devices: Vec<_> = devices.collect();
    for n in 1..16 {
        let before = kept.lock().unwrap().len();
        while kept.lock().unwrap().len() < before + 20 {
            tokio::task::yield_now().await;
        }
        replace(&site, &text(n));
        assert_eq!(reload(&gateway).await.0, 200);
    }
    for device in &devices {
        device.abort();
    }
    for device in devices {
        let _ = device.await;
    }
    // Those that leave are gone when they have delivered all.
    let waiting = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        while lanes(&gateway).await.as_array().unwrap().len() > 1 {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(crate::harness::PATIENCE, waiting)
        .await
        .unwrap();
    gateway.delivered_all(&name(15)).await;
    reached_one_each(&kept.lock().unwrap(), &receivers);
}

/// What is needed no more takes up no place of what is needed.
#[tokio::test(flavor = "multi_thread")]
async fn large_files_that_change_often_neither_keep_it_from_starting_nor_from_reloading() {
    let receiver = Receiver::start().await;
    let base = all_to("erp", &[("erp", &receiver)]);
    let filler = format!("# {}\n", "x".repeat(1022)).repeat(3 * 1024);
    let text = |n: usize| format!("{base}# {n}\n{filler}");
    let site = Site::new(&text(0));
    for n in (0..16).step_by(2) {
        replace(&site, &text(n));
        let gateway = site.start().await;
        push(&gateway, n..n + 1).await;
        gateway.delivered_all("erp").await;
        replace(&site, &text(n + 1));
        let (status, told) = reload(&gateway).await;
        assert_eq!(status, 200, "{told}");
        push(&gateway, n + 1..n + 2).await;
        gateway.delivered_all("erp").await;
        assert!(gateway.stop().await.success());
    }
    assert_eq!(sorted(numbers(&receiver)), numbered(0..16));
}
