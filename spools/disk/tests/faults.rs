//! A disk that fails: nothing is promised, nothing is lost, and it goes on by itself.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends by a panic"
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use common::{FaultDisk, HandClock, batch, settings};
use faceway_core::{AppendError, Receipt, Repair as _, Settled, Settlement, Spool as _, Start};
use faceway_spool_disk::DiskSpool;
use faceway_testkit::spool::{bury, event, numbers, time};

async fn open_on(dir: &std::path::Path, disk: Arc<FaultDisk>) -> DiskSpool {
    DiskSpool::open_on(settings(dir), HandClock::new(), disk)
        .await
        .unwrap()
}

fn done(seq: u64) -> Vec<Settlement> {
    vec![Settlement {
        seq,
        outcome: Settled::Done,
        attempt: None,
    }]
}

#[tokio::test]
async fn a_group_that_cannot_be_committed_is_not_there() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), FaultDisk::new());
    let spool = open_on(dir.path(), Arc::clone(&disk)).await;
    let lane = spool.open_lane("erp", Start::Oldest).await.unwrap();
    spool.append(batch(vec![event(1, 1)])).await.unwrap();
    disk.before.store(3, Ordering::SeqCst);
    for _ in 0..3 {
        let failed = spool.append(batch(vec![event(2, 1)])).await;
        assert_eq!(failed, Err(AppendError::Failing));
        assert_eq!(spool.room().accepting, Err(AppendError::Failing));
    }
    let receipts = spool
        .append(batch(vec![event(2, 1), event(3, 1)]))
        .await
        .unwrap();
    assert!(
        matches!(receipts[..], [Receipt::Appended(_), Receipt::Appended(_)]),
        "{receipts:?}"
    );
    assert_eq!(spool.room().accepting, Ok(()));
    assert_eq!(
        numbers(&spool.lease(lane, 9, time(9)).await.unwrap()),
        [1, 2, 3]
    );
    spool.close().await;
}

#[tokio::test]
async fn a_group_that_arrived_all_the_same_is_known() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), FaultDisk::new());
    let spool = open_on(dir.path(), Arc::clone(&disk)).await;
    let lane = spool.open_lane("erp", Start::Oldest).await.unwrap();
    disk.after.store(1, Ordering::SeqCst);
    let failed = spool.append(batch(vec![event(1, 1)])).await;
    assert_eq!(failed, Err(AppendError::Failing));
    let receipts = spool
        .append(batch(vec![event(1, 1), event(2, 1)]))
        .await
        .unwrap();
    assert!(
        matches!(receipts[..], [Receipt::Duplicate, Receipt::Appended(_)]),
        "{receipts:?}"
    );
    assert_eq!(
        numbers(&spool.lease(lane, 9, time(9)).await.unwrap()),
        [1, 2]
    );
    assert_eq!(spool.survey(lane, time(9)).await.unwrap().backlog, 2);
    spool.close().await;
}

#[tokio::test]
async fn settlements_outlive_a_failure() {
    for (before, after) in [(2, 0), (0, 1)] {
        let (dir, disk) = (tempfile::tempdir().unwrap(), FaultDisk::new());
        let spool = open_on(dir.path(), Arc::clone(&disk)).await;
        let lane = spool.open_lane("erp", Start::Oldest).await.unwrap();
        let events = (1..=4).map(|n| event(n, n)).collect();
        spool.append(batch(events)).await.unwrap();
        let leases = spool.lease(lane, 3, time(9)).await.unwrap();
        disk.before.store(before, Ordering::SeqCst);
        disk.after.store(after, Ordering::SeqCst);
        spool.settle(lane, done(leases[0].seq));
        let buried = Settlement {
            seq: leases[1].seq,
            outcome: bury("422"),
            attempt: None,
        };
        spool.settle(lane, vec![buried]);
        while spool.append(batch(vec![event(5, 5)])).await.is_err() {}
        assert_eq!(
            spool
                .buried(None, faceway_core::Page::first(9))
                .await
                .unwrap()
                .len(),
            1
        );
        assert_eq!(spool.survey(lane, time(9)).await.unwrap().buried, 1);
        spool.close().await;
        drop(spool);
        let spool = open_on(dir.path(), FaultDisk::new()).await;
        let lane = spool.open_lane("erp", Start::Oldest).await.unwrap();
        assert_eq!(
            numbers(&spool.lease(lane, 9, time(9)).await.unwrap()),
            [3, 4, 5]
        );
        spool.close().await;
    }
}

#[tokio::test]
async fn a_repair_that_arrived_all_the_same_counts() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), FaultDisk::new());
    let spool = open_on(dir.path(), Arc::clone(&disk)).await;
    let lane = spool.open_lane("erp", Start::Oldest).await.unwrap();
    spool.append(batch(vec![event(1, 1)])).await.unwrap();
    let leases = spool.lease(lane, 1, time(9)).await.unwrap();
    let buried = Settlement {
        seq: leases[0].seq,
        outcome: bury("422"),
        attempt: None,
    };
    spool.settle(lane, vec![buried]);
    assert_eq!(
        spool
            .buried(None, faceway_core::Page::first(9))
            .await
            .unwrap()
            .len(),
        1
    );
    disk.after.store(1, Ordering::SeqCst);
    assert!(spool.revive(Default::default()).await.is_err());
    assert_eq!(spool.revive(Default::default()).await.unwrap(), 0);
    let survey = spool.survey(lane, time(9)).await.unwrap();
    assert_eq!((survey.backlog, survey.buried), (1, 0));
    assert_eq!(numbers(&spool.lease(lane, 9, time(9)).await.unwrap()), [1]);
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
    let lane = spool.open_lane("erp", Start::Oldest).await.unwrap();
    assert_eq!(
        numbers(&spool.lease(lane, 9, time(9)).await.unwrap()),
        [1, 2, 3, 4]
    );
    spool.close().await;
    assert_eq!(
        spool.append(batch(vec![event(9, 1)])).await,
        Err(AppendError::Failing)
    );
    spool.close().await;
}
