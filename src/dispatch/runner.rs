//! One lane at work: it follows the log, asks the rules, sends what the lane machine lets leave, and keeps what it says.
//!
//! The flow of one event: [`route`] reads it from the log and asks the rules; the machine (`lane/`) gets it when it is for
//! this outbound; [`deliver`] fetches its body and sends the message; the verdict goes to the machine; [`keep`] commits what
//! the machine gives out. All policy is the machine's.
//!
//! **Invariant:** a lane touches nothing but its own state and its own outbound, so that no destination can slow another
//! down, nor the intake. Routing never waits for the destination.

mod command;
mod deliver;
mod keep;
mod recent;
mod report;
mod route;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use faceway_core::{Claim, Clock, Code, EventId, LaneStore, Log, Outbound, SpoolError, Start};
use faceway_lane::{Action, Lane, Now, Policy, Tick};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::decide::Decider;
use super::deliveries::Deliveries;
use super::metrics::LaneMetrics;
use super::render::Renderer;
use super::status::LaneStatus;
use crate::throttle::Throttle;

pub use command::Command;
pub(super) use command::Commands;
use keep::Commits;
use recent::Recent;

/// When the spool cannot be read or written, the lane tries again after this.
const SPOOL_PAUSE: Duration = Duration::from_secs(1);
/// What is not kept when the lane stops is committed in this time, whatever the grace period was.
pub(super) const KEEP_GRACE: Duration = Duration::from_secs(2);

/// What a lane works with.
pub(super) struct Tools {
    pub(super) name: String,
    pub(super) log: Arc<dyn Log>,
    pub(super) store: Arc<dyn LaneStore>,
    pub(super) outbound: Arc<dyn Outbound>,
    pub(super) renderer: Arc<Renderer>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) status: Arc<LaneStatus>,
    pub(super) metrics: LaneMetrics,
    pub(super) policy: Policy,
    pub(super) decider: Decider,
    pub(super) commands: Commands,
    /// From 0 to 1: spreads the pauses.
    pub(super) chance: fn() -> f64,
    pub(super) stop: CancellationToken,
    /// How long deliveries that are in flight may take once `stop` is set.
    pub(super) grace: Duration,
}

/// Why a lane's work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// It was asked to stop.
    Stopped,
    /// Another one owns the lane, or it was deleted.
    Fenced,
}

/// A lane at work.
pub(super) struct Runner {
    tools: Tools,
    lane: Lane,
    recent: Recent,
    deliveries: Deliveries,
    commits: Commits,
    /// What the log said of events that were given up, by code.
    buried: Throttle<Code>,
    /// What it said of events that break the connection, by code.
    blamed: Throttle<Code>,
    /// Events that could not be had any more.
    lost: Throttle<()>,
    /// Ids of events that failed, for the log.
    failed: HashMap<u64, EventId>,
    /// The tail when the log was last read to its end.
    seen: Option<u64>,
    /// The spool could not be read: nothing of it is tried before then.
    blind_until: Option<Instant>,
    began: Instant,
    /// When the lane last showed how it stands, and how far it was routed then.
    shown: (Instant, u64),
}

impl Runner {
    /// Claims the lane, and takes in what is kept of it.
    ///
    /// # Errors
    /// When the store cannot give it.
    pub(super) async fn claim(mut tools: Tools, start: Start) -> Result<Self, SpoolError> {
        let (claim, mut state) = tools.store.claim(&tools.name, start).await?;
        tools.decider.restore(std::mem::take(&mut state.passed));
        let began = Instant::now();
        let now = Now {
            tick: Tick::default(),
            wall: tools.clock.now(),
        };
        let (lane, damaged) = Lane::load(tools.policy, state, now);
        for range in damaged {
            tracing::error!(
                outbound = tools.name,
                range,
                "what waits of 1,024 sequence numbers is damaged: these events are not delivered; see faceway spool check"
            );
        }
        Ok(Self::new(tools, claim, lane, began))
    }

    fn new(tools: Tools, claim: Claim, lane: Lane, began: Instant) -> Self {
        let (outbound, renderer) = (&tools.outbound, &tools.renderer);
        Self {
            deliveries: Deliveries::new(Arc::clone(outbound), Arc::clone(renderer)),
            commits: Commits::new(Arc::clone(&tools.store), claim),
            recent: Recent::default(),
            buried: Throttle::default(),
            blamed: Throttle::default(),
            lost: Throttle::default(),
            failed: HashMap::new(),
            seen: None,
            blind_until: None,
            shown: (began, 0),
            tools,
            lane,
            began,
        }
    }

