//! Lanes of the former contract become lanes of the lane store: nothing is lost, whenever the gateway dies.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends by a panic"
)]

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{FaultDisk, HandClock, batch, copy, open, settings, waiting_seqs};
use faceway_core::{
    HeldEvent, Hold, LaneState, LaneStore as _, Log as _, Parked, Passed, Repair as _, Settled,
    Settlement, Spool, Start,
};
use faceway_spool_disk::{Disk, DiskSpool, OpenError};
use faceway_testkit::spool::{alone, bury, event, id, time};

fn settled(seq: u64, outcome: Settled) -> Vec<Settlement> {
    vec![Settlement {
        seq,
        outcome,
        attempt: None,
    }]
}

/// What the former engine has left: twenty events of five devices, event `n` with the sequence number `n`.
///
/// 1 is parked, 6 waits behind it without having been asked about, 2 is buried, 3 in hand, 4 delivered, 5 a parked probe, 7
/// buried and revived; from 13 on nothing is read; 8 to 10 are replayed.
async fn former(dir: &Path) {
    let spool = open(dir).await.unwrap();
    let lane = spool.open_lane("erp", Start::Oldest).await.unwrap();
    Spool::append(&spool, batch((1..=20).map(|n| event(n, n % 5)).collect()))
        .await
        .unwrap();
    let seqs: Vec<u64> = spool
        .lease(lane, 12, time(0))
        .await
        .unwrap()
        .iter()
        .map(|lease| lease.seq)
        .collect();
    assert_eq!(seqs, (1..=12).collect::<Vec<_>>());
    let probe = Settled::Park {
        until: time(500),
        why: Parked::Probe,
    };
    spool.settle(lane, settled(5, probe));
    spool.settle(lane, settled(1, alone(time(90))));
    spool.settle(lane, settled(6, Settled::Release));
    for seq in [2, 7] {
        spool.settle(lane, settled(seq, bury("422")));
    }
    for seq in [4, 8, 9, 10, 11, 12] {
        spool.settle(lane, settled(seq, Settled::Done));
    }
    spool.remember(lane, vec![passed()]);
    spool.sync().await.unwrap();
    let which = faceway_core::BuriedChoice {
        lane: None,
        ids: Some(vec![id(7)]),
    };
    assert_eq!(spool.revive(which).await.unwrap(), 1);
    let replayed = spool.replay("erp".into(), time(8), time(11)).await;
    assert_eq!(replayed.unwrap(), Some(3));
    spool.open_lane("bus", Start::Now).await.unwrap();
    Spool::close(&spool).await;
}

fn passed() -> Passed {
    Passed {
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
        Spool::close(&spool).await;
    }
}

/// Else it would deliver from where lanes stood at the takeover, of which history may have let go.
#[tokio::test]
async fn an_earlier_program_does_not_open_what_was_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    former(dir.path()).await;
    let version = || {
        let database = rusqlite::Connection::open(dir.path().join("spool.db")).unwrap();
        let row = database.query_row("SELECT version FROM meta", [], |row| row.get::<_, i64>(0));
        row.unwrap()
    };
    let spool = open(dir.path()).await.unwrap();
    Spool::close(&spool).await;
    assert_eq!(version(), 1, "opening alone changes nothing");
    let spool = open(dir.path()).await.unwrap();
    spool.list().await.unwrap();
    Spool::close(&spool).await;
    assert_eq!(version(), 2);
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
    Spool::close(&spool).await;
    let spool = open(other.path()).await.unwrap();
    let lane = spool.open_lane("erp", Start::Now).await.unwrap();
    let leases = spool.lease(lane, 2, time(0)).await.unwrap();
    assert_eq!(leases.len(), 2, "the former contract finds its lanes");
    Spool::close(&spool).await;
    let spool = open(other.path()).await.unwrap();
    let state = spool.look("erp").await.unwrap().unwrap();
    let kept: BTreeSet<u64> = waiting_seqs(&state)
        .into_iter()
        .chain(state.undecided)
        .collect();
    assert!(kept.is_superset(&[1, 3, 5, 6, 7].into()), "{kept:?}");
    Spool::close(&spool).await;
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
        Spool::close(&spool).await;
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
    Spool::close(&spool).await;
}

/// The former contract has no lanes any more, and asking it for one fails nothing else.
#[tokio::test]
async fn the_former_contract_opens_no_lanes_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    former(dir.path()).await;
    let spool = open(dir.path()).await.unwrap();
    let lane = spool.open_lane("erp", Start::Now).await.unwrap();
    spool.list().await.unwrap();
    assert!(spool.lease(lane, 9, time(0)).await.is_err());
    for name in ["erp", "new"] {
        let opened = spool.open_lane(name, Start::Now);
        let appended = Spool::append(&spool, batch(vec![event(99, 1)]));
        let (opened, appended) = tokio::join!(opened, appended);
        assert!(opened.is_err() && appended.is_ok());
    }
    assert_eq!(spool.list().await.unwrap(), ["bus", "erp"]);
    Spool::close(&spool).await;
}

/// The lane machine must know that an event waits again: the former repair would only remove it.
#[tokio::test]
async fn the_former_repair_leaves_buried_events_of_taken_over_lanes_alone() {
    let dir = tempfile::tempdir().unwrap();
    former(dir.path()).await;
    let spool = open(dir.path()).await.unwrap();
    spool.list().await.unwrap();
    assert_eq!(spool.revive(Default::default()).await.unwrap(), 0);
    assert_eq!(spool.drop_buried(Default::default()).await.unwrap(), 0);
    assert_eq!(spool.look("erp").await.unwrap().unwrap().buried, 1);
    assert_eq!(
        spool
            .buried(None, faceway_core::Page::first(9))
            .await
            .unwrap()
            .len(),
        1
    );
    Spool::close(&spool).await;
}
