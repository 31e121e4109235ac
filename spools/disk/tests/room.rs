//! Little capacity: history gives way, then the engine refuses events, and nothing accepted is lost.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends by a panic"
)]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use common::{FaultDisk, HandClock, HandLane, Loop, batch, big, capacity, junk, settings};
use faceway_core::{AppendError, Batch, History as _, Log as _, Picture, Private, Receipt, Sha256};
use faceway_spool_disk::{DiskSettings, DiskSpool, RealDisk};
use faceway_testkit::spool::{event, number, time};

fn small(dir: &Path, bytes_max: u64) -> DiskSettings {
    DiskSettings {
        bytes_max,
        quarantine_bytes_max: bytes_max / 8,
        ..settings(dir)
    }
}

fn occupied(dir: &Path) -> u64 {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let meta = entry.metadata().unwrap();
        bytes += if meta.is_dir() {
            occupied(&entry.path())
        } else {
            meta.len()
        };
    }
    bytes
}

/// Appends until the spool is full. Gives the number of the first that was refused.
async fn fill(spool: &DiskSpool, first: u64) -> u64 {
    for n in first..first + 100_000 {
        match spool.append(batch(vec![big(n, n % 5, 10_000)])).await {
            Ok(receipts) => assert!(matches!(receipts[..], [Receipt::Appended(_)])),
            Err(error) => {
                assert_eq!(error, AppendError::Full);
                return n;
            }
        }
    }
    panic!("never full");
}

/// Trimming may take a few groups; each refusal is one.
async fn goes_on(spool: &DiskSpool, n: u64) {
    for _ in 0..200 {
        // Once it is taken in, it is a duplicate, and those need room as well.
        let taken = spool.append(batch(vec![big(n, 1, 10_000)])).await;
        if taken.is_ok() && capacity(spool).accepting.is_ok() {
            return;
        }
    }
    panic!(
        "it does not go on although there is room: {:?}",
        capacity(spool)
    );
}

#[tokio::test]
async fn a_full_budget_is_told_and_goes_on_after_delivery() {
    let dir = tempfile::tempdir().unwrap();
    let spool = DiskSpool::open(small(dir.path(), 8 << 20), HandClock::new())
        .await
        .unwrap();
    let mut lane = HandLane::claim(&spool, "erp").await;
    let mut first = 1;
    for _ in 0..3 {
        let refused = fill(&spool, first).await;
        assert!(
            refused - first > 200,
            "full after {} events",
            refused - first
        );
        assert_eq!(capacity(&spool).accepting, Err(AppendError::Full));
        assert!(
            occupied(dir.path()) <= 8 << 20,
            "{} bytes",
            occupied(dir.path())
        );
        assert_eq!(
            lane.deliver(&spool).await,
            (first..refused).collect::<Vec<_>>()
        );
        goes_on(&spool, refused).await;
        first = refused + 1;
        assert_eq!(lane.deliver(&spool).await, [refused]);
    }
    spool.close().await;
}

#[tokio::test]
async fn delivered_history_gives_way_before_events_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let spool = DiskSpool::open(small(dir.path(), 8 << 20), HandClock::new())
        .await
        .unwrap();
    let mut lane = HandLane::claim(&spool, "erp").await;
    for n in 1..=4000_u64 {
        spool
            .append(batch(vec![big(n, n % 5, 10_000)]))
            .await
            .unwrap();
        assert_eq!(lane.deliver(&spool).await, [n]);
    }
    assert!(
        occupied(dir.path()) <= 8 << 20,
        "{} bytes",
        occupied(dir.path())
    );
    let kept = lane.replay(&spool, time(0), time(9000)).await;
    assert_eq!(lane.deliver(&spool).await.len() as u64, kept);
    assert!((100..3000).contains(&kept), "{kept} kept");
    spool.close().await;
}

fn pictured(n: u64, bytes: usize) -> (Batch, Sha256) {
    let bytes = Bytes::from([&n.to_le_bytes()[..], &vec![7; bytes]].concat());
    let sha256 = Sha256::of(&bytes);
    let mut event = event(n, n % 5);
    event.images = vec![sha256];
    let picture = Picture {
        sha256,
        media_type: None,
        bytes: Private::new(bytes),
    };
    let batch = Batch {
        events: vec![event],
        pictures: vec![picture],
        ..Batch::default()
    };
    (batch, sha256)
}

