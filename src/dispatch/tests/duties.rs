//! Two gateways at one log.

use std::sync::Arc;

use bytes::Bytes;
use faceway_core::{BoxFuture, Clock as _, Duty, Log as _, Message, Outbound, Verdict};

use super::{Bench, Context, Dispatch, Gate, HOUR, LaneHandle, LaneTask, PATIENCE, plan};
use crate::dispatch::{LaneState, answer, probe};

fn lane() -> Duty {
    Duty::Lane("erp".into())
}

impl Bench {
    /// Two gateways that share a disk.
    async fn two() -> (Self, Self) {
        let first = Self::new().await;
        first.disk.share();
        let log = first.disk.open();
        let context = Context::for_tests(&log, Arc::new(first.clock.clone()));
        let second = Self {
            dispatch: Dispatch::new(context, first.dispatch.rules.clone()),
            log,
            disk: first.disk.clone(),
            clock: first.clock.clone(),
            plan: first.plan.clone(),
        };
        (first, second)
    }

    async fn stands_by(&self) {
        self.eventually(|dispatch| dispatch.lanes()[0].is_elsewhere())
            .await;
    }

    async fn is_through(&self, backlog: u64) {
        let tail = self.log.tail().unwrap();
        self.eventually(|dispatch| {
            let survey = dispatch.lanes()[0].status().get().survey;
            survey.is_some_and(|it| it.backlog == backlog && it.routed_through == tail)
        })
        .await;
    }
}

async fn is_asked(gate: &Gate) {
    let asked = tokio::time::timeout(PATIENCE, gate.asked.acquire()).await;
    asked.unwrap().unwrap().forget();
}

/// What is in flight ends at the one, and nothing is delivered twice.
#[tokio::test(start_paused = true)]
async fn a_lane_is_handed_over_when_another_gateway_is_to_have_it() {
    let (mut first, mut second) = Bench::two().await;
    let (here, there) = (Gate::new(0), Gate::new(9));
    first.add(Arc::clone(&here) as _).await;
    first.append(first.clock.now()).await;
    is_asked(&here).await;
    second.add(Arc::clone(&there) as _).await;
    second.stands_by().await;
    first.disk.want(&lane());
    // Asked to leave, it still waits for its delivery.
    first
        .eventually(|dispatch| dispatch.lanes()[0].status().get().state == LaneState::Stopped)
        .await;
    assert!(second.dispatch.lanes()[0].is_elsewhere());
    here.open.add_permits(1);
    second.is_through(0).await;
    assert_eq!((here.confirmed(), there.confirmed()), (1, 2));
    first.stands_by().await;
}

/// It may be delivered by another gateway already: what is in flight is given up, and nothing more leaves.
#[tokio::test(start_paused = true)]
async fn a_lane_that_is_lost_stops_at_once() {
    let (mut first, mut second) = Bench::two().await;
    let (here, there) = (Gate::new(0), Gate::new(9));
    first.add(Arc::clone(&here) as _).await;
    first.append(first.clock.now()).await;
    is_asked(&here).await;
    second.add(Arc::clone(&there) as _).await;
    second.stands_by().await;
    first.disk.take_away(&lane());
    second.is_through(0).await;
    first.stands_by().await;
    here.open.add_permits(9);
    first.append_of(2, first.clock.now()).await;
    second.is_through(0).await;
    assert_eq!((here.confirmed(), there.confirmed()), (0, 6));
}

/// The gateway that works a retired lane deletes it; the others forget it then.
#[tokio::test(start_paused = true)]
async fn a_retired_lane_goes_at_every_gateway() {
    let (mut first, mut second) = Bench::two().await;
    let gate = Gate::new(9);
    first.add(Arc::clone(&gate) as _).await;
    second.add(Gate::new(0) as _).await;
    first.append(first.clock.now()).await;
    first.is_through(0).await;
    second.stands_by().await;
    first.retire();
    second.retire();
    first.has_finished().await;
    assert!(second.dispatch.take_finished().is_empty());
    faceway_core::LaneStore::delete(&*first.log, "erp")
        .await
        .unwrap();
    second.has_finished().await;
    assert!(second.dispatch.lanes().is_empty());
    let lanes = faceway_core::LaneStore::list(&*first.log).await.unwrap();
    assert!(lanes.is_empty(), "it is not made once more: {lanes:?}");
}

