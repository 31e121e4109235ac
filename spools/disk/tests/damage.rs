//! Bits that flip: the engine finds them, counts them, and delivers everything else.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends by a panic"
)]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{
    HandClock, HandLane, batch, copy, events_as_rows, flip_event, in_segments, keep_rules,
    kept_rules, open, settings,
};
use faceway_core::{Log as _, NewEvent, Receipt, TraceContext};
use faceway_spool_disk::{DiskSpool, OpenError};
use faceway_testkit::spool::{body, event, number};

fn flip(file: &Path, at: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[at] ^= 0x10;
    std::fs::write(file, bytes).unwrap();
}

fn find(file: &Path, what: &[u8]) -> usize {
    let bytes = std::fs::read(file).unwrap();
    bytes
        .windows(what.len())
        .position(|window| window == what)
        .unwrap()
}

/// A closed spool with so many events, each of its own device, of which nothing was delivered.
async fn filled(dir: &Path, events: u64) -> PathBuf {
    let spool = open(dir).await.unwrap();
    HandLane::claim(&spool, "erp").await;
    for n in 0..events / 50 {
        let events = (n * 50..n * 50 + 50).map(|n| event(n, n)).collect();
        spool.append(batch(events)).await.unwrap();
    }
    spool.close().await;
    dir.join("spool.db")
}

/// Everything that the lane would deliver, which stays as it is.
async fn all(spool: &DiskSpool) -> Vec<u64> {
    let mut lane = HandLane::claim(spool, "erp").await;
    let entries = lane.take(spool, usize::MAX).await;
    entries.iter().map(|entry| number(entry.id)).collect()
}

#[tokio::test]
async fn a_flipped_byte_costs_one_event_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 1000).await;
    flip_event(dir.path(), body(321).as_bytes());
    let spool = open(dir.path()).await.unwrap();
    assert_eq!(
        all(&spool).await,
        (0..1000).filter(|n| *n != 321).collect::<Vec<_>>()
    );
    assert_eq!(spool.damage().rows, 1);
    spool.close().await;
}

#[tokio::test]
async fn a_broken_page_costs_its_events_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 2000).await;
    let (segment, at) = in_segments(dir.path(), body(777).as_bytes());
    break_page(&segment, at);
    look_beside_a_broken_page(dir.path()).await;
}

/// The same of what an earlier program wrote.
#[tokio::test]
async fn a_broken_page_of_the_table_costs_its_events_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let database = filled(dir.path(), 2000).await;
    events_as_rows(dir.path());
    break_page(&database, find(&database, body(777).as_bytes()));
    look_beside_a_broken_page(dir.path()).await;
}

fn break_page(file: &Path, at: usize) {
    let page = at / 4096;
    let mut bytes = std::fs::read(file).unwrap();
    bytes[page * 4096..page * 4096 + 4096].fill(0xEE);
    std::fs::write(file, bytes).unwrap();
}

async fn look_beside_a_broken_page(dir: &Path) {
    let spool = open(dir).await.unwrap();
    let got = all(&spool).await;
    assert!(
        got.len() >= 1900 && got.contains(&0) && got.contains(&1999),
        "{} of 2000",
        got.len()
    );
    assert!(got.is_sorted() && !got.contains(&777));
    assert!(spool.damage().rows > 0);
    let receipts = spool.append(batch(vec![event(5000, 1)])).await.unwrap();
    assert!(matches!(receipts[..], [Receipt::Appended(_)]));
    assert_eq!(all(&spool).await.last(), Some(&5000));
    spool.close().await;
}

/// A spool that was cut off with 200 groups in the write-ahead log. Gives the last sequence number.
async fn cut_off(dir: &Path, to: &Path) -> u64 {
    let spool = open(dir).await.unwrap();
    let mut last = 0;
    for n in 0..200 {
        match spool.append(batch(vec![event(n, n)])).await.unwrap()[..] {
            [Receipt::Appended(seq)] => last = seq,
            ref other => panic!("{other:?}"),
        }
        let note = bytes::Bytes::from(n.to_le_bytes().repeat(100));
        keep_rules(&spool, note).await;
    }
    copy(dir, to);
    spool.close().await;
    let size = std::fs::metadata(to.join("spool.db-wal")).unwrap().len();
    assert!(size > 100_000, "the log is folded already");
    last
}

