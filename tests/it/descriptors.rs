//! More connections than the system allows open files.

use faceway_testkit::receiver::Receiver;

use crate::harness::{Device, Gateway, Site, recognition, routes_to};

const DEVICES: usize = 300;

/// Each pushes once and keeps its connection.
async fn connect_all(gateway: &Gateway) -> Vec<Device> {
    let mut devices = Vec::new();
    for number in 0..DEVICES {
        let mut device = Device::connect(gateway.devices).await;
        let record = recognition(&format!("PSC{number}"), &format!("first-{number}"));
        assert!(device.push(&record).await.unwrap().is_success());
        devices.push(device);
    }
    devices
}

#[tokio::test(flavor = "multi_thread")]
async fn the_soft_limit_of_a_shell_is_raised() {
    let receiver = Receiver::start().await;
    let site = Site::new(&routes_to(&receiver.url(), ""))
        .set("FACEWAY_LIMITS__CONNECTIONS_MAX", "400")
        .ulimit("-Sn 256");
    let gateway = site.start().await;
    let mut devices = connect_all(&gateway).await;
    for (number, device) in devices.iter_mut().enumerate() {
        let record = recognition(&format!("PSC{number}"), &format!("second-{number}"));
        assert!(device.push(&record).await.unwrap().is_success(), "{number}");
    }
    receiver.wait_for(2 * DEVICES).await;
    assert!(!gateway.log().contains("WARN"), "{}", gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn under_a_hard_limit_some_descriptors_stay_for_the_rest() {
    let receiver = Receiver::start().await;
    let site = Site::new(&routes_to(&receiver.url(), "")).ulimit("-n 256");
    let gateway = site.start().await;
    assert!(
        gateway.log().contains("raise its limit (ulimit -n"),
        "{}",
        gateway.log()
    );
    let _devices = connect_all(&gateway).await;
    receiver.wait_for(DEVICES).await;
    assert_eq!(gateway.get("/healthz").await.0, 200);
    assert!(
        !gateway.log().contains("cannot accept a connection"),
        "{}",
        gateway.log()
    );
}
