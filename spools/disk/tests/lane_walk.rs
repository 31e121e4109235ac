//! A random walk of the lane machine on this engine: whatever fails, loses its power and is trimmed, an event that is not
//! delivered is in the log, and what the engine gives back is what it answered for.
//!
//! Events and lanes are durable one after the other. The power goes at any operation between, and of what was not synced any
//! part is left: sectors of segments, their names, sectors of SQLite's log.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends by a panic"
)]

mod common;
#[path = "common/power.rs"]
mod power;
#[path = "../../../segments/tests/common/mod.rs"]
mod segment_disk;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::{HandClock, batch, big, settings, waiting_seqs};
use faceway_core::{
    Claim, Code, CommitError, DeviceKey, LaneChange, LaneState, LaneStore as _, Log as _, NewEvent,
    ReadMax, Scope, Start, Timestamp, Verdict,
};
use faceway_lane::{Acknowledged, Action, Delivery, Fate, Lane, Now, Offer, Policy, Tick};
use faceway_spool_disk::{DiskSettings, DiskSpool, OpenError};
use faceway_testkit::spool::number;
use power::{Power, PowerDisk};
use proptest::prelude::*;

/// What an event does to the destination.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Good,
    Skipped,
    Fails,
    Incurable,
}

#[derive(Clone, Debug)]
enum Step {
    /// Of this device, so many kilobytes.
    Append(u64, Kind, usize),
    Route(usize),
    Next,
    End(usize),
    Commit,
    /// The group fails before it is written (`false`), or when it has been.
    FailCommit(bool),
    Pass(u64),
    TurnDown(bool),
    /// After so many operations, with an append and a commit on their way at a time; by this seed.
    PowerCut(u64, u64),
    Replay,
    Revive,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kinds = prop_oneof![
        10 => Just(Kind::Good),
        3 => Just(Kind::Skipped),
        1 => Just(Kind::Fails),
        1 => Just(Kind::Incurable),
    ];
    let step = prop_oneof![
        10 => (0..5_u64, kinds, 1..40_usize).prop_map(|(device, kind, size)| Step::Append(device, kind, size)),
        6 => (1..9_usize).prop_map(Step::Route),
        14 => Just(Step::Next),
        14 => (0..8_usize).prop_map(Step::End),
        5 => Just(Step::Commit),
        1 => any::<bool>().prop_map(Step::FailCommit),
        5 => (1..4_000_u64).prop_map(Step::Pass),
        1 => any::<bool>().prop_map(Step::TurnDown),
        3 => (0..40_u64, any::<u64>()).prop_map(|(ops, seed)| Step::PowerCut(ops, seed)),
        1 => Just(Step::Replay),
        2 => Just(Step::Revive),
    ];
    prop::collection::vec(step, 20..160)
}

const MAX: ReadMax = ReadMax {
    entries: 8,
    bytes: 1 << 20,
};

/// A gateway with one lane on a small disk, and another lane that only has to stay out of the way.
struct World {
    root: tempfile::TempDir,
    dir: PathBuf,
    disk: Arc<PowerDisk>,
    engine: DiskSpool,
    claim: Claim,
    lane: Lane,
    /// Kinds by event number.
    kinds: Vec<Kind>,
    in_flight: Vec<Delivery>,
    buried: BTreeSet<(u64, DeviceKey)>,
    accepted: BTreeSet<u64>,
    /// Events that were appended, by sequence number.
    numbers: std::collections::BTreeMap<u64, u64>,
    is_down: bool,
    millis: u64,
}

async fn open(dir: &Path, disk: &Arc<PowerDisk>) -> Result<DiskSpool, OpenError> {
    let settings = DiskSettings {
        // History gives way all the time, and by age at every start.
        bytes_max: 3 << 20,
        // This share is set aside: with more of it nothing would ever be taken in.
        quarantine_bytes_max: 0,
        history: Duration::ZERO,
        ..settings(dir)
    };
    let clock = HandClock::new();
    clock.forward(Duration::from_secs(100_000));
    let disk = Arc::new(Power(Arc::clone(disk)));
    DiskSpool::open_on(settings, clock, disk).await
}

fn policy() -> Policy {
    Policy {
        backoff_max: Duration::from_secs(60),
        attempts_max: std::num::NonZeroU32::new(3),
        concurrency_max: 3,
        batch_max: 2,
        ..Policy::default()
    }
}

