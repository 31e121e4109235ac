//! One life of a gateway: it begins with what the disk holds, and ends by a stop or by a kill.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use faceway::config::gateway;
use faceway::context::Context;
use faceway::dispatch::{BuriedChange, Dispatch, LaneState, LaneTask};
use faceway::link::Links;
use faceway::memory::BodyMemory;
use faceway::topology::rules_history::ActiveRules;
use faceway_core::{
    AppendError, Batch, DeviceKey, LaneStore as _, LaneSurvey, Log as _, Outbound, Receipt,
    Timestamp,
};
use faceway_rules::OutboundPlan;
use faceway_testkit::memory::MemorySpool;
use rand::RngExt as _;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use crate::clock::WallClock;
use crate::receiver::{Outlet, Receiver};
use crate::world::NAMES;

/// A device that hears nothing for so long sends again later.
const DEVICE_PATIENCE: Duration = Duration::from_secs(5);

thread_local! {
    static CHANCE: RefCell<SmallRng> = RefCell::new(SmallRng::seed_from_u64(0));
}

/// Chance by the seed, for the pauses.
fn chance() -> f64 {
    CHANCE.with_borrow_mut(|rng| rng.random())
}

/// Makes the pauses of this thread go by a seed.
pub(crate) fn seed_chance(seed: u64) {
    CHANCE.set(SmallRng::seed_from_u64(seed));
}

/// A gateway at work.
pub(crate) struct Life {
    pub(crate) number: u64,
    pub(crate) log: Arc<MemorySpool>,
    pub(crate) is_frozen: bool,
    /// By which epoch a lane was claimed when it got its last orders: it is claimed once more to follow them.
    ordered: BTreeMap<String, u64>,
    dispatch: Dispatch,
}

impl Life {
    /// A gateway without lanes.
    pub(crate) fn begin(
        number: u64,
        log: Arc<MemorySpool>,
        rules: ActiveRules,
        clock: &WallClock,
    ) -> anyhow::Result<Self> {
        let context = context(&log, clock)?;
        Ok(Self {
            number,
            log,
            is_frozen: false,
            ordered: BTreeMap::new(),
            dispatch: Dispatch::new(context, rules),
        })
    }

    fn outlet(&self, plan: &OutboundPlan, receiver: &Receiver) -> Arc<dyn Outbound> {
        let name = NAMES.into_iter().find(|name| *name == plan.name);
        let window = plan.common.concurrency_max as usize;
        let name = name.unwrap_or_default();
        Arc::new(Outlet::new(receiver, self.number, name, &self.log, window))
    }

