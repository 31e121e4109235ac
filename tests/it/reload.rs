//! A changed `routes.toml` while the gateway runs: as a whole or not at all, without loss, and what it does
//! not concern does not notice.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use faceway_testkit::broker::mosquitto::{Mosquitto, Options};
use faceway_testkit::broker::rabbitmq::RabbitMq;
use faceway_testkit::platform::Platform;
use faceway_testkit::receiver::{Behaviour, Receiver};
use serde_json::{Value, json};

use crate::harness::{
    Device, Gateway, LOBBY, Mounted, PATIENCE, Site, reload, replace, route, wait_for_log, webhook,
};

const RELOADED: &str = "faceway_reload_successful";

fn record(n: usize) -> Vec<u8> {
    json!({ "type": 0, "data": {
        "deviceSN": format!("PSC{:03}", n % 7), "recognitionType": 1, "uuid": format!("reload-{n}"), "timestamp": 1_767_250_800,
    } })
    .to_string()
    .into_bytes()
}

async fn push(device: &mut Device, n: usize) {
    let answer = device.push(&record(n)).await.unwrap();
    assert!(answer.is_success(), "{answer:?}");
}

/// How often each record has arrived.
fn arrived(receiver: &Receiver) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for request in receiver.received() {
        let event: Value = serde_json::from_slice(&request.body).unwrap();
        *counts
            .entry(event["vendor_id"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
    counts
}

/// Good and bad files in turn, while records come in and one of the outbounds is moved to and fro.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_reloads_under_load_lose_nothing_and_send_nothing_twice() {
    let (left, right) = (Receiver::start().await, Receiver::start().await);
    let platform = Platform::start().await;
    let live = format!("[inbound.omni.live]\nurl = \"{}/ws\"\n", platform.url());
    let outbounds = webhook("left", &left) + &webhook("right", &right);
    let to = |name: &str| format!("{LOBBY}{live}{outbounds}{}", route("all", &[name]));
    let bad = format!("{LOBBY}{live}{outbounds}{}", route("all", &["crm"]));
    let site = Site::new(&to("left"));
    let gateway = site.start().await;
    let mut connection = platform.connection().await;
    // Its pings are answered as long as a client listens.
    let listening = tokio::spawn(async move { connection.hear().await });

    let address = gateway.devices;
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let load = tokio::spawn(async move {
        let mut device = Device::connect(address).await;
        let mut count = 0;
        while stopped.try_recv().is_err() {
            push(&mut device, count).await;
            count += 1;
        }
        count
    });
    for round in 0..100 {
        let name = if round % 4 < 2 { "right" } else { "left" };
        if round % 2 == 0 {
            replace(&site, &to(name));
            assert_eq!(reload(&gateway).await.0, 200);
        } else {
            replace(&site, &bad);
            let (status, told) = reload(&gateway).await;
            assert_eq!(status, 422);
            assert!(
                told["error"]
                    .as_str()
                    .unwrap()
                    .contains("there is no outbound `crm`"),
                "{told}"
            );
        }
    }
    let _ = stop.send(());
    let count = load.await.unwrap();
    gateway.delivered_all("left").await;
    gateway.delivered_all("right").await;

    let (left, right) = (arrived(&left), arrived(&right));
    assert_eq!(
        left.len() + right.len(),
        count,
        "every record arrived at one of the two"
    );
    assert!(
        left.keys().all(|id| !right.contains_key(id)),
        "and at no more than one"
    );
    assert!(
        left.values().chain(right.values()).all(|times| *times == 1),
        "once"
    );
    assert!(!left.is_empty() && !right.is_empty());
    // What has not changed has not noticed.
    assert_eq!(platform.accepted(), 1);
    assert!(!listening.is_finished());
}

/// What a reload refuses a start does not take over either: a test that fails, a key that is unknown, an outbound that is not
/// there.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_at_a_start_leaves_the_rules_of_before_in_force() {
    let receiver = Receiver::start().await;
    let good = format!(
        "{LOBBY}{}{}",
        webhook("erp", &receiver),
        route("all", &["erp"])
    );
    let failing =
        "[[test]]\nname = \"nothing reaches the ERP\"\ngiven = { kind = \"alarm\" }\nexpect = []\n";
    let bad = [
        (format!("{good}{failing}"), "nothing reaches the ERP"),
        (
            good.replace("[[route]]", "[[rout]]"),
            "did you mean `route`?",
        ),
        (
            good.replace("to = [\"erp\"]", "to = [\"crm\"]"),
            "there is no outbound `crm`",
        ),
    ];
    for (at, (bad, why)) in bad.into_iter().enumerate() {
        // With no rules of before the start is refused, as by `faceway check`, and leaves nothing behind.
        let site = Site::new(&bad);
        let refused = site.run(&["run"]).await;
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{told}");
        assert_eq!(told.matches(why).count(), 1, "{told}");
        assert!(!site.path().join("data").exists());

        replace(&site, &good);
        assert!(site.start().await.stop().await.success());
        replace(&site, &bad);
        let gateway = site.start().await;
        assert_eq!(gateway.metric(RELOADED).await, 0.0);
        // Told as while the gateway runs.
        wait_for_log(&gateway, "what was in force stays").await;
        assert!(gateway.log().contains(why), "{}", gateway.log());
        push(&mut Device::connect(gateway.devices).await, at).await;
        gateway.delivered_all("erp").await;
        assert_eq!(arrived(&receiver).len(), at + 1);
        replace(&site, &good);
        gateway
            .wait_for_metric(RELOADED, |successful| successful == 1.0)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_changes_nothing_and_is_told_with_its_place() {
    let receiver = Receiver::start().await;
    let good = format!(
        "{LOBBY}{}{}",
        webhook("erp", &receiver),
        route("all", &["erp"])
    );
    let site = Site::new(&good);
    let gateway = site.start().await;
    assert_eq!(gateway.metric(RELOADED).await, 1.0);
    let loaded = gateway.metric("faceway_reload_timestamp_seconds").await;

    // In place, and noticed without being asked for.
    std::fs::write(
        site.path().join("routes.toml"),
        good.replace("[[route]]", "[[rout]]"),
    )
    .unwrap();
    gateway
        .wait_for_metric(RELOADED, |successful| successful == 0.0)
        .await;
    let log = gateway.log();
    assert!(
        log.contains("did you mean `route`?") && log.contains("routes.toml:5:"),
        "{log}"
    );
    // Where operators look: with the text, and in one line.
    let failed = failed_reload(&gateway).await;
    let text = failed["text"].as_str().unwrap();
    assert!(text.contains("did you mean `route`?"), "{failed}");
    assert!(failed["at"].is_string(), "{failed}");
    let top = site.ask(&gateway, &["top", "--once"]).await;
    assert!(
        top.contains("RELOAD FAILED") && top.contains("rout"),
        "{top}"
    );
    let admin = format!("http://{}", gateway.admin);
    let lanes = site.run(&["lanes", "--admin", &admin]).await;
    let told = String::from_utf8_lossy(&lanes.stderr);
    assert!(told.contains("reload failed"), "{told}");
    let mut device = Device::connect(gateway.devices).await;
    push(&mut device, 1).await;
    receiver.wait_for(1).await;
    assert_eq!(
        gateway.metric("faceway_reload_timestamp_seconds").await,
        loaded
    );

    // A copy that has just begun takes nothing out.
    replace(&site, "");
    let (status, told) = reload(&gateway).await;
    assert_eq!(status, 422, "{told}");
    assert!(
        told["error"].as_str().unwrap().contains("routes.toml:1:1"),
        "{told}"
    );
    push(&mut device, 2).await;
    receiver.wait_for(2).await;

    // A test in it that fails is as wrong.
    let failing =
        format!("{good}[[test]]\nname = \"x\"\ngiven = {{ kind = \"alarm\" }}\nexpect = []\n");
    replace(&site, &failing);
    let (status, told) = reload(&gateway).await;
    assert_eq!(status, 422, "{told}");
    // And so is a secret that is not there.
    replace(
        &site,
        &good.replace("\nretry", "\nsign = [{ env = \"NOT_THERE\" }]\nretry"),
    );
    let (status, told) = reload(&gateway).await;
    assert_eq!(status, 422);
    assert!(
        told["error"].as_str().unwrap().contains("NOT_THERE"),
        "{told}"
    );

    replace(&site, &good);
    gateway
        .wait_for_metric(RELOADED, |successful| successful == 1.0)
        .await;
    assert_eq!(failed_reload(&gateway).await, Value::Null);
}

/// What the overview says of the last reload when it failed.
async fn failed_reload(gateway: &Gateway) -> Value {
    let (_, overview) = gateway.get("/api/v1/overview").await;
    let overview: Value = serde_json::from_str(&overview).unwrap();
    overview["reload_failed"].clone()
}

async fn knows(gateway: &Gateway, inbound: &str) -> bool {
    let (_, told) = gateway.get("/api/v1/inbounds").await;
    told.contains(&format!("/in/{inbound}\""))
}

/// Waits until the gateway knows an inbound.
async fn known(gateway: &Gateway, inbound: &str) {
    let waiting = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        while !knows(gateway, inbound).await {
            ticks.tick().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(
        waited.is_ok(),
        "{inbound} was not noticed: {}",
        gateway.log()
    );
}

/// However a file is replaced, it is noticed: here by what the gateway then says about itself.
#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_replace_the_file_is_noticed() {
    let receiver = Receiver::start().await;
    let text = |name: &str| {
        format!(
            "[inbound.nebula.{name}]\n{}{}",
            webhook("erp", &receiver),
            route("all", &["erp"])
        )
    };
    let site = Site::new(&text("first"));
    let file = site.path().join("routes.toml");
    // As a ConfigMap is mounted: a link to a link, which is swapped.
    let version = |name: &str| {
        let folder = site.path().join(format!("..{name}"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("routes.toml"), text(name)).unwrap();
        folder
    };
    let link = |to: &Path, at: &Path| {
        let new = site.path().join("new");
        std::os::unix::fs::symlink(to, &new).unwrap();
        std::fs::rename(new, at).unwrap();
    };
    let gateway = site.start().await;
    replace(&site, &text("renamed"));
    known(&gateway, "renamed").await;
    std::fs::write(&file, text("written")).unwrap();
    known(&gateway, "written").await;
    let data = site.path().join("..data");
    link(&version("linked"), &data);
    link(&data.join("routes.toml"), &file);
    known(&gateway, "linked").await;
    link(&version("swapped"), &data);
    known(&gateway, "swapped").await;
    gateway.signal(rustix::process::Signal::HUP);
    wait_for_log(&gateway, "is in force").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outbound_that_is_taken_out_delivers_what_it_was_given_and_ends() {
    let (old, new) = (Receiver::start().await, Receiver::start().await);
    let before = format!("{LOBBY}{}{}", webhook("old", &old), route("all", &["old"]));
    let after = format!("{LOBBY}{}{}", webhook("new", &new), route("all", &["new"]));
    let site = Site::new(&before);
    let gateway = site.start().await;
    old.refuse().await;
    let mut device = Device::connect(gateway.devices).await;
    for n in 0..20 {
        push(&mut device, n).await;
    }
    replace(&site, &after);
    let (status, changes) = reload(&gateway).await;
    assert_eq!(
        (status, &changes["removed"], &changes["added"]),
        (200, &json!(["outbound old"]), &json!(["outbound new"]))
    );
    for n in 20..40 {
        push(&mut device, n).await;
    }
    new.wait_for(20).await;
    let (_, lanes) = gateway.get("/api/v1/lanes").await;
    let lanes: Value = serde_json::from_str(&lanes).unwrap();
    assert_eq!(
        (&lanes[0]["name"], &lanes[0]["leaving"]),
        (&json!("old"), &json!(true)),
        "{lanes}"
    );

    old.listen().await;
    old.wait_for(20).await;
    wait_for_log(&gateway, "its lane is removed").await;
    let (mut first, mut second) = (arrived(&old), arrived(&new));
    for n in 0..20 {
        assert_eq!(first.remove(&format!("reload-{n}")), Some(1));
        assert_eq!(second.remove(&format!("reload-{}", n + 20)), Some(1));
    }
    assert!(first.is_empty() && second.is_empty());
    let (_, lanes) = gateway.get("/api/v1/lanes").await;
    assert!(!lanes.contains("\"old\""), "{lanes}");
    // Its gauges are gone: an alert about it would never end.
    let (_, metrics) = gateway.get("/metrics").await;
    assert!(!metrics.contains("faceway_lane_backlog{outbound=\"old\"}"));
    assert!(metrics.contains("faceway_lane_backlog{outbound=\"new\"}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_hangs_delays_neither_a_reload_nor_the_rest() {
    let (hanging, other) = (Receiver::start().await, Receiver::start().await);
    hanging.script(Behaviour::Hang);
    // Longer than the grace period: what hangs is cut off, and must not be forgotten.
    let patient = |receiver: &Receiver| {
        webhook("erp", receiver)
            + "timeout = \"60s\"
"
    };
    let before = format!("{LOBBY}{}{}", patient(&hanging), route("all", &["erp"]));
    let after = format!("{LOBBY}{}{}", patient(&other), route("all", &["erp"]));
    let site = Site::new(&before);
    let gateway = site.start().await;
    let mut device = Device::connect(gateway.devices).await;
    push(&mut device, 1).await;
    hanging.wait_for(1).await;
    replace(&site, &after);
    let (status, changes) = reload(&gateway).await;
    assert_eq!(
        (status, &changes["changed"]),
        (200, &json!(["outbound erp"]))
    );
    // What hung is given up after the grace period and goes to where the outbound points now.
    other.wait_for(1).await;
    // The first connection has been idle for longer than it may.
    let mut device = Device::connect(gateway.devices).await;
    push(&mut device, 2).await;
    other.wait_for(2).await;
    assert!(gateway.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_changes_beside_the_file_is_taken_over_on_demand() {
    let receiver = Receiver::start().await;
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("key");
    std::fs::write(&secret, "first").unwrap();
    let text = format!(
        "{LOBBY}{}headers = {{ authorization = {{ file = {:?} }} }}\n{}",
        webhook("erp", &receiver),
        secret,
        route("all", &["erp"])
    );
    let site = Site::new(&text);
    let gateway = site.start().await;
    assert_eq!(
        reload(&gateway).await.1["changed"],
        json!([]),
        "nothing is new"
    );
    std::fs::write(&secret, "second").unwrap();
    assert_eq!(reload(&gateway).await.1["changed"], json!(["outbound erp"]));
    let mut device = Device::connect(gateway.devices).await;
    push(&mut device, 1).await;
    let received = receiver.wait_for(1).await;
    assert_eq!(received[0].header("authorization"), "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_brokers_outlive_reloads() {
    let mosquitto = Mosquitto::start(Options::default()).await;
    let rabbit = RabbitMq::start().await;
    let text = |inbound: &str| {
        format!(
            "[inbound.nebula.{inbound}]\npath = \"/in/lobby\"\n\
             [outbound.mqtt.bus]\nurl = \"mqtt://{}\"\nclient_id = \"reloaded-gateway\"\n\
             [outbound.amqp.queue]\nurl = \"amqp://{}/%2f\"\n{}\nexchange = \"faces\"\ndeclare = \"topic\"\nqueue = \"faceway\"\n{}",
            mosquitto.open_address(),
            rabbit.address(),
            crate::brokers::LOGIN,
            route("all", &["bus", "queue"])
        )
    };
    let site = Site::new(&text("lobby0")).set("QUEUE_PASSWORD", "guest");
    let gateway = site.start().await;
    let mut device = Device::connect(gateway.devices).await;
    push(&mut device, 0).await;
    gateway.delivered_all("bus").await;
    gateway.delivered_all("queue").await;
    let connections = async || {
        let columns = ["list_connections", "name"];
        let rabbit = rabbit.control(&columns).await;
        let log = mosquitto.log();
        let dialled = log
            .lines()
            .filter(|line| line.contains(" as reloaded-gateway"));
        (rabbit, dialled.count())
    };
    let before = connections().await;
    assert_eq!(before.1, 1, "{}", mosquitto.log());
    for n in 1..=10 {
        replace(&site, &text(&format!("lobby{n}")));
        assert_eq!(reload(&gateway).await.0, 200);
        let mut device = Device::connect(gateway.devices).await;
        push(&mut device, n).await;
    }
    gateway.delivered_all("bus").await;
    gateway.delivered_all("queue").await;
    assert_eq!(connections().await, before);
}

/// However soon an outbound that was taken out comes back, it delivers.
#[tokio::test(flavor = "multi_thread")]
async fn an_outbound_that_comes_back_delivers_again() {
    let receiver = Receiver::start().await;
    let with = format!(
        "{LOBBY}{}{}",
        webhook("erp", &receiver),
        route("all", &["erp"])
    );
    let site = Site::new(&with);
    let gateway = site.start().await;
    for n in 0..10 {
        replace(&site, LOBBY);
        assert_eq!(reload(&gateway).await.0, 200);
        // From at once to after it has left.
        tokio::time::sleep(Duration::from_millis(n * 120)).await;
        replace(&site, &with);
        assert_eq!(reload(&gateway).await.0, 200);
        let n = usize::try_from(n).unwrap();
        push(&mut Device::connect(gateway.devices).await, n).await;
        receiver.wait_for(n + 1).await;
    }
    assert!(arrived(&receiver).values().all(|times| *times == 1));
}

/// A template is a part of the file: a change of it is taken over, and mends what was wrong in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_changes_beside_the_file_is_taken_over() {
    let receiver = Receiver::start().await;
    let plain = format!(
        "{LOBBY}{}{}",
        webhook("erp", &receiver),
        route("all", &["erp"])
    );
    let with_template = plain.replace(
        "\nretry",
        "\nformat = \"template\"\ntemplate = \"short.json.j2\"\nretry",
    );
    let site = Site::new(&plain);
    let gateway = site.start().await;
    let template = site.path().join("short.json.j2");
    std::fs::write(&template, "{ \"id\": {{ vendor_id | tojson }").unwrap();
    replace(&site, &with_template);
    gateway
        .wait_for_metric(RELOADED, |successful| successful == 0.0)
        .await;
    assert!(
        gateway.log().contains("short.json.j2:1:"),
        "{}",
        gateway.log()
    );
    // Only the template is touched.
    std::fs::write(&template, "{ \"id\": {{ vendor_id | tojson }} }").unwrap();
    gateway
        .wait_for_metric(RELOADED, |successful| successful == 1.0)
        .await;
    let mut device = Device::connect(gateway.devices).await;
    push(&mut device, 1).await;
    receiver.wait_for(1).await;
    std::fs::write(&template, "{ \"nr\": {{ vendor_id | tojson }} }").unwrap();
    let (mut n, mut last) = (1, Vec::new());
    while !last.starts_with(b"{ \"nr\"") {
        n += 1;
        push(&mut device, n).await;
        last = receiver.wait_for(n).await.pop().unwrap().body.to_vec();
    }
}

/// As docker mounts a directory of the host.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_in_a_directory_that_is_bind_mounted_is_noticed() {
    let host = tempfile::tempdir().unwrap();
    let site = Site::new(LOBBY);
    let Some(_mounted) = Mounted::over(host.path(), site.path()) else {
        return;
    };
    let text = |name: &str| format!("[inbound.nebula.{name}]\n");
    let write = |name: &str| std::fs::write(host.path().join(name), text(name)).unwrap();
    write("first");
    std::fs::rename(host.path().join("first"), host.path().join("routes.toml")).unwrap();
    let gateway = site.start().await;
    assert!(knows(&gateway, "first").await);
    write("second");
    std::fs::rename(host.path().join("second"), host.path().join("routes.toml")).unwrap();
    known(&gateway, "second").await;
    std::fs::write(host.path().join("routes.toml"), text("third")).unwrap();
    known(&gateway, "third").await;
    assert!(gateway.stop().await.success());
}

/// What is there in place of the file for a while holds up nothing, and is told.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_file_disturbs_nobody() {
    let receiver = Receiver::start().await;
    let text = |name: &str| {
        let outbound = webhook("erp", &receiver);
        format!("{LOBBY}{outbound}{}", route(name, &["erp"]))
    };
    let site = Site::new(&text("all"));
    let gateway = site.start().await;
    let file = site.path().join("routes.toml");
    // Put in its place at once: in between the gateway could see that there is none, which is told otherwise.
    let pipe = site.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    std::fs::rename(&pipe, &file).unwrap();
    gateway
        .wait_for_metric(RELOADED, |successful| successful == 0.0)
        .await;
    assert!(gateway.log().contains("is no file"), "{}", gateway.log());
    push(&mut Device::connect(gateway.devices).await, 1).await;
    receiver.wait_for(1).await;
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    assert_eq!(reload(&gateway).await.0, 422);
    std::fs::remove_dir(&file).unwrap();
    std::fs::write(&file, text("everything")).unwrap();
    gateway
        .wait_for_metric(RELOADED, |successful| successful == 1.0)
        .await;
    // What has changed is told, also where it is the rules alone.
    assert!(gateway.log().contains("\"added\":\"route everything\""));
    assert!(gateway.log().contains("\"removed\":\"route all\""));
    assert!(gateway.stop().await.success());
}
