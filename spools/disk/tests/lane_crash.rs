//! `kill -9` while lanes commit: a commit that was answered is there, and none is there in part. What lane_walk.rs does with a
//! power cut at any operation is done here with ends that are cut off.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends by a panic"
)]

mod common;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{HandLane, batch, copy, open, waiting_seqs, waits};
use faceway_core::{
    Burial, Code, Entry, HeldEvent, LaneChange, LaneState, LaneStore as _, Log as _, ReadMax,
    Start, waiting,
};
use faceway_spool_disk::DiskSpool;
use faceway_testkit::spool::{event, time};

/// Under these names the child finds the directory and its first number.
const DIR: &str = "SPOOL_LANE_CRASH_DIR";
const FIRST: &str = "SPOOL_LANE_CRASH_FIRST";

const MAX: ReadMax = ReadMax {
    entries: 97,
    bytes: 1 << 20,
};

/// What a lane that is routed so far has waiting: every third event; of these every second has failed.
fn waits_at(seq: u64) -> bool {
    seq.is_multiple_of(3)
}

fn is_held(seq: u64) -> bool {
    seq.is_multiple_of(6)
}

fn is_buried(seq: u64) -> bool {
    seq % 50 == 1
}

/// The change that routes these entries. Its ranges are whole, so it knows what waited there before.
fn change(through: u64, known: &[(u64, u64)], entries: &[Entry]) -> LaneChange {
    let seqs = || entries.iter().map(|entry| entry.seq);
    let first = entries
        .first()
        .map_or(0, |entry| waiting::range_of(entry.seq));
    let changed = known
        .iter()
        .copied()
        .filter(|(seq, _)| waiting::range_of(*seq) >= first);
    let mut change = waits(through, &changed.collect::<Vec<_>>());
    let held = HeldEvent {
        failures: 1,
        hold: None,
    };
    change.held = seqs()
        .filter(|seq| is_held(*seq))
        .map(|seq| (seq, Some(held.clone())))
        .collect();
    let burial = Burial {
        at: time(1),
        code: Code::status(400),
        failures: 0,
    };
    change.burials = seqs()
        .filter(|seq| is_buried(*seq))
        .map(|seq| (seq, Some(burial.clone())))
        .collect();
    change
}

/// Not a test: the process that is killed. It says `k N` when event N is answered and `c N` when a commit up to there is.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by the other test as a process of its own"]
async fn child() {
    let dir = std::env::var(DIR).unwrap();
    let first: u64 = std::env::var(FIRST).unwrap().parse().unwrap();
    let spool = Arc::new(open(Path::new(&dir)).await.unwrap());
    let next = Arc::new(AtomicU64::new(first));
    for device in 0..8 {
        let (spool, next) = (Arc::clone(&spool), Arc::clone(&next));
        tokio::spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if spool.append(batch(vec![event(n, device)])).await.is_ok() {
                    println!("k {n}");
                }
            }
        });
    }
    let (claim, state) = spool.claim("erp", Start::Oldest).await.unwrap();
    let mut known: Vec<(u64, u64)> = waiting_seqs(&state)
        .into_iter()
        .map(|seq| (seq, 0))
        .collect();
    let mut through = state.routed_through;
    loop {
        spool.watch_tail(through).await.unwrap();
        let stretch = spool.read(through, u64::MAX, MAX).await.unwrap();
        through = stretch.through_seq;
        let seqs = stretch.entries.iter().map(|entry| entry.seq);
        known.extend(seqs.filter(|seq| waits_at(*seq)).map(|seq| (seq, 0)));
        let change = change(through, &known, &stretch.entries);
        spool.commit(&claim, change).await.unwrap();
        println!("c {through}");
    }
}

/// Runs the child until so many commits are answered, and kills it. Gives how far the last one went.
fn run_and_kill(dir: &Path, first: u64, commits: usize) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "child", "--nocapture"])
        .env(DIR, dir)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut answered, mut through) = (0, 0);
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        if let Some(("c", text)) = line.unwrap().split_once(' ') {
            through = text.parse().unwrap();
            answered += 1;
        }
        if answered == commits {
            // SIGKILL; what is in the pipe is read to its end.
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(answered >= commits, "the child ended by itself");
    through
}

async fn all(spool: &DiskSpool) -> Vec<u64> {
    let max = ReadMax {
        entries: usize::MAX,
        bytes: usize::MAX,
    };
    let stretch = spool.read(0, u64::MAX, max).await.unwrap();
    stretch.entries.iter().map(|entry| entry.seq).collect()
}

#[tokio::test]
async fn no_answered_commit_is_lost_by_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("spool");
    for (round, commits) in [5, 40, 1, 17].into_iter().enumerate() {
        let answered = run_and_kill(&dir, 1 + round as u64 * 1_000_000, commits);
        let spool = open(&dir).await.unwrap();
        assert_eq!(spool.damage(), Default::default());
        let state = spool.look("erp").await.unwrap().unwrap();
        assert!(state.routed_through >= answered, "{answered} was answered");
        check(&spool, &state).await;
        spool.close().await;
    }
}

