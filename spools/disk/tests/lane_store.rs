//! Lanes on this engine: what trimming spares, what damage costs, what a failing disk leaves.
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
use common::{
    FaultDisk, HandClock, batch, big, events_as_rows, flip_event, open, settings, waiting_seqs,
    waits,
};
use faceway_core::{
    Attempt, AttemptResult, Batch, Burial, Claim, Code, CommitError, HeldEvent, History as _,
    LaneChange, LaneStore as _, Log, OnceMark, Picture, Private, ReadMax, Replay, Sha256, Start,
};
use faceway_spool_disk::{Disk, DiskSettings, DiskSpool};
use faceway_testkit::spool::{body, event, id, time};

const MANY: ReadMax = ReadMax {
    entries: 100_000,
    bytes: 1 << 30,
};

/// History goes as soon as no lane needs it, each time that the engine is opened: event by event, as rows. How segments leave is
/// in `segments.rs`.
fn forgetful(dir: &Path) -> DiskSettings {
    DiskSettings {
        history: Duration::ZERO,
        images: Duration::ZERO,
        ..settings(dir)
    }
}

async fn open_forgetful(dir: &Path) -> DiskSpool {
    let clock = HandClock::new();
    clock.forward(Duration::from_secs(100_000));
    if dir.join("log").exists() {
        events_as_rows(dir);
    }
    let spool = DiskSpool::open(forgetful(dir), clock).await.unwrap();
    // The first groups look after age.
    for _ in 0..20 {
        spool.list().await.unwrap();
    }
    spool
}

async fn append(spool: &DiskSpool, numbers: std::ops::RangeInclusive<u64>) {
    let events = numbers.map(|n| event(n, n % 5)).collect();
    Log::append(spool, batch(events)).await.unwrap();
}

async fn seqs(spool: &DiskSpool) -> Vec<u64> {
    let stretch = spool.read(0, u64::MAX, MANY).await.unwrap();
    stretch.entries.iter().map(|entry| entry.seq).collect()
}

async fn claim(spool: &DiskSpool, name: &str) -> Claim {
    spool.claim(name, Start::Oldest).await.unwrap().0
}

fn burial() -> Burial {
    Burial {
        at: time(50),
        code: Code::status(404),
        failures: 2,
    }
}

fn attempt() -> Attempt {
    Attempt {
        at: time(9),
        took: Duration::from_millis(3),
        result: AttemptResult::Retry,
        code: Code::status(500),
    }
}

#[tokio::test]
async fn trimming_spares_what_lanes_need_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path()).await.unwrap();
    append(&spool, 1..=3000).await;
    let erp = claim(&spool, "erp").await;
    let bus = claim(&spool, "bus").await;
    let mut change = waits(2500, &[(7, 2), (8, 3), (1500, 0)]);
    change.undecided = Some(vec![2000, 9]);
    spool.commit(&erp, change).await.unwrap();
    spool
        .commit(&bus, waits(2900, &[(8, 3), (20, 0)]))
        .await
        .unwrap();
    Log::close(&spool).await;
    let spool = open_forgetful(dir.path()).await;
    let mut kept = vec![7, 8, 9, 20, 1500, 2000];
    kept.extend(2501..=3000);
    assert_eq!(seqs(&spool).await, kept);
    // A lane that is through with one lets it go, unless another one waits for it.
    let erp = claim(&spool, "erp").await;
    let bus = claim(&spool, "bus").await;
    let mut change = waits(3000, &[]);
    change.waiting = vec![(0, None)];
    change.undecided = Some(vec![2000]);
    spool.commit(&erp, change).await.unwrap();
    assert_eq!(seqs(&spool).await[..4], [8, 20, 1500, 2000]);
    spool.commit(&bus, waits(3000, &[(20, 0)])).await.unwrap();
    assert_eq!(seqs(&spool).await[..3], [20, 1500, 2000]);
    Log::close(&spool).await;
    let spool = open_forgetful(dir.path()).await;
    assert_eq!(seqs(&spool).await, [20, 1500, 2000]);
    // What a deleted lane held goes as well.
    assert!(spool.delete("erp").await.unwrap());
    for _ in 0..20 {
        spool.list().await.unwrap();
    }
    assert_eq!(seqs(&spool).await, [20]);
    Log::close(&spool).await;
}

