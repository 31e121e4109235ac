//! What a dropped lane held leaves: bodies, pictures and attempts, also what an earlier program has left behind.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends by a panic"
)]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{HandClock, settings};
use faceway_core::{
    AttemptResult, Batch, Clock as _, Lane, NewEvent, Picture, Private, Repair as _, Settled,
    Settlement, Sha256, Spool as _, Start,
};
use faceway_spool_disk::{DiskSettings, DiskSpool};
use faceway_testkit::spool::{alone, attempt, event, id};

const KEPT: Duration = Duration::from_secs(240);
const EVENTS: u64 = 3000;

fn short(dir: &Path) -> DiskSettings {
    DiskSettings {
        history: KEPT,
        images: KEPT,
        ..settings(dir)
    }
}

fn picture(n: u64) -> Picture {
    let bytes = Bytes::from(n.to_le_bytes().repeat(20));
    Picture {
        sha256: Sha256::of(&bytes),
        media_type: None,
        bytes: Private::new(bytes),
    }
}

/// Events of one device, each with a picture: the first is parked in the `holders`, so all are held there; `bus` delivers
/// them, and history has passed them by. Gives the first holder.
async fn held(dir: &Path, clock: &Arc<HandClock>, holders: &[&str]) -> (DiskSpool, Lane) {
    let spool = DiskSpool::open(short(dir), Arc::clone(clock) as _)
        .await
        .unwrap();
    let parked = alone(clock.now().plus(KEPT * 100));
    let mut lanes = Vec::new();
    for name in holders {
        let lane = spool.open_lane(name, Start::Oldest).await.unwrap();
        lanes.push((lane, parked.clone()));
    }
    let bus = spool.open_lane("bus", Start::Oldest).await.unwrap();
    lanes.push((bus, Settled::Done));
    let first = lanes[0].0;
    for n in (1..=EVENTS).step_by(500) {
        let pictures: Vec<Picture> = (n..n + 500).map(picture).collect();
        let events = (n..n + 500).zip(&pictures).map(|(n, picture)| NewEvent {
            images: vec![picture.sha256],
            received_at: clock.now(),
            ..event(n, 7)
        });
        let kept = Batch {
            events: events.collect(),
            pictures,
            ..Batch::default()
        };
        spool.append(kept).await.unwrap();
    }
    for (lane, outcome) in lanes {
        loop {
            let leases = spool.lease(lane, 1, clock.now()).await.unwrap();
            let Some(lease) = leases.first() else {
                break;
            };
            let settlement = Settlement {
                seq: lease.seq,
                outcome: outcome.clone(),
                attempt: Some(attempt(clock.now(), AttemptResult::Retry, "500")),
            };
            spool.settle(lane, vec![settlement]);
        }
        spool.sync().await.unwrap();
    }
    for _ in 0..5 {
        clock.forward(KEPT);
        for _ in 0..4 {
            spool.sync().await.unwrap();
        }
    }
    (spool, first)
}

fn count(dir: &Path, table: &str) -> u64 {
    let conn = rusqlite::Connection::open(dir.join("spool.db")).unwrap();
    let sql = format!("SELECT count(*) FROM {table}");
    let count: i64 = conn.query_row(&sql, [], |row| row.get(0)).unwrap();
    count.cast_unsigned()
}

fn bytes_on_disk(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let packs = std::fs::read_dir(dir.join("images")).unwrap();
    packs
        .map(|pack| pack.unwrap().metadata().unwrap().blocks() * 512)
        .sum()
}

async fn let_time_pass(spool: &DiskSpool, clock: &HandClock) {
    for _ in 0..4 {
        clock.forward(KEPT / 3);
        for _ in 0..8 {
            spool.sync().await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_only_a_dropped_lane_held_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let clock = HandClock::new();
    let (spool, _) = held(dir.path(), &clock, &["erp"]).await;
    assert_eq!(count(dir.path(), "event"), EVENTS, "they are held");
    assert!(spool.picture(picture(1).sha256).await.unwrap().is_some());
    assert!(spool.drop_lane("erp".into()).await.unwrap());
    for _ in 0..8 {
        clock.forward(Duration::from_secs(1));
        spool.sync().await.unwrap();
    }
    for table in ["event", "held", "attempt"] {
        assert_eq!(count(dir.path(), table), 0, "{table}");
    }
    assert!(spool.story(id(1)).await.unwrap().is_none());
    let_time_pass(&spool, &clock).await;
    for table in ["image", "picture_hold"] {
        assert_eq!(count(dir.path(), table), 0, "{table}");
    }
    assert_eq!(bytes_on_disk(dir.path()), 0);
    spool.close().await;
}

/// Of two lanes that hold the same events, the other one keeps them.
#[tokio::test]
async fn what_another_lane_holds_stays() {
    let dir = tempfile::tempdir().unwrap();
    let clock = HandClock::new();
    let (spool, erp) = held(dir.path(), &clock, &["erp", "again"]).await;
    assert!(spool.drop_lane("again".into()).await.unwrap());
    let_time_pass(&spool, &clock).await;
    assert_eq!(count(dir.path(), "event"), EVENTS);
    let survey = spool.survey(erp, clock.now()).await.unwrap();
    assert_eq!(survey.backlog, EVENTS);
    assert!(
        spool
            .picture(picture(EVENTS).sha256)
            .await
            .unwrap()
            .is_some()
    );
    spool.close().await;
}

/// An earlier program removed the lane and its rows, and left the events.
#[tokio::test]
async fn what_an_earlier_program_left_leaves_after_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let clock = HandClock::new();
    let (spool, _) = held(dir.path(), &clock, &["erp"]).await;
    spool.close().await;
    drop(spool);
    let conn = rusqlite::Connection::open(dir.path().join("spool.db")).unwrap();
    conn.execute_batch(
        "DELETE FROM held; DELETE FROM lane WHERE name = 'erp'; DELETE FROM picture_hold;
         UPDATE image SET last = NULL, free = NULL, crc = NULL; UPDATE meta SET swept_groups = NULL;",
    )
    .unwrap();
    drop(conn);
    assert_eq!(count(dir.path(), "event"), EVENTS);
    let spool = DiskSpool::open(short(dir.path()), Arc::clone(&clock) as _)
        .await
        .unwrap();
    let_time_pass(&spool, &clock).await;
    for table in ["event", "attempt", "image"] {
        assert_eq!(count(dir.path(), table), 0, "{table}");
    }
    assert_eq!(bytes_on_disk(dir.path()), 0);
    spool.close().await;
}
