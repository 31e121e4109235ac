//! A random walk of a lane against a naive model: nothing is lost, nothing stalls, each device stays in order, the backlog is
//! exact, whatever the destination does, however often the gateway dies.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use faceway_core::{Code, DeviceKey, LaneChange, LaneState, Scope, Timestamp, Verdict, waiting};
use faceway_lane::{Acknowledged, Action, Delivery, Fate, Lane, Now, Offer, Policy, Stage, Tick};
use proptest::prelude::*;

/// What an event does to the destination.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Good,
    /// Not for this outbound.
    Skipped,
    /// It hears 500 for ever.
    Fails,
    /// It hears 400.
    Incurable,
    /// It hears 401 for ever.
    Refused,
    /// The connection breaks whenever it is sent.
    Breaks,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Up,
    Down,
    Busy,
    RefusesAll,
    FailsAll,
}

#[derive(Clone, Debug)]
enum Step {
    Append(u64, Kind),
    Route(usize),
    Next,
    End(usize),
    Commit,
    FailCommit(bool),
    Pass(u64),
    Turn(Mode),
    Crash(u64),
    Replay,
    Revive,
    Probe,
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        12 => Just(Kind::Good),
        3 => Just(Kind::Skipped),
        1 => Just(Kind::Fails),
        1 => Just(Kind::Incurable),
        1 => Just(Kind::Refused),
        1 => Just(Kind::Breaks),
    ]
}

fn modes(every: bool) -> BoxedStrategy<Mode> {
    if every {
        prop_oneof![
            3 => Just(Mode::Up),
            1 => Just(Mode::Down),
            1 => Just(Mode::Busy),
            1 => Just(Mode::RefusesAll),
            1 => Just(Mode::FailsAll),
        ]
        .boxed()
    } else {
        prop_oneof![2 => Just(Mode::Up), 1 => Just(Mode::Down), 1 => Just(Mode::Busy)].boxed()
    }
}

fn steps(every: bool) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..6_u64, kinds()).prop_map(|(device, kind)| Step::Append(device, kind)),
        4 => (1..9_usize).prop_map(Step::Route),
        14 => Just(Step::Next),
        14 => (0..8_usize).prop_map(Step::End),
        5 => Just(Step::Commit),
        1 => any::<bool>().prop_map(Step::FailCommit),
        5 => (1..4_000_u64).prop_map(Step::Pass),
        1 => modes(every).prop_map(Step::Turn),
        1 => any::<u64>().prop_map(Step::Crash),
        1 => Just(Step::Replay),
        1 => Just(Step::Revive),
        1 => Just(Step::Probe),
    ];
    prop::collection::vec(step, 1..250)
}

/// The gateway around a lane, its store and its destination.
struct World {
    policy: Policy,
    /// Device and kind of each entry; the first has sequence number 1.
    log: Vec<(DeviceKey, Kind)>,
    lane: Lane,
    kept: LaneState,
    buried: BTreeSet<u64>,
    committing: Option<LaneChange>,
    in_flight: Vec<Delivery>,
    mode: Mode,
    millis: u64,
    /// What waits, by the naive count.
    waiting: BTreeSet<u64>,
    accepted: BTreeSet<u64>,
    last: BTreeMap<DeviceKey, u64>,
    /// They may come behind later ones.
    again: BTreeSet<u64>,
    deliveries: u64,
}

impl World {
    fn new(policy: Policy) -> Self {
        let mut world = Self {
            policy,
            log: Vec::new(),
            lane: Lane::load(policy, LaneState::default(), now(0)).0,
            kept: LaneState::default(),
            buried: BTreeSet::new(),
            committing: None,
            in_flight: Vec::new(),
            mode: Mode::Up,
            millis: 0,
            waiting: BTreeSet::new(),
            accepted: BTreeSet::new(),
            last: BTreeMap::new(),
            again: BTreeSet::new(),
            deliveries: 0,
        };
        world.lane.set_tail(0);
        world
    }

    fn now(&self) -> Now {
        now(self.millis)
    }

    fn tail(&self) -> u64 {
        self.log.len() as u64
    }

    fn offer(&self, seq: u64) -> Option<Offer> {
        let (device, kind) = self.log[seq as usize - 1];
        (kind != Kind::Skipped).then_some(Offer { seq, device })
    }

