//! Lanes of the former contract become lanes of the lane store: nothing is lost, whenever the gateway dies.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends by a panic"
)]

mod common;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{
    FaultDisk, FormerRows, HandClock, HandLane, Held, append, big, copy, former_directory, open,
    pass_groups, settings, waiting_seqs,
};
use faceway_core::{
    Batch, HeldEvent, History as _, Hold, LaneState, LaneStore as _, Log as _, OnceMark, Parked,
    Picture, Private, ReadMax, Sha256, Start,
};
use faceway_spool_disk::{Disk, DiskSettings, DiskSpool, OpenError};
use faceway_testkit::spool::{event, id, time};

/// What the former engine has left: twenty events of five devices, event `n` with the sequence number `n`.
///
/// 1 is parked, 6 waits behind it without having been asked about, 2 is buried, 3 in hand, 4 delivered, 5 a parked probe, 7
/// buried and revived; from 13 on nothing is read; 8 to 10 are replayed.
async fn former(dir: &Path) {
    let events = (1..=20).map(|n| event(n, n % 5)).collect();
    former_directory(dir, events, former_rows).await;
}

fn former_rows(rows: &FormerRows) {
    let at = |n| time(n).as_millis();
    rows.lane(1, "erp", (13, 12), &[3]);
    rows.lane(2, "bus", (21, 20), &[]);
    let held = |seq, failures, parked| Held {
        seq,
        device: seq % 5,
        at: at(seq),
        failures,
        is_routed: seq != 6,
        parked,
    };
    rows.held(1, held(1, 1, Some((at(90), 1))));
    rows.held(1, held(5, 0, Some((at(500), 2))));
    rows.held(1, held(6, 0, None));
    rows.held(1, held(7, 0, None));
    rows.buried(1, 2, at(0), "422");
    rows.range(1, [6, 8, 13, at(8), at(11), 3]);
    rows.once(1, &passed());
    // What the sweep of pictures had passed: only 3 was in hand.
    rows.execute("UPDATE meta SET swept = 3");
}

/// Else these tests would prove the takeover of something that never was.
#[tokio::test]
async fn the_rows_are_those_that_the_last_release_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let events = (1..=20).map(|n| event(n, n % 5)).collect();
    former_directory(dir.path(), events, |rows| {
        former_rows(rows);
        // As they were found in a directory that it had made in this way.
        assert_eq!(rows.numbers("lane", "crc"), [323_510_753, 2_756_907_510]);
        assert_eq!(
            rows.numbers("lane", "row_crc"),
            [2_207_185_352, 574_474_658]
        );
        assert_eq!(
            rows.numbers("held", "row_crc"),
            [1_899_124_646, 2_328_716_007, 2_604_678_757, 3_346_614_408]
        );
        assert_eq!(rows.numbers("range", "row_crc"), [3_534_355_389]);
        assert_eq!(rows.numbers("once", "row_crc"), [1_279_364_361]);
        assert_eq!(rows.numbers("buried", "row_crc"), [1_395_367_938]);
        assert_eq!(rows.numbers("buried", "crc"), [646_907_420]);
        assert_eq!(
            rows.numbers("event", "crc")[..2],
            [2_001_357_031, 646_907_420]
        );
        assert_eq!(rows.numbers("seen", "crc"), [2_356_068_475]);
        assert_eq!(rows.numbers("meta", "version"), [1]);
    })
    .await;
}

fn passed() -> OnceMark {
    OnceMark {
        route: "r".into(),
        key: [7; 16],
        id: id(2),
        received_at: time(2),
        until: time(9_000),
    }
}

/// The clock of these tests stands at `time(0)`.
fn check(state: &LaneState) {
    assert_eq!(state.routed_through, 12);
    assert_eq!(waiting_seqs(state), [1, 5, 7]);
    let parked = |seconds, failures, why| HeldEvent {
        failures,
        hold: Some(Hold::Parked {
            pause: Duration::from_secs(seconds),
            set_at: time(0),
            why,
        }),
    };
    let held = [
        (1, parked(90, 1, Parked::Alone)),
        (5, parked(500, 0, Parked::Probe)),
    ];
    assert_eq!(state.held, held);
    assert_eq!(state.undecided, [3, 6]);
    let job = state.replays[0];
    assert_eq!(
        (job.routed_through, job.through_seq, job.since, job.until),
        (7, 12, time(8), time(11))
    );
    assert_eq!(state.passed, [passed()]);
    assert_eq!(state.buried, 1);
}

