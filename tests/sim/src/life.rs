//! One life of a gateway: it begins with what the disk holds, and ends by a stop or by a kill.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use faceway::config::gateway;
use faceway::context::Context;
use faceway::dispatch::{BuriedChange, Dispatch, LaneTask};
use faceway::link::Links;
use faceway::memory::BodyMemory;
use faceway::topology::rules_history::ActiveRules;
use faceway_core::{
    AppendError, Batch, Clock as _, DeviceKey, EventId, LaneSurvey, Log as _, NewEvent, Outbound,
    Private, Timestamp,
};
use faceway_rules::OutboundPlan;
use faceway_testkit::memory::MemorySpool;
use rand::RngExt as _;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use crate::clock::WallClock;
use crate::receiver::Receiver;

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
    pub(crate) log: Arc<MemorySpool>,
    pub(crate) rules: ActiveRules,
    dispatch: Dispatch,
    clock: WallClock,
}

impl Life {
    pub(crate) async fn begin(
        log: Arc<MemorySpool>,
        rules: ActiveRules,
        clock: WallClock,
        outbounds: &[(OutboundPlan, Receiver)],
    ) -> anyhow::Result<Self> {
        clock.begin();
        let context = context(&log, &clock)?;
        let mut dispatch = Dispatch::new(context, rules.clone());
        for (plan, receiver) in outbounds {
            dispatch.open(plan).await?;
            let outbound: Arc<dyn Outbound> = Arc::new(receiver.clone());
            dispatch.add(plan.clone(), outbound);
        }
        Ok(Self {
            log,
            rules,
            dispatch,
            clock,
        })
    }

    /// Appends as the intake does: one batch a push.
    pub(crate) async fn append(
        &self,
        id: EventId,
        device: DeviceKey,
        body: Vec<u8>,
    ) -> Result<Option<u64>, AppendError> {
        let event = NewEvent {
            id,
            device,
            received_at: self.clock.now(),
            images: Vec::new(),
            trace_context: None,
            body: Private::new(body.into()),
        };
        let batch = Batch {
            events: vec![event],
            ..Batch::default()
        };
        let receipts = self.log.append(batch).await?;
        Ok(receipts.first().and_then(|receipt| receipt.seq()))
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

    pub(crate) async fn revive(
        &self,
        name: &str,
        events: Vec<(u64, DeviceKey)>,
    ) -> anyhow::Result<()> {
        let offer = |(seq, device)| faceway_lane::Offer { seq, device };
        let events = events.into_iter().map(offer).collect();
        let task = LaneTask::Buried(BuriedChange::Revive, events);
        self.dispatch.change_lane(name, task).await?;
        Ok(())
    }

    /// How a lane stands, once it has been read.
    pub(crate) fn survey(&self, name: &str) -> Option<LaneSurvey> {
        let lanes = self.dispatch.lanes();
        let lane = lanes.iter().find(|lane| lane.name() == name)?;
        lane.status().get().survey
    }

    pub(crate) async fn stop(self) {
        self.dispatch.stop().await;
    }
}

fn context(log: &Arc<MemorySpool>, clock: &WallClock) -> anyhow::Result<Context> {
    let (config, _) =
        gateway::parse("", "gateway.toml", &[]).map_err(|errors| anyhow::anyhow!("{errors}"))?;
    let clock: Arc<dyn faceway_core::Clock> = Arc::new(clock.clone());
    let hour = Duration::from_secs(3600);
    Ok(Context {
        log: Arc::clone(log) as _,
        lanes: Arc::clone(log) as _,
        links: Arc::new(Links::new("http://x", &[0; 32], hour, Arc::clone(&clock))),
        clock,
        limits: config.limits,
        memory: BodyMemory::new(1 << 20, 2 << 20),
        public_url: "http://x".into(),
        gateway_id: "x".into(),
        grace: Duration::from_secs(20),
        chance,
    })
}