#[tokio::test]
async fn delivered_pictures_give_way_too() {
    let dir = tempfile::tempdir().unwrap();
    let spool = DiskSpool::open(small(dir.path(), 16 << 20), HandClock::new())
        .await
        .unwrap();
    let mut lane = HandLane::claim(&spool, "erp").await;
    let mut first = None;
    for n in 1..=1000_u64 {
        let (batch, sha256) = pictured(n, 60_000);
        spool
            .append(batch)
            .await
            .unwrap_or_else(|error| panic!("{n}: {error} {:?}", capacity(&spool)));
        assert!(spool.picture(sha256).await.unwrap().is_some());
        first.get_or_insert(sha256);
        assert_eq!(lane.deliver(&spool).await, [n]);
    }
    assert!(
        occupied(dir.path()) <= 16 << 20,
        "{} bytes",
        occupied(dir.path())
    );
    assert!(spool.picture(first.unwrap()).await.unwrap().is_none());
    spool.close().await;
}

#[tokio::test]
async fn pictures_that_are_needed_stay_until_the_spool_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let spool = DiskSpool::open(small(dir.path(), 8 << 20), HandClock::new())
        .await
        .unwrap();
    let mut lane = HandLane::claim(&spool, "erp").await;
    let mut kept = Vec::new();
    let refused = loop {
        let n = kept.len() as u64 + 1;
        let (batch, sha256) = pictured(n, 60_000);
        match spool.append(batch).await {
            Ok(_) => kept.push(sha256),
            Err(error) => break error,
        }
    };
    assert_eq!(refused, AppendError::Full);
    for sha256 in &kept {
        assert!(spool.picture(*sha256).await.unwrap().is_some());
    }
    assert_eq!(lane.deliver(&spool).await.len(), kept.len());
    goes_on(&spool, 100_000).await;
    spool.close().await;
}

/// Appends small events until something holds. Age is looked after once a second.
async fn until(
    spool: &DiskSpool,
    lane: &mut HandLane,
    first: u64,
    holds: impl AsyncFn() -> bool,
) -> u64 {
    // Each turn waits for the disk, and some of what is waited for comes with its thousandth.
    let patience = Duration::from_secs(180);
    let mut n = first;
    let tried = tokio::time::timeout(patience, async {
        while !holds().await {
            spool.append(batch(vec![event(n, 99)])).await.unwrap();
            lane.deliver(spool).await;
            n += 1;
        }
    });
    tried.await.expect("it does not come true");
    n
}

#[tokio::test]
async fn pictures_leave_by_age_unless_an_event_needs_them() {
    let dir = tempfile::tempdir().unwrap();
    let clock = HandClock::new();
    let settings = DiskSettings {
        images: Duration::from_secs(240),
        ..settings(dir.path())
    };
    let spool = DiskSpool::open(settings, Arc::clone(&clock) as _)
        .await
        .unwrap();
    let mut lane = HandLane::claim(&spool, "erp").await;
    let (first, parked) = pictured(1, 1000);
    spool.append(first).await.unwrap();
    let needs = lane.take(&spool, 1).await.remove(0);
    lane.park(needs.seq, time(0), Duration::from_secs(5));
    lane.commit(&spool).await.unwrap();
    clock.forward(Duration::from_secs(20));
    let (second, delivered) = pictured(2, 1000);
    spool.append(second).await.unwrap();
    assert_eq!(lane.deliver(&spool).await, [2]);
    let gone = async |sha256| spool.picture(sha256).await.unwrap().is_none();
    // The time of a picture begins when no lane needs it any more, so the clock goes on a few times.
    let n = until(&spool, &mut lane, 100, async || {
        clock.forward(Duration::from_secs(30));
        gone(delivered).await
    });
    let n = n.await;
    assert!(!gone(parked).await, "a parked event has lost its picture");
    lane.acknowledge(needs.seq);
    lane.commit(&spool).await.unwrap();
    let left = until(&spool, &mut lane, n, async || {
        clock.forward(Duration::from_secs(30));
        gone(parked).await
    });
    left.await;
    spool.close().await;
}

