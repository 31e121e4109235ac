//! What systemd hears: ready once devices can push, signs of life, the end.

use rustix::process::Signal;
use tokio::net::UnixDatagram;

use crate::harness::{Device, PATIENCE, Site, recognition};

const ROUTES: &str = "[inbound.nebula.lobby]\n[outbound.stdout.screen]\n[[route]]\nname = \"all\"\nto = [\"screen\"]\n";

/// The manager's end of the socket.
struct Manager(UnixDatagram);

impl Manager {
    fn listen(site: &Site) -> (Self, String) {
        let path = site.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        (Self(socket), path.display().to_string())
    }

    async fn hears(&self) -> String {
        let mut bytes = [0; 512];
        let length = tokio::time::timeout(PATIENCE, self.0.recv(&mut bytes)).await;
        let length = length.expect("the gateway says something").unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    /// Everything up to what begins so.
    async fn hears_until(&self, begin: &str) -> Vec<String> {
        let mut heard = vec![self.hears().await];
        while !heard.last().unwrap().starts_with(begin) {
            heard.push(self.hears().await);
        }
        heard
    }
}

#[tokio::test]
async fn the_service_manager_is_told_ready_alive_and_stopping() {
    let site = Site::new(ROUTES);
    let (manager, address) = Manager::listen(&site);
    let site = site
        .set("NOTIFY_SOCKET", &address)
        .set("WATCHDOG_USEC", "100000");
    let gateway = site.start().await;
    let first = manager.hears().await;
    assert!(first.starts_with("READY=1\nSTATUS="), "{first}");
    // Ready means that a record can come at once.
    let mut device = Device::connect(gateway.devices).await;
    let answer = device.push(&recognition("PSC1", "one")).await.unwrap();
    assert!(answer.is_success());
    for _ in 0..10 {
        assert_eq!(manager.hears().await, "WATCHDOG=1");
    }
    gateway.signal(Signal::TERM);
    let rest = manager.hears_until("STOPPING=1").await;
    let (last, before) = rest.split_last().unwrap();
    assert!(before.iter().all(|told| told == "WATCHDOG=1"), "{rest:?}");
    assert!(last.contains("STATUS=draining"), "{last}");
    assert!(gateway.stop().await.success());
}

#[tokio::test]
async fn without_a_watchdog_there_are_no_signs_of_life() {
    let site = Site::new(ROUTES);
    let (manager, address) = Manager::listen(&site);
    // The variables are for another process, as a child of a watched one inherits them.
    let site = site
        .set("NOTIFY_SOCKET", &address)
        .set("WATCHDOG_USEC", "1000")
        .set("WATCHDOG_PID", "1");
    let gateway = site.start().await;
    assert!(manager.hears().await.starts_with("READY=1"));
    // A reload is told from its beginning to its end, also when what was read is wrong.
    for text in [ROUTES, "?"] {
        std::fs::write(site.path().join("routes.toml"), text).unwrap();
        gateway.signal(Signal::HUP);
        let told = manager.hears().await;
        assert!(told.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{told}");
        assert!(manager.hears().await.starts_with("READY=1"));
    }
    assert!(gateway.stop().await.success());
    assert!(manager.hears().await.starts_with("STOPPING=1"));
}

#[tokio::test]
async fn a_manager_that_is_gone_does_not_keep_the_gateway_from_its_work() {
    let site = Site::new(ROUTES).set("NOTIFY_SOCKET", "/nonexistent/notify");
    let gateway = site.start().await;
    let (status, text) = gateway.get("/readyz").await;
    assert_eq!((status, text.as_str()), (200, "ready\n"));
    assert!(gateway.log().contains("NOTIFY_SOCKET"));
    assert!(gateway.stop().await.success());
}

#[tokio::test]
async fn health_is_an_exit_code() {
    let site = Site::new(ROUTES);
    let gateway = site.start().await;
    assert_eq!(site.ask(&gateway, &["health"]).await, "ready\n");
    assert_eq!(site.ask(&gateway, &["health", "--live"]).await, "ok\n");
    let url = format!("http://{}", gateway.admin);
    assert!(gateway.stop().await.success());
    let gone = site.run(&["health", "--admin", &url]).await;
    assert_eq!(gone.status.code(), Some(1));
}