    fn route(&mut self, count: usize) {
        self.lane.set_tail(self.tail());
        let from = self.lane.routed_through() + 1;
        let through = self.tail().min(from + count as u64 - 1);
        if through < from {
            return;
        }
        let offers: Vec<Offer> = (from..=through).filter_map(|seq| self.offer(seq)).collect();
        self.waiting.extend(offers.iter().map(|offer| offer.seq));
        self.lane.offer(through, &offers, Vec::new());
    }

    fn route_replay(&mut self) {
        while let Some(job) = self.lane.replay_to_route() {
            let through = job.through_seq.min(job.routed_through + 5);
            let seqs = job.routed_through + 1..=through;
            let offers: Vec<Offer> = seqs.filter_map(|seq| self.offer(seq)).collect();
            for offer in &offers {
                self.again.insert(offer.seq);
                self.waiting.insert(offer.seq);
            }
            self.lane.offer_replayed(job.number, through, &offers);
        }
    }

    /// One step of the lane; `None` when it has nothing to do, or the time until which it waits.
    fn next(&mut self) -> Result<(), Option<Tick>> {
        match self.lane.next(self.now().tick, 0.5) {
            Action::Deliver(delivery) => {
                self.check_delivery(&delivery);
                self.in_flight.push(delivery);
                self.deliveries += 1;
                Ok(())
            }
            Action::Wait(until) => Err(Some(until)),
            Action::Idle => Err(None),
        }
    }

    fn check_delivery(&self, delivery: &Delivery) {
        assert!(
            self.in_flight.len() < self.policy.concurrency_max,
            "the window is full"
        );
        assert!(delivery.events.len() <= self.policy.batch_max);
        let mut seqs: BTreeMap<DeviceKey, u64> = BTreeMap::new();
        for event in &delivery.events {
            let before = seqs.insert(event.device, event.seq);
            assert!(
                before.is_none_or(|before| before < event.seq),
                "out of order in a message"
            );
            let mut flying = self.in_flight.iter().flat_map(|delivery| &delivery.events);
            assert!(
                flying.all(|other| other.device != event.device),
                "two messages of one device are in flight"
            );
        }
    }

    fn verdict(&self, delivery: &Delivery) -> Verdict {
        let kinds: Vec<Kind> = delivery
            .events
            .iter()
            .map(|event| self.log[event.seq as usize - 1].1)
            .collect();
        let retry = |scope, status, after| Verdict::Retry {
            scope,
            code: Code::status(status),
            after,
        };
        let has = |kind| kinds.contains(&kind);
        match self.mode {
            Mode::Down => retry(Scope::Destination, 503, None),
            Mode::Busy => retry(Scope::Destination, 429, Some(Duration::from_secs(2))),
            Mode::RefusesAll => Verdict::Refused {
                code: Code::status(401),
            },
            Mode::FailsAll => retry(Scope::Message, 500, None),
            Mode::Up if has(Kind::Breaks) => retry(Scope::Destination, 0, None),
            Mode::Up if has(Kind::Incurable) => Verdict::Bury {
                code: Code::status(400),
            },
            Mode::Up if has(Kind::Refused) => Verdict::Refused {
                code: Code::status(401),
            },
            Mode::Up if has(Kind::Fails) => retry(Scope::Message, 500, None),
            Mode::Up => Verdict::Delivered {
                code: Code::status(200),
            },
        }
    }

    fn accept(&mut self, delivery: &Delivery) {
        for event in &delivery.events {
            let is_first = self.accepted.insert(event.seq);
            let last = self.last.entry(event.device).or_default();
            assert!(
                !is_first || event.seq > *last || self.again.contains(&event.seq),
                "{} arrives behind {last}",
                event.seq
            );
            *last = (*last).max(event.seq);
        }
    }

    fn end(&mut self, at: usize) {
        if self.in_flight.is_empty() {
            return;
        }
        let delivery = self.in_flight.swap_remove(at % self.in_flight.len());
        let verdict = self.verdict(&delivery);
        if matches!(verdict, Verdict::Delivered { .. }) {
            self.accept(&delivery);
            for event in &delivery.events {
                self.waiting.remove(&event.seq);
            }
        }
        let ended = Acknowledged {
            verdict,
            took: Duration::from_millis(1),
            sent: delivery.events.len(),
            ages: Vec::new(),
        };
        self.lane
            .acknowledge(delivery.number, ended, self.now(), 0.5);
        self.follow();
    }

    fn follow(&mut self) {
        for fate in self.lane.take_fates() {
            if let Fate::Buried { seq, .. } = fate {
                self.waiting.remove(&seq);
            }
        }
    }