#[tokio::test]
async fn a_replay_job_keeps_what_it_has_yet_to_route() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path()).await.unwrap();
    append(&spool, 1..=100).await;
    let erp = claim(&spool, "erp").await;
    let job = Replay {
        number: 1,
        routed_through: 60,
        through_seq: 80,
        since: time(0),
        until: time(999),
    };
    let mut change = waits(100, &[]);
    change.replays = Some(vec![job]);
    spool.commit(&erp, change).await.unwrap();
    Log::close(&spool).await;
    let spool = open_forgetful(dir.path()).await;
    assert_eq!(seqs(&spool).await, (61..=100).collect::<Vec<_>>());
    let erp = claim(&spool, "erp").await;
    let mut change = waits(100, &[]);
    change.replays = Some(Vec::new());
    spool.commit(&erp, change).await.unwrap();
    Log::close(&spool).await;
    let spool = open_forgetful(dir.path()).await;
    assert_eq!(seqs(&spool).await, [0; 0]);
    Log::close(&spool).await;
}

#[tokio::test]
async fn a_buried_event_outlives_history_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path()).await.unwrap();
    append(&spool, 1..=10).await;
    let erp = claim(&spool, "erp").await;
    let mut change = waits(10, &[]);
    change.burials = vec![(4, Some(burial()))];
    change.attempts = vec![(4, attempt()), (4, attempt())];
    spool.commit(&erp, change.clone()).await.unwrap();
    Log::close(&spool).await;
    let spool = open_forgetful(dir.path()).await;
    assert_eq!(seqs(&spool).await, [0; 0]);
    let erp = claim(&spool, "erp").await;
    // After an answer that was lost: the event has left the log, its copy stays.
    assert_eq!(spool.commit(&erp, change).await, Ok(1));
    assert_eq!(
        spool
            .buried(None, faceway_core::Page::first(9))
            .await
            .unwrap()
            .len(),
        1
    );
    let fetched = spool.fetch(vec![4]).await.unwrap();
    assert_eq!(
        fetched[0].as_ref().unwrap().id,
        id(4),
        "its copy is the event"
    );
    let mut change = waits(10, &[(4, 4)]);
    change.burials = vec![(4, None)];
    for _ in 0..2 {
        assert_eq!(spool.commit(&erp, change.clone()).await, Ok(0));
    }
    assert_eq!(seqs(&spool).await, [4]);
    Log::close(&spool).await;
    let spool = open_forgetful(dir.path()).await;
    assert_eq!(seqs(&spool).await, [4], "it waits");
    let erp = claim(&spool, "erp").await;
    let mut change = waits(10, &[]);
    change.waiting = vec![(0, None)];
    spool.commit(&erp, change).await.unwrap();
    assert_eq!(seqs(&spool).await, [0; 0]);
    Log::close(&spool).await;
}

#[tokio::test]
async fn the_same_attempt_is_kept_once_and_others_of_its_moment_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path()).await.unwrap();
    append(&spool, 1..=3).await;
    let erp = claim(&spool, "erp").await;
    let mut change = waits(3, &[]);
    let buried = Attempt {
        result: AttemptResult::Buried,
        ..attempt()
    };
    change.attempts = vec![(2, attempt()), (2, attempt()), (2, buried.clone())];
    for _ in 0..2 {
        spool.commit(&erp, change.clone()).await.unwrap();
    }
    let later = Attempt {
        code: Code::word("timeout"),
        ..attempt()
    };
    let mut change = waits(3, &[]);
    change.attempts = vec![(2, later)];
    spool.commit(&erp, change).await.unwrap();
    Log::close(&spool).await;
    let database = rusqlite::Connection::open(dir.path().join("spool.db")).unwrap();
    let mut select = database
        .prepare("SELECT code FROM attempt WHERE seq = 2 ORDER BY number")
        .unwrap();
    let codes = select.query_map([], |row| row.get(0)).unwrap();
    let codes: Vec<String> = codes.collect::<Result<_, _>>().unwrap();
    assert_eq!(codes, ["500", "500", "500", "timeout"]);
}