#[tokio::test]
async fn lanes_of_the_former_contract_are_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    former(dir.path()).await;
    for _ in 0..2 {
        let spool = open(dir.path()).await.unwrap();
        assert_eq!(spool.list().await.unwrap(), ["bus", "erp"]);
        check(&spool.look("erp").await.unwrap().unwrap());
        let (_, state) = spool.claim("erp", Start::Now).await.unwrap();
        check(&state);
        let (_, state) = spool.claim("bus", Start::Oldest).await.unwrap();
        assert_eq!(state.routed_through, 20);
        let fetched = spool.fetch((1..=20).collect()).await.unwrap();
        assert!(fetched.iter().all(Option::is_some));
        assert_eq!(
            spool
                .buried(None, faceway_core::Page::first(9))
                .await
                .unwrap()
                .len(),
            1
        );
        spool.close().await;
    }
}

/// The format, and whether lanes wait for the takeover.
fn version(dir: &Path) -> (i64, bool) {
    let database = rusqlite::Connection::open(dir.join("spool.db")).unwrap();
    let sql = "SELECT version, former_lanes IS NOT NULL FROM meta";
    let row = database.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)));
    row.unwrap()
}

/// Else it would deliver from where lanes stood at the takeover, of which history may have let go.
#[tokio::test]
async fn an_earlier_program_does_not_open_what_was_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    former(dir.path()).await;
    let spool = open(dir.path()).await.unwrap();
    spool.close().await;
    // New events go where an earlier program does not look.
    let opened = (3, true);
    assert_eq!(version(dir.path()), opened, "lanes are as they were");
    let spool = open(dir.path()).await.unwrap();
    spool.list().await.unwrap();
    spool.close().await;
    assert_eq!(version(dir.path()), (3, false));
}

/// Keeps a copy of the directory as a kill would leave it in the middle of a commit.
struct Camera {
    from: PathBuf,
    to: Mutex<Option<PathBuf>>,
}