    fn begin_commit(&mut self) -> bool {
        if self.committing.is_none() {
            self.committing = self.lane.take_change();
        }
        self.committing.is_some()
    }

    fn keep(&mut self, change: LaneChange) {
        for (seq, burial) in &change.burials {
            match burial {
                Some(_) => self.buried.insert(*seq),
                None => self.buried.remove(seq),
            };
        }
        for seq in &change.dropped {
            self.buried.remove(seq);
        }
        self.kept.apply(change);
        self.kept.buried = self.buried.len() as u64;
    }

    fn commit(&mut self) -> bool {
        let has_change = self.begin_commit();
        if let Some(change) = self.committing.take() {
            self.keep(change);
            self.lane.committed(self.buried.len() as u64);
        }
        has_change
    }

    fn fail_commit(&mut self, arrives: bool) {
        self.begin_commit();
        if let Some(change) = self.committing.take() {
            if arrives {
                self.keep(change.clone());
            }
            self.lane.not_committed(change);
        }
    }

    fn crash(&mut self, seed: u64) {
        // What is in flight may arrive all the same.
        for (at, delivery) in std::mem::take(&mut self.in_flight).into_iter().enumerate() {
            let arrives = seed >> (at % 64) & 1 == 1;
            if arrives && matches!(self.verdict(&delivery), Verdict::Delivered { .. }) {
                self.accept(&delivery);
            }
        }
        self.committing = None;
        self.waiting.clear();
        for (range, bytes) in &self.kept.waiting {
            let events = waiting::decode(*range, bytes).unwrap();
            self.waiting.extend(events.into_iter().map(|(seq, _)| seq));
        }
        let (lane, damaged) = Lane::load(self.policy, self.kept.clone(), self.now());
        assert!(damaged.is_empty());
        self.lane = lane;
        self.lane.set_tail(self.tail());
    }

    fn revive(&mut self) {
        // A burial that is not durable is not listed either.
        while self.commit() {}
        let Some(seq) = self.buried.first().copied() else {
            return;
        };
        if self.waiting.contains(&seq) {
            return;
        }
        let offer = self.offer(seq).unwrap();
        self.lane.revive(&[offer]);
        self.again.insert(seq);
        self.waiting.insert(seq);
        while self.commit() {}
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Append(device, kind) => self.log.push((DeviceKey(device), kind)),
            Step::Route(count) => self.route(count),
            Step::Next => _ = self.next(),
            Step::End(at) => self.end(at),
            Step::Commit => _ = self.commit(),
            Step::FailCommit(arrives) => self.fail_commit(arrives),
            Step::Pass(millis) => self.millis += millis,
            Step::Turn(mode) => self.mode = mode,
            Step::Crash(seed) => self.crash(seed),
            Step::Replay => {
                let tail = self.lane.routed_through();
                if tail > 0 {
                    let span = (Timestamp::EPOCH, Timestamp::EPOCH);
                    self.lane.replay((tail / 2 + 1, tail), span);
                    self.route_replay();
                }
            }
            Step::Revive => self.revive(),
            Step::Probe => _ = self.lane.probe_now(self.now().tick),
        }
        self.follow();
        assert_eq!(
            self.lane.view().survey.backlog,
            self.waiting.len() as u64,
            "the backlog is not true"
        );
        assert_eq!(self.lane.view().survey.first, self.waiting.first().copied());
    }

    /// The destination is well again: everything is delivered or buried, in a bounded number of steps.
    fn settle(&mut self) {
        self.mode = Mode::Up;
        let mut guests = 0;
        for _ in 0..20_000 {
            self.route(64);
            self.route_replay();
            let next = self.next();
            self.follow();
            if next.is_ok() {
                continue;
            }
            if !self.in_flight.is_empty() {
                self.end(0);
                continue;
            }
            if self.commit() {
                continue;
            }
            if let Err(Some(until)) = next {
                let millis = until.since(Tick::after(Duration::ZERO)).as_millis() as u64;
                assert!(millis >= self.millis, "it waits for what is past");
                let is_long = millis > self.millis + 5_000;
                self.millis = millis.max(self.millis + 1);
                // A site goes on: without another event nothing tells a bad one from a destination that is down.
                guests += u64::from(is_long);
                if is_long && guests % 2 == 0 && guests < 800 {
                    self.log.push((DeviceKey(100 + guests % 4), Kind::Good));
                }
                continue;
            }
            break;
        }
        let view = self.lane.view();
        assert_eq!(
            view.survey.backlog, 0,
            "{view:?} stalls with {:?}",
            self.waiting
        );
        assert_eq!(
            (view.stage, view.survey.parked, view.in_flight),
            (Stage::Idle, 0, 0)
        );
        for seq in 1..=self.tail() {
            let is_there = self.accepted.contains(&seq) || self.buried.contains(&seq);
            assert!(is_there || self.offer(seq).is_none(), "{seq} is lost");
        }
        assert_eq!(view.survey.buried, self.buried.len() as u64);
    }
}