/// Also when the clock was set back in between.
#[tokio::test]
async fn a_later_mark_of_a_once_window_takes_the_place_of_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path()).await.unwrap();
    let erp = claim(&spool, "erp").await;
    let passed = |n, key, until| OnceMark {
        route: "r".into(),
        key: [key; 16],
        id: id(n),
        received_at: time(n),
        until: time(until),
    };
    for passed in [passed(1, 1, 900), passed(2, 2, 500), passed(3, 1, 400)] {
        let mut change = waits(0, &[]);
        change.passed = vec![passed];
        spool.commit(&erp, change).await.unwrap();
    }
    Log::close(&spool).await;
    let spool = open(dir.path()).await.unwrap();
    let (_, state) = spool.claim("erp", Start::Oldest).await.unwrap();
    assert_eq!(state.passed, [passed(3, 1, 400), passed(2, 2, 500)]);
    Log::close(&spool).await;
}

#[tokio::test]
async fn an_event_that_waits_keeps_its_pictures() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path()).await.unwrap();
    let mut batch = Batch::default();
    let mut digests = Vec::new();
    for n in 1..=4 {
        let bytes = Bytes::from(vec![n as u8; 300_000]);
        let sha256 = Sha256::of(&bytes);
        let mut event = event(n, n);
        event.images.push(sha256);
        digests.push(sha256);
        batch.events.push(event);
        batch.pictures.push(Picture {
            sha256,
            media_type: None,
            bytes: Private::new(bytes),
        });
    }
    Log::append(&spool, batch).await.unwrap();
    let erp = claim(&spool, "erp").await;
    spool.commit(&erp, waits(4, &[(2, 2)])).await.unwrap();
    Log::close(&spool).await;
    for _ in 0..2 {
        let spool = open_forgetful(dir.path()).await;
        let picture = Log::picture(&spool, digests[1]).await.unwrap();
        assert!(picture.is_some(), "its event waits");
        Log::close(&spool).await;
    }
    let spool = open_forgetful(dir.path()).await;
    let erp = claim(&spool, "erp").await;
    let mut change = waits(4, &[]);
    change.waiting = vec![(0, None)];
    spool.commit(&erp, change).await.unwrap();
    Log::close(&spool).await;
    for _ in 0..3 {
        let spool = open_forgetful(dir.path()).await;
        Log::close(&spool).await;
    }
    let spool = open_forgetful(dir.path()).await;
    let picture = Log::picture(&spool, digests[1]).await.unwrap();
    assert!(picture.is_none(), "nothing needs it");
    Log::close(&spool).await;
}

/// A lane with something of everything, on a closed directory.
async fn with_lane(dir: &Path) {
    let spool = open(dir).await.unwrap();
    append(&spool, 1..=2000).await;
    let erp = claim(&spool, "erp").await;
    let mut change = waits(1900, &[(7, 2), (8, 3), (1500, 0)]);
    change.undecided = Some(vec![1600]);
    let held = HeldEvent {
        failures: 3,
        hold: None,
    };
    change.held = vec![(7, Some(held))];
    change.burials = vec![(5, Some(burial()))];
    spool.commit(&erp, change).await.unwrap();
    Log::close(&spool).await;
}

