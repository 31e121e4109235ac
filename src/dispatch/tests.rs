//! Lanes at work over a real spool, with a destination that waits for the test.

mod clock;
mod commits;
mod duties;
mod poison;
mod refusals;
mod stopping;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use faceway_core::{
    Batch, BoxFuture, Clock, Code, EventId, Log as _, Message, NewEvent, Outbound, Private,
    Timestamp, Verdict,
};
use faceway_rules::OutboundPlan;
use faceway_testkit::clock::TestClock;
use faceway_testkit::memory::{MemoryDisk, MemorySpool};
use faceway_testkit::spool::{event, id, number};
use serde_json::json;
use tokio::sync::{Semaphore, watch};

use super::{Dispatch, LaneHandle, LaneState, LaneTask};
use crate::context::Context;
use crate::topology::rules_history::{ActiveRules, Rules, RulesHistory};

/// Time is made up: it passes as soon as nothing else happens.
const PATIENCE: Duration = Duration::from_secs(86_400);

const HOUR: Duration = Duration::from_secs(3600);

const FILE: &str = "[outbound.stdout.erp]\n[[route]]\nname = \"all\"\nto = [\"erp\"]\n";

/// Confirms as many messages as it is allowed to.
struct Gate {
    /// One for each message that is on its way.
    asked: Semaphore,
    open: Semaphore,
    confirmed: AtomicUsize,
}

impl Gate {
    fn new(open: usize) -> Arc<Self> {
        Arc::new(Self {
            asked: Semaphore::new(0),
            open: Semaphore::new(open),
            confirmed: 0.into(),
        })
    }

    fn confirmed(&self) -> usize {
        self.confirmed.load(Ordering::SeqCst)
    }
}

impl Outbound for Gate {
    fn deliver<'a>(&'a self, _: &'a Message) -> BoxFuture<'a, Verdict> {
        Box::pin(async {
            self.asked.add_permits(1);
            self.open.acquire().await.unwrap().forget();
            self.confirmed.fetch_add(1, Ordering::SeqCst);
            Verdict::Delivered {
                code: Code::word("ok"),
            }
        })
    }
}

/// Refuses one event for good and takes all others, in the order in which they are noted.
struct Choosy {
    refuses: EventId,
    asked: watch::Sender<Vec<EventId>>,
}

impl Choosy {
    fn new(refuses: EventId) -> Arc<Self> {
        let asked = watch::Sender::default();
        Arc::new(Self { refuses, asked })
    }

    /// The numbers of the events that it was asked to take, once there are so many.
    async fn asked(&self, count: usize) -> Vec<u64> {
        let mut asked = self.asked.subscribe();
        let enough = asked.wait_for(|asked| asked.len() >= count);
        let asked = tokio::time::timeout(PATIENCE, enough).await;
        asked
            .unwrap()
            .unwrap()
            .iter()
            .copied()
            .map(number)
            .collect()
    }
}

impl Outbound for Choosy {
    fn deliver<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Verdict> {
        let code = Code::word("said");
        self.asked.send_modify(|asked| asked.push(message.id));
        let refused = message.id == self.refuses;
        Box::pin(async move {
            if refused {
                Verdict::Bury { code }
            } else {
                Verdict::Delivered { code }
            }
        })
    }
}

fn canonical(event: &NewEvent) -> String {
    json!({
        "schema": "faceway.event/1", "id": event.id.to_string(), "kind": "other", "received_at": event.received_at.to_string(),
        "inbound": "lobby", "adapter": "nebula",
    })
    .to_string()
}

fn plan(file: &str) -> (OutboundPlan, Rules) {
    let routes = faceway_rules::parse(file, "routes.toml", &crate::config::grammar()).unwrap();
    let plan = routes.outbounds[0].clone();
    let (text, set) = (routes.text, routes.routes);
    (plan, Rules { text, set })
}

/// Lanes over a spool in a directory.
struct Bench {
    dispatch: Dispatch,
    log: Arc<MemorySpool>,
    disk: MemoryDisk,
    clock: TestClock,
    plan: OutboundPlan,
}

impl Bench {
    async fn new() -> Self {
        Self::of(FILE).await
    }

    /// By the rules of this file, whose first outbound is erp.
    async fn of(file: &str) -> Self {
        let clock = TestClock::default();
        let disk = MemoryDisk::default();
        let log = disk.open();
        let (plan, rules) = plan(file);
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let rules = ActiveRules::new(RulesHistory::new(clock.now(), rules));
        let context = Context::for_tests(&log, shared);
        Self {
            dispatch: Dispatch::new(context, rules),
            log,
            disk,
            clock,
            plan,
        }
    }

    async fn add(&mut self, outbound: Arc<dyn Outbound>) {
        self.dispatch.open(&self.plan).await.unwrap();
        self.dispatch.add(self.plan.clone(), outbound);
    }

    /// Keeps three events of one device that came in at this time.
    async fn append(&self, received_at: Timestamp) {
        self.append_of(1, received_at).await;
    }