/// Where a frame of the log begins.
fn frame(number: usize) -> usize {
    32 + number * (24 + 4096)
}

#[tokio::test]
async fn two_flips_in_the_log_are_told_and_numbers_never_go_back() {
    let dir = tempfile::tempdir().unwrap();
    let cut = dir.path().join("two");
    let last = cut_off(&dir.path().join("one"), &cut).await;
    let wal = cut.join("spool.db-wal");
    flip(&wal, frame(400) + 100);
    flip(&wal, frame(400) + 2100);
    let spool = open(&cut).await.unwrap();
    assert!(spool.damage().groups > 10, "{:?}", spool.damage());
    assert_eq!(all(&spool).await.len(), 200, "events are elsewhere");
    match spool.append(batch(vec![event(500, 199)])).await.unwrap()[..] {
        [Receipt::Appended(seq)] => assert!(seq > last, "{seq} was given out before"),
        ref other => panic!("{other:?}"),
    }
    spool.close().await;
}

/// Any byte of the log's header, and of frames: numbers, salts, sums, pages. SQLite would end there and say nothing.
#[tokio::test]
async fn a_byte_of_the_log_is_put_right_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("two");
    cut_off(&dir.path().join("one"), &whole).await;
    let in_frames = [0, 3, 4, 7, 8, 13, 16, 23, 24, 25, 800, 4000, 4119];
    let in_frames = in_frames.map(|at| frame(1) + at).into_iter();
    for at in (0..32).chain(in_frames).chain([frame(300) + 2000]) {
        let cut = dir.path().join("case");
        let _ = std::fs::remove_dir_all(&cut);
        copy(&whole, &cut);
        flip(&cut.join("spool.db-wal"), at);
        let spool = open(&cut).await.unwrap();
        let damage = spool.damage();
        assert_eq!(
            (damage.mended, damage.rows, damage.groups),
            (1, 0, 0),
            "byte {at}"
        );
        assert_eq!(all(&spool).await.len(), 200, "byte {at}");
        spool.close().await;
    }
}

#[tokio::test]
async fn a_header_of_the_log_that_cannot_be_put_right_keeps_the_gateway_from_starting() {
    let dir = tempfile::tempdir().unwrap();
    let cut = dir.path().join("two");
    cut_off(&dir.path().join("one"), &cut).await;
    let wal = cut.join("spool.db-wal");
    flip(&wal, 3);
    flip(&wal, frame(0) + 1000);
    let before = std::fs::read(&wal).unwrap();
    let refused = open(&cut).await.map(|_| ()).unwrap_err();
    assert!(matches!(refused, OpenError::Log { .. }), "{refused}");
    assert!(
        refused.to_string().contains("faceway spool salvage"),
        "{refused}"
    );
    assert_eq!(std::fs::read(&wal).unwrap(), before, "the log is as it was");
    // As the text says: without it.
    std::fs::rename(&wal, cut.join("away")).unwrap();
    let spool = open(&cut).await.unwrap();
    assert_eq!(spool.damage().groups, 1, "its absence is told");
    spool.close().await;
    drop(spool);
    let spool = open(&cut).await.unwrap();
    assert_eq!(spool.damage(), Default::default());
    spool.close().await;
}

/// After a power cut the first page of a log that was never synced may be missing while the next one is there.
#[tokio::test]
async fn a_log_whose_first_page_never_arrived_keeps_no_gateway_from_starting() {
    let dir = tempfile::tempdir().unwrap();
    let cut = dir.path().join("two");
    cut_off(&dir.path().join("one"), &cut).await;
    let wal = cut.join("spool.db-wal");
    let mut bytes = std::fs::read(&wal).unwrap();
    bytes[..4096].fill(0);
    std::fs::write(&wal, bytes).unwrap();
    let spool = open(&cut).await.unwrap();
    assert_eq!(spool.damage().groups, 1, "it may be damage, so it is told");
    let receipts = spool.append(batch(vec![event(500, 1)])).await.unwrap();
    assert!(
        matches!(receipts[..], [Receipt::Appended(_)]),
        "{receipts:?}"
    );
    spool.close().await;
}

