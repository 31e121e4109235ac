//! How often a lane's state is written down: each time is a sync of the disk.

use std::sync::Arc;
use std::time::Duration;

use faceway_core::{Clock as _, LaneStore as _};

use super::{Bench, Gate, PATIENCE};

/// Less than what is only routed waits, and more than anything else does.
const A_MOMENT: Duration = Duration::from_millis(50);

impl Gate {
    /// Waits until so many more are on their way, and then until nothing else happens.
    async fn are_asked(&self, count: u32) {
        let asked = self.asked.acquire_many(count);
        let asked = tokio::time::timeout(PATIENCE, asked).await;
        asked.unwrap().unwrap().forget();
        tokio::time::sleep(A_MOMENT).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_only_routed_is_written_down_with_what_becomes_of_it() {
    let mut bench = Bench::new().await;
    let gate = Gate::new(0);
    bench.add(Arc::clone(&gate) as _).await;
    bench.append(bench.clock.now()).await;
    gate.are_asked(1).await;
    assert_eq!(bench.disk.commits(), 0);
    gate.open.add_permits(1);
    gate.are_asked(1).await;
    assert_eq!(bench.disk.commits(), 1);
}

/// Else trimming would spare the log, and a lane without a supervisor would know nothing of what it was given.
#[tokio::test(start_paused = true)]
async fn what_is_only_routed_does_not_wait_for_a_destination() {
    let mut bench = Bench::new().await;
    bench.add(Gate::new(0) as _).await;
    bench.append(bench.clock.now()).await;
    bench.eventually(|_| bench.disk.commits() == 1).await;
    // Nothing is written when nothing has changed.
    tokio::time::sleep(PATIENCE).await;
    assert_eq!(bench.disk.commits(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_ends_together_is_written_down_together() {
    let mut bench = Bench::new().await;
    let gate = Gate::new(0);
    bench.add(Arc::clone(&gate) as _).await;
    for device in 1..=3 {
        bench.append_of(device, bench.clock.now()).await;
    }
    gate.are_asked(3).await;
    bench.eventually(|_| bench.disk.commits() == 1).await;
    gate.open.add_permits(3);
    gate.are_asked(3).await;
    assert_eq!((gate.confirmed(), bench.disk.commits()), (3, 2));
}

/// A lane that no supervisor works for after the next start shows only what was routed before.
#[tokio::test(start_paused = true)]
async fn what_came_just_before_the_stop_is_routed() {
    let mut bench = Bench::new().await;
    bench.add(Gate::new(0) as _).await;
    bench
        .eventually(|dispatch| dispatch.lanes()[0].status().get().survey.is_some())
        .await;
    bench.append(bench.clock.now()).await;
    bench.dispatch.stop().await;
    let kept = bench.log.look("erp").await.unwrap().unwrap();
    assert_eq!(kept.survey().backlog, 3);
}

/// Also when the store gives the lane only after the stop has begun.
#[tokio::test(start_paused = true)]
async fn what_came_before_the_lane_was_claimed_is_routed_by_the_stop() {
    let mut bench = Bench::new().await;
    bench.append(bench.clock.now()).await;
    bench.dispatch.open(&bench.plan).await.unwrap();
    bench.append_of(2, bench.clock.now()).await;
    bench.log.freeze(true);
    bench.dispatch.add(
        bench.plan.clone(),
        Gate::new(0) as Arc<dyn faceway_core::Outbound>,
    );
    let (log, stopping) = (Arc::clone(&bench.log), bench.dispatch.stop());
    let thaw = async {
        tokio::time::sleep(A_MOMENT).await;
        log.freeze(false);
    };
    tokio::join!(stopping, thaw);
    let kept = log.look("erp").await.unwrap().unwrap();
    assert_eq!(kept.survey().backlog, 3, "what came since it was made");
}
