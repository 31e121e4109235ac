//! Keeps one lane running: while the outbound that it delivers to changes, through our own defects, and until the outbound
//! is retired and through.

mod stand_by;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use faceway_core::{LaneSurvey, Start};
use faceway_lane::Policy;
use faceway_rules::OutboundPlan;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::LaneStatus;
use super::decide::Decider;
use super::destination::Destination;
use super::metrics::LaneMetrics;
use super::render::Renderer;
use super::runner::{self, Commands, Runner, Tools};
use crate::context::Context;
use crate::duty::{self, Left, OnDuty};
use crate::topology::rules_history::ActiveRules;

/// When a lane's work ends by a defect of ours, it begins anew after this.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// What a lane is to do. All of it together: of several orders the supervisor may see only the last.
#[derive(Clone)]
pub(super) struct Orders {
    /// Deliver as this says.
    pub(super) plan: Arc<OutboundPlan>,
    /// Deliver to this.
    pub(super) destination: Destination,
    /// Deliver what was kept up to and with this sequence number, and then end: the outbound is retired. Not up to a time:
    /// clocks are set back.
    pub(super) through_seq: Option<u64>,
}

/// Everything that a lane's work is made from, and made from again.
pub(super) struct Supervisor {
    pub(super) name: String,
    /// What the lane does now.
    pub(super) current: Orders,
    /// What it is to do.
    pub(super) orders: watch::Receiver<Orders>,
    pub(super) context: Context,
    pub(super) rules: ActiveRules,
    pub(super) status: Arc<LaneStatus>,
    pub(super) commands: Commands,
    /// Whether the retired lane is through, and only waits for other orders.
    pub(super) finished: Arc<AtomicBool>,
    pub(super) stop: CancellationToken,
}

/// Whether a lane has nothing more to do with what was kept up to and with a sequence number. With buried events it stays, so
/// that they can be looked at, and skips what is not for it.
pub(super) fn is_through(survey: &LaneSurvey, through_seq: u64) -> bool {
    survey.buried == 0
        && survey.replays == 0
        && survey.routed_through >= through_seq
        && survey.first.is_none_or(|first| first > through_seq)
}

/// Why a lane's work ended.
enum Exit {
    /// The gateway stops.
    Stopped,
    /// The outbound is retired, and everything is through that was kept before.
    Finished,
    /// It is to deliver to something else.
    Changed(Orders),
    /// A defect of ours, or the spool does not give the lane.
    Broken,
    /// Another one delivers from now on, or the lane is dropped.
    Fenced,
    /// Another gateway has the lane's duty, or is to have it.
    OffDuty(Left),
}

/// What comes after a time on duty.
enum Next {
    /// The next one.
    StandBy(Left),
    /// Nothing.
    End,
}

impl Orders {
    /// Whether both are orders to deliver in the same way: each change comes with a plan of its own.
    fn delivers_like(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.plan, &other.plan)
    }
}

impl Supervisor {
    /// Runs until the gateway stops, or no orders can come any more. A retired lane that is through says so and waits: its
    /// outbound may return. A panic is a defect of ours; it must cost a second, not the lane.
    pub(super) async fn run(mut self) {
        while let Some(duty) = self.stand_by().await {
            // It would be made once more by being claimed.
            if self.was_deleted().await {
                duty.end(Left::HandedOver).await;
                break;
            }
            let next = self.work(&duty).await;
            let Next::StandBy(left) = next else {
                duty.end(Left::HandedOver).await;
                break;
            };
            // Closed before the duty is given back: two gateways at one broker under one name would throw each other out.
            self.status.elsewhere(self.context.clock.now());
            let renewed = self.current.destination.renew().await;
            duty.end(left).await;
            if let Err(error) = renewed {
                tracing::error!(
                    outbound = self.name,
                    error = format!("{error:#}"),
                    "the outbound cannot be opened once more: its lane stays with other gateways until routes.toml is read again"
                );
                if !self.until_changed().await {
                    break;
                }
            }
        }
        self.current.destination.outbound.close().await;
    }