/// Of a write-ahead log that is cut off anywhere a beginning is left: some commits, each as a whole.
#[tokio::test]
async fn a_torn_log_leaves_whole_commits() {
    let (dir, torn) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let spool = open(dir.path()).await.unwrap();
    let events = (1..=2000).map(|n| event(n, n % 7)).collect();
    spool.append(batch(events)).await.unwrap();
    let (claim, state) = spool.claim("erp", Start::Oldest).await.unwrap();
    let (mut through, mut known) = (state.routed_through, Vec::new());
    while through < spool.tail().unwrap() {
        let stretch = spool.read(through, u64::MAX, MAX).await.unwrap();
        through = stretch.through_seq;
        let seqs = stretch.entries.iter().map(|entry| entry.seq);
        known.extend(seqs.filter(|seq| waits_at(*seq)).map(|seq| (seq, 0)));
        let change = change(through, &known, &stretch.entries);
        spool.commit(&claim, change).await.unwrap();
    }
    let copied = torn.path().join("whole");
    copy(dir.path(), &copied);
    spool.close().await;
    let wal = std::fs::read(copied.join("spool.db-wal")).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for part in 1..=24 {
        let cut = torn.path().join(part.to_string());
        copy(&copied, &cut);
        std::fs::write(cut.join("spool.db-wal"), &wal[..wal.len() * part / 24]).unwrap();
        let spool = open(&cut).await.unwrap();
        if let Some(state) = spool.look("erp").await.unwrap() {
            check(&spool, &state).await;
            seen.insert(state.routed_through);
        }
        spool.close().await;
    }
    assert!(seen.len() > 5 && seen.contains(&through), "{seen:?}");
}

/// A failing disk may lose the end of either store. Where a lane is further than the events that are left, it skips what is
/// gone, and new events never take numbers that it has passed.
#[tokio::test]
async fn a_lane_goes_on_whichever_store_lost_more() {
    let (dir, torn) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let spool = open(dir.path()).await.unwrap();
    let (claim, state) = spool.claim("erp", Start::Oldest).await.unwrap();
    let (mut through, mut known) = (state.routed_through, Vec::new());
    for first in (1..2000).step_by(100) {
        let events = (first..first + 100).map(|n| event(n, n % 7)).collect();
        spool.append(batch(events)).await.unwrap();
        let stretch = spool.read(through, u64::MAX, MAX).await.unwrap();
        through = stretch.through_seq;
        let seqs = stretch.entries.iter().map(|entry| entry.seq);
        known.extend(seqs.filter(|seq| waits_at(*seq)).map(|seq| (seq, 0)));
        let change = change(through, &known, &stretch.entries);
        let (committed, _) = tokio::join!(spool.commit(&claim, change), spool.list());
        committed.unwrap();
    }
    let whole = torn.path().join("whole");
    copy(dir.path(), &whole);
    spool.close().await;
    const SEGMENT: &str = "log/0000000000000001.seg";
    let wal = std::fs::read(whole.join("spool.db-wal")).unwrap();
    let segment = std::fs::read(whole.join(SEGMENT)).unwrap();
    let end = segment.iter().rposition(|byte| *byte != 0).unwrap();
    let (mut ahead, mut behind) = (0, 0);
    for (of_wal, of_segment) in (1..=6).flat_map(|wal| (0..=6).map(move |seg| (wal, seg))) {
        let cut = torn.path().join(format!("{of_wal}-{of_segment}"));
        copy(&whole, &cut);
        std::fs::write(cut.join("spool.db-wal"), &wal[..wal.len() * of_wal / 6]).unwrap();
        std::fs::write(cut.join(SEGMENT), &segment[..end * of_segment / 6]).unwrap();
        let spool = open(&cut).await.unwrap();
        let left = all(&spool).await;
        assert!((1..).zip(&left).all(|(n, seq)| n == *seq), "{left:?}");
        let mut lane = HandLane::claim(&spool, "erp").await;
        let routed = lane.routed_through;
        assert!(
            lane.waiting
                .keys()
                .copied()
                .eq((1..=routed).filter(|seq| waits_at(*seq)))
        );
        assert!(
            lane.held
                .keys()
                .copied()
                .eq((1..=routed).filter(|seq| is_held(*seq)))
        );
        let count = left.len() as u64;
        ahead += usize::from(routed > count);
        behind += usize::from(routed < count);
        spool.append(batch(vec![event(9_000, 1)])).await.unwrap();
        let mut delivered = lane.deliver(&spool).await;
        // A buried event has a copy beside the log.
        delivered.retain(|n| *n <= count || !is_buried(*n));
        let waited = (1..=routed.min(count)).filter(|seq| waits_at(*seq));
        let expected = waited.chain(routed + 1..=count).chain([9_000]);
        assert_eq!(delivered, expected.collect::<Vec<_>>(), "{routed} {count}");
        assert!(lane.routed_through > 2000, "{}", lane.routed_through);
        spool.close().await;
    }
    assert!(ahead > 5 && behind > 5, "{ahead} {behind}");
}

/// The lane is as its last commit left it, in all of its rows.
async fn check(spool: &DiskSpool, state: &LaneState) {
    let seqs = all(spool).await;
    let routed = || {
        seqs.iter()
            .copied()
            .filter(|seq| *seq <= state.routed_through)
    };
    assert!(
        routed()
            .filter(|seq| waits_at(*seq))
            .eq(waiting_seqs(state))
    );
    let held = state.held.iter().map(|(seq, _)| *seq);
    assert!(routed().filter(|seq| is_held(*seq)).eq(held));
    let buried = routed().filter(|seq| is_buried(*seq)).count() as u64;
    assert_eq!(state.buried, buried);
}
