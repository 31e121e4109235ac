//! Events in segments: how segments leave, what is copied out of them, and what their damage costs.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends by a panic"
)]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::{
    HandClock, HandLane, batch, big, capacity, copy, flip_event, open, pass_groups, settings,
};
use faceway_core::{
    AppendError, Batch, Clock as _, Degraded, History as _, Log as _, Picture, Private, ReadMax,
    Receipt, Sha256,
};
use faceway_spool_disk::{Disk, DiskSettings, DiskSpool, check, salvage};
use faceway_testkit::spool::{body, event, id, number};

const KEPT: Duration = Duration::from_secs(1000);

/// Segments of 4 MiB.
fn small(dir: &Path) -> DiskSettings {
    DiskSettings {
        bytes_max: 64 << 20,
        quarantine_bytes_max: 0,
        history: KEPT,
        ..settings(dir)
    }
}

async fn open_small(dir: &Path, clock: &Arc<HandClock>) -> DiskSpool {
    DiskSpool::open(small(dir), Arc::clone(clock) as _)
        .await
        .unwrap()
}

fn segments(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir.join("log")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let is_segment = |path: &std::path::PathBuf| path.extension().is_some_and(|end| end == "seg");
    paths.filter(is_segment).count()
}

/// Numbers of events in the table.
fn rows(dir: &Path) -> Vec<u64> {
    let conn = rusqlite::Connection::open(dir.join("spool.db")).unwrap();
    let mut select = conn.prepare("SELECT seq FROM event ORDER BY seq").unwrap();
    let rows = select.query_map([], |row| row.get::<_, i64>(0)).unwrap();
    rows.map(|seq| seq.unwrap().cast_unsigned()).collect()
}

/// Events of 40 KB, each tenth of one device.
async fn fill(spool: &DiskSpool, numbers: std::ops::RangeInclusive<u64>, clock: &HandClock) {
    for n in numbers {
        let mut event = big(n, n % 10, 40_000);
        event.received_at = clock.now();
        let receipts = spool.append(batch(vec![event])).await;
        assert!(matches!(receipts.unwrap()[..], [Receipt::Appended(_)]));
    }
}

/// Numbers of events on the disk: the newest are in memory too.
fn stored(dir: &Path) -> Vec<u64> {
    let disk = Arc::new(faceway_segments::RealDisk::new(dir.join("log")));
    let reader = faceway_segments::look(disk).unwrap().reader;
    let mut seqs = rows(dir);
    let read = reader.read(0, u64::MAX, |found| {
        if let faceway_segments::Found::Event(seq, _) = found {
            seqs.push(seq);
        }
        true
    });
    read.unwrap();
    seqs
}

async fn all(spool: &DiskSpool) -> Vec<u64> {
    let max = ReadMax {
        entries: usize::MAX,
        bytes: usize::MAX,
    };
    let stretch = spool.read(0, u64::MAX, max).await.unwrap();
    let entries = stretch.entries.iter();
    entries.map(|entry| number(entry.id)).collect()
}

/// What becomes due is done by the next groups; files beside segments are written by another thread.
async fn settle(spool: &DiskSpool, clock: &HandClock, what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            clock.forward(Duration::from_secs(1));
            pass_groups(spool, 1).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), waiting).await;
    assert!(waited.is_ok(), "never: {what}");
}