fn now(millis: u64) -> Now {
    Now {
        tick: Tick::after(Duration::from_millis(millis)),
        wall: Timestamp::from_millis(1_795_334_400_000 + millis as i64).unwrap(),
    }
}

impl World {
    async fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("spool");
        let disk = PowerDisk::new(&dir, 1);
        let engine = open(&dir, &disk).await.unwrap();
        let (claim, state) = engine.claim("erp", Start::Oldest).await.unwrap();
        Self {
            lane: Lane::load(policy(), state, now(0)).0,
            root,
            dir,
            disk,
            engine,
            claim,
            kinds: Vec::new(),
            in_flight: Vec::new(),
            buried: BTreeSet::new(),
            accepted: BTreeSet::new(),
            numbers: Default::default(),
            is_down: false,
            millis: 0,
        }
    }

    fn now(&self) -> Now {
        now(self.millis)
    }

    fn kind(&self, seq: u64) -> Kind {
        self.kinds[self.numbers[&seq] as usize]
    }

    fn event(&mut self, device: u64, kind: Kind, kilobytes: usize) -> NewEvent {
        let number = self.kinds.len() as u64;
        self.kinds.push(kind);
        big(number, device, kilobytes << 10)
    }

    async fn append(&mut self, device: u64, kind: Kind, kilobytes: usize) {
        let event = self.event(device, kind, kilobytes);
        let number = number(event.id);
        if let Ok(receipts) = self.engine.append(batch(vec![event])).await {
            self.found(receipts[0].seq().unwrap(), number);
        }
    }

    fn found(&mut self, seq: u64, number: u64) {
        let before = self.numbers.insert(seq, number);
        assert_eq!(before, None, "number {seq} is given out twice");
    }

    fn offers(&self, entries: &[faceway_core::Entry]) -> Vec<Offer> {
        let is_for_us = |entry: &&faceway_core::Entry| {
            assert_eq!(self.numbers.get(&entry.seq), Some(&number(entry.id)));
            self.kind(entry.seq) != Kind::Skipped
        };
        let entries = entries.iter().filter(is_for_us);
        entries
            .map(|entry| Offer {
                seq: entry.seq,
                device: entry.device,
            })
            .collect()
    }

    async fn route(&mut self, entries: usize) {
        self.lane.set_tail(self.engine.tail().unwrap());
        let max = ReadMax { entries, ..MAX };
        let after = self.lane.routed_through();
        let stretch = self.engine.read(after, u64::MAX, max).await.unwrap();
        let expected = self.numbers.range(after + 1..);
        let expected = expected.take_while(|(seq, _)| **seq <= stretch.through_seq);
        let seqs = stretch.entries.iter().map(|entry| entry.seq);
        assert!(seqs.eq(expected.map(|(seq, _)| *seq)), "an event is lost");
        let offers = self.offers(&stretch.entries);
        self.lane.offer(stretch.through_seq, &offers, Vec::new());
    }

    async fn route_replay(&mut self) {
        while let Some(job) = self.lane.replay_to_route() {
            let read = self.engine.read(job.routed_through, job.through_seq, MAX);
            let stretch = read.await.unwrap();
            let offers = self.offers(&stretch.entries);
            self.lane
                .offer_replayed(job.number, stretch.through_seq, &offers);
        }
    }

    async fn next(&mut self) -> Result<(), Option<Tick>> {
        let delivery = match self.lane.next(self.now().tick, 0.5) {
            Action::Deliver(delivery) => delivery,
            Action::Wait(until) => return Err(Some(until)),
            Action::Idle => return Err(None),
        };
        let seqs: Vec<u64> = delivery.events.iter().map(|event| event.seq).collect();
        let entries = self.engine.fetch(seqs.clone()).await.unwrap();
        for (seq, entry) in seqs.iter().zip(entries) {
            let entry = entry.unwrap_or_else(|| panic!("{seq} has left the log and waits"));
            assert_eq!(number(entry.id), self.numbers[seq]);
        }
        self.in_flight.push(delivery);
        Ok(())
    }

    fn end(&mut self, at: usize) {
        if self.in_flight.is_empty() {
            return;
        }
        let delivery = self.in_flight.swap_remove(at % self.in_flight.len());
        let kinds: Vec<Kind> = delivery
            .events
            .iter()
            .map(|event| self.kind(event.seq))
            .collect();
        let retry = |scope, status| Verdict::Retry {
            scope,
            code: Code::status(status),
            after: None,
        };
        let verdict = if self.is_down {
            retry(Scope::Destination, 503)
        } else if kinds.contains(&Kind::Incurable) {
            Verdict::Bury {
                code: Code::status(400),
            }
        } else if kinds.contains(&Kind::Fails) {
            retry(Scope::Message, 500)
        } else {
            let seqs = delivery.events.iter().map(|event| event.seq);
            self.accepted.extend(seqs);
            Verdict::Delivered {
                code: Code::status(200),
            }
        };
        let ended = Acknowledged {
            verdict,
            took: Duration::from_millis(1),
            sent: delivery.events.len(),
            ages: Vec::new(),
        };
        self.lane
            .acknowledge(delivery.number, ended, self.now(), 0.5);
        let fates = self.lane.take_fates();
        for fate in fates {
            if let Fate::Buried { seq, .. } = fate {
                let device = delivery.events.iter().find(|event| event.seq == seq);
                self.buried.extend(device.map(|event| (seq, event.device)));
            }
        }
    }

    async fn commit(&mut self) -> bool {
        let Some(change) = self.lane.take_change() else {
            return false;
        };
        match self.engine.commit(&self.claim, change.clone()).await {
            Ok(buried) => self.lane.committed(buried),
            Err(CommitError::Unavailable) => self.lane.not_committed(change),
            Err(CommitError::Fenced) => panic!("fenced"),
        }
        true
    }

    async fn fail_commit(&mut self, arrives: bool) {
        let count = if arrives {
            &self.disk.after
        } else {
            &self.disk.before
        };
        count.store(1, Ordering::SeqCst);
        self.commit().await;
        self.disk.after.store(0, Ordering::SeqCst);
        self.disk.before.store(0, Ordering::SeqCst);
    }

    /// What is kept afterwards is what was answered, or one step more.
    async fn power_cut(&mut self, ops: u64, seed: u64) {
        let mut answered = self.engine.look("erp").await.unwrap().unwrap();
        self.disk.cut_after(ops, seed);
        let (mut on_its_way, mut doubtful);
        loop {
            let change = self.lane.take_change().unwrap_or(LaneChange {
                routed_through: answered.routed_through,
                ..LaneChange::default()
            });
            let event = self.event(seed % 5, Kind::Good, 1 + seed as usize % 30);
            doubtful = number(event.id);
            on_its_way = answered.clone();
            on_its_way.apply(change.clone());
            let (appended, committed) = tokio::join!(
                self.engine.append(batch(vec![event])),
                self.engine.commit(&self.claim, change.clone()),
            );
            if let Ok(receipts) = &appended {
                self.found(receipts[0].seq().unwrap(), doubtful);
            }
            match committed {
                Ok(buried) => {
                    answered = on_its_way.clone();
                    self.lane.committed(buried);
                }
                Err(_) => self.lane.not_committed(change),
            }
            if self.disk.is_cut() {
                break;
            }
            self.route(4).await;
            if self.next().await.is_ok() {
                self.end(0);
            }
        }
        self.power_comes_back(seed).await;
        self.look_for(doubtful).await;
        let (claim, state) = self.engine.claim("erp", Start::Now).await.unwrap();
        assert!(claim.epoch > self.claim.epoch);
        assert!(
            kept(&state) == kept(&answered) || kept(&state) == kept(&on_its_way),
            "{state:?} is neither {answered:?} nor {on_its_way:?}"
        );
        self.claim = claim;
        self.in_flight.clear();
        self.check(&state).await;
        self.lane = Lane::load(policy(), state, self.now()).0;
    }

    /// The power may go once more while the spool is opened.
    async fn power_comes_back(&mut self, seed: u64) {
        let elsewhere = self.root.path().join(format!("none-{seed:x}"));
        let engine = open(&elsewhere, &PowerDisk::new(&elsewhere, 1)).await;
        drop(std::mem::replace(&mut self.engine, engine.unwrap()));
        let mut left = self.disk.left().unwrap();
        for ops in [seed % 16, seed % 5] {
            let disk = PowerDisk::again(left);
            let dir = disk.dir().to_owned();
            disk.cut_after(ops, seed ^ ops);
            let opened = open(&dir, &disk).await;
            disk.stay();
            left = match disk.left() {
                Some(left) => left,
                None => {
                    (self.dir, self.disk, self.engine) = (dir, disk, opened.unwrap());
                    return;
                }
            };
        }
        let disk = PowerDisk::again(left);
        self.dir = disk.dir().to_owned();
        self.engine = open(&self.dir, &disk).await.unwrap();
        self.disk = disk;
    }

    /// Of an append that was not answered the event may be there.
    async fn look_for(&mut self, doubtful: u64) {
        let last = self.numbers.last_key_value().map_or(0, |(seq, _)| *seq);
        let read = self.engine.read(last, u64::MAX, MAX).await.unwrap();
        for entry in read.entries {
            assert_eq!(number(entry.id), doubtful, "an event from nowhere");
            self.found(entry.seq, doubtful);
        }
    }

    /// Every event that waits is there, and nothing else below what is routed waits.
    async fn check(&self, state: &faceway_core::LaneState) {
        let seqs = waiting_seqs(state);
        let entries = self.engine.fetch(seqs.clone()).await.unwrap();
        for (seq, entry) in seqs.iter().zip(entries) {
            assert!(entry.is_some(), "{seq} has left the log and waits");
        }
    }

    async fn revive(&mut self) {
        while self.commit().await {}
        if let Some((seq, device)) = self.buried.pop_first() {
            let state = self.engine.look("erp").await.unwrap().unwrap();
            // After a crash before its burial was durable it waits.
            if state.buried > 0 && !waiting_seqs(&state).contains(&seq) {
                self.lane.revive(&[Offer { seq, device }]);
            }
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Append(device, kind, kilobytes) => self.append(device, kind, kilobytes).await,
            Step::Route(entries) => self.route(entries).await,
            Step::Next => _ = self.next().await,
            Step::End(at) => self.end(at),
            Step::Commit => _ = self.commit().await,
            Step::FailCommit(arrives) => self.fail_commit(arrives).await,
            Step::Pass(millis) => self.millis += millis,
            Step::TurnDown(is_down) => self.is_down = is_down,
            Step::PowerCut(ops, seed) => self.power_cut(ops, seed).await,
            Step::Replay => {
                let tail = self.lane.routed_through();
                let span = (Timestamp::EPOCH, Timestamp::EPOCH);
                self.lane.replay((tail / 2 + 1, tail), span);
                // Until the job is durable, nothing keeps what is through from leaving.
                while self.commit().await {}
                self.route_replay().await;
            }
            Step::Revive => self.revive().await,
        }
    }

    /// The destination is well again: everything is delivered or buried.
    async fn settle(&mut self) {
        self.is_down = false;
        let mut guests = 0;
        for _ in 0..5_000 {
            self.route(64).await;
            self.route_replay().await;
            let next = self.next().await;
            if next.is_ok() {
                continue;
            }
            if !self.in_flight.is_empty() {
                self.end(0);
            } else if self.commit().await {
                continue;
            } else if let Err(Some(until)) = next {
                let millis = until.since(Tick::after(Duration::ZERO)).as_millis() as u64;
                self.millis = millis.max(self.millis + 1);
                // A site goes on: without another event nothing tells a bad one from a destination that is down.
                guests += 1;
                if guests % 2 == 0 && guests < 100 {
                    self.append(100 + guests % 4, Kind::Good, 1).await;
                }
            } else {
                break;
            }
        }
        let state = self.engine.look("erp").await.unwrap().unwrap();
        assert_eq!(waiting_seqs(&state), [0; 0], "{:?}", self.lane.view());
        assert!(state.held.is_empty(), "{:?} is left behind", state.held);
        for (seq, number) in &self.numbers {
            let kind = self.kinds[*number as usize];
            assert!(
                kind != Kind::Good || self.accepted.contains(seq),
                "{seq} is lost"
            );
        }
        assert_eq!(state.buried, self.lane.view().survey.buried);
        // Of a group that was torn and never answered a head may be left, and tells it as damaged: no one can know that it is not.
        let was_cut = self.numbers.keys().any(|seq| *seq > 60_000);
        assert!(was_cut || self.engine.damage() == Default::default());
        self.engine.close().await;
    }
}

/// What a start must find again.
fn kept(state: &LaneState) -> impl PartialEq {
    (
        state.routed_through,
        state.waiting.clone(),
        state.held.clone(),
        state.replays.clone(),
    )
}

/// Each takes two or three seconds; a long walk is asked for by `PROPTEST_CASES`.
fn cases() -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.and_then(|cases| cases.parse().ok()).unwrap_or(12)
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: cases(),
        max_shrink_iters: 50,
        ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_is_lost_on_a_disk_that_fails(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            world.append(0, Kind::Good, 1).await;
            assert_eq!(world.numbers.len(), 1, "nothing is taken in");
            for step in steps {
                world.take(step).await;
            }
            world.settle().await;
        });
    }
}
