//! `kill -9` in mid-ingest: everything that was answered is there, and is delivered.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends by a panic"
)]

mod common;

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{HandLane, append, open};
use faceway_core::{Log as _, Receipt};
use faceway_testkit::spool::{event, id, number};

/// Under this name the child finds the directory, and under the other its first number.
const DIR: &str = "SPOOL_CRASH_DIR";
const FIRST: &str = "SPOOL_CRASH_FIRST";

/// Not a test: the process that is killed. It says `k N` when event N is answered and `d N` before N is acknowledged.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by the other test as a process of its own"]
async fn child() {
    let dir = std::env::var(DIR).unwrap();
    let first: u64 = std::env::var(FIRST).unwrap().parse().unwrap();
    let spool = Arc::new(open(Path::new(&dir)).await.unwrap());
    let mut lane = HandLane::claim(&spool, "erp").await;
    let next = Arc::new(AtomicU64::new(first));
    for device in 0..16 {
        let (spool, next) = (Arc::clone(&spool), Arc::clone(&next));
        tokio::spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if append(&spool, vec![event(n, device)]).await.is_ok() {
                    println!("k {n}");
                }
            }
        });
    }
    loop {
        let entries = lane.take(&spool, 7).await;
        if entries.is_empty() {
            spool.watch_tail(lane.routed_through).await.unwrap();
        }
        for entry in entries {
            println!("d {}", number(entry.id));
            lane.acknowledge(entry.seq);
        }
        lane.commit(&spool).await.unwrap();
    }
}

/// Runs the child until it has answered so many events, and kills it. Gives what it said.
fn run_and_kill(dir: &Path, first: u64, answers: usize) -> (HashSet<u64>, HashSet<u64>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "child", "--nocapture"])
        .env(DIR, dir)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut kept, mut delivered) = (HashSet::new(), HashSet::new());
    let mut killed = false;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        match line.unwrap().split_once(' ') {
            Some(("k", n)) => kept.extend(n.parse::<u64>()),
            Some(("d", n)) => delivered.extend(n.parse::<u64>()),
            _ => {}
        };
        if kept.len() >= answers && !killed {
            // SIGKILL; what is in the pipe is read to its end.
            child.kill().unwrap();
            killed = true;
        }
    }
    child.wait().unwrap();
    assert!(killed, "the child ended by itself");
    (kept, delivered)
}

#[tokio::test]
async fn nothing_answered_is_lost_by_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("spool");
    let (mut kept, mut delivered) = (HashSet::new(), HashSet::new());
    for (round, answers) in [300, 1, 2500, 900, 50, 1700].into_iter().enumerate() {
        let first = 1 + round as u64 * 1_000_000;
        let (more_kept, more_delivered) = run_and_kill(&dir, first, answers);
        kept.extend(more_kept);
        delivered.extend(more_delivered);
    }
    let spool = open(&dir).await.unwrap();
    assert_eq!(spool.damage(), Default::default());
    let mut lane = HandLane::claim(&spool, "erp").await;
    let mut again = HashSet::new();
    for n in lane.deliver(&spool).await {
        assert!(again.insert(n), "{n} is handed out twice");
    }
    let lost: Vec<_> = kept
        .iter()
        .filter(|n| !again.contains(n) && !delivered.contains(n))
        .collect();
    assert!(
        lost.is_empty(),
        "{} of {} lost: {lost:?}",
        lost.len(),
        kept.len()
    );
    // What was acknowledged well before a kill does not come again: only the last moments of each round may.
    let twice = again.intersection(&delivered).count();
    assert!(
        twice < kept.len() / 2,
        "{twice} of {} are delivered twice",
        kept.len()
    );
    for n in kept.iter().take(200) {
        let receipts = append(&spool, vec![event(*n, 1)]).await.unwrap();
        assert_eq!(receipts, [Receipt::Duplicate], "{}", id(*n));
    }
    spool.close().await;
}