/// A spool that began anew here would throw away what the directory still has.
#[tokio::test]
async fn a_missing_database_never_begins_a_new_spool_silently() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    let database = filled(&whole, 50).await;
    let spool = open(&whole).await.unwrap();
    let picture = bytes::Bytes::from(vec![7; 1000]);
    let sha256 = faceway_core::Sha256::of(&picture);
    let mut pictured = batch(vec![NewEvent {
        images: vec![sha256],
        ..event(99, 9)
    }]);
    pictured.pictures = vec![faceway_core::Picture {
        sha256,
        media_type: None,
        bytes: faceway_core::Private::new(picture),
    }];
    spool.append(pictured).await.unwrap();
    spool.close().await;
    drop(spool);
    let away = dir.path().join("away.db");
    std::fs::rename(&database, &away).unwrap();
    for empty in [false, true] {
        if empty {
            std::fs::write(&database, b"").unwrap();
        }
        let refused = open(&whole).await.map(|_| ()).unwrap_err();
        assert!(matches!(refused, OpenError::Missing { .. }), "{refused}");
        let told = refused.to_string();
        for part in [
            "sequence",
            "a pack of pictures",
            "Put spool.db back",
            "salvage",
        ] {
            assert!(told.contains(part), "{part} is missing in: {told}");
        }
    }
    // The picture alone shows it too.
    std::fs::remove_file(whole.join("sequence")).unwrap();
    assert!(open(&whole).await.is_err());
    std::fs::rename(&away, &database).unwrap();
    let spool = open(&whole).await.unwrap();
    assert_eq!(spool.damage().rows, 1, "`sequence` is missing");
    assert!(spool.picture(sha256).await.unwrap().is_some());
    assert_eq!(all(&spool).await.len(), 51);
    spool.close().await;
}

#[tokio::test]
async fn a_clean_copy_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(&dir.path().join("one")).await.unwrap();
    for n in 0..200 {
        spool.append(batch(vec![event(n, n)])).await.unwrap();
    }
    let cut = dir.path().join("two");
    copy(&dir.path().join("one"), &cut);
    let copied = open(&cut).await.unwrap();
    assert_eq!(copied.damage(), Default::default());
    assert_eq!(all(&copied).await.len(), 200);
    copied.close().await;
    spool.close().await;
}

#[tokio::test]
async fn a_directory_has_one_owner() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path()).await.unwrap();
    let second = open(dir.path()).await.map(|_| ());
    assert!(matches!(second, Err(OpenError::InUse { .. })), "{second:?}");
    spool.close().await;
    drop(spool);
    open(dir.path()).await.unwrap();
}

#[tokio::test]
async fn files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("spool");
    let spool = open(&dir).await.unwrap();
    spool.append(batch(vec![event(1, 1)])).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for entry in std::fs::read_dir(&dir).unwrap() {
        let entry = entry.unwrap();
        let expected = if entry.metadata().unwrap().is_dir() {
            0o700
        } else {
            0o600
        };
        assert_eq!(mode(&entry.path()), expected, "{:?}", entry.file_name());
    }
    spool.close().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_with_advice() {
    let dir = tempfile::tempdir().unwrap();
    let database = filled(dir.path(), 50).await;
    let conn = rusqlite::Connection::open(&database).unwrap();
    conn.execute("UPDATE meta SET version = 99", []).unwrap();
    drop(conn);
    let newer = open(dir.path()).await.map(|_| ()).unwrap_err();
    assert!(
        matches!(
            newer,
            OpenError::Newer {
                found: 99,
                known: 3,
                ..
            }
        ),
        "{newer}"
    );
    std::fs::write(
        &database,
        b"this is no database, and it is long enough to be looked at twice",
    )
    .unwrap();
    let broken = open(dir.path()).await.map(|_| ()).unwrap_err();
    assert!(
        broken.to_string().contains("move the directory away"),
        "{broken}"
    );
    let file = dir.path().join("lock");
    let no_dir = DiskSpool::open(settings(&file), HandClock::new() as Arc<_>)
        .await
        .map(|_| ())
        .unwrap_err();
    assert!(matches!(no_dir, OpenError::Directory { .. }), "{no_dir}");
}