    /// Whether a lane of this name is at work.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.dispatch.has(name)
    }

    /// Makes the lane of an outbound that comes into force, where there is none.
    pub(crate) async fn open(&self, plan: &OutboundPlan) -> anyhow::Result<()> {
        Ok(self.dispatch.open(plan).await?)
    }

    /// Sets a lane to work, or has it deliver once more where it is retired and still at work.
    pub(crate) fn deliver(&mut self, plan: &OutboundPlan, receiver: &Receiver) {
        let outbound = self.outlet(plan, receiver);
        let epoch = self.log.epoch(&plan.name);
        self.ordered.insert(plan.name.clone(), epoch);
        if self.dispatch.has(&plan.name) {
            self.dispatch.change(plan.clone(), outbound);
        } else {
            self.dispatch.add(plan.clone(), outbound);
        }
    }

    /// The outbound is out of the rules: its lane delivers what came before.
    pub(crate) fn retire(&mut self, name: &str, through_seq: u64) {
        self.dispatch.retire(name, through_seq);
    }

    /// Removes the lanes of retired outbounds that are through; gives their names.
    pub(crate) async fn forget_finished(&mut self) -> anyhow::Result<Vec<String>> {
        let finished = self.dispatch.take_finished();
        let names: Vec<String> = finished.iter().map(|lane| lane.name().to_owned()).collect();
        for name in &names {
            self.log.delete(name).await?;
        }
        Ok(names)
    }

    /// Drops the lane of an outbound that is out of the rules, with all that waits in it.
    pub(crate) async fn drop_lane(&mut self, name: &str) -> anyhow::Result<()> {
        self.dispatch.abort(name).await;
        self.log.delete(name).await?;
        Ok(())
    }

    /// Waits until every lane is claimed by its last orders: one that is claimed later than another gateway's would be taken
    /// back. In a cluster a duty keeps that from happening.
    pub(crate) async fn has_claimed(&self) -> bool {
        let is_claimed = |(name, epoch): (&String, &u64)| {
            !self.dispatch.has(name) || self.log.epoch(name) > *epoch
        };
        for _ in 0..100 {
            if self.ordered.iter().all(is_claimed) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        false
    }

    /// Nothing that it asks is answered, and nothing that it sends leaves.
    pub(crate) fn freeze(&mut self, is_frozen: bool) {
        self.is_frozen = is_frozen;
        self.log.freeze(is_frozen);
    }

    /// Appends as the intake does: one batch a push. `None` when the device hears nothing.
    pub(crate) async fn append(&self, batch: Batch) -> Option<Result<Vec<Receipt>, AppendError>> {
        let appended = self.log.append(batch);
        tokio::time::timeout(DEVICE_PATIENCE, appended).await.ok()
    }

    pub(crate) fn probe(&self, name: &str) {
        let lanes = self.dispatch.lanes();
        if let Some(lane) = lanes.iter().find(|lane| lane.name() == name) {
            lane.try_now();
        }
    }

    /// Hands everything out once more, by the active rules as far as it was routed.
    pub(crate) async fn replay(&self, name: &str) -> anyhow::Result<()> {
        let (since, until) = (Timestamp::EPOCH, Timestamp::from_seconds(9_000_000_000)?);
        let span = self.log.span(since, until).await?;
        if span.events > 0 {
            let task = LaneTask::Replay { span, since, until };
            self.dispatch.change_lane(name, task).await?;
        }
        Ok(())
    }

    /// Revives buried events, or drops them for good.
    pub(crate) async fn change_buried(
        &self,
        name: &str,
        change: BuriedChange,
        events: &[(u64, DeviceKey)],
    ) -> anyhow::Result<()> {
        let offer = |(seq, device): &(u64, DeviceKey)| faceway_lane::Offer {
            seq: *seq,
            device: *device,
        };
        let events = events.iter().map(offer).collect();
        let task = LaneTask::Buried(change, events);
        self.dispatch.change_lane(name, task).await?;
        Ok(())
    }

    /// How a lane stands, once it has been read.
    pub(crate) fn survey(&self, name: &str) -> Option<LaneSurvey> {
        let lanes = self.dispatch.lanes();
        let lane = lanes.iter().find(|lane| lane.name() == name)?;
        lane.status().get().survey
    }

    /// What a lane shows.
    pub(crate) fn state(&self, name: &str) -> Option<LaneState> {
        let lanes = self.dispatch.lanes();
        let lane = lanes.iter().find(|lane| lane.name() == name)?;
        Some(lane.status().get().state)
    }

    pub(crate) async fn stop(self) {
        self.dispatch.stop().await;
    }
}

fn context(log: &Arc<MemorySpool>, clock: &WallClock) -> anyhow::Result<Context> {
    static LIMITS: OnceLock<gateway::Limits> = OnceLock::new();
    let limits = match LIMITS.get() {
        Some(limits) => limits.clone(),
        None => {
            let parsed = gateway::parse("", "gateway.toml", &[]);
            let (config, _) = parsed.map_err(|errors| anyhow::anyhow!("{errors}"))?;
            LIMITS.get_or_init(|| config.limits).clone()
        }
    };
    let clock: Arc<dyn faceway_core::Clock> = Arc::new(clock.clone());
    let hour = Duration::from_secs(3600);
    Ok(Context {
        log: Arc::clone(log) as _,
        lanes: Arc::clone(log) as _,
        duties: Arc::clone(log) as _,
        links: Arc::new(Links::new("http://x", &[0; 32], hour, Arc::clone(&clock))),
        clock,
        limits,
        memory: BodyMemory::new(1 << 20, 2 << 20),
        public_url: "http://x".into(),
        gateway_id: "x".into(),
        grace: Duration::from_secs(20),
        chance,
    })
}