/// Changes rows behind the engine's back.
fn spoil(dir: &Path, sql: &str) {
    let database = rusqlite::Connection::open(dir.join("spool.db")).unwrap();
    assert_eq!(database.execute(sql, []).unwrap(), 1);
}

/// Several bytes are wrong in each: one would be put right (rows.rs).
#[tokio::test]
async fn a_damaged_lane_begins_with_the_oldest_event() {
    for sql in [
        "UPDATE lane_state SET routed_through = 195000",
        "UPDATE lane_state SET epoch = epoch + 90000",
        "UPDATE lane_state SET replays = x'00'",
        "UPDATE lane_state SET lane = 77000",
        // Of these rows nothing tells the lane any more.
        "UPDATE waiting SET range = 90000 WHERE range = 0",
        "UPDATE waiting SET lane = 90000 WHERE range = 0",
    ] {
        let dir = tempfile::tempdir().unwrap();
        with_lane(dir.path()).await;
        spoil(dir.path(), sql);
        let spool = open(dir.path()).await.unwrap();
        let (_, state) = spool.claim("erp", Start::Now).await.unwrap();
        assert_eq!(state.routed_through, 0, "{sql}");
        assert!(state.waiting.is_empty() && state.held.is_empty(), "{sql}");
        assert_eq!(state.buried, 1, "{sql}");
        assert!(spool.damage().rows > 0, "{sql}");
        let (_, state) = spool.claim("erp", Start::Now).await.unwrap();
        assert_eq!(state.routed_through, 0, "{sql}");
        Log::close(&spool).await;
    }
}

#[tokio::test]
async fn a_damaged_lane_holds_all_of_the_log_until_it_is_claimed() {
    let dir = tempfile::tempdir().unwrap();
    with_lane(dir.path()).await;
    spoil(dir.path(), "UPDATE lane_state SET routed_through = 195000");
    let spool = open_forgetful(dir.path()).await;
    assert_eq!(seqs(&spool).await, (1..=2000).collect::<Vec<_>>());
    let claim = claim(&spool, "erp").await;
    spool.commit(&claim, waits(2000, &[])).await.unwrap();
    Log::close(&spool).await;
    let spool = open_forgetful(dir.path()).await;
    assert_eq!(seqs(&spool).await, [0; 0]);
    Log::close(&spool).await;
}

/// Each of its events may be what the damaged lane waits for.
#[tokio::test]
async fn another_lane_lets_nothing_go_of_a_damaged_range() {
    let dir = tempfile::tempdir().unwrap();
    with_lane(dir.path()).await;
    let spool = open(dir.path()).await.unwrap();
    let bus = claim(&spool, "bus").await;
    spool
        .commit(&bus, waits(2000, &[(9, 4), (1600, 0), (1700, 0)]))
        .await
        .unwrap();
    Log::close(&spool).await;
    spoil(
        dir.path(),
        "UPDATE waiting SET crc = 1 WHERE range = 0 AND lane = 1",
    );
    let spool = open_forgetful(dir.path()).await;
    let bus = claim(&spool, "bus").await;
    let mut change = waits(2000, &[]);
    change.waiting = vec![(0, None), (1, None)];
    spool.commit(&bus, change).await.unwrap();
    let fetched = spool.fetch(vec![9, 1600, 1700]).await.unwrap();
    let is_there: Vec<bool> = fetched.iter().map(Option::is_some).collect();
    assert_eq!(
        is_there,
        [true, true, false],
        "1600 is undecided in the other lane"
    );
    Log::close(&spool).await;
}

