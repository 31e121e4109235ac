//! A disk that fails: the engine promises nothing, loses nothing, and goes on by itself.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends by a panic"
)]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use common::{FaultDisk, HandClock, HandLane, batch, big, capacity, keep_rules, settings};
use faceway_core::{
    AppendError, Batch, CommitError, Degraded, History as _, LaneStore as _, Log as _, Page,
    Picture, Private, Receipt, Sha256,
};
use faceway_spool_disk::{Disk, DiskSettings, DiskSpool};
use faceway_testkit::spool::event;

async fn open_on(dir: &std::path::Path, disk: Arc<FaultDisk>) -> DiskSpool {
    // So that a pack takes pictures of a few megabytes.
    let settings = DiskSettings {
        bytes_max: 1 << 30,
        ..settings(dir)
    };
    DiskSpool::open_on(settings, HandClock::new(), disk)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_group_that_cannot_be_committed_is_not_there() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), FaultDisk::new());
    let spool = open_on(dir.path(), Arc::clone(&disk)).await;
    let mut lane = HandLane::claim(&spool, "erp").await;
    spool.append(batch(vec![event(1, 1)])).await.unwrap();
    disk.before.store(3, Ordering::SeqCst);
    for _ in 0..3 {
        let failed = spool.append(batch(vec![event(2, 1)])).await;
        assert_eq!(failed, Err(AppendError::Failing));
        assert_eq!(capacity(&spool).accepting, Err(AppendError::Failing));
    }
    let receipts = spool
        .append(batch(vec![event(2, 1), event(3, 1)]))
        .await
        .unwrap();
    assert!(
        matches!(receipts[..], [Receipt::Appended(_), Receipt::Appended(_)]),
        "{receipts:?}"
    );
    assert_eq!(capacity(&spool).accepting, Ok(()));
    assert_eq!(lane.deliver(&spool).await, [1, 2, 3]);
    spool.close().await;
}

#[tokio::test]
async fn events_of_which_the_sync_failed_are_not_there() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), FaultDisk::new());
    let spool = open_on(dir.path(), Arc::clone(&disk)).await;
    let mut lane = HandLane::claim(&spool, "erp").await;
    disk.after.store(1, Ordering::SeqCst);
    let failed = spool.append(batch(vec![event(1, 1)])).await;
    assert_eq!(failed, Err(AppendError::Failing));
    let receipts = spool
        .append(batch(vec![event(1, 1), event(2, 1)]))
        .await
        .unwrap();
    assert!(
        matches!(receipts[..], [Receipt::Appended(_), Receipt::Appended(_)]),
        "{receipts:?}"
    );
    lane.route(&spool).await;
    lane.commit(&spool).await.unwrap();
    let survey = spool.look("erp").await.unwrap().unwrap().survey();
    assert_eq!(survey.backlog, 2);
    assert_eq!(lane.deliver(&spool).await, [1, 2]);
    spool.close().await;
}

/// Also when events are appended meanwhile, which may share the group that fails.
#[tokio::test]
async fn a_change_outlives_a_failure() {
    for (before, after) in [(2, 0), (0, 1)] {
        let (dir, disk) = (tempfile::tempdir().unwrap(), FaultDisk::new());
        let spool = open_on(dir.path(), Arc::clone(&disk)).await;
        let mut lane = HandLane::claim(&spool, "erp").await;
        let events = (1..=4).map(|n| event(n, n)).collect();
        spool.append(batch(events)).await.unwrap();
        let seqs: Vec<u64> = (lane.take(&spool, 3).await.iter())
            .map(|entry| entry.seq)
            .collect();
        disk.before.store(before, Ordering::SeqCst);
        disk.after.store(after, Ordering::SeqCst);
        lane.acknowledge(seqs[0]);
        lane.bury(seqs[1]);
        let appended = spool.append(batch(vec![event(5, 5)]));
        let (committed, _) = tokio::join!(lane.commit(&spool), appended);
        assert_eq!(committed, Err(CommitError::Unavailable));
        while spool.append(batch(vec![event(5, 5)])).await.is_err() {}
        lane.commit(&spool).await.unwrap();
        let is_buried = async |spool: &DiskSpool| {
            let list = spool.buried(None, Page::first(9)).await.unwrap();
            let survey = spool.look("erp").await.unwrap().unwrap().survey();
            assert_eq!((list.len(), survey.buried), (1, 1));
        };
        is_buried(&spool).await;
        spool.close().await;
        drop(spool);
        let spool = open_on(dir.path(), FaultDisk::new()).await;
        is_buried(&spool).await;
        let mut lane = HandLane::claim(&spool, "erp").await;
        assert_eq!(lane.deliver(&spool).await, [3, 4, 5]);
        spool.close().await;
    }
}

