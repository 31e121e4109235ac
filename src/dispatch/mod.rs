//! What goes out: a lane for each outbound, each at its own pace.
//!
//! **Invariant:** inbound and dispatch meet only at the spool; lanes meet nowhere.

mod decide;
mod deliveries;
mod destination;
mod elsewhere;
mod metrics;
mod offline;
mod render;
mod runner;
mod status;
mod supervisor;
mod tally;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use faceway_core::{Span, SpoolError, Start, Timestamp};
use faceway_lane::Offer;
use faceway_rules::{OutboundPlan, Since};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::topology::rules_history::ActiveRules;
pub use destination::Destination;
pub use elsewhere::{Elsewhere, answer, probe};
pub use offline::{BuriedChange, kept_place};
pub use runner::Command;
use runner::Commands;
pub use status::{LaneState, LaneStatus, LastFailure, Shown};
use supervisor::{Orders, Supervisor};
pub use tally::{Tally, announce};

/// A lane as others see it.
#[derive(Clone)]
pub struct LaneHandle {
    name: String,
    protocol: &'static str,
    is_retired: bool,
    status: Arc<LaneStatus>,
    commands: mpsc::Sender<Command>,
}

/// What an operator asks of a lane.
#[derive(Debug)]
pub enum LaneTask {
    /// Hand the events of this time out once more.
    Replay {
        /// Where they stand in the log.
        span: Span,
        /// From then on.
        since: Timestamp,
        /// Until before.
        until: Timestamp,
    },
    /// Do this with these buried events.
    Buried(BuriedChange, Vec<Offer>),
}

/// Commands that wait for a lane.
const COMMANDS_MAX: usize = 16;
/// A lane whose spool does not answer does not answer either.
const COMMAND_PATIENCE: Duration = Duration::from_secs(30);

impl LaneHandle {
    /// Name of the outbound.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its protocol.
    pub const fn protocol(&self) -> &'static str {
        self.protocol
    }

    /// Whether its outbound is no longer in `routes.toml`: what it was given before is still delivered.
    pub const fn is_retired(&self) -> bool {
        self.is_retired
    }

    /// Lets its next probe leave at once, if it waits for one; gives what it was doing.
    pub fn try_now(&self) -> LaneState {
        let state = self.status.get().state;
        if matches!(state, LaneState::Waiting { .. }) {
            // With so many commands in front the lane is awake anyhow.
            let _ = self.commands.try_send(Command::Probe);
        }
        state
    }

    /// Asks the lane's owner to do something. `None` when the lane has ended, or does not answer in time.
    pub async fn command<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Option<T> {
        let (reply, replied) = oneshot::channel();
        let asked = async {
            self.commands.send(command(reply)).await.ok()?;
            replied.await.ok()
        };
        tokio::time::timeout(COMMAND_PATIENCE, asked).await.ok()?
    }

    /// Whether another gateway works it, or none does at this moment.
    pub fn is_elsewhere(&self) -> bool {
        self.status.get().state == LaneState::Elsewhere
    }

    /// How it is.
    pub fn status(&self) -> &LaneStatus {
        &self.status
    }
}

/// The lanes at work.
pub struct Dispatch {
    context: Context,
    rules: ActiveRules,
    lanes: Vec<Supervised>,
    stop: CancellationToken,
}

/// A lane and how to reach its supervisor.
struct Supervised {
    handle: LaneHandle,
    orders: watch::Sender<Orders>,
    /// Set by the supervisor of a retired lane that is through.
    finished: Arc<AtomicBool>,
    work: JoinHandle<()>,
}

impl Supervised {
    /// Whether the supervisor says that it is through; gives up to which event.
    fn says_finished(&self) -> Option<u64> {
        let through_seq = self.orders.borrow().through_seq?;
        self.finished.load(Ordering::SeqCst).then_some(through_seq)
    }

    fn is_through(&self, through_seq: u64) -> bool {
        let shown = self.handle.status.get();
        shown
            .survey
            .is_some_and(|survey| supervisor::is_through(&survey, through_seq))
    }

    /// There is something to do again.
    fn look_again(&self) {
        // The flag first: the supervisor may be through once more before the next line, and says so then.
        self.finished.store(false, Ordering::SeqCst);
        self.orders.send_modify(|_| {});
    }
}

