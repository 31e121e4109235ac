//! A lane's seat: it stays while what is delivered to changes, and outlives what breaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use faceway_core::{Lane, Outbound, Start, Survey};
use faceway_rules::OutboundPlan;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::decide::{Decider, Once, lock};
use super::judge::Judge;
use super::lane::{LaneWork, Tools};
use super::metrics::LaneMetrics;
use super::render::Renderer;
use super::{Common, LaneStatus};

/// When a lane's work ends by a defect of ours, it begins anew after this.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
/// Whether a lane that leaves is through is asked this often.
const LEAVING_PAUSE: Duration = Duration::from_millis(500);

/// What a lane delivers to.
pub(super) struct Target {
    pub(super) plan: OutboundPlan,
    pub(super) outbound: Arc<dyn Outbound>,
}

/// What a lane is to do. All of it together, as of several orders only the last may be heard.
#[derive(Clone)]
pub(super) struct Orders {
    /// Deliver to this.
    pub(super) target: Arc<Target>,
    /// What was kept up to this sequence number, and then end: its outbound is no longer in `routes.toml`. Not up to a
    /// time: clocks are set back.
    pub(super) leave: Option<u64>,
}

/// Everything that a lane's work is made from, and made from again.
pub(super) struct Seat {
    pub(super) name: String,
    pub(super) target: Arc<Target>,
    pub(super) orders: watch::Receiver<Orders>,
    pub(super) common: Common,
    pub(super) lane: Lane,
    pub(super) status: Arc<LaneStatus>,
    /// Somebody wants the next probe at once.
    pub(super) probe: Arc<Notify>,
    pub(super) once: Once,
    /// Whether the lane has left, and only waits to be asked back.
    pub(super) left: Arc<AtomicBool>,
    pub(super) stop: CancellationToken,
}

/// Whether a lane has nothing more to do with what was kept up to a sequence number. With buried events it stays to be
/// looked at, and passes by what is not for it.
pub(super) fn is_through(survey: &Survey, upto: u64) -> bool {
    survey.buried == 0 && survey.first.is_none_or(|first| first > upto)
}

/// Why a lane's work ended.
enum Ended {
    /// The gateway stops.
    Stopped,
    /// Everything is through that was kept before the lane left.
    Left,
    /// It is to deliver to something else.
    Changed(Arc<Target>),
    /// A defect of ours.
    Broken,
}

impl Seat {
    /// Works until it is stopped, or nobody has orders for it any more. A lane that has left says so and waits: it may be
    /// asked back. A panic is a defect of ours; it must cost a second, not the lane.
    pub(super) async fn keep_working(mut self) {
        self.recall().await;
        loop {
            match self.work_once().await {
                Ended::Stopped => break,
                Ended::Changed(target) => self.deliver_to(target).await,
                Ended::Broken => self.begin_anew().await,
                Ended::Left => {
                    self.retire().await;
                    match self.asked_back().await {
                        Some(target) => self.deliver_to(target).await,
                        None => break,
                    }
                }
            }
        }
        self.target.outbound.close().await;
    }

    /// A destination that does not answer must not hold up a stop.
    async fn retire(&self) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = self.target.outbound.retire() => {}
        }
    }

    /// What `once` let pass before the gateway started.
    async fn recall(&self) {
        match self.common.spool.remembered(self.lane).await {
            Ok(passed) => lock(&self.once).recall(passed),
            Err(error) => tracing::error!(
                outbound = self.name,
                %error,
                "what `once` has let pass cannot be read: the first of each passes again"
            ),
        }
    }

    async fn deliver_to(&mut self, target: Arc<Target>) {
        let before = std::mem::replace(&mut self.target, target);
        if !Arc::ptr_eq(&before, &self.target) {
            before.outbound.close().await;
        }
        // What was given up on its way is still leased.
        self.give_back().await;
    }

    /// Says that the lane has left, and waits for other orders. `None` when there will be none.
    async fn asked_back(&mut self) -> Option<Arc<Target>> {
        {
            let orders = self.orders.borrow_and_update();
            if !Arc::ptr_eq(&orders.target, &self.target) {
                return Some(Arc::clone(&orders.target));
            }
            // While the orders are looked at nobody gives others.
            self.left.store(true, Ordering::SeqCst);
        }
        tokio::select! {
            () = self.stop.cancelled() => return None,
            changed = self.orders.changed() => changed.ok()?,
        }
        // To deliver to something else, or to look once more whether it is through.
        Some(Arc::clone(&self.orders.borrow_and_update().target))
    }

    async fn work_once(&mut self) -> Ended {
        let halt = self.stop.child_token();
        self.target.outbound.open();
        let work = self.work(halt.clone()).await;
        let mut work = AbortOnDropHandle::new(tokio::spawn(work.run()));
        let mut next = None;
        let mut leaving = self.orders.borrow().leave;
        let ended = loop {
            let mut orders = self.orders.clone();
            tokio::select! {
                biased;
                Ok(()) = orders.changed() => {
                    let orders = self.orders.borrow_and_update();
                    leaving = orders.leave;
                    if !Arc::ptr_eq(&orders.target, &self.target) {
                        next = Some(Arc::clone(&orders.target));
                        halt.cancel();
                    }
                }
                ended = &mut work => break ended,
                () = self.through(leaving), if leaving.is_some() && !halt.is_cancelled() => halt.cancel(),
            }
        };
        if self.stop.is_cancelled() {
            return Ended::Stopped;
        }
        match (ended, next) {
            (_, Some(target)) => Ended::Changed(target),
            (Err(_), None) => Ended::Broken,
            (Ok(()), None) => Ended::Left,
        }
    }

    /// Ends when everything is through that was kept before the lane left.
    async fn through(&self, leaving: Option<u64>) {
        loop {
            let now = self.common.clock.now();
            if let Ok(survey) = self.common.spool.survey(self.lane, now).await
                && leaving.is_some_and(|upto| is_through(&survey, upto))
            {
                return;
            }
            tokio::time::sleep(LEAVING_PAUSE).await;
        }
    }

    async fn begin_anew(&self) {
        tracing::error!(
            outbound = self.name,
            "a lane's work broke off; it begins anew"
        );
        tokio::time::sleep(RESTART_PAUSE).await;
        self.give_back().await;
    }

    /// What an earlier work had in its hands can be leased again.
    async fn give_back(&self) {
        let opened = self.common.spool.open_lane(&self.name, Start::Now).await;
        if let Err(error) = opened {
            tracing::error!(outbound = self.name, %error, "the lane cannot be opened again");
        }
    }

    async fn work(&self, halt: CancellationToken) -> LaneWork {
        let plan = &self.target.plan;
        let rules = self.common.rules.clone();
        let decider = Decider::new(&self.name, rules.look().await, Arc::clone(&self.once));
        let (links, spool) = (&self.common.links, &self.common.spool);
        let renderer = Renderer::new(plan, Arc::clone(links), Arc::clone(spool));
        let tools = Tools {
            lane: self.lane,
            spool: Arc::clone(&self.common.spool),
            outbound: Arc::clone(&self.target.outbound),
            renderer: Arc::new(renderer),
            clock: Arc::clone(&self.common.clock),
            status: Arc::clone(&self.status),
            probe: Arc::clone(&self.probe),
            metrics: LaneMetrics::new(&self.name),
            concurrency_max: plan.common.concurrency_max as usize,
            batch_max: plan.common.batch_max as usize,
            rules,
            stop: halt,
            grace: self.common.grace,
        };
        LaneWork::new(tools, Judge::new(plan.common.retry), decider)
    }
}