#[tokio::test]
async fn a_revival_that_arrived_all_the_same_counts() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), FaultDisk::new());
    let spool = open_on(dir.path(), Arc::clone(&disk)).await;
    let mut lane = HandLane::claim(&spool, "erp").await;
    spool.append(batch(vec![event(1, 1)])).await.unwrap();
    let entry = lane.take(&spool, 1).await.remove(0);
    lane.bury(entry.seq);
    lane.commit(&spool).await.unwrap();
    let buried = spool.buried(None, Page::first(9)).await.unwrap();
    assert_eq!((buried.len(), lane.buried), (1, 1));
    lane.revive(entry.seq, entry.device);
    disk.after.store(1, Ordering::SeqCst);
    let failed = lane.commit(&spool).await;
    assert_eq!(failed, Err(CommitError::Unavailable));
    lane.commit(&spool).await.unwrap();
    assert_eq!(lane.buried, 0);
    let survey = spool.look("erp").await.unwrap().unwrap().survey();
    assert_eq!((survey.backlog, survey.buried), (1, 0));
    assert_eq!(lane.deliver(&spool).await, [1]);
    spool.close().await;
}

#[tokio::test]
async fn dropping_does_not_hang_and_lets_go_of_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    for n in 1..5 {
        let spool = open_on(dir.path(), FaultDisk::new()).await;
        spool.append(batch(vec![event(n, 1)])).await.unwrap();
    }
    let spool = open_on(dir.path(), FaultDisk::new()).await;
    let mut lane = HandLane::claim(&spool, "erp").await;
    assert_eq!(lane.deliver(&spool).await, [1, 2, 3, 4]);
    spool.close().await;
    assert_eq!(
        spool.append(batch(vec![event(9, 1)])).await,
        Err(AppendError::Failing)
    );
    spool.close().await;
}

fn pictured(n: u64) -> Batch {
    let bytes = bytes::Bytes::from(vec![n as u8; 1000]);
    let sha256 = Sha256::of(&bytes);
    let mut event = event(n, n);
    event.images = vec![sha256];
    let picture = Picture {
        sha256,
        media_type: None,
        bytes: Private::new(bytes),
    };
    Batch {
        events: vec![event],
        pictures: vec![picture],
        ..Batch::default()
    }
}

/// Waits until the spool says so; it looks after itself once a second.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), waiting).await;
    assert!(waited.is_ok(), "never: {what}");
}

/// While records with pictures are refused, other records that are kept make no spool ready.
#[tokio::test]
async fn readiness_does_not_flicker_while_pictures_fail() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), FaultDisk::new());
    let spool = open_on(dir.path(), disk).await;
    spool.append(pictured(1)).await.unwrap();
    let (images, away) = (dir.path().join("images"), dir.path().join("away"));
    std::fs::rename(&images, &away).unwrap();
    // The pack that is open goes on until it is full; the next one cannot be made.
    let large = |n: u64| {
        let mut large = pictured(n);
        let bytes = bytes::Bytes::from([&n.to_le_bytes()[..], &vec![7; 9 << 20]].concat());
        large.pictures[0].sha256 = Sha256::of(&bytes);
        large.events[0].images = vec![large.pictures[0].sha256];
        large.pictures[0].bytes = Private::new(bytes);
        large
    };
    spool.append(large(2)).await.unwrap();
    assert_eq!(spool.append(large(3)).await, Err(AppendError::Failing));
    for n in 1000..1200 {
        spool.append(batch(vec![event(n, 1)])).await.unwrap();
        assert_eq!(
            capacity(&spool).accepting,
            Err(AppendError::Failing),
            "after {n}"
        );
    }
    assert_eq!(spool.append(large(3)).await, Err(AppendError::Failing));
    std::fs::rename(&away, &images).unwrap();
    until("ready", || capacity(&spool).accepting.is_ok()).await;
    spool.append(large(3)).await.unwrap();
    assert!(!images.join("probe").exists());
    spool.close().await;
}

/// A tick that writes nothing is no sign that writing works.
#[tokio::test]
async fn a_spool_that_fails_is_ready_again_only_when_something_was_written() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), FaultDisk::new());
    let spool = open_on(dir.path(), Arc::clone(&disk)).await;
    disk.before.store(5, Ordering::SeqCst);
    assert!(spool.append(batch(vec![event(1, 1)])).await.is_err());
    // Each try of the spool's own uses one failure up.
    until("tried by itself", || {
        let left = disk.before.load(Ordering::SeqCst);
        assert!(left == 0 || capacity(&spool).accepting.is_err());
        left == 0
    })
    .await;
    until("ready", || capacity(&spool).accepting.is_ok()).await;
    spool.close().await;
}