/// A device that is blocked keeps its own events, and no segment.
#[tokio::test]
async fn segments_leave_and_what_waits_is_copied() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), HandClock::new());
    let spool = open_small(dir.path(), &clock).await;
    let mut lane = HandLane::claim(&spool, "erp").await;
    fill(&spool, 1..=400, &clock).await;
    assert!(segments(dir.path()) >= 4, "{}", segments(dir.path()));
    for entry in lane.take(&spool, 400).await {
        match number(entry.id) % 10 {
            3 => lane.park(entry.seq, clock.now(), KEPT * 100),
            _ => lane.acknowledge(entry.seq),
        }
    }
    lane.commit(&spool).await.unwrap();
    clock.forward(KEPT * 2);
    let waiting: Vec<u64> = (1..=400).filter(|n| n % 10 == 3).collect();
    settle(&spool, &clock, "copied", || rows(dir.path()) == waiting).await;
    settle(&spool, &clock, "left", || segments(dir.path()) <= 1).await;
    assert_eq!(stored(dir.path()), waiting);
    assert!(spool.trace(id(4)).await.unwrap().is_none());
    let again = spool.append(batch(vec![big(4, 4, 40_000)])).await.unwrap();
    assert_eq!(again, [Receipt::Duplicate], "ids outlive their events");
    fill(&spool, 401..=405, &clock).await;
    spool.close().await;
    drop(spool);
    let parts = check(dir.path()).unwrap();
    assert!(parts.iter().all(|part| part.is_whole()), "{parts:?}");
    let spool = open_small(dir.path(), &clock).await;
    let again = spool.append(batch(vec![big(4, 4, 40_000)])).await.unwrap();
    assert_eq!(again, [Receipt::Duplicate], "also after a start");
    let expected: Vec<u64> = waiting.into_iter().chain(401..=405).collect();
    assert_eq!(all(&spool).await, expected);
    spool.close().await;
}

/// A segment of which lanes need most stays: copying it would cost more than it gives.
#[tokio::test]
async fn a_segment_that_is_needed_stays() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), HandClock::new());
    let spool = open_small(dir.path(), &clock).await;
    let mut lane = HandLane::claim(&spool, "erp").await;
    fill(&spool, 1..=300, &clock).await;
    let before = segments(dir.path());
    for entry in lane.take(&spool, 300).await {
        match number(entry.id) % 10 {
            0 | 1 => lane.acknowledge(entry.seq),
            _ => lane.park(entry.seq, clock.now(), KEPT * 100),
        }
    }
    lane.commit(&spool).await.unwrap();
    clock.forward(KEPT * 2);
    for _ in 0..20 {
        clock.forward(Duration::from_secs(1));
        pass_groups(&spool, 2).await;
    }
    assert!(segments(dir.path()) >= before);
    assert_eq!(rows(dir.path()), [0; 0]);
    assert_eq!(stored(dir.path()).len(), 300);
    spool.close().await;
}

/// Where few events come in, a segment is not full for months: it leaves by age all the same.
#[tokio::test]
async fn a_segment_that_never_fills_leaves_by_age() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), HandClock::new());
    let spool = open_small(dir.path(), &clock).await;
    let mut lane = HandLane::claim(&spool, "erp").await;
    for n in 1..=40 {
        fill(&spool, n..=n, &clock).await;
        assert_eq!(lane.deliver(&spool).await, [n]);
        clock.forward(KEPT / 10);
        pass_groups(&spool, 4).await;
    }
    let left = stored(dir.path());
    let oldest = left.first().copied().unwrap_or_default();
    assert!((28..=31).contains(&oldest), "{left:?}");
    spool.close().await;
}

/// A group of events alone writes nothing to the database.
#[tokio::test]
async fn events_alone_cost_the_database_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path()).await.unwrap();
    spool.append(batch(vec![event(1, 1)])).await.unwrap();
    let wal = || std::fs::metadata(dir.path().join("spool.db-wal")).unwrap();
    let before = (wal().len(), wal().modified().unwrap());
    for n in 2..200 {
        spool.append(batch(vec![event(n, n)])).await.unwrap();
    }
    assert_eq!((wal().len(), wal().modified().unwrap()), before);
    spool.close().await;
}