impl Dispatch {
    /// No lanes yet.
    pub fn new(context: Context, rules: ActiveRules) -> Self {
        Self {
            context,
            rules,
            lanes: Vec::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Opens the lane of an outbound; nothing leaves by it yet.
    ///
    /// # Errors
    /// When the spool cannot open it.
    pub async fn open(&self, plan: &OutboundPlan) -> Result<(), SpoolError> {
        let start = match plan.common.since {
            Since::Now => Start::Now,
            Since::Oldest => Start::Oldest,
        };
        // A lane that is there needs nothing written: a gateway must start on a full disk too.
        if self.context.lanes.look(&plan.name).await?.is_none() {
            // Its supervisor claims it again: this claim only makes it.
            self.context.lanes.claim(&plan.name, start).await?;
        }
        Ok(())
    }

    /// Sets a lane to work.
    pub fn add(&mut self, plan: OutboundPlan, destination: impl Into<Destination>) {
        let status = Arc::new(LaneStatus::new(self.context.clock.now()));
        let (commands, received) = mpsc::channel(COMMANDS_MAX);
        let handle = LaneHandle {
            name: plan.name.clone(),
            protocol: plan.protocol.name(),
            is_retired: false,
            status: Arc::clone(&status),
            commands,
        };
        let finished = Arc::new(AtomicBool::new(false));
        let current = Orders {
            plan: Arc::new(plan),
            destination: destination.into(),
            through_seq: None,
        };
        let (orders, ordered) = watch::channel(current.clone());
        let supervisor = Supervisor {
            name: handle.name.clone(),
            current,
            orders: ordered,
            context: self.context.clone(),
            rules: self.rules.clone(),
            status,
            commands: Commands::new(received),
            finished: Arc::clone(&finished),
            stop: self.stop.clone(),
        };
        let work = tokio::spawn(supervisor.run());
        self.lanes.push(Supervised {
            handle,
            orders,
            finished,
            work,
        });
    }

    /// Whether a lane of this name is at work, retired or not.
    pub fn has(&self, name: &str) -> bool {
        self.lanes.iter().any(|lane| lane.handle.name == name)
    }

    /// The lane delivers to something else from now on. What is on its way may end, up to the grace period; this does not
    /// wait for it.
    pub fn change(&mut self, plan: OutboundPlan, destination: impl Into<Destination>) {
        let Some(lane) = self.lane(&plan.name) else {
            return;
        };
        lane.handle.protocol = plan.protocol.name();
        lane.handle.is_retired = false;
        // All in one: between two orders the supervisor could end a lane that has just returned.
        lane.orders.send_replace(Orders {
            plan: Arc::new(plan),
            destination: destination.into(),
            through_seq: None,
        });
        lane.finished.store(false, Ordering::SeqCst);
    }

    /// The outbound is retired: its lane delivers what was kept up to and with `through_seq`, and ends.
    pub fn retire(&mut self, name: &str, through_seq: u64) {
        if let Some(lane) = self.lane(name)
            && !lane.handle.is_retired
        {
            lane.handle.is_retired = true;
            lane.orders
                .send_modify(|orders| orders.through_seq = Some(through_seq));
        }
    }

    /// Retired lanes that are through, which are no longer here then. One that has something to do again, as it was handed
    /// events of the history, goes on.
    pub fn take_finished(&mut self) -> Vec<LaneHandle> {
        let mut finished = Vec::new();
        for lane in std::mem::take(&mut self.lanes) {
            match lane.says_finished() {
                // The lane of one that has ended was deleted by the gateway that worked it.
                Some(through_seq) if lane.work.is_finished() || lane.is_through(through_seq) => {
                    finished.push(lane.handle);
                }
                // Asked again here, as a replay may have come since the supervisor said so.
                Some(_) => {
                    lane.look_again();
                    self.lanes.push(lane);
                }
                None => self.lanes.push(lane),
            }
        }
        finished
    }

    /// Ends a retired lane, whatever it has still to deliver.
    pub async fn abort(&mut self, name: &str) {
        let named = |lane: &mut Supervised| lane.handle.is_retired && lane.handle.name == name;
        let mut aborted: Vec<_> = self.lanes.extract_if(.., named).collect();
        for lane in &mut aborted {
            lane.work.abort();
            // Until it has ended it could still settle in a lane that is dropped next.
            let _ = (&mut lane.work).await;
        }
    }

    /// Ends every lane here, whatever it has still to deliver: other gateways go on with it.
    pub async fn set_aside(&mut self) {
        let lanes = std::mem::take(&mut self.lanes);
        for lane in &lanes {
            lane.work.abort();
        }
        for lane in lanes {
            let _ = lane.work.await;
        }
    }

    fn lane(&mut self, name: &str) -> Option<&mut Supervised> {
        let named = |lane: &&mut Supervised| lane.handle.name == name;
        self.lanes.iter_mut().find(named)
    }

    /// The lanes, as others see them.
    pub fn lanes(&self) -> Vec<LaneHandle> {
        self.lanes.iter().map(|lane| lane.handle.clone()).collect()
    }

    /// Stops leasing and waits for what is on its way.
    pub async fn stop(self) {
        self.stop.cancel();
        for lane in self.lanes {
            let _ = lane.work.await;
        }
    }
}
