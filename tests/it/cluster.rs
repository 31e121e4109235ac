//! A gateway whose spool is a NATS cluster.

pub(crate) mod several;

use faceway_testkit::broker::nats::{Nats, Options};
use faceway_testkit::receiver::{Behaviour, Receiver};

use crate::harness::{Device, PATIENCE, Site, recognition, routes_to, text, vendor_ids};

/// A site whose gateway keeps events on these servers.
fn site(nats: &Nats, receiver: &Receiver) -> Site {
    let site = Site::new(&routes_to(&receiver.url(), "")).unset("FACEWAY_SPOOL__FREE_MIN");
    let gateway = format!(
        "site = \"north\"\n\n[spool]\nengine = \"jetstream\"\n\n[spool.jetstream]\nservers = {:?}\nmonitor = {:?}\n\
         replicas = {}\n",
        nats.urls(),
        nats.monitors(),
        nats.count()
    );
    std::fs::write(site.path().join("gateway.toml"), gateway).unwrap();
    site
}

/// What was answered with success is delivered once, over a kill of the gateway, the loss of its directory, the death of a
/// server, and a file that is refused: the rules of before are on the cluster. An unchanged resend is recognised.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_keeps_its_events_on_a_cluster() {
    let nats = Nats::start(Options::cluster()).await;
    let receiver = Receiver::start().await;
    let site = site(&nats, &receiver);
    let gateway = site.start().await;
    let mut device = Device::connect(gateway.devices).await;
    for number in 0..20 {
        let body = recognition("PSC1", &format!("first-{number}"));
        assert!(device.push(&body).await.unwrap().is_success());
    }
    gateway.delivered_all("erp").await;
    // The receiver is away, so these wait in their lane when the gateway is killed.
    receiver.script(Behaviour::status(503));
    for number in 0..20 {
        let body = recognition("PSC1", &format!("second-{number}"));
        assert!(device.push(&body).await.unwrap().is_success());
    }
    gateway.kill().await;
    std::fs::remove_dir_all(site.path().join("data")).unwrap();
    let routes = site.path().join("routes.toml");
    let refused = std::fs::read_to_string(&routes).unwrap() + "[[rout]]\n";
    std::fs::write(&routes, refused).unwrap();
    nats.kill(0);
    receiver.script(Behaviour::status(200));
    let gateway = site.start().await;
    let mut device = Device::connect(gateway.devices).await;
    for number in 0..20 {
        let body = recognition("PSC1", &format!("first-{number}"));
        assert!(device.push(&body).await.unwrap().is_success());
    }
    until(async || receiver.confirmed().len() >= 40).await;
    gateway.delivered_all("erp").await;
    let received = receiver.confirmed();
    let first: Vec<String> = (0..20).map(|number| format!("first-{number}")).collect();
    let second: Vec<String> = (0..20).map(|number| format!("second-{number}")).collect();
    let mut order = vendor_ids(&received);
    order.dedup();
    assert_eq!(order, [first, second].concat(), "each, in its order");
    let listed = site.ask(&gateway, &["lanes"]).await;
    assert!(listed.contains("erp"), "{listed}");
    // A command that looks at files of another engine says so.
    let looked = site.run(&["spool", "check"]).await;
    let told = text(&looked.stderr);
    assert_eq!(looked.status.code(), Some(2), "{told}");
    assert!(told.contains("spool.engine is \"jetstream\""), "{told}");
    gateway.stop().await;
}

/// While the cluster is away, the gateway says so, and devices keep their records; when it is back, they are taken.
#[tokio::test(flavor = "multi_thread")]
async fn without_its_cluster_a_gateway_is_not_ready() {
    let nats = Nats::start(Options::single()).await;
    let receiver = Receiver::start().await;
    let site = site(&nats, &receiver)
        .set("FACEWAY_SPOOL__JETSTREAM__APPEND_TIMEOUT", "1s")
        .set("FACEWAY_SPOOL__JETSTREAM__DEDUP_WINDOW", "10s");
    let gateway = site.start().await;
    let body = recognition("PSC1", "first");
    let mut device = Device::connect(gateway.devices).await;
    assert!(device.push(&body).await.unwrap().is_success());
    assert_eq!(gateway.get("/readyz").await.0, 200);
    nats.freeze(0);
    let body = recognition("PSC1", "second");
    let answer = device.push(&body).await.unwrap();
    assert!(!answer.is_success());
    until(async || gateway.get("/readyz").await.0 == 503).await;
    nats.thaw(0);
    until(async || gateway.get("/readyz").await.0 == 200).await;
    until(async || {
        let mut device = Device::connect(gateway.devices).await;
        device.push(&body).await.unwrap().is_success()
    })
    .await;
    until(async || vendor_ids(&receiver.confirmed()) == ["first", "second"]).await;
    gateway.stop().await;
}

/// Looks until it holds.
async fn until(holds: impl AsyncFn() -> bool) {
    let looked = async {
        while !holds().await {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looked)
        .await
        .expect("it comes to hold");
}
