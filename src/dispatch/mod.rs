//! What goes out: a lane for each outbound, each at its own pace.
//!
//! **Invariant:** inbound and dispatch meet only at the spool; lanes meet nowhere.

mod apart;
mod batching;
mod decide;
mod deliveries;
mod hands;
mod judge;
mod lane;
mod render;
mod rulebook;
mod status;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use faceway_core::{Clock, Lane, Outbound, Spool, SpoolError, Start};
use faceway_rules::{OutboundPlan, Since};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::link::Links;
use crate::observe::LaneMetrics;
use decide::Decider;
use judge::Judge;
use lane::{LaneWork, Tools};
use render::Renderer;
pub use rulebook::{Edition, RuleBook};
pub use status::{LaneState, LaneStatus, LastFailure};

/// When a lane's work ends by a defect of ours, it begins anew after this.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// What all lanes share.
#[derive(Clone)]
pub struct Common {
    /// Where events come from.
    pub spool: Arc<dyn Spool>,
    /// The rules.
    pub rules: watch::Receiver<Arc<RuleBook>>,
    /// Signs links to pictures.
    pub links: Arc<Links>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How long deliveries may take to end once the gateway shuts down.
    pub grace: Duration,
}

/// A lane, for those who look.
#[derive(Clone)]
pub struct LaneHandle {
    name: String,
    protocol: &'static str,
    lane: Lane,
    status: Arc<LaneStatus>,
    floor: Arc<AtomicU64>,
}

impl LaneHandle {
    /// Name of the outbound.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its protocol.
    pub const fn protocol(&self) -> &'static str {
        self.protocol
    }

    /// Its lane in the spool.
    pub const fn lane(&self) -> Lane {
        self.lane
    }

    /// Events up to `seq` go by the rules in force behind it: the lane is asked to go through them anew.
    pub fn go_by_rules_behind(&self, seq: u64) {
        self.floor.fetch_max(seq, Ordering::Relaxed);
    }

    /// How it is.
    pub fn status(&self) -> &LaneStatus {
        &self.status
    }
}

/// The lanes at work.
pub struct Dispatch {
    lanes: Vec<LaneHandle>,
    work: JoinSet<()>,
    stop: CancellationToken,
}

impl Dispatch {
    /// No lanes yet.
    pub fn new() -> Self {
        Self {
            lanes: Vec::new(),
            work: JoinSet::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Opens the lane of an outbound and sets it to work.
    ///
    /// # Errors
    /// When the spool cannot open it.
    pub async fn add(
        &mut self,
        plan: &OutboundPlan,
        outbound: Arc<dyn Outbound>,
        common: &Common,
    ) -> Result<(), SpoolError> {
        let start = match plan.common.since {
            Since::Now => Start::Now,
            Since::Oldest => Start::Oldest,
        };
        let lane = common.spool.open_lane(&plan.name, start).await?;
        let status = Arc::new(LaneStatus::new(common.clock.now()));
        let handle = LaneHandle {
            name: plan.name.clone(),
            protocol: plan.protocol.name(),
            lane,
            status: Arc::clone(&status),
            floor: Arc::new(AtomicU64::new(common.spool.newest())),
        };
        let floor = Arc::clone(&handle.floor);
        self.lanes.push(handle);
        let seat = Seat {
            plan: plan.clone(),
            outbound,
            common: common.clone(),
            lane,
            status,
            floor,
            stop: self.stop.clone(),
        };
        self.work.spawn(seat.keep_working());
        Ok(())
    }

    /// The lanes, for those who look.
    pub fn lanes(&self) -> &[LaneHandle] {
        &self.lanes
    }

    /// Stops leasing and waits for what is on its way.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.work.join_next().await.is_some() {}
    }
}

impl Default for Dispatch {
    fn default() -> Self {
        Self::new()
    }
}

/// Everything that a lane's work is made from, and made from again.
struct Seat {
    plan: OutboundPlan,
    outbound: Arc<dyn Outbound>,
    common: Common,
    lane: Lane,
    status: Arc<LaneStatus>,
    floor: Arc<AtomicU64>,
    stop: CancellationToken,
}

impl Seat {
    /// Works until it is stopped. A panic is a defect of ours; it must cost a second, not the lane.
    async fn keep_working(self) {
        loop {
            if tokio::spawn(self.work().run()).await.is_ok() {
                break;
            }
            tracing::error!(
                outbound = self.plan.name,
                "a lane's work broke off; it begins anew"
            );
            tokio::time::sleep(RESTART_PAUSE).await;
            // Gives back what the broken work had in its hands.
            if let Err(error) = self
                .common
                .spool
                .open_lane(&self.plan.name, Start::Now)
                .await
            {
                tracing::error!(outbound = self.plan.name, %error, "the lane cannot be opened again");
            }
        }
        self.outbound.close().await;
    }

    fn work(&self) -> LaneWork {
        let common = &self.plan.common;
        let rules = self.common.rules.clone();
        let decider = Decider::new(
            &self.plan.name,
            rules.borrow().clone(),
            Arc::clone(&self.floor),
        );
        let (links, spool) = (&self.common.links, &self.common.spool);
        let renderer = Renderer::new(&self.plan, Arc::clone(links), Arc::clone(spool));
        let tools = Tools {
            lane: self.lane,
            spool: Arc::clone(&self.common.spool),
            outbound: Arc::clone(&self.outbound),
            renderer: Arc::new(renderer),
            clock: Arc::clone(&self.common.clock),
            status: Arc::clone(&self.status),
            metrics: LaneMetrics::new(&self.plan.name),
            concurrency_max: common.concurrency_max as usize,
            batch_max: common.batch_max as usize,
            rules,
            stop: self.stop.clone(),
            grace: self.common.grace,
        };
        LaneWork::new(tools, Judge::new(common.retry), decider)
    }
}