/// Of a segment that is cut off anywhere a beginning is left, and numbers do not go back.
#[tokio::test]
async fn a_torn_segment_leaves_a_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, copied) = (dir.path().join("whole"), dir.path().join("copied"));
    let clock = HandClock::new();
    let spool = open_small(&whole, &clock).await;
    for n in 1..=200 {
        spool.append(batch(vec![event(n, n)])).await.unwrap();
    }
    copy(&whole, &copied);
    spool.close().await;
    let name = "log/0000000000000001.seg";
    let bytes = std::fs::read(copied.join(name)).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let mut lengths = std::collections::BTreeSet::new();
    for part in 0..=24 {
        let cut = dir.path().join(part.to_string());
        copy(&copied, &cut);
        std::fs::write(cut.join(name), &bytes[..end * part / 24]).unwrap();
        let spool = open_small(&cut, &clock).await;
        let left = all(&spool).await;
        assert_eq!(left, (1..=left.len() as u64).collect::<Vec<_>>());
        lengths.insert(left.len());
        match spool.append(batch(vec![event(500, 1)])).await.unwrap()[..] {
            [Receipt::Appended(seq)] => assert!(seq > 200, "{seq} was given out before"),
            ref other => panic!("{other:?}"),
        }
        spool.close().await;
    }
    assert!(lengths.len() > 20, "{lengths:?}");
}

/// A file that was moved away is told, as long as the log has something older.
#[tokio::test]
async fn a_segment_that_is_missing_is_told() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), HandClock::new());
    let spool = open_small(dir.path(), &clock).await;
    fill(&spool, 1..=350, &clock).await;
    let before = all(&spool).await.len();
    spool.close().await;
    drop(spool);
    assert!(segments(dir.path()) >= 3);
    std::fs::remove_file(dir.path().join("log/0000000000000002.seg")).unwrap();
    let parts = check(dir.path()).unwrap();
    let part = parts.iter().find(|part| part.name == "segments").unwrap();
    assert_eq!((part.missing, &part.numbers[..]), (1, &[2][..]));
    let spool = open_small(dir.path(), &clock).await;
    assert_eq!(spool.damage().groups, 1);
    let room = capacity(&spool);
    assert_eq!(room.degraded, Some(Degraded::Missing));
    assert_eq!((room.accepting, room.damaged), (Ok(()), 1));
    let left = all(&spool).await;
    assert!(left.len() < before && left.contains(&1) && left.contains(&350));
    let mut lane = HandLane::claim(&spool, "erp").await;
    assert_eq!(lane.deliver(&spool).await, left);
    assert_eq!(capacity(&spool).degraded, Some(Degraded::Missing));
    clock.forward(KEPT * 2);
    settle(&spool, &clock, "left", || segments(dir.path()) <= 1).await;
    pass_groups(&spool, 2).await;
    assert_eq!(capacity(&spool).degraded, None);
    spool.close().await;
}

/// Behind the newest segment there is no other one that shows a gap.
#[tokio::test]
async fn a_newest_segment_that_is_missing_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let clock = HandClock::new();
    let whole = dir.path().join("whole");
    let spool = open_small(&whole, &clock).await;
    fill(&spool, 1..=150, &clock).await;
    spool.close().await;
    drop(spool);
    for lost in 1..=segments(&whole) {
        let broken = dir.path().join(format!("without-{lost}"));
        copy(&whole, &broken);
        for number in 0..lost {
            let name = format!("log/{:016}.seg", segments(&whole) - number);
            std::fs::remove_file(broken.join(name)).unwrap();
        }
        let spool = open_small(&broken, &clock).await;
        assert_eq!(spool.damage().groups, 1, "{lost}");
        assert_eq!(capacity(&spool).degraded, Some(Degraded::Missing), "{lost}");
        let receipts = spool.append(batch(vec![event(999, 1)])).await.unwrap();
        assert!(matches!(receipts[..], [Receipt::Appended(seq)] if seq > 150));
        spool.close().await;
        drop(spool);
        let spool = open_small(&broken, &clock).await;
        assert_eq!(spool.damage().groups, 0, "{lost}: it is told once");
        spool.close().await;
    }
}

