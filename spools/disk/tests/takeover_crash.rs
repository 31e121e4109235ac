//! A directory of an earlier program is opened, gets new events in segments beside the old ones in the database, and its lanes
//! are taken over. The power goes at each operation of that in turn.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends by a panic"
)]

mod common;
#[path = "common/power.rs"]
mod power;
#[path = "../../../segments/tests/common/mod.rs"]
mod segment_disk;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::{
    FormerRows, HandClock, HandLane, Held, copy, events_as_rows, former_directory, junk,
    pass_groups, settings,
};
use faceway_core::{
    Batch, History as _, LaneStore as _, Log as _, NewEvent, Page, Picture, Private, Sha256, Start,
};
use faceway_spool_disk::{DiskSettings, DiskSpool, OpenError};
use faceway_testkit::spool::{event, number, time};
use power::{Left, Power, PowerDisk};

/// How long pictures stay.
const KEPT: Duration = Duration::from_secs(240);
/// Bytes of the header of SQLite's log, and of a frame.
const HEADER: usize = 32;
const FRAME: usize = 24 + 4096;

/// Opens the directory on this disk, on a clock of its own.
async fn open(dir: &Path, disk: Arc<PowerDisk>) -> Result<(DiskSpool, Arc<HandClock>), OpenError> {
    let settings = DiskSettings {
        images: KEPT,
        ..settings(dir)
    };
    let clock = HandClock::new();
    let disk = Arc::new(Power(disk));
    let spool = DiskSpool::open_on(settings, Arc::clone(&clock) as _, disk).await?;
    Ok((spool, clock))
}

fn picture(n: u64) -> Picture {
    let bytes = bytes::Bytes::from(n.to_le_bytes().repeat(20));
    Picture {
        sha256: Sha256::of(&bytes),
        media_type: None,
        bytes: Private::new(bytes),
    }
}

/// An event of a device of its own. Every third one has a picture.
fn with_picture(n: u64) -> Batch {
    let mut event: NewEvent = event(n, n);
    let mut pictures = Vec::new();
    if n % 3 == 1 {
        pictures.push(picture(n));
        event.images = vec![picture(n).sha256];
    }
    Batch {
        events: vec![event],
        pictures,
        ..Batch::default()
    }
}

/// Twenty events with their pictures, and a body in quarantine.
async fn fill(spool: &DiskSpool) {
    for n in 1..=20 {
        spool.append(with_picture(n)).await.unwrap();
    }
    spool.append(junk("gate", "{")).await.unwrap();
}

/// Of events 1 to 12 the lane has parked 1, buried 2, and 3 and 6 in hand; all others of them are delivered.
async fn of_format_1(dir: &Path) {
    let spool = common::open(dir).await.unwrap();
    fill(&spool).await;
    for _ in 0..4 {
        spool.rules().await.unwrap();
    }
    spool.close().await;
    drop(spool);
    former_directory(dir, Vec::new(), |rows: &FormerRows| {
        rows.lane(1, "erp", (13, 12), &[3, 6]);
        rows.held(1, Held::parked(1, time(900_000)));
        rows.buried(1, 2, time(0).as_millis(), "422");
        rows.execute(
            "UPDATE image SET free = NULL WHERE last = 1 OR last > 12; \
             INSERT INTO picture_hold SELECT last, sha256 FROM image WHERE last = 1; \
             UPDATE meta SET swept = 3",
        );
    })
    .await;
}

/// The same in rows of format 2.
async fn of_format_2(dir: &Path) {
    let spool = common::open(dir).await.unwrap();
    let mut lane = HandLane::claim(&spool, "erp").await;
    fill(&spool).await;
    for entry in lane.take(&spool, 12).await {
        match number(entry.id) {
            1 => lane.park(entry.seq, time(0), Duration::from_secs(900_000)),
            2 => lane.bury(entry.seq),
            3 | 6 => {}
            _ => lane.acknowledge(entry.seq),
        }
    }
    lane.commit(&spool).await.unwrap();
    spool.close().await;
    drop(spool);
    events_as_rows(dir);
}

/// Opens the directory, appends new events on both sides of the takeover, and gives those that were answered.
async fn live(disk: &Arc<PowerDisk>) -> Vec<u64> {
    let mut answered = Vec::new();
    let Ok((spool, _)) = open(disk.dir(), Arc::clone(disk)).await else {
        return answered;
    };
    for n in 21..=26 {
        if n == 25 {
            let _ = spool.claim("erp", Start::Now).await;
        }
        if spool.append(with_picture(n)).await.is_ok() {
            answered.push(n);
        }
    }
    answered
}

