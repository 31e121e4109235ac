//! What `once` has let pass is forgotten when it silences nothing any more, and not before.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by a panic")]

mod common;

use std::time::Duration;

use common::{HandClock, HandLane, append, settings};
use faceway_core::{LaneStore as _, Log as _, OnceMark, Start};
use faceway_spool_disk::DiskSpool;
use faceway_testkit::spool::{event, id, time};

fn passed(n: u64, until: u64) -> OnceMark {
    OnceMark {
        route: "first".into(),
        key: [n as u8; 16],
        id: id(n),
        received_at: time(n),
        until: time(until),
    }
}

/// Waits until so many are kept. Looking asks for a group each time.
async fn kept(spool: &DiskSpool, lane: &str, count: usize) {
    let waiting = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        while spool.look(lane).await.unwrap().unwrap().passed.len() != count {
            ticks.tick().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), waiting).await;
    assert!(waited.is_ok(), "{:?}", spool.look(lane).await);
}

#[tokio::test]
async fn what_silences_nothing_any_more_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let clock = HandClock::new();
    let spool = DiskSpool::open(settings(dir.path()), clock.clone())
        .await
        .unwrap();
    let mut lane = HandLane::claim(&spool, "erp").await;
    append(&spool, vec![event(10, 1)]).await.unwrap();
    let mut idle = HandLane::claim_from(&spool, "idle", Start::Now).await;
    for lane in [&mut lane, &mut idle] {
        for passed in [passed(1, 5), passed(2, 20), passed(3, 40)] {
            lane.let_pass(passed);
        }
        lane.commit(&spool).await.unwrap();
    }
    clock.forward(Duration::from_secs(30));
    // Event 10 is yet to be routed in one of them, and is silenced by what lasts beyond it.
    kept(&spool, "idle", 1).await;
    kept(&spool, "erp", 2).await;
    lane.route(&spool).await;
    lane.commit(&spool).await.unwrap();
    kept(&spool, "erp", 1).await;
    spool.close().await;
}