#[tokio::test]
async fn damaged_rules_are_as_if_they_were_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let database = filled(dir.path(), 50).await;
    let spool = open(dir.path()).await.unwrap();
    let rules = "what belongs to the log and is no event";
    keep_rules(&spool, rules).await;
    spool.close().await;
    flip(&database, find(&database, rules.as_bytes()) + 3);
    let spool = open(dir.path()).await.unwrap();
    assert_eq!(kept_rules(&spool).await, None);
    assert_eq!(all(&spool).await.len(), 50);
    keep_rules(&spool, "new").await;
    assert_eq!(kept_rules(&spool).await, Some("new".into()));
}

/// A directory that a program made which kept no rules.
#[tokio::test]
async fn an_older_directory_gets_what_came_later() {
    let dir = tempfile::tempdir().unwrap();
    let database = filled(dir.path(), 50).await;
    let conn = rusqlite::Connection::open(&database).unwrap();
    conn.execute_batch("DROP TABLE note").unwrap();
    drop(conn);
    let spool = open(dir.path()).await.unwrap();
    assert_eq!(all(&spool).await.len(), 50);
    assert_eq!(kept_rules(&spool).await, None);
    keep_rules(&spool, "new").await;
}

/// The engine gives no number twice, and what it keeps from now on is behind the tail, whatever has left.
#[tokio::test]
async fn the_tail_counts_what_has_left() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 50).await;
    for entry in std::fs::read_dir(dir.path().join("log")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let spool = open(dir.path()).await.unwrap();
    assert!(spool.tail().unwrap() >= 50, "{}", spool.tail().unwrap());
    let before = spool.tail().unwrap();
    spool.append(batch(vec![event(77, 1)])).await.unwrap();
    assert!(spool.tail().unwrap() > before);
}

/// A directory that an earlier program made has no place for traces: it gets one, and its events are as they were. The
/// earlier program goes on with the directory afterwards.
#[tokio::test]
async fn a_directory_of_an_earlier_program_gets_a_place_for_traces() {
    let dir = tempfile::tempdir().unwrap();
    let database = filled(dir.path(), 100).await;
    events_as_rows(dir.path());
    let earlier = "ALTER TABLE event DROP COLUMN trace; ALTER TABLE buried DROP COLUMN trace;";
    let conn = rusqlite::Connection::open(&database).unwrap();
    conn.execute_batch(earlier).unwrap();
    drop(conn);
    for _ in 0..2 {
        let spool = open(dir.path()).await.unwrap();
        assert_eq!(all(&spool).await, (0..100).collect::<Vec<_>>());
        assert_eq!(spool.damage().rows, 0);
        spool.close().await;
    }
    let conn = rusqlite::Connection::open(&database).unwrap();
    let insert = "INSERT INTO event (seq, at, id, device, images, crc, body) \
                  SELECT seq + 1000, at, id, device, images, crc, body FROM event WHERE seq = 1";
    assert_eq!(conn.execute(insert, []).unwrap(), 1);
}

/// In the table a trace is no reason to lose an event.
#[tokio::test]
async fn a_damaged_trace_costs_itself() {
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path()).await.unwrap();
    let traced = NewEvent {
        trace_context: TraceContext::stored(PARENT),
        ..event(1, 1)
    };
    spool
        .append(batch(vec![traced, event(2, 1)]))
        .await
        .unwrap();
    spool.close().await;
    events_as_rows(dir.path());
    let database = dir.path().join("spool.db");
    flip(&database, find(&database, PARENT.as_bytes()) + 2);
    let spool = open(dir.path()).await.unwrap();
    let entries = HandLane::claim(&spool, "erp").await.take(&spool, 9).await;
    let numbers: Vec<u64> = entries.iter().map(|entry| number(entry.id)).collect();
    assert_eq!(numbers, [1, 2]);
    assert!(entries.iter().all(|entry| entry.trace_context.is_none()));
    assert_eq!(spool.damage().rows, 0);
    spool.close().await;
}