#[tokio::test]
async fn the_events_of_a_damaged_range_are_undecided() {
    for sql in [
        "UPDATE waiting SET events = substr(events, 1, length(events) - 1) WHERE range = 0",
        "UPDATE waiting SET crc = crc + 1 WHERE range = 0",
        "UPDATE waiting SET events = 'text' WHERE range = 0",
    ] {
        let dir = tempfile::tempdir().unwrap();
        with_lane(dir.path()).await;
        spoil(dir.path(), sql);
        let spool = open_forgetful(dir.path()).await;
        // All of its range but the one that is buried, and nothing of what is not routed.
        let mut expected: Vec<u64> = (1..1024).filter(|seq| *seq != 5).collect();
        expected.push(1600);
        let state = spool.look("erp").await.unwrap().unwrap();
        assert_eq!(state.undecided, expected);
        assert_eq!(spool.damage().rows, 0, "looking tells nothing");
        let (_, state) = spool.claim("erp", Start::Now).await.unwrap();
        assert_eq!(state.undecided, expected, "trimming has spared them");
        assert_eq!(waiting_seqs(&state), [1500]);
        assert_eq!(spool.damage().rows, 1);
        // It is put right: the next owner is told the same and no damage.
        let (claim, state) = spool.claim("erp", Start::Now).await.unwrap();
        assert_eq!(state.undecided, expected);
        assert_eq!(spool.damage().rows, 1);
        let mut change = waits(1900, &[(7, 2)]);
        change.undecided = Some(vec![1600]);
        spool.commit(&claim, change).await.unwrap();
        assert_eq!(seqs(&spool).await[..3], [7, 1500, 1600]);
        Log::close(&spool).await;
    }
}

#[tokio::test]
async fn what_is_undecided_stays_so_when_its_row_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    with_lane(dir.path()).await;
    spoil(dir.path(), "UPDATE waiting SET crc = 1 WHERE undecided = 1");
    let spool = open(dir.path()).await.unwrap();
    let (_, state) = spool.claim("erp", Start::Now).await.unwrap();
    let expected: Vec<u64> = (1024..=1900).filter(|seq| *seq != 1500).collect();
    assert_eq!(state.undecided, expected);
    assert_eq!(waiting_seqs(&state), [7, 8, 1500]);
    Log::close(&spool).await;
}

#[tokio::test]
async fn a_damaged_held_row_is_as_none() {
    for sql in ["failures = 9", "hold = 3", "seq = 8", "code = x'00'"] {
        let dir = tempfile::tempdir().unwrap();
        with_lane(dir.path()).await;
        spoil(dir.path(), &format!("UPDATE held_event SET {sql}"));
        let spool = open(dir.path()).await.unwrap();
        let (_, state) = spool.claim("erp", Start::Now).await.unwrap();
        assert!(state.held.is_empty(), "{sql}: {:?}", state.held);
        assert_eq!(waiting_seqs(&state), [7, 8, 1500]);
        assert_eq!(spool.damage().rows, 1);
        spool.claim("erp", Start::Now).await.unwrap();
        assert_eq!(spool.damage().rows, 1, "it is put right");
        Log::close(&spool).await;
    }
}

#[tokio::test]
async fn a_damaged_event_is_left_out_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    with_lane(dir.path()).await;
    flip_event(dir.path(), body(8).as_bytes());
    let spool = open(dir.path()).await.unwrap();
    let fetched = spool.fetch(vec![7, 8, 9]).await.unwrap();
    assert!(fetched[0].is_some() && fetched[1].is_none() && fetched[2].is_some());
    assert_eq!(spool.damage().rows, 1);
    let all = seqs(&spool).await;
    assert!(all.len() == 1999 && !all.contains(&8));
    Log::close(&spool).await;
}

