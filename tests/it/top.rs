//! `faceway top`: as text, and on a terminal of its own.

use faceway_testkit::receiver::{Behaviour, Receiver};
use serde_json::Value;

use crate::harness::{Device, FACEWAY, Gateway, PATIENCE, Site, recognition, routes_to, text};

async fn stuck(receiver: &Receiver) -> (Site, Gateway) {
    receiver.script(Behaviour::status(503));
    let site = Site::new(&routes_to(&receiver.url(), ""));
    let gateway = site.start().await;
    let mut device = Device::connect(gateway.devices).await;
    device.push(&recognition("PSC1", "u-1")).await.unwrap();
    let waiting = "faceway_lane_state{outbound=\"erp\",state=\"waiting\"}";
    gateway.wait_for_metric(waiting, |here| here == 1.0).await;
    (site, gateway)
}

#[tokio::test]
async fn one_picture_tells_what_is_stuck_and_names_nobody() {
    let receiver = Receiver::start().await;
    let (site, gateway) = stuck(&receiver).await;
    // Standard output is no terminal, so this is as with `--once`.
    for arguments in [&["top", "--once"][..], &["top"]] {
        let shown = site.ask(&gateway, arguments).await;
        for part in ["ready", "lobby", "nebula", "erp", "waiting", "503"] {
            assert!(shown.contains(part), "{part} is missing in\n{shown}");
        }
        for personal in ["Wanda", "Probst", "4711", "7700123", "PSC1", "u-1"] {
            assert!(!shown.contains(personal), "{personal} is in\n{shown}");
        }
        assert!(!shown.contains('\u{1b}'), "plain text");
    }
}

#[tokio::test]
async fn a_gateway_that_is_not_there_is_told() {
    let site = Site::new("");
    let output = site
        .run(&["top", "--once", "--admin", "http://127.0.0.1:9"])
        .await;
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(told.contains("no gateway answers"), "{told}");
}

/// Runs it on a terminal until `wanted` is shown, then ends it as `how` says.
async fn on_a_terminal(gateway: &Gateway, how: &str, wanted: &str) -> Value {
    let peer = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/peers/terminal.py");
    let mut command = tokio::process::Command::new("/usr/bin/python3");
    command
        .args([peer, how, wanted, FACEWAY, "top"])
        .env("TERM", "xterm-256color")
        .env("FACEWAY_ADMIN_URL", format!("http://{}", gateway.admin))
        .kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE * 2, command.output()).await;
    let output = output.expect("it ends").unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn it_lives_on_a_terminal_and_gives_it_back() {
    let receiver = Receiver::start().await;
    let (_site, gateway) = stuck(&receiver).await;
    for how in ["q", "term"] {
        let told = on_a_terminal(&gateway, how, "waiting").await;
        assert_eq!(told["seen"], true, "{how}: {told}");
        assert_eq!(told["code"], 0, "{how}: {told}");
        assert_eq!(told["taken"], true, "{how}: {told}");
        assert_eq!(told["restored"], true, "{how}: {told}");
    }
}
