//! One device is blocked for a day. In a binary of its own, because it looks at the memory of the process.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends by a panic"
)]

mod common;

use std::time::Instant;

use common::{batch, open};
use faceway_core::{Settled, Settlement, Spool as _, Start};
use faceway_testkit::spool::{alone, event, number, time};

/// Events behind the parked one. All of them with optimisation, because they are written one by one.
const BEHIND: u64 = if cfg!(debug_assertions) {
    60_000
} else {
    300_000
};

fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        * 4096
}

fn settle(seq: u64, outcome: Settled) -> Settlement {
    Settlement {
        seq,
        outcome,
        attempt: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_blocked_for_a_day_costs_little() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path()).await.unwrap();
    let lane = spool.open_lane("erp", Start::Oldest).await.unwrap();
    spool.append(batch(vec![event(0, 1)])).await.unwrap();
    let head = spool.lease(lane, 1, time(0)).await.unwrap();
    spool.settle(lane, vec![settle(head[0].seq, alone(time(1_000_000)))]);
    let before = resident();
    for group in 0..BEHIND / 500 {
        let events = (1..=500)
            .map(|n| group * 500 + n)
            .map(|n| event(n, if n % 1000 == 0 { 2 } else { 1 }));
        spool.append(batch(events.collect())).await.unwrap();
    }
    let began = Instant::now();
    let mut others = 0;
    loop {
        let leases = spool.lease(lane, 8, time(9)).await.unwrap();
        if leases.is_empty() {
            break;
        }
        assert!(leases.iter().all(|lease| lease.device.0 == 2));
        others += leases.len() as u64;
        spool.settle(
            lane,
            leases
                .iter()
                .map(|lease| settle(lease.seq, Settled::Done))
                .collect(),
        );
    }
    println!("{BEHIND} walked through in {:?}", began.elapsed());
    assert_eq!(others, BEHIND / 1000);
    let grown = resident().saturating_sub(before) >> 20;
    assert!(grown < 96, "{grown} MiB more");
    println!("{grown} MiB more");
    spool.close().await;
    drop(spool);

    let began = Instant::now();
    let spool = open(dir.path()).await.unwrap();
    println!("opened in {:?}", began.elapsed());
    let lane = spool.open_lane("erp", Start::Oldest).await.unwrap();
    let survey = spool.survey(lane, time(9)).await.unwrap();
    assert_eq!((survey.backlog, survey.parked), (1 + BEHIND - others, 1));
    assert!(spool.lease(lane, 8, time(9)).await.unwrap().is_empty());
    let head = spool.lease(lane, 8, time(1_000_000)).await.unwrap();
    assert_eq!(head.len(), 1);
    spool.settle(lane, vec![settle(head[0].seq, Settled::Done)]);
    let (began, mut last, mut count) = (Instant::now(), 0, 0);
    loop {
        let leases = spool.lease(lane, 64, time(1_000_000)).await.unwrap();
        if leases.is_empty() {
            break;
        }
        for lease in &leases {
            assert!(number(lease.id) > last, "out of order");
            last = number(lease.id);
        }
        count += leases.len() as u64;
        spool.settle(
            lane,
            leases
                .iter()
                .map(|lease| settle(lease.seq, Settled::Done))
                .collect(),
        );
    }
    println!("{count} delivered in {:?}", began.elapsed());
    assert_eq!(count, BEHIND - others);
    assert_eq!(spool.survey(lane, time(9)).await.unwrap().backlog, 0);
    spool.close().await;
}
