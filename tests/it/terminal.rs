//! What devices, bodies and callers say never steers the terminal of who looks: every command, standard output, the log.

use std::process::Stdio;

use faceway_core::is_hidden;
use faceway_testkit::receiver::{Behaviour, Receiver};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::harness::{Device, FACEWAY, Gateway, PATIENCE, Site, text};

/// A title, a clear screen in one C1 byte, a turned order, nothing at all, DEL.
const SAID: &str = "X\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}\u{200b}\u{7f}Y";

fn record(uuid: &str) -> Vec<u8> {
    json!({ "type": 0, "data": {
        "deviceSN": format!("SN{SAID}"), "recognitionType": 1, "uuid": uuid, "mode": 3, "pass": true,
        "timestamp": 1_764_000_000, "deviceName": format!("Door{SAID}"), "unknown_to_us": SAID,
        "user": { "name": format!("Wanda{SAID}"), "user_id": format!("5{SAID}"), "type": 1, "groups": [] },
    } })
    .to_string()
    .into_bytes()
}

/// What arrives where people look.
#[track_caller]
fn assert_visible(what: &str, shown: &str) {
    let wrong = |char| is_hidden(char) && !matches!(char, '\n' | '\t');
    assert!(!shown.contains(wrong), "{what}: {shown:?}");
}

#[tokio::test]
async fn nothing_that_was_said_steers_a_terminal() {
    let receiver = Receiver::start().await;
    receiver.script(Behaviour::status(422));
    let routes = format!(
        "[inbound.nebula.lobby]\n[outbound.stdout.screen]\n[outbound.webhook.erp]\nurl = \"{}\"\n\
         [[route]]\nname = \"only one\"\nwhen = {{ \"device.id\" = \"other\" }}\nto = [\"screen\"]\n\
         [[route]]\nname = \"all\"\nto = [\"screen\", \"erp\"]\n",
        receiver.url()
    );
    let site = Site::new(&routes).set("FACEWAY_LOG", "trace");
    let gateway = site.start().await;
    let mut device = Device::connect(gateway.devices).await;
    let answer = device.push(&record("u-1")).await.unwrap();
    assert!(answer.is_success(), "{answer:?}");
    let broken = format!("{{\"type\":0,\"data\":\"{SAID}\",\r\n{SAID}: }}");
    device.push(broken.as_bytes()).await.unwrap();
    let buried = "faceway_buried{outbound=\"erp\"}";
    gateway.wait_for_metric(buried, |count| count == 1.0).await;
    gateway.delivered_all("screen").await;
    refused_by_path(&gateway).await;

    let (_, entries) = gateway.get("/api/v1/buried").await;
    let entries: Value = serde_json::from_str(&entries).unwrap();
    let id = entries[0]["id"].as_str().unwrap().to_owned();
    for command in [
        &["quarantine", "list"][..],
        &["quarantine", "list", "--json"],
        &["quarantine", "show", "1", "--json"],
        &["buried", "list"],
        &["buried", "list", "--json"],
        &["buried", "show", &id],
        &["why", &id],
        &["why", &id, "--json"],
        &["lanes"],
        &["lanes", "--json"],
        &["top", "--once"],
    ] {
        assert_visible(&command.join(" "), &site.ask(&gateway, command).await);
    }
    same_values(&site, &gateway, &id, &broken).await;
    assert_visible("stdout", &gateway.output());
    let event: Value = serde_json::from_str(gateway.output().lines().next().unwrap()).unwrap();
    assert_eq!(event["person"]["name"], format!("Wanda{SAID}"));
    let log = gateway.log();
    assert_visible("log", &log);
    assert!(log.contains("u{9b}"), "the refused path is told: {log}");
    for line in log.lines() {
        serde_json::from_str::<Value>(line).unwrap();
    }
}

/// Bytes beyond ASCII go through in a path; the log tells of it.
async fn refused_by_path(gateway: &Gateway) {
    let mut device = Device::connect(gateway.devices).await;
    let path = "/in/\u{9b}2J\u{202e}\u{200b}";
    let answer = device.send("POST", path, &[], b"{}").await.unwrap();
    assert_eq!(answer.status, 404);
}