/// What an operator asks at one gateway is done by the one that works the lane.
#[tokio::test(start_paused = true)]
async fn a_lane_is_changed_by_the_gateway_that_works_it() {
    let (mut first, mut second) = Bench::two().await;
    let gate = Gate::new(9);
    first.add(Arc::clone(&gate) as _).await;
    second.add(Gate::new(0) as _).await;
    first.append(first.clock.now()).await;
    first.is_through(0).await;
    second.stands_by().await;
    let (since, until) = (
        first.clock.now().plus_millis(-1),
        first.clock.now().plus(HOUR),
    );
    let span = second.log.span(since, until).await.unwrap();
    let task = || LaneTask::Replay { span, since, until };
    let lanes = first.dispatch.lanes();
    let find = move |name: &str| -> Option<LaneHandle> {
        lanes.iter().find(|lane| lane.name() == name).cloned()
    };
    let answering = answer(Arc::clone(&first.log) as _, find);
    second.dispatch.change_lane("erp", task()).await.unwrap();
    first.eventually(|_| gate.confirmed() == 6).await;
    assert_eq!(probe(&*second.log, "erp").await.unwrap(), "idle");
    drop(answering);
}

/// A mark of another gateway: an event behind it that was decided by the rules before would go elsewhere than over there.
#[tokio::test(start_paused = true)]
async fn no_event_is_decided_by_rules_that_another_gateway_has_replaced() {
    let (first, mut second) = Bench::two().await;
    let mark = first
        .log
        .append_rules(Bytes::from_static(b"later"), 0)
        .await
        .unwrap();
    let gate = Gate::new(9);
    second.add(Arc::clone(&gate) as _).await;
    first.append(first.clock.now()).await;
    // Long enough for everything that is not held back: time passes only when nothing else happens.
    tokio::time::sleep(HOUR).await;
    assert_eq!(
        gate.confirmed(),
        0,
        "the rules of the mark are not known yet"
    );
    let (_, none) = plan("[outbound.stdout.erp]\n");
    let mut active = second.dispatch.rules.hold().await;
    let history = active
        .as_ref()
        .clone()
        .with(mark.after_seq, first.clock.now(), none);
    *active = Arc::new(history);
    second.dispatch.rules.knows(mark.version);
    drop(active);
    second.is_through(0).await;
    assert_eq!(gate.confirmed(), 0, "by those rules nothing is for it");
}

/// Closed with the lane that leaves, as two gateways at one broker under one name would throw each other out.
#[tokio::test(start_paused = true)]
async fn a_destination_is_closed_before_the_lane_is_handed_over() {
    struct Closing(tokio::sync::watch::Sender<u32>);
    impl Outbound for Closing {
        fn deliver<'a>(&'a self, _: &'a Message) -> BoxFuture<'a, Verdict> {
            Box::pin(std::future::pending())
        }
        fn close(&self) -> BoxFuture<'_, ()> {
            self.0.send_modify(|count| *count += 1);
            Box::pin(std::future::ready(()))
        }
    }
    let (mut first, mut second) = Bench::two().await;
    let closing = Arc::new(Closing(Default::default()));
    let mut closed = closing.0.subscribe();
    first.add(closing as _).await;
    second.add(Gate::new(0) as _).await;
    second.stands_by().await;
    first.disk.want(&lane());
    let closes = closed.wait_for(|count| *count == 1);
    drop(
        tokio::time::timeout(PATIENCE, closes)
            .await
            .unwrap()
            .unwrap(),
    );
    first.stands_by().await;
    second
        .eventually(|dispatch| !dispatch.lanes()[0].is_elsewhere())
        .await;
}