    /// Works while the duty is this gateway's.
    async fn work(&mut self, duty: &OnDuty) -> Next {
        loop {
            match self.run_once(duty).await {
                Exit::Stopped => return Next::End,
                Exit::OffDuty(left) => return Next::StandBy(left),
                // Where gateways share the log, one may have made the lane once more at the same moment.
                Exit::Fenced if self.context.duties.health().is_none() || self.is_gone().await => {
                    return Next::End;
                }
                Exit::Fenced => {}
                Exit::Changed(orders) => {
                    self.follow(orders).await;
                    let gateways = &self.current.plan.common.gateways;
                    if !duty::may(&*self.context.duties, gateways) {
                        return Next::StandBy(Left::HandedOver);
                    }
                }
                Exit::Broken => self.restart(duty).await,
                Exit::Finished => {
                    self.retire().await;
                    match self.next_orders(duty).await {
                        Ok(orders) => self.follow(orders).await,
                        Err(next) => return next,
                    }
                }
            }
        }
    }

    /// Waits for other orders; `false` when there will be none.
    async fn until_changed(&mut self) -> bool {
        tokio::select! {
            () = self.stop.cancelled() => return false,
            changed = self.orders.changed() => if changed.is_err() { return false },
        }
        let orders = self.orders.borrow_and_update().clone();
        self.follow(orders).await;
        true
    }

    /// Takes back what the outbound left at the far side.
    async fn retire(&self) {
        tokio::select! {
            // A destination that does not answer must not hold up a stop.
            () = self.stop.cancelled() => {}
            () = self.current.destination.outbound.retire() => {}
        }
    }

    async fn follow(&mut self, orders: Orders) {
        let before = std::mem::replace(&mut self.current, orders);
        if !before.delivers_like(&self.current) {
            before.destination.outbound.close().await;
        }
    }

    /// Says that the lane is through, and waits for other orders.
    async fn next_orders(&mut self, duty: &OnDuty) -> Result<Orders, Next> {
        {
            // The borrow locks the orders: were the flag set after it, an outbound that returns in between would be taken for
            // one that is through, and its lane dropped with new events in it.
            let orders = self.orders.borrow_and_update();
            if !orders.delivers_like(&self.current) {
                return Ok(orders.clone());
            }
            self.finished.store(true, Ordering::SeqCst);
        }
        tokio::select! {
            () = self.stop.cancelled() => return Err(Next::End),
            changed = self.orders.changed() => changed.map_err(|_| Next::End)?,
            // Events of the history are to be delivered once more, or buried ones revived.
            () = self.commands.wait() => self.finished.store(false, Ordering::SeqCst),
            () = duty.lost() => {
                self.finished.store(false, Ordering::SeqCst);
                return Err(Next::StandBy(Left::Lost));
            }
            () = duty.wanted() => {
                self.finished.store(false, Ordering::SeqCst);
                return Err(Next::StandBy(Left::HandedOver));
            }
        }
        // To deliver to something else, or to look once more whether it is through.
        Ok(self.orders.borrow_and_update().clone())
    }

    /// Claims the lane; of one that cannot be claimed, how its work ends.
    async fn claim(&self, duty: &OnDuty, halt: &CancellationToken) -> Result<Runner, Exit> {
        self.current.destination.outbound.open();
        let claiming = Runner::claim(self.tools(halt.clone()).await, Start::Now);
        // What came just before a stop is routed after the claim: else a lane that no supervisor works for after the next start
        // would show less than it was given. But a store that does not answer must not hold the stop up for long.
        let too_long = async {
            halt.cancelled().await;
            tokio::time::sleep(runner::KEEP_GRACE).await;
        };
        let claimed = tokio::select! {
            biased;
            () = duty.lost() => return Err(Exit::OffDuty(Left::Lost)),
            claimed = claiming => claimed,
            () = too_long => return Err(Exit::Stopped),
        };
        match claimed {
            // Before it works: else a retired lane would be taken for finished before it has heard what it is asked.
            Ok(runner) => Ok(runner.after_waiting_commands().await),
            Err(error) => {
                tracing::error!(outbound = self.name, %error, "the lane cannot be read: it tries again");
                Err(Exit::Broken)
            }
        }
    }

