//! One device is blocked for a day. In a binary of its own, because it looks at the memory of the process.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends by a panic"
)]

mod common;

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use common::{HandLane, append, open};
use faceway_core::{Claim, Code, LaneStore as _, Log as _, ReadMax, Start, Verdict};
use faceway_lane::{Acknowledged, Action, Lane, Now, Offer, Policy, Tick};
use faceway_spool_disk::DiskSpool;
use faceway_testkit::spool::{event, time};

/// Events behind the parked one. All of them with optimisation, because they are written one by one.
const BEHIND: u64 = if cfg!(debug_assertions) {
    60_000
} else {
    300_000
};
const PAUSE: Duration = Duration::from_secs(1_000_000);
/// Messages of one commit at the most.
const MESSAGES: usize = 16;

fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        * 4096
}

fn policy() -> Policy {
    Policy {
        backoff_max: PAUSE,
        attempts_max: NonZeroU32::new(9),
        concurrency_max: 1,
        batch_max: 64,
        ..Policy::default()
    }
}

/// A lane machine over the engine.
struct Worker<'a> {
    spool: &'a DiskSpool,
    claim: Claim,
    lane: Lane,
}

impl<'a> Worker<'a> {
    async fn claim(spool: &'a DiskSpool) -> Self {
        let (claim, state) = spool.claim("erp", Start::Oldest).await.unwrap();
        let now = Now {
            tick: Tick::default(),
            wall: time(0),
        };
        let (lane, damaged) = Lane::load(policy(), state, now);
        assert_eq!(damaged, [0; 0]);
        Self { spool, claim, lane }
    }

    async fn route(&mut self) {
        let max = ReadMax {
            entries: 1000,
            bytes: 8 << 20,
        };
        while self.lane.routed_through() < self.spool.tail().unwrap() {
            let read = self.spool.read(self.lane.routed_through(), u64::MAX, max);
            let stretch = read.await.unwrap();
            let offers = stretch.entries.iter().map(|entry| Offer {
                seq: entry.seq,
                device: entry.device,
            });
            let offers: Vec<Offer> = offers.collect();
            self.lane.offer(stretch.through_seq, &offers, Vec::new());
            self.commit().await;
        }
    }

    /// Delivers what may leave at `tick`. Gives the sequence numbers, each with its device.
    async fn deliver(&mut self, tick: Tick) -> Vec<(u64, u64)> {
        let (mut tick, mut delivered) = (tick, Vec::new());
        for messages in 1.. {
            let delivery = match self.lane.next(tick, 0.5) {
                Action::Deliver(delivery) => delivery,
                // Events that do not fill a message wait a moment for more.
                Action::Wait(until) if until.since(tick) < Duration::from_secs(1) => {
                    tick = until;
                    continue;
                }
                _ => break,
            };
            let seqs: Vec<u64> = delivery.events.iter().map(|event| event.seq).collect();
            let entries = self.spool.fetch(seqs).await.unwrap();
            let entries = entries.into_iter().map(|entry| entry.unwrap());
            delivered.extend(entries.map(|entry| (entry.seq, entry.device.0)));
            let code = Code::status(200);
            let ended = Acknowledged {
                verdict: Verdict::Delivered { code },
                took: Duration::from_millis(1),
                sent: delivery.events.len(),
                ages: Vec::new(),
            };
            let now = Now {
                tick,
                wall: time(0),
            };
            self.lane.acknowledge(delivery.number, ended, now, 0.5);
            if messages % MESSAGES == 0 {
                self.commit().await;
            }
        }
        self.commit().await;
        delivered
    }

    /// Commits without waiting for company: `list` wants the writer at once.
    async fn commit(&mut self) {
        while let Some(change) = self.lane.take_change() {
            let commit = self.spool.commit(&self.claim, change);
            let (committed, listed) = tokio::join!(commit, self.spool.list());
            assert!(listed.is_ok());
            self.lane.committed(committed.unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_blocked_for_a_day_costs_little() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path()).await.unwrap();
    append(&spool, vec![event(0, 1)]).await.unwrap();
    let mut by_hand = HandLane::claim(&spool, "erp").await;
    let head = by_hand.take(&spool, 1).await[0].seq;
    by_hand.park(head, time(0), PAUSE);
    by_hand.commit(&spool).await.unwrap();
    let mut worker = Worker::claim(&spool).await;
    let before = resident();
    for group in 0..BEHIND / 500 {
        let events = (1..=500)
            .map(|n| group * 500 + n)
            .map(|n| event(n, if n % 1000 == 0 { 2 } else { 1 }));
        append(&spool, events.collect()).await.unwrap();
        worker.route().await;
    }
    let began = Instant::now();
    let others = worker.deliver(Tick::default()).await;
    println!("{BEHIND} walked through in {:?}", began.elapsed());
    assert!(others.iter().all(|(_, device)| *device == 2));
    let others = others.len() as u64;
    assert_eq!(others, BEHIND / 1000);
    let grown = resident().saturating_sub(before) >> 20;
    assert!(grown < 96, "{grown} MiB more");
    println!("{grown} MiB more");
    drop(worker);
    spool.close().await;
    drop(spool);

    let began = Instant::now();
    let spool = open(dir.path()).await.unwrap();
    println!("opened in {:?}", began.elapsed());
    let survey = spool.look("erp").await.unwrap().unwrap().survey();
    assert_eq!((survey.backlog, survey.parked), (1 + BEHIND - others, 1));
    let mut worker = Worker::claim(&spool).await;
    assert_eq!(
        worker.deliver(Tick::after(Duration::from_secs(9))).await,
        []
    );
    let began = Instant::now();
    let delivered = worker.deliver(Tick::after(PAUSE)).await;
    println!("{} delivered in {:?}", delivered.len(), began.elapsed());
    assert_eq!(delivered[0].0, head);
    assert!(delivered.is_sorted(), "out of order");
    assert_eq!(delivered.len() as u64, 1 + BEHIND - others);
    let survey = spool.look("erp").await.unwrap().unwrap().survey();
    assert_eq!(survey.backlog, 0);
    spool.close().await;
}
