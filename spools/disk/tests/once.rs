//! What `once` has let pass is forgotten when it silences nothing any more, and not before.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by a panic")]

mod common;

use std::time::Duration;

use common::{HandClock, batch, settings};
use faceway_core::{Lane, Passed, Settled, Settlement, Spool as _, Start};
use faceway_spool_disk::DiskSpool;
use faceway_testkit::spool::{event, id, time};

fn passed(n: u64, until: u64) -> Passed {
    Passed {
        route: "first".into(),
        key: [7; 16],
        id: id(n),
        received_at: time(n),
        until: time(until),
    }
}

/// Waits until so many are remembered.
async fn remembered(spool: &DiskSpool, lane: Lane, count: usize) {
    let waiting = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        while spool.remembered(lane).await.unwrap().len() != count {
            ticks.tick().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), waiting).await;
    assert!(waited.is_ok(), "{:?}", spool.remembered(lane).await);
}

#[tokio::test]
async fn what_silences_nothing_any_more_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let clock = HandClock::new();
    let spool = DiskSpool::open(settings(dir.path()), clock.clone())
        .await
        .unwrap();
    let lane = spool.open_lane("erp", Start::Oldest).await.unwrap();
    spool.append(batch(vec![event(10, 1)])).await.unwrap();
    let idle = spool.open_lane("idle", Start::Now).await.unwrap();
    for lane in [lane, idle] {
        spool.remember(lane, vec![passed(1, 5), passed(2, 20), passed(3, 40)]);
    }
    clock.forward(Duration::from_secs(30));
    // Event 10 waits in one of them, and is silenced by what lasts beyond it.
    remembered(&spool, idle, 1).await;
    remembered(&spool, lane, 2).await;
    let lease = spool.lease(lane, 1, time(30)).await.unwrap().remove(0);
    spool.settle(
        lane,
        vec![Settlement {
            seq: lease.seq,
            outcome: Settled::Done,
            attempt: None,
        }],
    );
    remembered(&spool, lane, 1).await;
    spool.close().await;
}