#[tokio::test]
async fn history_and_quarantine_leave_by_age_and_held_events_stay() {
    let dir = tempfile::tempdir().unwrap();
    let clock = HandClock::new();
    let settings = DiskSettings {
        history: Duration::from_secs(100),
        quarantine: Duration::from_secs(100),
        ..settings(dir.path())
    };
    let spool = DiskSpool::open(settings, Arc::clone(&clock) as _)
        .await
        .unwrap();
    let mut lane = HandLane::claim(&spool, "erp").await;
    let mut first = batch((1..=3000).map(|n| event(n % 3000 + 1, n)).collect());
    first.unreadable = vec![faceway_testkit::spool::unreadable("gate", "{")];
    spool.append(first).await.unwrap();
    let held = lane.take(&spool, 1).await.remove(0);
    lane.park(held.seq, time(0), Duration::from_secs(5));
    assert_eq!(lane.deliver(&spool).await.len(), 2999);
    assert_eq!(lane.replay(&spool, time(0), time(3500)).await, 3000);
    lane.commit(&spool).await.unwrap();
    assert_eq!(lane.deliver(&spool).await.len(), 2999);
    clock.forward(Duration::from_secs(3200));
    let rest = until(&spool, &mut lane, 100_000, async || {
        spool
            .trace(faceway_testkit::spool::id(3000))
            .await
            .unwrap()
            .is_none()
    });
    rest.await;
    assert_eq!(capacity(&spool).quarantined, 0);
    assert!(
        spool.trace(held.id).await.unwrap().is_some(),
        "a parked event has left"
    );
    let mut lane = HandLane::claim(&spool, "erp").await;
    assert_eq!(lane.held[&held.seq].failures, 1);
    lane.release(held.seq);
    assert_eq!(lane.deliver(&spool).await, [number(held.id)]);
    assert!(
        spool.trace(held.id).await.unwrap().is_none(),
        "it stays behind"
    );
    // What has left is still recognised.
    assert_eq!(
        spool.append(batch(vec![event(7, 1)])).await.unwrap(),
        [Receipt::Duplicate]
    );
    spool.close().await;
}

#[tokio::test]
async fn what_history_leaves_goes_back_to_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let clock = HandClock::new();
    let settings = DiskSettings {
        history: Duration::from_secs(100),
        bytes_max: 128 << 20,
        quarantine_bytes_max: 0,
        ..settings(dir.path())
    };
    let spool = DiskSpool::open(settings, Arc::clone(&clock) as _)
        .await
        .unwrap();
    let mut lane = HandLane::claim(&spool, "erp").await;
    for n in 1..=60_u64 {
        let events = (0..50).map(|m| big(n * 50 + m, m, 10_000)).collect();
        spool.append(batch(events)).await.unwrap();
    }
    lane.deliver(&spool).await;
    clock.forward(Duration::from_secs(9000));
    let log = || occupied(&dir.path().join("log"));
    assert!(log() > 30 << 20);
    let shrunk = async || log() < 17 << 20 && capacity(&spool).bytes < 40 << 20;
    until(&spool, &mut lane, 100_000, shrunk).await;
    spool.close().await;
}

#[tokio::test]
async fn too_little_left_on_the_disk_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultDisk::new();
    let settings = DiskSettings {
        free_min: 1 << 20,
        ..settings(dir.path())
    };
    let spool = DiskSpool::open_on(settings, HandClock::new(), Arc::clone(&disk) as _)
        .await
        .unwrap();
    spool.append(batch(vec![event(1, 1)])).await.unwrap();
    disk.free.store((1 << 20) - 1, Ordering::SeqCst);
    assert_eq!(
        spool.append(batch(vec![event(2, 1)])).await,
        Err(AppendError::Full)
    );
    assert_eq!(capacity(&spool).accepting, Err(AppendError::Full));
    disk.free.store(1 << 40, Ordering::SeqCst);
    // No caller asks; the writer looks after it once a second.
    let accepting = async {
        while capacity(&spool).accepting.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), accepting)
        .await
        .unwrap();
    spool.append(batch(vec![event(2, 1)])).await.unwrap();
    spool.close().await;
}

#[tokio::test]
async fn a_disk_that_is_really_full_can_still_be_trimmed() {
    let disk = match Loop::mount(48) {
        Ok(disk) => disk,
        Err(reason) => return println!("skipped: no file system can be mounted here ({reason})"),
    };
    let filler = disk.at().join("filler");
    std::fs::write(&filler, vec![1; 8 << 20]).unwrap();
    let dir = disk.at().join("spool");
    let settings = small(&dir, 64 << 20);
    let spool = DiskSpool::open_on(settings.clone(), HandClock::new(), Arc::new(Blind))
        .await
        .unwrap();
    HandLane::claim(&spool, "erp").await;
    let refused = fill(&spool, 1).await;
    assert!(refused > 500, "full after {refused}");
    assert_eq!(capacity(&spool).accepting, Err(AppendError::Full));
    assert_eq!(
        spool.append(batch(vec![big(refused, 1, 10_000)])).await,
        Err(AppendError::Full)
    );
    spool.close().await;
    drop(spool);
    let spool = DiskSpool::open_on(settings.clone(), HandClock::new(), Arc::new(Blind))
        .await
        .unwrap();
    let mut lane = HandLane::claim(&spool, "erp").await;
    let delivered = lane.deliver(&spool).await;
    assert_eq!(delivered, (1..refused).collect::<Vec<_>>());
    goes_on(&spool, refused).await;
    assert_eq!(lane.deliver(&spool).await, [refused]);
    let refused = fill(&spool, refused + 1).await;
    std::fs::remove_file(&filler).unwrap();
    goes_on(&spool, refused).await;
    spool.close().await;
    drop(spool);
    let spool = DiskSpool::open(settings, HandClock::new()).await.unwrap();
    assert_eq!(spool.damage(), Default::default());
    spool.close().await;
}