/// What can be read of damaged segments is saved, and known ids with it.
#[tokio::test]
async fn sound_events_of_damaged_segments_are_saved() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    let clock = HandClock::new();
    let spool = open_small(&from, &clock).await;
    let mut lane = HandLane::claim(&spool, "erp").await;
    for n in 1..=200 {
        spool.append(batch(vec![event(n, n)])).await.unwrap();
    }
    for entry in lane.take(&spool, 10).await {
        lane.acknowledge(entry.seq);
    }
    lane.commit(&spool).await.unwrap();
    spool.close().await;
    drop(spool);
    flip_event(&from, body(77).as_bytes());
    let parts = salvage(&from, &to).unwrap();
    let events = parts.iter().find(|part| part.name == "events").unwrap();
    assert_eq!((events.good, events.damaged), (199, 1), "{events:?}");
    let spool = open_small(&to, &clock).await;
    assert_eq!(spool.damage(), Default::default());
    let expected: Vec<u64> = (1..=200).filter(|n| *n != 77).collect();
    assert_eq!(all(&spool).await, expected);
    let again = spool.append(batch(vec![event(5, 5)])).await.unwrap();
    assert_eq!(again, [Receipt::Duplicate]);
    let mut lane = HandLane::claim(&spool, "erp").await;
    let delivered = lane.deliver(&spool).await;
    assert_eq!(delivered, expected[10..]);
    spool.close().await;
}

/// Fails the sync to which it counts down.
#[derive(Default)]
struct OneSync(AtomicU64);

impl Disk for OneSync {
    fn after_commit(&self) -> std::io::Result<()> {
        let count = |left: u64| left.checked_sub(1);
        match self
            .0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, count)
        {
            Ok(1) => Err(std::io::Error::other("the test wants it")),
            _ => Ok(()),
        }
    }
}

/// The database has the pictures, and the event that names them is not there: they leave like those of others.
#[tokio::test]
async fn pictures_of_events_that_failed_do_not_stay() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), HandClock::new());
    let disk = Arc::new(OneSync::default());
    let settings = DiskSettings {
        images: KEPT,
        ..small(dir.path())
    };
    let spool = DiskSpool::open_on(settings, Arc::clone(&clock) as _, Arc::clone(&disk) as _)
        .await
        .unwrap();
    let mut lane = HandLane::claim(&spool, "erp").await;
    fill(&spool, 1..=1, &clock).await;
    let bytes = bytes::Bytes::from_static(b"a face");
    let sha256 = Sha256::of(&bytes);
    let mut pictured = event(2, 2);
    pictured.images = vec![sha256];
    let pictured = Batch {
        events: vec![pictured],
        pictures: vec![Picture {
            sha256,
            media_type: None,
            bytes: Private::new(bytes),
        }],
        ..Batch::default()
    };
    // The first sync is that of the database.
    disk.0.store(2, Ordering::SeqCst);
    let failed = spool.append(pictured).await;
    assert_eq!(failed, Err(AppendError::Failing));
    assert!(spool.picture(sha256).await.unwrap().is_some());
    fill(&spool, 3..=3, &clock).await;
    assert_eq!(lane.deliver(&spool).await, [1, 3]);
    for _ in 0..4 {
        clock.forward(KEPT);
        pass_groups(&spool, 4).await;
    }
    assert!(spool.picture(sha256).await.unwrap().is_none());
    spool.close().await;
}

/// What a copy that broke off lacks is a part of the lanes: they begin with the oldest event.
#[tokio::test]
async fn a_database_that_was_cut_off_costs_no_events() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    let clock = HandClock::new();
    let spool = open_small(&whole, &clock).await;
    HandLane::claim(&spool, "erp")
        .await
        .commit(&spool)
        .await
        .unwrap();
    for n in 1..=50 {
        spool.append(batch(vec![event(n, n)])).await.unwrap();
    }
    spool.close().await;
    drop(spool);
    let bytes = std::fs::read(whole.join("spool.db")).unwrap();
    for pages in 1..=bytes.len() / 4096 - 4 {
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        for dir in [&from, &to] {
            let _ = std::fs::remove_dir_all(dir);
        }
        copy(&whole, &from);
        std::fs::write(from.join("spool.db"), &bytes[..bytes.len() - pages * 4096]).unwrap();
        let parts = salvage(&from, &to).unwrap();
        let spool = open_small(&to, &clock).await;
        let mut lane = HandLane::claim_from(&spool, "erp", faceway_core::Start::Now).await;
        let delivered = lane.deliver(&spool).await;
        assert_eq!(delivered.len(), 50, "{pages} pages less: {parts:?}");
        spool.close().await;
    }
}