    async fn run_once(&mut self, duty: &OnDuty) -> Exit {
        let halt = self.stop.child_token();
        let runner = match self.claim(duty, &halt).await {
            Ok(runner) => runner,
            Err(exit) => return exit,
        };
        let mut work = AbortOnDropHandle::new(tokio::spawn(runner.run()));
        let (mut next, mut is_wanted) = (None, false);
        let mut through_seq = self.orders.borrow().through_seq;
        let ended = loop {
            let mut orders = self.orders.clone();
            tokio::select! {
                // Orders first: work that ends at the same moment would else pass for finished while a new target waits.
                biased;
                Ok(()) = orders.changed() => {
                    let orders = self.orders.borrow_and_update();
                    through_seq = orders.through_seq;
                    if !orders.delivers_like(&self.current) {
                        next = Some(orders.clone());
                        halt.cancel();
                    }
                }
                () = duty.lost() => {
                    // Another gateway may deliver by now: what is in flight ends with the task.
                    work.abort();
                    let _ = (&mut work).await;
                    self.keep_up(next).await;
                    return Exit::OffDuty(Left::Lost);
                }
                ended = &mut work => break ended,
                () = duty.wanted(), if !is_wanted && !halt.is_cancelled() => {
                    is_wanted = true;
                    halt.cancel();
                }
                () = self.through(through_seq), if through_seq.is_some() && !halt.is_cancelled() => halt.cancel(),
            }
        };
        if self.stop.is_cancelled() {
            return Exit::Stopped;
        }
        if is_wanted {
            self.keep_up(next).await;
            return Exit::OffDuty(Left::HandedOver);
        }
        match (ended, next) {
            (Ok(runner::Exit::Fenced), _) => Exit::Fenced,
            (_, Some(orders)) => Exit::Changed(orders),
            (Err(_), None) => {
                tracing::error!(
                    outbound = self.name,
                    "a lane's work broke off; it begins anew"
                );
                Exit::Broken
            }
            (Ok(runner::Exit::Stopped), None) => Exit::Finished,
        }
    }

    /// Follows orders that came while the lane was leaving.
    async fn keep_up(&mut self, orders: Option<Orders>) {
        if let Some(orders) = orders {
            self.follow(orders).await;
        }
    }

    /// Ends when everything is through that was kept before the outbound was retired.
    async fn through(&self, through_seq: Option<u64>) {
        let Some(through_seq) = through_seq else {
            return std::future::pending().await;
        };
        let mut shown = self.status.watch();
        let is_through = |survey: LaneSurvey| is_through(&survey, through_seq);
        // The supervisor holds the status, so it never closes.
        let _ = shown
            .wait_for(|shown| shown.survey.is_some_and(is_through))
            .await;
    }

    async fn restart(&self, duty: &OnDuty) {
        // A panic that comes back at once must not fill the disk with log lines.
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = duty.lost() => {}
            () = tokio::time::sleep(RESTART_PAUSE) => {}
        }
    }

    async fn tools(&self, halt: CancellationToken) -> Tools {
        let plan = &self.current.plan;
        let rules = self.rules.clone();
        let common = &plan.common;
        Tools {
            name: self.name.clone(),
            log: Arc::clone(&self.context.log),
            store: Arc::clone(&self.context.lanes),
            outbound: Arc::clone(&self.current.destination.outbound),
            renderer: Arc::new(Renderer::new(plan, &self.context)),
            clock: Arc::clone(&self.context.clock),
            status: Arc::clone(&self.status),
            metrics: LaneMetrics::new(&self.name),
            policy: Policy {
                backoff_min: common.retry.backoff_min,
                backoff_max: common.retry.backoff_max,
                attempts_max: common.retry.attempts_max,
                age_max: common.retry.age_max,
                concurrency_max: common.concurrency_max as usize,
                batch_max: (common.batch_max as usize).max(1),
            },
            decider: Decider::new(&self.name, rules).await,
            commands: self.commands.clone(),
            chance: self.context.chance,
            stop: halt,
            grace: self.context.grace,
        }
    }
}
