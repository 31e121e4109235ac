//! The spool and what can happen to it: junk that fills quarantine, damage, a key that cannot be read.

use faceway_testkit::receiver::Receiver;

use crate::harness::{Device, Gateway, Site, recognition, routes_to, text, vendor_ids};

/// A body that cannot be read, of 30 KB.
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
    let began = std::time::Instant::now();
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
    // One line a minute, however many were refused: this test takes longer where the machine is busy.
    let lines = gateway.log().matches("quarantine is full").count() as u64;
    let minutes = began.elapsed().as_secs() / 60;
    assert!((1..=1 + minutes).contains(&lines), "{lines} lines");
    gateway.delivered_all("erp").await;
    assert_eq!(vendor_ids(&receiver.confirmed()), ["u-1", "u-2"]);
    site.ask(&gateway, &["quarantine", "drop", "--all"]).await;
    assert_eq!(status(&gateway, "/in/lobby", &junk()).await, 200);
}

/// Proved while it runs: refused. Proved whole, then damaged, then saved, and delivered from what was saved.
#[tokio::test(flavor = "multi_thread")]
async fn a_spool_is_proved_and_saved_by_commands() {
    let receiver = Receiver::start().await;
    receiver.refuse().await;
    let site = Site::new(&routes_to(&receiver.url(), "retry.backoff_max = \"500ms\""));
    let gateway = site.start().await;
    let mut device = Device::connect(gateway.devices).await;
    let uuids: Vec<String> = (0..200).map(|n| format!("u-{n}")).collect();
    for uuid in &uuids {
        assert!(
            device
                .push(&recognition("PSC1", uuid))
                .await
                .unwrap()
                .is_success()
        );
    }
    let output = site.run(&["spool", "check"]).await;
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("in use by a gateway"));
    assert!(gateway.stop().await.success());
    let output = site.run(&["spool", "check"]).await;
    assert!(
        output.status.success(),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    let key = std::fs::read(site.path().join("data/link.key")).unwrap();

    // The end of the database is gone, as after a copy that broke off.
    let database = site.path().join("data/spool.db");
    let bytes = std::fs::read(&database).unwrap();
    std::fs::write(&database, &bytes[..bytes.len() - 4096]).unwrap();
    let output = site.run(&["spool", "check", "--json"]).await;
    assert_eq!(output.status.code(), Some(1));
    let parts: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let database = &parts.as_array().unwrap()[1];
    assert_eq!(
        (&database["part"], &database["damaged"]),
        (&"database".into(), &1.into())
    );
    let refused = site.run(&["run"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused.stderr).contains("faceway spool salvage"),
        "{}",
        text(&refused.stderr)
    );

    let output = site.run(&["spool", "salvage", "--to", "saved"]).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(
        text(&output.stdout).contains("events"),
        "{}",
        text(&output.stdout)
    );
    std::fs::rename(site.path().join("data"), site.path().join("broken")).unwrap();
    std::fs::rename(site.path().join("saved"), site.path().join("data")).unwrap();
    assert_eq!(
        std::fs::read(site.path().join("data/link.key")).unwrap(),
        key
    );
    receiver.listen().await;
    let gateway = site.start().await;
    gateway.delivered_all("erp").await;
    let received = vendor_ids(&receiver.confirmed());
    let saved = uuids.iter().filter(|uuid| received.contains(uuid)).count();
    assert!(saved >= 180, "{saved} of 200");
}

/// A spool whose database went is never begun anew, and a key that is damaged never replaced.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_does_not_start_over_what_is_missing() {
    let receiver = Receiver::start().await;
    let site = Site::new(&routes_to(&receiver.url(), ""));
    let gateway = site.start().await;
    let mut device = Device::connect(gateway.devices).await;
    device.push(&recognition("PSC1", "u-1")).await.unwrap();
    gateway.delivered_all("erp").await;
    assert!(gateway.stop().await.success());
    let (database, away) = (site.path().join("data/spool.db"), site.path().join("away"));
    std::fs::rename(&database, &away).unwrap();
    let refused = site.run(&["run"]).await;
    assert_eq!(refused.status.code(), Some(1));
    let told = text(&refused.stderr);
    assert!(
        told.contains("spool.db is missing or empty") && told.contains("sequence"),
        "{told}"
    );
    std::fs::rename(&away, &database).unwrap();

    let key = site.path().join("data/link.key");
    let right = std::fs::read(&key).unwrap();
    let mut flipped = right.clone();
    flipped[5] ^= 4;
    std::fs::write(&key, &flipped).unwrap();
    let refused = site.run(&["run"]).await;
    assert_eq!(refused.status.code(), Some(1));
    let told = text(&refused.stderr);
    assert!(told.contains("link.key is damaged"), "{told}");
    assert_eq!(std::fs::read(&key).unwrap(), flipped, "it is not replaced");
    std::fs::write(&key, &right).unwrap();
    let gateway = site.start().await;
    assert!(gateway.stop().await.success());
}