    async fn append_of(&self, device: u64, received_at: Timestamp) {
        let first = device * 100;
        let mut events: Vec<_> = (first..first + 3).map(|n| event(n, device)).collect();
        for event in &mut events {
            event.received_at = received_at;
            event.body = Private::new(canonical(event).into());
        }
        let batch = Batch {
            events,
            ..Batch::default()
        };
        self.log.append(batch).await.unwrap();
    }

    fn retire(&mut self) {
        self.dispatch.retire("erp", self.log.tail().unwrap());
    }

    /// Waits until the retired lane is through, and what it delivers to is closed.
    async fn has_finished(&mut self) {
        let finished = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(5));
            while self.dispatch.take_finished().is_empty() {
                ticks.tick().await;
            }
        };
        tokio::time::timeout(PATIENCE, finished).await.unwrap();
    }

    async fn eventually(&self, holds: impl Fn(&Dispatch) -> bool) {
        let waiting = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(5));
            while !holds(&self.dispatch) {
                ticks.tick().await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    }

    /// Waits until the lane waits.
    async fn waits(&self) {
        let waits =
            |lane: &LaneHandle| matches!(lane.status().get().state, LaneState::Waiting { .. });
        self.eventually(|dispatch| waits(&dispatch.lanes()[0]))
            .await;
    }
}

/// What was kept before the clock was set back is not through because it seems to be of the future.
#[tokio::test(start_paused = true)]
async fn a_lane_that_leaves_delivers_what_it_was_given_whatever_the_clock_says() {
    let mut bench = Bench::new().await;
    let gate = Gate::new(0);
    bench.add(Arc::clone(&gate) as _).await;
    bench.append(bench.clock.now().plus(HOUR)).await;
    bench.retire();
    let shown = |dispatch: &Dispatch| dispatch.lanes()[0].status().get().survey;
    bench
        .eventually(|dispatch| shown(dispatch).is_some_and(|survey| survey.backlog == 3))
        .await;
    assert!(bench.dispatch.take_finished().is_empty());
    gate.open.add_permits(3);
    bench.has_finished().await;
    assert_eq!(gate.confirmed(), 3);
}

/// Between two looks at its orders a lane may be asked back and sent off again, with events in between.
#[tokio::test(start_paused = true)]
async fn a_lane_that_is_asked_back_and_sent_off_again_delivers_what_came_between() {
    let mut bench = Bench::new().await;
    let (first, second) = (Gate::new(0), Gate::new(9));
    bench.add(Arc::clone(&first) as _).await;
    bench.append(bench.clock.now()).await;
    // Not before it is on its way: the lane ends its work only with that.
    tokio::time::timeout(PATIENCE, first.asked.acquire())
        .await
        .unwrap()
        .unwrap()
        .forget();
    bench.dispatch.retire("erp", 0);
    let lane = bench.dispatch.lanes().remove(0);
    bench
        .eventually(|_| matches!(lane.status().get().state, LaneState::Stopped))
        .await;
    bench
        .dispatch
        .change(bench.plan.clone(), Arc::clone(&second) as Arc<dyn Outbound>);
    bench.retire();
    first.open.add_permits(1);
    bench.has_finished().await;
    assert_eq!((first.confirmed(), second.confirmed()), (1, 2));
}

/// A retired lane that is through and is handed events once more delivers them before it goes.
#[tokio::test(start_paused = true)]
async fn a_lane_that_has_finished_goes_on_when_there_is_something_to_do_again() {
    let mut bench = Bench::new().await;
    let gate = Gate::new(9);
    bench.add(Arc::clone(&gate) as _).await;
    bench.append(bench.clock.now()).await;
    let all = bench.log.tail().unwrap();
    // As if nothing had been kept for it: it is through as soon as it has delivered all.
    bench.retire();
    bench
        .eventually(|dispatch| dispatch.lanes[0].finished.load(Ordering::SeqCst))
        .await;
    assert_eq!((gate.confirmed(), all), (3, 3));
    let (since, until) = (
        bench.clock.now().plus_millis(-1),
        bench.clock.now().plus(HOUR),
    );
    let span = bench.log.span(since, until).await.unwrap();
    let task = LaneTask::Replay { span, since, until };
    bench.dispatch.change_lane("erp", task).await.unwrap();
    bench.has_finished().await;
    assert_eq!(gate.confirmed(), 6);
}

/// Else a crash would bring the refused event once more, behind the device's next one, and it might be taken then.
#[tokio::test(start_paused = true)]
async fn the_next_event_of_a_device_waits_until_a_burial_is_durable() {
    let mut bench = Bench::new().await;
    let choosy = Choosy::new(id(100));
    bench.add(Arc::clone(&choosy) as _).await;
    bench.disk.hold_commits(true);
    bench.append_of(1, bench.clock.now()).await;
    assert_eq!(choosy.asked(1).await, [100]);
    // Other devices do not wait with it.
    bench.append_of(2, bench.clock.now()).await;
    assert_eq!(choosy.asked(4).await, [100, 200, 201, 202]);
    bench.disk.hold_commits(false);
    assert_eq!(choosy.asked(6).await, [100, 200, 201, 202, 101, 102]);
}