/// Everything of before is there, and every new event that was answered.
async fn check(left: Left, answered: &[u64], case: &str) {
    let disk = PowerDisk::again(left);
    let dir = disk.dir().to_owned();
    let (spool, clock) = open(&dir, disk).await.unwrap();
    assert_eq!(spool.damage().rows, 0, "{case}");
    let old = spool.fetch((1..=20).collect()).await.unwrap();
    assert!(old.iter().all(Option::is_some), "{case}: {old:?}");
    let buried = spool.buried(None, Page::first(9)).await.unwrap();
    assert_eq!(buried.len(), 1, "{case}");
    let quarantine = spool.quarantine(Page::first(9)).await.unwrap();
    assert_eq!(quarantine.len(), 1, "{case}");
    let body = spool.quarantined(quarantine[0].number).await.unwrap();
    assert_eq!(&body.unwrap().body.reveal()[..], b"{", "{case}");
    let is_there = async |n| {
        let picture = spool.picture(picture(n).sha256).await.unwrap();
        picture.is_some()
    };
    for n in answered.iter().filter(|n| *n % 3 == 1) {
        assert!(is_there(*n).await, "{case}: the picture of {n}");
    }
    let mut lane = HandLane::claim_from(&spool, "erp", Start::Now).await;
    for n in [1, 13, 16, 19] {
        assert!(is_there(n).await, "{case}: the picture of {n} that waits");
    }
    let delivered = lane.deliver(&spool).await;
    let (before, new) = delivered.split_at(10.min(delivered.len()));
    assert_eq!(before, [3, 6, 13, 14, 15, 16, 17, 18, 19, 20], "{case}");
    // Of the one that was on its way it is not known.
    let upto = answered.last().map_or(21, |last| last + 1);
    assert!(
        (21..).zip(new).all(|(n, found)| n == *found),
        "{case}: {new:?}"
    );
    assert!(
        new.len() >= answered.len() && new.len() as u64 <= upto - 20,
        "{case}: {new:?}"
    );
    assert!(lane.waiting.keys().eq([&1]), "{case}");
    for _ in 0..5 {
        clock.forward(KEPT);
        pass_groups(&spool, 4).await;
    }
    let left = (is_there(1).await, is_there(4).await, is_there(13).await);
    assert_eq!(
        left,
        (true, false, false),
        "{case}: only what waits keeps its picture"
    );
    spool.close().await;
}

/// A directory as it was, with a name of its own.
fn copied(root: &Path, from: &Path, name: &str) -> std::path::PathBuf {
    let to = root.join(name);
    copy(from, &to);
    to
}

async fn at_each_operation(from: &Path) {
    let root = tempfile::tempdir().unwrap();
    let mut before_segments = None;
    for ops in 0.. {
        let dir = copied(root.path(), from, &format!("dir-{ops}"));
        let disk = PowerDisk::new(&dir, ops);
        disk.cut_after(ops, ops);
        let answered = live(&disk).await;
        let Some(left) = disk.left() else {
            assert!(ops > 25 && answered.len() == 6, "{ops} {answered:?}");
            break;
        };
        if answered.is_empty() && left.has_no_segments() {
            before_segments = Some(copied(root.path(), &left.dir, &format!("before-{ops}")));
        }
        check(left, &answered, &format!("operation {ops}")).await;
    }
    // Until there is a segment, only the database changes: it is cut off behind each page.
    let before = before_segments.unwrap();
    let log = std::fs::read(before.join("spool.db-wal")).unwrap();
    let mut versions = std::collections::BTreeSet::new();
    for frames in 0..=log.len().saturating_sub(HEADER) / FRAME {
        let dir = copied(root.path(), &before, &format!("frames-{frames}"));
        std::fs::write(dir.join("spool.db-wal"), &log[..HEADER + frames * FRAME]).unwrap();
        let left = Left::without_segments(copied(root.path(), &dir, &format!("of-{frames}")));
        // This one folds the log in when it is closed.
        let database = rusqlite::Connection::open(dir.join("spool.db")).unwrap();
        let version =
            database.query_row("SELECT version FROM meta", [], |row| row.get::<_, i64>(0));
        versions.insert(version.unwrap());
        check(left, &[], &format!("frame {frames}")).await;
    }
    assert_eq!(versions.len(), 2, "{versions:?}");
}

#[tokio::test]
async fn a_directory_of_format_1_is_whole_whenever_the_power_goes() {
    let dir = tempfile::tempdir().unwrap();
    of_format_1(dir.path()).await;
    at_each_operation(dir.path()).await;
}

#[tokio::test]
async fn a_directory_of_format_2_is_whole_whenever_the_power_goes() {
    let dir = tempfile::tempdir().unwrap();
    of_format_2(dir.path()).await;
    at_each_operation(dir.path()).await;
}