#[tokio::test]
async fn a_log_that_cannot_be_folded_is_told_and_events_are_kept() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), FaultDisk::new());
    let settings = DiskSettings {
        bytes_max: 64 << 20,
        quarantine_bytes_max: 0,
        ..settings(dir.path())
    };
    let spool = DiskSpool::open_on(settings, HandClock::new(), Arc::clone(&disk) as _)
        .await
        .unwrap();
    assert_eq!(capacity(&spool).degraded, None);
    disk.fold.store(u64::MAX, Ordering::SeqCst);
    let mut n = 0;
    while capacity(&spool).degraded.is_none() {
        n += 1;
        keep(&spool, n).await;
        assert!(n < 2000, "nothing was told");
    }
    let room = capacity(&spool);
    assert_eq!(room.degraded, Some(Degraded::Folding));
    assert!(room.failures > 0 && room.accepting.is_ok(), "{room:?}");
    let grown = std::fs::metadata(dir.path().join("spool.db-wal"))
        .unwrap()
        .len();
    assert!(grown >= 4 << 20, "{grown}");
    disk.fold.store(0, Ordering::SeqCst);
    while capacity(&spool).degraded.is_some() {
        n += 1;
        keep(&spool, n).await;
        // It is not tried at every group.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..600 {
        n += 1;
        keep(&spool, n).await;
    }
    let folded = std::fs::metadata(dir.path().join("spool.db-wal"))
        .unwrap()
        .len();
    assert!(folded < 12 << 20, "the log is folded again: {folded} bytes");
    spool.close().await;
}

/// An event, and something for the database.
async fn keep(spool: &DiskSpool, n: u64) {
    let note = bytes::Bytes::from(n.to_le_bytes().repeat(1250));
    spool.append(batch(vec![big(n, n, 10)])).await.unwrap();
    keep_rules(spool, note).await;
}

/// A disk that panics, or does not answer until it is told to.
#[derive(Default)]
struct Stuck {
    panics: AtomicBool,
    waits: Mutex<bool>,
    bell: Condvar,
}

impl Stuck {
    fn wait(&self, waits: bool) {
        *self.waits.lock().unwrap() = waits;
        self.bell.notify_all();
    }
}

impl Disk for Stuck {
    fn patience(&self) -> Duration {
        Duration::from_millis(200)
    }

    fn before_commit(&self) -> std::io::Result<()> {
        assert!(!self.panics.load(Ordering::SeqCst), "the test wants it");
        let waits = self.waits.lock().unwrap();
        drop(self.bell.wait_while(waits, |waits| *waits).unwrap());
        Ok(())
    }
}

#[tokio::test]
async fn a_writer_that_panics_makes_the_spool_unready() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Arc::new(Stuck::default()));
    let spool = DiskSpool::open_on(
        settings(dir.path()),
        HandClock::new(),
        Arc::clone(&disk) as _,
    )
    .await
    .unwrap();
    spool.append(batch(vec![event(1, 1)])).await.unwrap();
    disk.panics.store(true, Ordering::SeqCst);
    for n in 2..5 {
        let failed = spool.append(batch(vec![event(n, 1)])).await;
        assert_eq!(failed, Err(AppendError::Failing));
    }
    // The thread that panics says so when it ends, a moment after what it had in hand is answered.
    let unready = async {
        while capacity(&spool).accepting.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    let unready = tokio::time::timeout(Duration::from_secs(60), unready).await;
    assert!(unready.is_ok(), "{:?}", capacity(&spool));
    spool.close().await;
    drop(spool);
    let spool = common::open(dir.path()).await.unwrap();
    assert_eq!(spool.damage(), Default::default());
    let receipts = spool.append(batch(vec![event(1, 1)])).await.unwrap();
    assert_eq!(receipts, [Receipt::Duplicate]);
    spool.close().await;
}

#[tokio::test]
async fn a_disk_that_does_not_answer_is_told_and_a_late_success_does_no_harm() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Arc::new(Stuck::default()));
    let spool = DiskSpool::open_on(
        settings(dir.path()),
        HandClock::new(),
        Arc::clone(&disk) as _,
    )
    .await
    .unwrap();
    let mut lane = HandLane::claim(&spool, "erp").await;
    disk.wait(true);
    let failed = spool.append(batch(vec![event(1, 1)])).await;
    assert_eq!(failed, Err(AppendError::Failing));
    assert_eq!(capacity(&spool).accepting, Err(AppendError::Failing));
    let failed = spool.append(batch(vec![event(2, 1)])).await;
    assert_eq!(failed, Err(AppendError::Failing), "at once");
    disk.wait(false);
    until("ready", || capacity(&spool).accepting.is_ok()).await;
    // The device sends both again.
    for n in [1, 2] {
        let receipts = spool.append(batch(vec![event(n, 1)])).await.unwrap();
        assert_eq!(receipts, [Receipt::Duplicate], "{n}");
    }
    assert_eq!(lane.deliver(&spool).await, [1, 2], "each once");
    spool.close().await;
}