    /// Works until it is stopped, then waits for what is in flight, up to the grace period.
    pub(super) async fn run(mut self) -> Exit {
        let stop = self.tools.stop.clone();
        while !stop.is_cancelled() {
            // A log that does not answer must not hold up a stop. What was read and not taken in is read again.
            let routed = stop.run_until_cancelled(self.route()).await;
            let is_hungry = routed.unwrap_or_default();
            let action = self.start().await;
            self.report();
            self.commits.begin_patiently(&mut self.lane);
            self.show_when_due();
            self.wait(action, is_hungry).await;
            if self.commits.is_fenced() {
                return self.give_way().await;
            }
        }
        self.drain().await
    }

    /// Sends what may leave; gives what the lane waits for.
    async fn start(&mut self) -> Action {
        if self.is_blind() {
            return Action::Idle;
        }
        loop {
            match self.lane.next(self.tick(), (self.tools.chance)()) {
                Action::Deliver(delivery) => self.deliver(delivery).await,
                action => return action,
            }
            if self.is_blind() || self.tools.stop.is_cancelled() {
                return Action::Idle;
            }
        }
    }

    async fn wait(&mut self, action: Action, is_hungry: bool) {
        let until = match action {
            Action::Wait(until) => Some(self.began + until.since(Tick::default())),
            Action::Deliver(_) | Action::Idle => None,
        };
        let pauses = [until, self.blind_until, self.commits.paused_until()];
        let asleep = sleep_until(pauses.into_iter().flatten().min());
        let log = Arc::clone(&self.tools.log);
        let seen = self.seen;
        tokio::select! {
            biased;
            () = self.tools.stop.cancelled() => {}
            Some(ended) = self.deliveries.next() => self.all_ended(ended),
            committed = self.commits.next() => self.committed(committed),
            command = self.tools.commands.next() => self.obey(command).await,
            _ = log.watch_tail(seen.unwrap_or_default()), if seen.is_some() => self.seen = None,
            () = asleep => {}
            () = tokio::task::yield_now(), if is_hungry => {}
        }
        self.blind_until = self.blind_until.filter(|until| *until > Instant::now());
    }

    fn is_blind(&self) -> bool {
        self.blind_until.is_some()
    }

    /// The spool cannot be read: the lane tries again in a moment.
    fn go_blind(&mut self, error: &SpoolError) {
        tracing::error!(outbound = self.tools.name, %error, "cannot read the spool: the lane tries again");
        self.blind_until = Some(Instant::now() + SPOOL_PAUSE);
    }

    /// Waits for what is in flight. What does not end in time is given up: it is sent again after the next start.
    async fn drain(mut self) -> Exit {
        let deadline = Instant::now() + self.tools.grace;
        // What came last is routed too: else a lane that no supervisor works for after the next start would show less than it
        // was given.
        self.seen = None;
        // Not for the whole grace period: a log that does not answer would leave no time for what is in flight.
        _ = tokio::time::timeout(KEEP_GRACE.min(self.tools.grace), self.route()).await;
        self.lane.stop();
        self.show();
        while !self.deliveries.is_empty() && Instant::now() < deadline {
            tokio::select! {
                biased;
                // Looked at while deliveries are in flight: another one may own the lane by now.
                committed = self.commits.next() => self.committed(committed),
                Some(ended) = self.deliveries.next() => self.all_ended(ended),
                () = tokio::time::sleep_until(deadline) => break,
            }
            if self.commits.is_fenced() {
                return self.give_way().await;
            }
            self.commits.begin(&mut self.lane);
        }
        self.deliveries.give_up().await;
        self.lane.give_up();
        self.report();
        let deadline = deadline.max(Instant::now() + KEEP_GRACE);
        let kept = tokio::time::timeout_at(deadline, self.commits.finish(&mut self.lane)).await;
        if kept.is_err() {
            tracing::warn!(
                outbound = self.tools.name,
                "the lane's last state could not be kept: some events are sent once more"
            );
        }
        self.show();
        if self.commits.is_fenced() {
            Exit::Fenced
        } else {
            Exit::Stopped
        }
    }

    /// Another one delivers from now on: what is in flight is given up at once.
    async fn give_way(mut self) -> Exit {
        self.lane.stop();
        self.deliveries.give_up().await;
        self.tools
            .status
            .stopped(self.lane.view(), self.tools.clock.now());
        Exit::Fenced
    }

    fn tick(&self) -> Tick {
        Tick::after(self.began.elapsed())
    }

    fn now(&self) -> Now {
        Now {
            tick: self.tick(),
            wall: self.tools.clock.now(),
        }
    }
}

/// For ever when there is no such time.
async fn sleep_until(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}