impl Disk for Camera {
    fn before_commit(&self) -> std::io::Result<()> {
        if let Some(to) = self.to.lock().unwrap().take() {
            copy(&self.from, &to);
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_kill_during_the_takeover_is_harmless() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    former(dir.path()).await;
    let camera = Arc::new(Camera {
        from: dir.path().to_owned(),
        to: Mutex::new(None),
    });
    let disk: Arc<dyn Disk> = Arc::<Camera>::clone(&camera);
    let opened: Result<DiskSpool, OpenError> =
        DiskSpool::open_on(settings(dir.path()), HandClock::new(), disk).await;
    let spool = opened.unwrap();
    *camera.to.lock().unwrap() = Some(other.path().to_owned());
    spool.list().await.unwrap();
    spool.close().await;
    let spool = open(other.path()).await.unwrap();
    spool.close().await;
    assert_eq!(
        version(other.path()),
        (3, true),
        "nothing of it has arrived"
    );
    let spool = open(other.path()).await.unwrap();
    check(&spool.look("erp").await.unwrap().unwrap());
    spool.close().await;
}

#[tokio::test]
async fn a_takeover_that_fails_is_done_again() {
    for (before, after) in [(1, 0), (0, 1)] {
        let (dir, disk) = (tempfile::tempdir().unwrap(), FaultDisk::new());
        former(dir.path()).await;
        let of_spool: Arc<dyn Disk> = Arc::<FaultDisk>::clone(&disk);
        let spool = DiskSpool::open_on(settings(dir.path()), HandClock::new(), of_spool)
            .await
            .unwrap();
        disk.before.store(before, Ordering::SeqCst);
        disk.after.store(after, Ordering::SeqCst);
        // Names are told as soon as they can be read; only a claim asks for what is durable.
        let is_known = spool.list().await.is_ok();
        assert_eq!(is_known, before == 0);
        check(&spool.claim("erp", Start::Now).await.unwrap().1);
        spool.close().await;
    }
}

#[tokio::test]
async fn a_lane_with_a_damaged_position_is_taken_over_from_the_oldest_event() {
    let dir = tempfile::tempdir().unwrap();
    former(dir.path()).await;
    let database = rusqlite::Connection::open(dir.path().join("spool.db")).unwrap();
    let changed = database.execute("UPDATE lane SET position = 7777777 WHERE name = 'erp'", []);
    assert_eq!(changed.unwrap(), 1);
    drop(database);
    let spool = open(dir.path()).await.unwrap();
    let (_, state) = spool.claim("erp", Start::Now).await.unwrap();
    assert_eq!(state.routed_through, 0);
    assert!(state.waiting.is_empty() && state.undecided.is_empty());
    spool.close().await;
}

/// Until then no lane says what it needs: nothing leaves, whatever its age.
#[tokio::test]
async fn nothing_leaves_before_the_takeover() {
    let dir = tempfile::tempdir().unwrap();
    former(dir.path()).await;
    let clock = HandClock::new();
    clock.forward(Duration::from_secs(100_000));
    let forgetful = DiskSettings {
        history: Duration::ZERO,
        images: Duration::ZERO,
        ..settings(dir.path())
    };
    let spool = DiskSpool::open(forgetful, clock.clone()).await.unwrap();
    for n in 100..120 {
        clock.forward(Duration::from_secs(2));
        append(&spool, vec![event(n, 1)]).await.unwrap();
    }
    let max = ReadMax {
        entries: 99,
        bytes: 1 << 20,
    };
    let stretch = spool.read(0, u64::MAX, max).await.unwrap();
    assert_eq!(stretch.entries.len(), 40);
    let (_, state) = spool.claim("erp", Start::Now).await.unwrap();
    assert_eq!(waiting_seqs(&state), [1, 5, 7]);
    assert_eq!(state.undecided, [3, 6]);
    spool.claim("bus", Start::Now).await.unwrap();
    pass_groups(&spool, 9).await;
    let stretch = spool.read(0, u64::MAX, max).await.unwrap();
    let seqs: Vec<u64> = stretch.entries.iter().map(|entry| entry.seq).collect();
    // From 8 on is replayed, and from 13 on was never read.
    let kept: Vec<u64> = [1, 3, 5, 6, 7].into_iter().chain(8..=40).collect();
    assert_eq!(seqs, kept, "after it what no lane needs leaves");
    spool.close().await;
}

#[tokio::test]
async fn nothing_gives_way_before_the_takeover() {
    let dir = tempfile::tempdir().unwrap();
    former(dir.path()).await;
    let small = DiskSettings {
        bytes_max: 32 << 20,
        quarantine_bytes_max: 1 << 20,
        ..settings(dir.path())
    };
    let spool = DiskSpool::open(small, HandClock::new()).await.unwrap();
    let mut refused = 0;
    for n in 100..600 {
        let appended = append(&spool, vec![big(n, 1, 100_000)]).await;
        refused += u64::from(appended.is_err());
    }
    assert!((50..490).contains(&refused), "{refused} are refused");
    let fetched = spool.fetch((1..=20).collect()).await.unwrap();
    assert!(fetched.iter().all(Option::is_some), "{fetched:?}");
    check(&spool.claim("erp", Start::Now).await.unwrap().1);
    spool.close().await;
}

/// Event 1 is parked and event 2 delivered, each with a picture. What says of the pictures was written by the last release, or by
/// an earlier one that knew nothing of it.
#[tokio::test]
async fn pictures_of_what_waits_stay_over_the_takeover() {
    const KEPT: Duration = Duration::from_secs(240);
    let bytes = |n: u64| bytes::Bytes::from(n.to_le_bytes().repeat(20));
    let by_the_last = "UPDATE image SET free = NULL WHERE last = 1; \
                       INSERT INTO picture_hold SELECT last, sha256 FROM image WHERE last = 1;";
    let by_an_earlier = "UPDATE image SET last = NULL, free = NULL, crc = NULL; \
                         UPDATE meta SET swept = NULL, swept_groups = NULL;";
    for sql in [by_the_last, by_an_earlier] {
        let dir = tempfile::tempdir().unwrap();
        let spool = open(dir.path()).await.unwrap();
        for n in 1..=2 {
            let sha256 = Sha256::of(&bytes(n));
            let mut event = event(n, n);
            event.images.push(sha256);
            let picture = Picture {
                sha256,
                media_type: None,
                bytes: Private::new(bytes(n)),
            };
            let kept = Batch {
                events: vec![event],
                pictures: vec![picture],
                ..Batch::default()
            };
            spool.append(kept).await.unwrap();
        }
        pass_groups_without_lanes(&spool).await;
        spool.close().await;
        drop(spool);
        former_directory(dir.path(), Vec::new(), |rows| {
            rows.lane(1, "erp", (3, 2), &[]);
            rows.held(1, Held::parked(1, time(900_000)));
            rows.execute(sql);
        })
        .await;
        let clock = HandClock::new();
        let short = DiskSettings {
            images: KEPT,
            ..settings(dir.path())
        };
        let spool = DiskSpool::open(short.clone(), clock.clone()).await.unwrap();
        // A group that writes, and another start, before the takeover.
        append(&spool, vec![event(3, 3)]).await.unwrap();
        spool.close().await;
        drop(spool);
        let spool = DiskSpool::open(short, clock.clone()).await.unwrap();
        let mut lane = HandLane::claim(&spool, "erp").await;
        let are_there = async || {
            for _ in 0..5 {
                clock.forward(KEPT);
                pass_groups(&spool, 4).await;
            }
            let first = spool.picture(Sha256::of(&bytes(1))).await.unwrap();
            let second = spool.picture(Sha256::of(&bytes(2))).await.unwrap();
            (first.is_some(), second.is_some())
        };
        assert_eq!(are_there().await, (true, false), "{sql}");
        lane.route(&spool).await;
        lane.acknowledge(1);
        lane.acknowledge(3);
        lane.commit(&spool).await.unwrap();
        assert_eq!(are_there().await, (false, false), "{sql}");
        spool.close().await;
    }
}

/// Asks for nothing of a lane.
async fn pass_groups_without_lanes(spool: &DiskSpool) {
    for _ in 0..4 {
        spool.rules().await.unwrap();
    }
}

/// One bit is put right; where more is wrong, lanes begin with the oldest event.
#[tokio::test]
async fn damaged_rows_of_format_1_lose_nothing() {
    let columns = [
        ("held", "seq lane device at failures routed due why row_crc"),
        (
            "range",
            "lane number next end since until remaining row_crc",
        ),
        ("lane", "id position read crc row_crc"),
    ];
    let whole = tempfile::tempdir().unwrap();
    former(whole.path()).await;
    for (table, columns) in columns {
        for column in columns.split(' ') {
            for bits in [1_i64 << 17, 0x0101_0100] {
                let case = format!("{table}.{column} {bits}");
                let dir = tempfile::tempdir().unwrap();
                copy(whole.path(), dir.path());
                let database = rusqlite::Connection::open(dir.path().join("spool.db")).unwrap();
                let flip = format!(
                    "UPDATE {table} SET {column} = ({column} | {bits}) - ({column} & {bits}) WHERE {column} IS NOT NULL"
                );
                assert!(database.execute(&flip, []).unwrap() > 0, "{case}");
                drop(database);
                let spool = open(dir.path()).await.unwrap();
                let is_one_byte = bits.count_ones() == 1;
                let damage = spool.damage();
                assert_eq!(damage.mended > 0, is_one_byte, "{case}: {damage:?}");
                assert_eq!(damage.rows > 0, !is_one_byte, "{case}: {damage:?}");
                let (_, state) = spool.claim("erp", Start::Now).await.unwrap();
                if is_one_byte {
                    check(&state);
                }
                let is_kept = |seq| {
                    seq > state.routed_through
                        || waiting_seqs(&state).contains(&seq)
                        || state.undecided.contains(&seq)
                };
                let lost = [1, 3, 5, 6, 7].into_iter().filter(|seq| !is_kept(*seq));
                assert_eq!(lost.collect::<Vec<_>>(), [0; 0], "{case}");
                spool.close().await;
            }
        }
    }
}