/// JSON is the same JSON, and a pipe gets the bytes of a body as they were sent.
async fn same_values(site: &Site, gateway: &Gateway, id: &str, broken: &str) {
    let shown = site.ask(gateway, &["buried", "show", id]).await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let (_, asked) = gateway.get(&format!("/api/v1/buried/{id}")).await;
    assert_eq!(shown, serde_json::from_str::<Value>(&asked).unwrap());
    let name = format!("Wanda{SAID}");
    assert_eq!(shown[0]["event"]["person"]["name"], name);
    let shown = site
        .ask(gateway, &["quarantine", "show", "1", "--json"])
        .await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["text"], broken);
    let piped = site.ask(gateway, &["quarantine", "show", "1"]).await;
    assert_eq!(piped, broken);
}

/// Runs a command on a terminal of its own; gives what reached that.
async fn on_a_terminal(gateway: &Gateway, arguments: &[&str]) -> String {
    let peer = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/peers/terminal.py");
    let mut command = tokio::process::Command::new("/usr/bin/python3");
    command
        .args([peer, "wait", "", FACEWAY])
        .args(arguments)
        .env("FACEWAY_ADMIN_URL", format!("http://{}", gateway.admin))
        .kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.expect("it ends").unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    // The terminal makes CR LF of each line break.
    told["printed"].as_str().unwrap().replace("\r\n", "\n")
}

#[tokio::test]
async fn a_raw_body_is_visible_on_a_terminal() {
    let gateway = Site::new("[inbound.nebula.lobby]\n").start().await;
    let mut device = Device::connect(gateway.devices).await;
    let broken = format!("{{\"type\": {SAID}\n}}");
    device.push(broken.as_bytes()).await.unwrap();
    let shown = on_a_terminal(&gateway, &["quarantine", "show", "1"]).await;
    assert_visible("quarantine show", &shown);
    let told = "{\"type\": X\\u001b]0;owned\\u0007\\u009b2J\\u202e\\u200b\\u007fY\n}\n";
    assert!(shown.ends_with(told), "{shown:?}");
}

#[tokio::test]
async fn files_that_are_read_steer_nothing_either() {
    let site = Site::new(
        "[inbound.nebula.lobby]\n[outbound.stdout.x]\n[[route]]\nname = \"r\"\nwhen = { \"person.name\" = \"x\" }\nto = [\"x\"]\n",
    );
    std::fs::write(site.path().join("push.json"), record("u-1")).unwrap();
    let read = site.run(&["read", "nebula", "push.json"]).await;
    assert_visible("read", std::str::from_utf8(&read.stdout).unwrap());
    let event: Value = serde_json::from_slice(&read.stdout).unwrap();
    assert_eq!(event["person"]["name"], format!("Wanda{SAID}"));

    // Raw, as another program may have written it.
    let mut events = event.to_string();
    events.push('\n');
    assert!(events.contains('\u{9b}'));
    std::fs::write(site.path().join("events.jsonl"), events).unwrap();
    std::fs::write(site.path().join("broken.json"), SAID).unwrap();
    let routes = "[inbound.nebula.\"\u{9b}2J\u{202e}\"]\n\u{1b}[2J = \"\u{200b}\u{7f}\"\n";
    std::fs::write(site.path().join("wrong.toml"), routes).unwrap();
    for command in [
        &["explain", "events.jsonl"][..],
        &["explain", "events.jsonl", "--json"],
        &["read", "nebula", "broken.json"],
        &["check", "--routes", "wrong.toml"],
        &["read", SAID],
    ] {
        let output = site.run(command).await;
        let told = [output.stdout, output.stderr].concat();
        assert!(!told.is_empty());
        assert_visible(&command.join(" "), std::str::from_utf8(&told).unwrap());
    }
}

#[tokio::test]
async fn the_log_for_people_is_visible() {
    let site = Site::new("[inbound.nebula.lobby]\n");
    let mut command = tokio::process::Command::new(FACEWAY);
    let mut child = command
        .args(["run", "--log-format", "text"])
        .current_dir(site.path())
        .env_clear()
        .envs([
            ("FACEWAY_LISTEN__DEVICES", "127.0.0.1:0"),
            ("FACEWAY_LISTEN__ADMIN", "127.0.0.1:0"),
            ("FACEWAY_SPOOL__FREE_MIN", "1MiB"),
        ])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let reading = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            assert_visible("log", &line);
            if let Some((_, address)) = line.split_once("devices=") {
                let address = address.split_whitespace().next().unwrap();
                let mut device = Device::connect(address.parse().unwrap()).await;
                let path = "/in/\u{9b}2J\u{202e}\u{200b}";
                let answer = device.send("POST", path, &[], b"{}").await.unwrap();
                assert_eq!(answer.status, 404);
            }
            if line.contains("u{202e}") {
                return;
            }
        }
        panic!("the refused path was not logged");
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap();
}
