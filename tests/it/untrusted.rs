//! Why TLS was not agreed: in the same words wherever something is dialled, once for each outage.

use faceway_testkit::receiver::{Authority, Issued, Receiver};
use serde_json::Value;

use crate::harness::{Device, Gateway, PATIENCE, Site, recognition, wait_for_log};

/// Everything that Faceway dials, at one server: four outbounds, a websocket, an API, a terminal.
fn routes(address: std::net::SocketAddr, more: &str) -> String {
    format!(
        "[inbound.omni.live]
url = \"wss://{address}/ws\"
tls = {{ ca = \"ca.pem\"{more} }}

[inbound.se5.box]
url = \"ws://127.0.0.1:9\"
api_url = \"https://{address}\"
tls = {{ ca = \"ca.pem\"{more} }}

[inbound.nebula.lobby]
terminals = [{{ url = \"https://{address}\", username = \"admin\", password = {{ env = \"LOBBY\" }}, ca = \"ca.pem\" }}]

[outbound.webhook.erp]
url = \"https://{address}/faces\"
tls = {{ ca = \"ca.pem\"{more} }}

[outbound.webhook.behind]
url = \"http://erp.example/faces\"
proxy = \"https://{address}\"
tls = {{ ca = \"ca.pem\"{more} }}

[outbound.mqtt.bus]
url = \"mqtts://{address}\"
tls = {{ ca = \"ca.pem\"{more} }}

[outbound.amqp.queue]
url = \"amqps://{address}\"
exchange = \"faces\"
tls = {{ ca = \"ca.pem\"{more} }}

[[route]]
name = \"all\"
to = [\"erp\", \"behind\", \"bus\", \"queue\"]
"
    )
}

const OUTBOUNDS: [&str; 4] = ["erp", "behind", "bus", "queue"];

async fn overview(gateway: &Gateway) -> Value {
    let (status, body) = gateway.get("/api/v1/overview").await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// What is said of each thing that is dialled, by its name; blank where nothing is said yet.
fn said(overview: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let lanes = overview["lanes"].as_array().unwrap().iter();
    let mut said: Vec<_> = lanes
        .map(|lane| (text(&lane["name"]), text(&lane["last_failure"]["reason"])))
        .collect();
    for inbound in overview["inbounds"].as_array().unwrap() {
        let terminal = &inbound["terminals"][0]["message"];
        let source = &inbound["source"]["last_error"];
        let heard = if source.is_null() { terminal } else { source };
        said.push((text(&inbound["name"]), text(heard)));
    }
    said
}

/// Waits until everything says what `fits`.
async fn all_say(gateway: &Gateway, fits: impl Fn(&str, &str) -> bool) {
    let waiting = async {
        loop {
            let said = said(&overview(gateway).await);
            assert_eq!(said.len(), OUTBOUNDS.len() + 3);
            if said.iter().all(|(name, text)| fits(name, text)) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
        let said = said(&overview(gateway).await);
        panic!("{said:#?}\n{}", gateway.log());
    }
}

async fn site(issued: &Issued, clients: Option<&Authority>, ca: &Authority) -> (Receiver, Site) {
    let server = Receiver::start_tls(issued, clients).await;
    let site = Site::new(&routes(server.address(), ""))
        .set("LOBBY", "secret")
        .set("FACEWAY_LISTEN__PUBLIC_URL", "http://127.0.0.1:8080");
    std::fs::write(site.path().join("ca.pem"), ca.pem()).unwrap();
    (server, site)
}

async fn push(gateway: &Gateway) {
    let mut device = Device::connect(gateway.devices).await;
    device.push(&recognition("PSC1", "u-1")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_words_wherever_it_is_dialled() {
    let (authority, other) = (Authority::new(), Authority::new());
    for (issued, reason) in [
        (
            authority.issue_between("127.0.0.1", (2019, 1, 1), (2021, 1, 1)),
            "its certificate expired on 2021-01-01",
        ),
        (
            authority.issue("other.example"),
            "it is for other.example, and `KEY` says 127.0.0.1",
        ),
        (
            other.issue("127.0.0.1"),
            "no authority in `CA` vouches for its certificate",
        ),
    ] {
        let (_server, site) = site(&issued, None, &authority).await;
        let gateway = site.start().await;
        push(&gateway).await;
        all_say(&gateway, |name, text| {
            let key = match name {
                "behind" => "proxy",
                "box" => "api_url",
                _ => "url",
            };
            let ca = if name == "lobby" { "ca" } else { "tls.ca" };
            text.contains(&reason.replace("KEY", key).replace("CA", ca))
        })
        .await;
        // Once for each outage, with the line that tells it. The log is written by another task than what is looked at.
        for name in OUTBOUNDS {
            let line =
                format!("\"the destination is down: the lane waits\",\"outbound\":\"{name}\"");
            wait_for_log(&gateway, &line).await;
        }
        let log = gateway.log();
        for name in OUTBOUNDS {
            let key = if name == "behind" { "proxy" } else { "url" };
            let reason = reason.replace("KEY", key).replace("CA", "tls.ca");
            let outage = |line: &&str| {
                line.contains("is down") && line.contains(&format!("\"outbound\":\"{name}\""))
            };
            let lines: Vec<_> = log.lines().filter(outage).collect();
            assert_eq!(lines.len(), 1, "{name}: {log}");
            assert!(lines[0].contains(&reason), "{name}: {log}");
        }
        let whole = reason.replace("KEY", "url").replace("CA", "tls.ca");
        for command in ["lanes", "top"] {
            let shown = site.ask(&gateway, &[command]).await;
            let start: String = whole.chars().take(30).collect();
            assert!(shown.contains(&start), "{command}: {shown}");
        }
        assert!(
            !log.contains("OtherError") && !log.contains("sha256:"),
            "{log}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_that_is_missing_is_told_wherever_one_can_be() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let issued = authority.issue("127.0.0.1");
    let (_server, site) = site(&issued, Some(&clients), &authority).await;
    let gateway = site.start().await;
    push(&gateway).await;
    all_say(&gateway, |name, text| match name {
        "lobby" => text.contains("it asks for a client certificate"),
        _ => text.contains("it asks for a client certificate, and `tls.cert` is not configured"),
    })
    .await;
}
