//! A long backlog of the former engine is taken over, decided, delivered, and leaves the log.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends by a panic"
)]

mod common;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use common::{HandClock, Held, former_directory, settings};
use faceway_core::{DeviceKey, LaneChange, LaneStore as _, Log as _, ReadMax, Start, waiting};
use faceway_spool_disk::{DiskSettings, DiskSpool};
use faceway_testkit::spool::{event, time};

/// Events behind the parked one.
const BEHIND: u64 = if cfg!(debug_assertions) {
    30_000
} else {
    300_000
};
const AT_ONCE: usize = 256;

/// What the former engine has left: one device, of which the first event is parked and all others wait.
async fn former(dir: &std::path::Path) {
    let events = (0..=BEHIND).map(|n| event(n, 1 + n / BEHIND));
    former_directory(dir, events.collect(), |rows| {
        rows.lane(1, "erp", (BEHIND + 2, BEHIND + 1), &[]);
        // The last event is of another device, and was delivered.
        for n in 0..BEHIND {
            let parked = (n == 0).then(|| (time(1_000_000).as_millis(), 1));
            let held = Held {
                seq: n + 1,
                device: 1,
                at: time(n).as_millis(),
                failures: i64::from(n == 0),
                is_routed: n == 0,
                parked,
            };
            rows.held(1, held);
        }
    })
    .await;
}

/// Commits without waiting for company: `list` wants the writer at once.
async fn commit(spool: &DiskSpool, claim: &faceway_core::Claim, change: LaneChange) {
    let (committed, listed) = tokio::join!(spool.commit(claim, change), spool.list());
    assert!(committed.is_ok() && listed.is_ok());
}

/// The ranges in which these events wait.
fn ranges(seqs: &[u64]) -> BTreeMap<u64, Vec<(u64, DeviceKey)>> {
    let mut ranges: BTreeMap<u64, Vec<(u64, DeviceKey)>> = BTreeMap::new();
    for seq in seqs {
        let range = ranges.entry(waiting::range_of(*seq)).or_default();
        range.push((*seq, DeviceKey(1)));
    }
    ranges
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_backlog_is_taken_over_and_delivered_below_the_trim_mark() {
    let dir = tempfile::tempdir().unwrap();
    former(dir.path()).await;
    let clock = HandClock::new();
    clock.forward(Duration::from_secs(1_000_000));
    let settings = DiskSettings {
        history: Duration::ZERO,
        ..settings(dir.path())
    };
    let spool = DiskSpool::open(settings, clock).await.unwrap();
    let began = Instant::now();
    let (claim, state) = spool.claim("erp", Start::Now).await.unwrap();
    println!("{BEHIND} taken over in {:?}", began.elapsed());
    assert_eq!(state.undecided.len() as u64, BEHIND - 1);
    let (began, through) = (Instant::now(), state.routed_through);
    let all = state.undecided;
    for at in (0..all.len()).step_by(AT_ONCE) {
        let end = all.len().min(at + AT_ONCE);
        let from = waiting::range_of(all[at]);
        // The parked event stands in the first range.
        let known = std::iter::once(all[0] - 1).chain(all[..end].iter().copied());
        let known: Vec<u64> = known
            .filter(|seq| waiting::range_of(*seq) >= from)
            .collect();
        let encode =
            |(range, events): (u64, Vec<_>)| (range, Some(waiting::encode(range, &events)));
        let change = LaneChange {
            routed_through: through,
            undecided: Some(all[end..].to_vec()),
            waiting: ranges(&known).into_iter().map(encode).collect(),
            ..LaneChange::default()
        };
        commit(&spool, &claim, change).await;
    }
    println!("decided in {:?}", began.elapsed());
    let (began, mut done) = (Instant::now(), 0);
    let mut after = all[0] - 1;
    while done < all.len() {
        let max = ReadMax {
            entries: AT_ONCE,
            bytes: 1 << 20,
        };
        let stretch = spool.read(after, through, max).await.unwrap();
        done += stretch.entries.len();
        after = stretch.through_seq;
        let first = stretch.entries[0].seq;
        let touched = waiting::range_of(first)..=waiting::range_of(after);
        let rest: Vec<u64> = all.iter().copied().filter(|seq| *seq > after).collect();
        let mut left = ranges(&rest);
        let row = |range| {
            (
                range,
                left.remove(&range)
                    .map(|events| waiting::encode(range, &events)),
            )
        };
        let change = LaneChange {
            routed_through: through,
            waiting: touched.map(row).collect(),
            ..LaneChange::default()
        };
        commit(&spool, &claim, change).await;
    }
    println!("{done} delivered in {:?}", began.elapsed());
    let stretch = spool
        .read(
            0,
            u64::MAX,
            ReadMax {
                entries: 9,
                bytes: 9,
            },
        )
        .await
        .unwrap();
    assert!(stretch.entries.is_empty(), "{:?}", stretch.entries[0].seq);
    let state = spool.look("erp").await.unwrap().unwrap();
    assert!(state.undecided.is_empty() && state.waiting.is_empty());
    spool.close().await;
}