async fn open_on(dir: &Path, disk: &Arc<FaultDisk>) -> DiskSpool {
    let disk: Arc<dyn Disk> = Arc::<FaultDisk>::clone(disk);
    DiskSpool::open_on(settings(dir), HandClock::new(), disk)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_commit_that_failed_may_be_there_and_is_committed_again() {
    for (before, after) in [(1, 0), (0, 1)] {
        let (dir, disk) = (tempfile::tempdir().unwrap(), FaultDisk::new());
        let spool = open_on(dir.path(), &disk).await;
        append(&spool, 1..=5).await;
        let erp = claim(&spool, "erp").await;
        spool.commit(&erp, waits(1, &[(1, 1)])).await.unwrap();
        disk.before.store(before, Ordering::SeqCst);
        disk.after.store(after, Ordering::SeqCst);
        let mut change = waits(4, &[(1, 1), (3, 3)]);
        change.burials = vec![(2, Some(burial()))];
        let failed = spool.commit(&erp, change.clone()).await;
        assert_eq!(failed, Err(CommitError::Unavailable));
        let state = spool.look("erp").await.unwrap().unwrap();
        let has_arrived = state.routed_through == 4;
        assert_eq!(has_arrived, after > 0);
        assert_eq!(state.buried, u64::from(has_arrived));
        assert_eq!(spool.commit(&erp, change).await, Ok(1));
        Log::close(&spool).await;
        let spool = open_on(dir.path(), &disk).await;
        let state = spool.look("erp").await.unwrap().unwrap();
        assert_eq!((state.routed_through, state.buried), (4, 1));
        assert_eq!(waiting_seqs(&state), [1, 3]);
        Log::close(&spool).await;
    }
}

#[tokio::test]
async fn a_claim_that_failed_fences_nobody_unless_it_arrived() {
    for (before, after) in [(1, 0), (0, 1)] {
        let (dir, disk) = (tempfile::tempdir().unwrap(), FaultDisk::new());
        let spool = open_on(dir.path(), &disk).await;
        append(&spool, 1..=5).await;
        let erp = claim(&spool, "erp").await;
        disk.before.store(before, Ordering::SeqCst);
        disk.after.store(after, Ordering::SeqCst);
        assert!(spool.claim("erp", Start::Oldest).await.is_err());
        let commit = spool.commit(&erp, waits(1, &[])).await;
        let is_fenced = commit == Err(CommitError::Fenced);
        assert_eq!(is_fenced, after > 0, "{commit:?}");
        assert!(claim(&spool, "erp").await.epoch > erp.epoch);
        Log::close(&spool).await;
    }
}

/// Commits of lanes share a group with each other and with appends; alone they wait for company, but not for long.
#[tokio::test]
async fn commits_ride_in_the_groups_of_appends() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path()).await.unwrap();
    append(&spool, 1..=5).await;
    let groups = || {
        let database = rusqlite::Connection::open(dir.path().join("spool.db")).unwrap();
        let row = database.query_row("SELECT groups FROM meta", [], |row| row.get::<_, i64>(0));
        row.unwrap()
    };
    let mut claims = Vec::new();
    for name in ["a", "b", "c"] {
        claims.push(claim(&spool, name).await);
    }
    let before = groups();
    let commit = |at: usize| spool.commit(&claims[at], waits(5, &[]));
    let (first, second, third) = tokio::join!(commit(0), commit(1), commit(2));
    assert_eq!([first, second, third], [Ok(0); 3]);
    assert_eq!(groups() - before, 1);
    let commit = spool.commit(&claims[0], waits(5, &[(1, 1)]));
    let appended = Log::append(&spool, batch(vec![big(9, 9, 100)]));
    let (commit, appended) = tokio::join!(commit, appended);
    assert!(commit.is_ok() && appended.is_ok());
    assert_eq!(groups() - before, 2);
    Log::close(&spool).await;
}

/// An engine that is closed has written every commit that was asked of it.
#[tokio::test]
async fn closing_does_not_wait_for_company() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path()).await.unwrap();
    append(&spool, 1..=5).await;
    let erp = claim(&spool, "erp").await;
    let (commit, ()) = tokio::join!(spool.commit(&erp, waits(5, &[])), Log::close(&spool));
    assert_eq!(commit, Ok(0));
    let late = spool.commit(&erp, LaneChange::default()).await;
    assert_eq!(late, Err(CommitError::Unavailable));
}
