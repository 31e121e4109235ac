//! Full is told, not hidden: by the budget, and by a disk that is really full.

use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use faceway_testkit::receiver::Receiver;

use crate::harness::{Device, Gateway, Mounted, Site, recognition_with, routes_to, vendor_ids};

/// Pushes records with pictures until the gateway says that it is full; gives what was accepted.
async fn push_until_full(gateway: &Gateway, prefix: &str) -> Vec<String> {
    let mut device = Device::connect(gateway.devices).await;
    let mut accepted = Vec::new();
    for number in 0..20_000 {
        let uuid = format!("{prefix}-{number}");
        let answer = device.push(&record(&uuid)).await.unwrap();
        if answer.is_success() {
            accepted.push(uuid);
            continue;
        }
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(
            answer.code() != 200 && answer.code() != -1,
            "the terminal must keep its record: {answer:?}"
        );
        assert_eq!(gateway.get("/readyz").await.0, 503);
        return accepted;
    }
    panic!("it never was full");
}

/// A record with a picture of 60 KB that is like no other.
fn record(uuid: &str) -> Vec<u8> {
    let mut picture = vec![0xFF, 0xD8, 0xFF];
    picture.extend(uuid.bytes());
    picture.resize(60_000, 0xAB);
    recognition_with(
        "PSC1",
        uuid,
        &base64::engine::general_purpose::STANDARD.encode(picture),
    )
}

async fn push_until_taken(gateway: &Gateway, uuid: &str) {
    let body = record(uuid);
    let taken = async {
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(50));
        loop {
            let mut device = Device::connect(gateway.devices).await;
            if device.push(&body).await.unwrap().is_success() {
                return;
            }
            ticks.tick().await;
        }
    };
    tokio::time::timeout(crate::harness::PATIENCE, taken)
        .await
        .expect("it goes on by itself when there is room");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_that_is_full_says_so_and_goes_on_by_itself() {
    let receiver = Receiver::start().await;
    receiver.refuse().await;
    let site = Site::new(&routes_to(&receiver.url(), "retry.backoff_max = \"500ms\""))
        .set("FACEWAY_SPOOL__BYTES_MAX", "64MiB")
        .set("FACEWAY_SPOOL__IMAGES", "0s");
    let gateway = site.start().await;
    let mut accepted = push_until_full(&gateway, "first").await;
    assert!(
        accepted.len() > 200,
        "64 MiB hold more than {} records of 60 KB",
        accepted.len()
    );
    assert!(
        gateway
            .metric("faceway_received_total{inbound=\"lobby\",result=\"busy\"}")
            .await
            >= 1.0
    );
    assert!(gateway.metric("faceway_spool_bytes").await <= f64::from(80 << 20));

    receiver.listen().await;
    push_until_taken(&gateway, "after").await;
    accepted.push("after".into());
    gateway.delivered_all("erp").await;
    let received = vendor_ids(&receiver.confirmed());
    assert_eq!(received, accepted, "what was accepted, in order, each once");
}

/// A small file system of its own, mounted over a loop device.
struct SmallDisk {
    mount: PathBuf,
    _mounted: Mounted,
    _dir: tempfile::TempDir,
}

impl SmallDisk {
    /// `None` where this user may not mount.
    fn new(mib: usize) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let (image, mount) = (dir.path().join("disk.img"), dir.path().join("disk"));
        let file = std::fs::File::create(&image).unwrap();
        file.set_len((mib as u64) << 20).unwrap();
        std::fs::create_dir(&mount).unwrap();
        let mut make = Command::new("mkfs.ext4");
        let made = make.args(["-q", "-m0"]).arg(&image).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        Some(Self {
            _mounted: Mounted::image(&image, &mount)?,
            mount,
            _dir: dir,
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_loses_nothing_and_goes_on_by_itself() {
    let Some(disk) = SmallDisk::new(96) else {
        return;
    };
    let receiver = Receiver::start().await;
    receiver.refuse().await;
    let site = Site::new(&routes_to(&receiver.url(), "retry.backoff_max = \"500ms\""))
        .spool_in(&disk.mount.join("data"))
        .set("FACEWAY_SPOOL__FREE_MIN", "0B")
        .set("FACEWAY_SPOOL__BYTES_MAX", "1GiB");
    let gateway = site.start().await;
    // Another process fills the disk.
    let filler = disk.mount.join("filler");
    std::fs::write(&filler, vec![1; 30 << 20]).unwrap();
    let mut accepted = push_until_full(&gateway, "first").await;
    assert!(accepted.len() > 50, "{}", accepted.len());
    // And takes it away again, without anything having been delivered.
    std::fs::remove_file(&filler).unwrap();
    push_until_taken(&gateway, "after").await;
    accepted.push("after".into());
    accepted.extend(push_until_full(&gateway, "second").await);
    // A kill on a full disk loses nothing either.
    gateway.kill().await;
    let gateway = site.start().await;
    receiver.listen().await;
    gateway.delivered_all("erp").await;
    let received = vendor_ids(&receiver.confirmed());
    let missing: Vec<_> = accepted
        .iter()
        .filter(|uuid| !received.contains(uuid))
        .collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
    push_until_taken(&gateway, "end").await;
}