fn now(millis: u64) -> Now {
    Now {
        tick: Tick::after(Duration::from_millis(millis)),
        wall: Timestamp::from_millis(1_795_334_400_000 + millis as i64).unwrap(),
    }
}

fn policy(concurrency_max: usize, batch_max: usize) -> Policy {
    Policy {
        backoff_max: Duration::from_secs(60),
        attempts_max: std::num::NonZeroU32::new(4),
        concurrency_max,
        batch_max,
        ..Policy::default()
    }
}

fn walk(steps: Vec<Step>, concurrency_max: usize, batch_max: usize) -> World {
    let mut world = World::new(policy(concurrency_max, batch_max));
    for step in steps {
        world.take(step);
    }
    world.settle();
    world
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Also when it refuses whatever comes for a while, which may cost the burial of good events.
    #[test]
    fn nothing_is_lost_and_nothing_stalls(
        steps in steps(true),
        concurrency_max in 1..5_usize,
        batch_max in prop_oneof![Just(1), Just(3), Just(10)],
    ) {
        walk(steps, concurrency_max, batch_max);
    }

    #[test]
    fn no_good_event_is_buried(
        steps in steps(false),
        concurrency_max in 1..5_usize,
        batch_max in prop_oneof![Just(1), Just(3), Just(10)],
    ) {
        let world = walk(steps, concurrency_max, batch_max);
        for seq in &world.buried {
            let kind = world.log[*seq as usize - 1].1;
            prop_assert_ne!(kind, Kind::Good, "{} is buried", seq);
        }
    }
}

/// Found by the walk: a refused event that breaks the connection was the probe for ever, as it was passed in a way that only
/// counts where the destination answers.
#[test]
fn a_refused_event_that_breaks_the_connection_does_not_probe_for_ever() {
    use Step::{Append, End, Next, Pass, Route, Turn};
    let steps = vec![
        Append(2, Kind::Fails),
        Append(3, Kind::Breaks),
        Append(0, Kind::Good),
        Route(3),
        Next,
        Next,
        Append(0, Kind::Fails),
        End(2),
        Pass(750),
        Next,
        Append(2, Kind::Good),
        Append(2, Kind::Good),
        Append(0, Kind::Good),
        End(1),
        End(0),
        Append(0, Kind::Good),
        Turn(Mode::RefusesAll),
        Append(0, Kind::Good),
        Next,
        Append(0, Kind::Good),
        Append(0, Kind::Good),
        End(0),
    ];
    walk(steps, 2, 1);
}

/// Measured before: 87 seconds of waiting behind a device with 1,000 events.
#[test]
fn a_flood_of_one_device_delays_another_one_by_what_is_in_flight() {
    for (concurrency_max, batch_max) in [(1, 1), (4, 1), (1, 100), (4, 100)] {
        let mut world = World::new(policy(concurrency_max, batch_max));
        world.log = vec![(DeviceKey(1), Kind::Good); 50_000];
        world.route(50_000);
        for _ in 0..50 {
            while world.next().is_ok() {}
            world.end(0);
        }
        while world.next().is_ok() {}
        world.log.push((DeviceKey(2), Kind::Good));
        world.route(1);
        let before = world.deliveries;
        while !world.accepted.contains(&50_001) {
            if world.next().is_err() {
                world.end(0);
                world.millis += 50;
            }
        }
        let later = world.deliveries - before;
        assert!(
            later <= 2,
            "{later} messages with a window of {concurrency_max}"
        );
    }
}

#[test]
fn the_events_of_a_batch_are_shared_out() {
    let mut world = World::new(policy(1, 10));
    world.log = vec![(DeviceKey(1), Kind::Good); 100];
    world
        .log
        .extend((2..=5).map(|device| (DeviceKey(device), Kind::Good)));
    world.route(200);
    assert!(world.next().is_ok());
    let seqs: Vec<u64> = world.in_flight[0]
        .events
        .iter()
        .map(|event| event.seq)
        .collect();
    assert_eq!(seqs, [1, 101, 102, 103, 104, 2, 3, 4, 5, 6]);
}
