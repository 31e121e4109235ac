//! A stop beside a store that does not answer any more.

use std::sync::Arc;
use std::time::Duration;

use faceway_core::{Clock as _, LaneSurvey, Log as _};
use tokio::time::Instant;

use super::{Bench, Gate, HOUR, LaneTask, PATIENCE};
use crate::context::Context;
use crate::dispatch::Dispatch;

/// The grace period, what a lane may take to route what came last, and to keep its state.
const STOP_MAX: Duration = Duration::from_secs(60 + 2 + 2);

impl Bench {
    /// Stops; gives how long that took.
    async fn stop(&mut self) -> Duration {
        let next = Dispatch::new(self.dispatch.context.clone(), self.dispatch.rules.clone());
        let dispatch = std::mem::replace(&mut self.dispatch, next);
        let began = Instant::now();
        let stopped = tokio::time::timeout(PATIENCE, dispatch.stop()).await;
        assert!(stopped.is_ok(), "it never stops");
        began.elapsed()
    }

    /// Starts with a store that answers, and waits until everything is delivered; gives how many events that were.
    async fn deliver_the_rest(mut self) -> usize {
        self.log = self.disk.open();
        let context = Context::for_tests(&self.log, Arc::new(self.clock.clone()));
        self.dispatch = Dispatch::new(context, self.dispatch.rules.clone());
        let gate = Gate::new(1_000);
        self.add(Arc::clone(&gate) as _).await;
        let tail = self.log.tail().unwrap();
        let is_through = |survey: LaneSurvey| survey.backlog == 0 && survey.routed_through == tail;
        self.eventually(|dispatch| {
            let survey = dispatch.lanes()[0].status().get().survey;
            survey.is_some_and(is_through)
        })
        .await;
        gate.confirmed()
    }
}

/// Whatever the lane has just asked for: a claim, a part of the log, entries, a commit.
#[tokio::test(start_paused = true)]
async fn a_store_that_never_answers_does_not_hold_up_a_stop() {
    for waits_before in [false, true] {
        for moment in 0..60 {
            let mut bench = Bench::new().await;
            if waits_before {
                bench.add(Gate::new(0) as _).await;
                bench.append(bench.clock.now()).await;
                bench.eventually(|_| bench.disk.commits() > 0).await;
                bench.stop().await;
            }
            let gate = Gate::new(1);
            bench.add(Arc::clone(&gate) as _).await;
            if !waits_before {
                bench.append(bench.clock.now()).await;
            }
            for _ in 0..moment {
                tokio::task::yield_now().await;
            }
            bench.log.freeze(true);
            let took = bench.stop().await;
            assert!(took <= STOP_MAX, "{took:?}, stopped after {moment} turns");
            // What was confirmed and is not committed comes once more.
            let delivered = gate.confirmed() + bench.deliver_the_rest().await;
            assert!(
                (3..=4).contains(&delivered),
                "{delivered} of 3 are delivered"
            );
        }
    }
}

/// What an operator asked for waits for a commit.
#[tokio::test(start_paused = true)]
async fn a_command_that_is_never_kept_does_not_hold_up_a_stop() {
    let mut bench = Bench::new().await;
    let gate = Gate::new(9);
    bench.add(Arc::clone(&gate) as _).await;
    bench.append(bench.clock.now()).await;
    bench.eventually(|_| gate.confirmed() == 3).await;
    let (since, until) = (
        bench.clock.now().plus_millis(-1),
        bench.clock.now().plus(HOUR),
    );
    let span = bench.log.span(since, until).await.unwrap();
    bench.log.freeze(true);
    let task = LaneTask::Replay { span, since, until };
    let asked = bench.dispatch.change_lane("erp", task);
    assert!(
        tokio::time::timeout(Duration::from_secs(1), asked)
            .await
            .is_err_and(|_| true),
        "it is answered although it is not kept"
    );
    let took = bench.stop().await;
    assert!(took <= STOP_MAX, "{took:?}");
}
