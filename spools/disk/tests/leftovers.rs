//! What a deleted lane held leaves: bodies, pictures and attempts, also what an earlier program has left behind.
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
use common::{HandClock, HandLane, events_as_rows, pass_groups, settings};
use faceway_core::{
    AttemptResult, Batch, Clock as _, History as _, LaneStore as _, Log as _, NewEvent, Picture,
    Private, Sha256,
};
use faceway_spool_disk::{DiskSettings, DiskSpool};
use faceway_testkit::spool::{attempt, event, id};

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

/// Events of one device, each with a picture: the first is parked in the `holders`, so that all wait there; `bus` delivers
/// them, and history has passed them by.
async fn held(dir: &Path, clock: &Arc<HandClock>, holders: &[&str]) -> DiskSpool {
    let spool = DiskSpool::open(short(dir), Arc::clone(clock) as _)
        .await
        .unwrap();
    let mut lanes = Vec::new();
    for name in holders {
        lanes.push(HandLane::claim(&spool, name).await);
    }
    let mut bus = HandLane::claim(&spool, "bus").await;
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
    let tried = attempt(clock.now(), AttemptResult::Retry, "500");
    for lane in &mut lanes {
        let first = lane.take(&spool, 1).await.remove(0);
        lane.park(first.seq, clock.now(), KEPT * 100);
        lane.note_attempt(first.seq, tried.clone());
        lane.commit(&spool).await.unwrap();
        assert_eq!(
            lane.deliver(&spool).await,
            [0; 0],
            "all wait behind the first"
        );
    }
    for entry in bus.take(&spool, usize::MAX).await {
        bus.note_attempt(entry.seq, tried.clone());
    }
    assert_eq!(bus.deliver(&spool).await.len() as u64, EVENTS);
    for _ in 0..5 {
        clock.forward(KEPT);
        pass_groups(&spool, 4).await;
    }
    spool
}

/// How many events are on the disk: the newest are in memory too.
fn events(dir: &Path) -> u64 {
    let disk = Arc::new(faceway_segments::RealDisk::new(dir.join("log")));
    let segments = faceway_segments::look(disk).unwrap().reader.segments();
    count(dir, "event") + segments.iter().map(|one| one.events).sum::<u64>()
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
        pass_groups(spool, 8).await;
    }
}

#[tokio::test]
async fn what_only_a_deleted_lane_held_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let clock = HandClock::new();
    let spool = held(dir.path(), &clock, &["erp"]).await;
    assert_eq!(events(dir.path()), EVENTS, "they are held");
    assert!(spool.picture(picture(1).sha256).await.unwrap().is_some());
    assert!(spool.delete("erp").await.unwrap());
    for _ in 0..8 {
        clock.forward(Duration::from_secs(1));
        pass_groups(&spool, 1).await;
    }
    assert_eq!(events(dir.path()), 0);
    for table in ["event", "waiting", "held_event", "attempt"] {
        assert_eq!(count(dir.path(), table), 0, "{table}");
    }
    assert!(spool.trace(id(1)).await.unwrap().is_none());
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
    let spool = held(dir.path(), &clock, &["erp", "again"]).await;
    assert!(spool.delete("again").await.unwrap());
    let_time_pass(&spool, &clock).await;
    assert_eq!(events(dir.path()), EVENTS);
    let state = spool.look("erp").await.unwrap().unwrap();
    assert_eq!(state.survey().backlog, EVENTS);
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
    let spool = held(dir.path(), &clock, &["erp"]).await;
    spool.close().await;
    drop(spool);
    events_as_rows(dir.path());
    let conn = rusqlite::Connection::open(dir.path().join("spool.db")).unwrap();
    conn.execute_batch(
        "DELETE FROM lane_state WHERE lane = (SELECT id FROM lane WHERE name = 'erp'); DELETE FROM waiting;
         DELETE FROM held_event; DELETE FROM lane WHERE name = 'erp'; DELETE FROM picture_hold;
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
