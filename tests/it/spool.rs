//! The spool and what can happen to it: junk that fills quarantine.

use faceway_testkit::receiver::Receiver;

use crate::harness::{Device, Gateway, Site, recognition, routes_to, vendor_ids};

/// A body that nobody can read, of 30 KB.
fn junk() -> Vec<u8> {
    let mut body = br#"{"type":0,"data":"#.to_vec();
    body.resize(30_000, b'x');
    body
}

async fn status(gateway: &Gateway, path: &str, body: &[u8]) -> u16 {
    let mut device = Device::connect(gateway.devices).await;
    device.send("POST", path, &[], body).await.unwrap().status
}

#[tokio::test(flavor = "multi_thread")]
async fn junk_of_one_inbound_fills_its_share_and_blocks_nothing_else() {
    let receiver = Receiver::start().await;
    let routes = routes_to(&receiver.url(), "") + "[inbound.nebula.gate]\n";
    let site = Site::new(&routes)
        .set("FACEWAY_SPOOL__BYTES_MAX", "64MiB")
        .set("FACEWAY_SPOOL__QUARANTINE_BYTES_MAX", "1MiB");
    let gateway = site.start().await;
    let mut kept = 0;
    while status(&gateway, "/in/lobby", &junk()).await == 200 {
        kept += 1;
        assert!(kept < 40, "its half is 512 KiB");
    }
    assert!(kept > 10, "{kept}");
    assert_eq!(status(&gateway, "/in/lobby", &junk()).await, 503);
    // What can be read goes in, here and elsewhere, and another inbound's junk has its own half.
    assert_eq!(
        status(&gateway, "/in/lobby", &recognition("PSC1", "u-1")).await,
        200
    );
    assert_eq!(
        status(&gateway, "/in/gate", &recognition("PSC2", "u-2")).await,
        200
    );
    assert_eq!(status(&gateway, "/in/gate", &junk()).await, 200);
    assert_eq!(gateway.get("/readyz").await.0, 200);
    assert!(
        gateway.metric("faceway_quarantine_bytes").await
            <= gateway.metric("faceway_quarantine_max_bytes").await
    );
    assert_eq!(gateway.log().matches("quarantine is full").count(), 1);
    gateway.delivered_all("erp").await;
    assert_eq!(vendor_ids(&receiver.confirmed()), ["u-1", "u-2"]);
    site.ask(&gateway, &["quarantine", "drop", "--all"]).await;
    assert_eq!(status(&gateway, "/in/lobby", &junk()).await, 200);
}
