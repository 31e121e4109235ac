//! What could be done to those who run it: frames around the console, names of others, what lies in a core dump.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Device, Gateway, Site, recognition, text};

const ROUTES: &str = "[inbound.nebula.lobby]\n";

#[tokio::test]
async fn nothing_at_the_admin_port_can_be_framed() {
    let gateway = Site::new(ROUTES).start().await;
    let mut device = Device::connect(gateway.admin).await;
    for path in [
        "/",
        "/metrics",
        "/healthz",
        "/api/v1/openapi.json",
        "/api/v1/lanes",
        "/nowhere",
    ] {
        let answer = device.send("GET", path, &[], b"").await.unwrap();
        let policy = &answer.headers["content-security-policy"];
        assert!(
            policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
        assert_eq!(answer.headers["x-frame-options"], "DENY", "{path}");
        assert_eq!(
            answer.headers["x-content-type-options"], "nosniff",
            "{path}"
        );
        assert_eq!(answer.headers["referrer-policy"], "no-referrer", "{path}");
    }
}

async fn status_of(gateway: &Gateway, path: &str, host: &str) -> String {
    let mut stream = TcpStream::connect(gateway.admin).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).await.unwrap();
    text(&heard)[9..12].to_owned()
}

#[tokio::test]
async fn without_a_token_the_admin_port_has_no_other_name() {
    let gateway = Site::new(ROUTES).start().await;
    for path in ["/", "/metrics", "/api/v1/openapi.json", "/api/v1/lanes"] {
        for (host, status) in [
            ("evil.example", "403"),
            ("LocalHost:1", "200"),
            ("127.0.0.1", "200"),
            ("[::1]:9464", "200"),
        ] {
            assert_eq!(
                status_of(&gateway, path, host).await,
                status,
                "{path} of {host}"
            );
        }
    }
}

#[tokio::test]
async fn it_leaves_no_core_and_has_descriptors_enough() {
    let gateway = Site::new(ROUTES).start().await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", gateway.process())).unwrap();
    let limit = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        let mut numbers = line[name.len()..].split_whitespace();
        let number = |text: &str| text.parse::<u64>().unwrap_or(u64::MAX);
        (
            number(numbers.next().unwrap()),
            number(numbers.next().unwrap()),
        )
    };
    assert_eq!(limit("Max core file size"), (0, 0));
    let (soft, hard) = limit("Max open files");
    assert!(soft >= hard.min(4096 + 768), "{soft} of {hard}");
}

#[tokio::test]
async fn a_token_may_have_any_letters() {
    let token = "Schlüssel-钥匙";
    let site = Site::new("[inbound.nebula.lobby]\ntoken = { env = \"LOBBY\" }\n")
        .set("LOBBY", token)
        .set("ADMIN", token)
        .set("FACEWAY_LISTEN__ADMIN_TOKEN__ENV", "ADMIN")
        .set("FACEWAY_ADMIN_TOKEN", token);
    let gateway = site.start().await;
    let mut device = Device::connect(gateway.devices).await;
    let body = recognition("PSC1", "u-1");
    for (token, status) in [(token, 200), ("Schlussel-钥匙", 401)] {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        let answer = device
            .send("POST", "/in/lobby", &headers, &body)
            .await
            .unwrap();
        assert_eq!(answer.status, status, "{token}");
    }
    // The commands name it, too.
    let lanes = site.ask(&gateway, &["lanes", "--json"]).await;
    assert!(lanes.starts_with('['), "{lanes}");
}