/// Does not see how full the disk is, so that it is found out the hard way.
struct Blind;

impl faceway_spool_disk::Disk for Blind {
    fn free(&self, dir: &Path) -> std::io::Result<u64> {
        // The reserve is made again only when it fits, as on any disk.
        let free = RealDisk.free(dir)?;
        Ok(if dir.join("ballast").exists() {
            u64::MAX
        } else {
            free
        })
    }
}

fn unreadable(inbound: &str, bytes: usize) -> Batch {
    junk(inbound, vec![b'{'; bytes])
}

/// Puts bodies into quarantine until one is refused. Gives how many were kept.
async fn fill_quarantine(spool: &DiskSpool, inbound: &str) -> u64 {
    for n in 0.. {
        match spool.append(unreadable(inbound, 30_000)).await {
            Ok(_) => assert!(capacity(spool).accepting.is_ok()),
            Err(error) => {
                assert_eq!(error, AppendError::QuarantineFull);
                return n;
            }
        }
    }
    unreachable!()
}

/// Bodies that no adapter can read come in until no more are taken: honest events find what they would find without them.
#[tokio::test]
async fn unreadable_bodies_never_take_the_room_of_events() {
    let without = tempfile::tempdir().unwrap();
    let spool = DiskSpool::open(small(without.path(), 16 << 20), HandClock::new())
        .await
        .unwrap();
    HandLane::claim(&spool, "erp").await;
    let fit = fill(&spool, 1).await;
    spool.close().await;

    let dir = tempfile::tempdir().unwrap();
    let settings = small(dir.path(), 16 << 20);
    let spool = DiskSpool::open(settings.clone(), HandClock::new())
        .await
        .unwrap();
    let mut lane = HandLane::claim(&spool, "erp").await;
    for n in 1..=100 {
        spool.append(batch(vec![big(n, n, 10_000)])).await.unwrap();
    }
    lane.deliver(&spool).await;
    // A half of 2 MiB for each of two inbounds.
    let first = fill_quarantine(&spool, "junk").await;
    assert!((20..=35).contains(&first), "{first}");
    let second = fill_quarantine(&spool, "gate").await;
    assert!((20..=35).contains(&second), "{second}");
    assert!(capacity(&spool).quarantine_bytes <= 2 << 20);
    let third = fill_quarantine(&spool, "third").await;
    assert!(third <= 2, "the whole share is used");
    assert!(capacity(&spool).accepting.is_ok());
    let replayed = lane.replay(&spool, time(0), time(200)).await;
    assert_eq!(replayed, 100, "no history gave way");
    lane.deliver(&spool).await;
    // Space is given by whole segments of 1 MiB.
    let of_a_segment = 105;
    let fit_beside = fill(&spool, 1001).await - 1001;
    assert!(
        fit_beside + 20 + of_a_segment >= fit,
        "{fit_beside} beside junk, {fit} without"
    );
    spool.close().await;
    drop(spool);
    // All or nothing, and known again after a restart.
    let spool = DiskSpool::open(settings, HandClock::new()).await.unwrap();
    let mut lane = HandLane::claim(&spool, "erp").await;
    lane.deliver(&spool).await;
    goes_on(&spool, 8000).await;
    let mut mixed = unreadable("junk", 30_000);
    mixed.events = vec![event(9000, 1)];
    assert_eq!(spool.append(mixed).await, Err(AppendError::QuarantineFull));
    let receipts = spool.append(batch(vec![event(9000, 1)])).await.unwrap();
    assert!(
        matches!(receipts[..], [Receipt::Appended(_)]),
        "{receipts:?}"
    );
    assert_eq!(
        spool.drop_quarantined(None).await.unwrap(),
        first + second + third
    );
    assert_eq!(capacity(&spool).quarantine_bytes, 0);
    assert!(fill_quarantine(&spool, "junk").await >= first);
    spool.close().await;
}
