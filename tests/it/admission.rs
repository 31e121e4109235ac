//! Who may push, and what is answered to whom may not.

use std::net::{IpAddr, Ipv4Addr};

use crate::harness::{Device, Site, recognition, text};

#[tokio::test]
async fn paths_methods_tokens_and_addresses() {
    let routes = "[inbound.nebula.lobby]\ntoken = { env = \"LOBBY\" }\n\
                  [inbound.nebula.gate]\npath = \"/terminals/gate\"\nallow = [\"10.1.0.0/16\"]\n";
    let gateway = Site::new(routes).set("LOBBY", "s3cret/+").start().await;
    let mut device = Device::connect(gateway.devices).await;
    let record = recognition("PSC1", "u-1");
    let cases = [
        ("POST", "/in/nowhere", 404),
        ("POST", "/in/gate", 404),
        ("POST", "/in/lobby", 401),
        ("POST", "/in/lobby?token=wrong", 401),
        ("GET", "/in/lobby?token=s3cret%2F%2B", 405),
        ("POST", "/terminals/gate", 403),
        ("POST", "/in/lobby?token=s3cret%2F%2B", 200),
        ("GET", "/images/0123", 403),
    ];
    for (method, path, status) in cases {
        let answer = device.send(method, path, &[], &record).await.unwrap();
        assert_eq!(
            answer.status,
            status,
            "{method} {path}: {}",
            text(&answer.body)
        );
    }
    let bearer = [("authorization", "Bearer s3cret/+")];
    assert_eq!(
        device
            .send("POST", "/in/lobby", &bearer, &record)
            .await
            .unwrap()
            .status,
        200
    );
    let log = gateway.log();
    assert!(!log.contains("s3cret"), "a token stands in the log");
    // Why a device's records do not come stands there, with who sent them, and not each time.
    for told in [
        "no inbound has this path",
        "its token is missing or wrong",
        "records are posted, and this is another method",
        "this address may not push here (`allow`)",
    ] {
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(told)).collect();
        assert_eq!(lines.len(), 1, "{told}: {log}");
        assert!(lines[0].contains("127.0.0.1"), "{}", lines[0]);
    }
}

#[tokio::test]
async fn a_listed_address_is_let_in() {
    assert_eq!(IpAddr::from(Ipv4Addr::LOCALHOST).to_string(), "127.0.0.1");
    let gateway = Site::new("[inbound.nebula.lobby]\nallow = [\"127.0.0.0/8\", \"::1/128\"]\n")
        .start()
        .await;
    let mut device = Device::connect(gateway.devices).await;
    assert!(
        device
            .push(&recognition("PSC1", "u-1"))
            .await
            .unwrap()
            .is_success()
    );
}

#[tokio::test]
async fn a_request_for_remote_door_authentication_opens_no_door() {
    let gateway = Site::new("[inbound.nebula.lobby]\n").start().await;
    let mut device = Device::connect(gateway.devices).await;
    let request = br#"{"deviceSN":"PSC1","recognizeStatus":2,"recognizeScore":0.92,"entry_mode":1,"timestamp":1764000000,"user":{"name":"Wanda Probst"}}"#;
    let answer = device.push(request).await.unwrap();
    assert!(answer.status >= 400 && answer.code() != 200);
    assert!(
        !text(&answer.body).contains("pass\""),
        "{}",
        text(&answer.body)
    );
    assert_eq!(
        gateway
            .metric("faceway_received_total{inbound=\"lobby\",result=\"refused\"}")
            .await,
        1.0
    );
    assert!(gateway.log().contains("turned away: "), "{}", gateway.log());
    assert!(!gateway.log().contains("Wanda"));
}
