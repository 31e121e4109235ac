//! One lane: events out of the spool, by the rules, to one outbound, each settled by what the far side said.
//!
//! **Invariant:** a lane touches nothing but its own position in the spool and its own outbound, so that no destination
//! can slow another down, nor the intake.

mod compare;
mod settle;

use std::sync::Arc;
use std::time::Duration;

use faceway_core::{Code, Lane, Lease, Outbound, Settled, Settlement, Timestamp};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::batching::Batching;
use super::burials::Burials;
use super::decide::{Decider, Routed};
use super::deliveries::Deliveries;
use super::hands::Hands;
use super::judge::{Judge, Permit};
use super::metrics::LaneMetrics;
use super::render::Renderer;
use super::status::{LaneState, LaneStatus};
use crate::context::Context;
use crate::rhythm::Rhythm;
use crate::topology::rules_history::ActiveRules;
use compare::Undecided;

/// How many events a lane takes into its hands. Enough to keep its deliveries busy between two visits to the spool.
const HANDS_MAX: usize = 256;
/// Below so many it visits the spool again.
const HANDS_LOW: usize = 64;
/// With so many bytes in its hands it visits the spool no more: events may be as large as bodies.
const HANDS_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How many events it takes in to find one that can probe.
const PROBE_HANDS_MAX: usize = 16;
/// After so many visits to the spool in a row it looks after its deliveries again.
const VISITS_MAX: usize = 8;
/// What was set aside is taken back in this time when the lane stops, whatever the grace period was.
const TAKE_BACK_GRACE: Duration = Duration::from_secs(2);
/// When the spool cannot be read, the lane looks again after this.
const SPOOL_PAUSE: Duration = Duration::from_secs(1);

/// What one lane's work is made of, beside the context.
pub(super) struct Parts {
    pub(super) lane: Lane,
    pub(super) outbound: Arc<dyn Outbound>,
    pub(super) renderer: Arc<Renderer>,
    pub(super) status: Arc<LaneStatus>,
    /// Somebody wants the next probe at once.
    pub(super) probe: Arc<Notify>,
    pub(super) metrics: LaneMetrics,
    pub(super) concurrency_max: usize,
    /// Events in one message, at least 1.
    pub(super) batch_max: usize,
    pub(super) rules: ActiveRules,
    pub(super) stop: CancellationToken,
}

/// A lane at work.
pub(super) struct LaneWork {
    context: Context,
    parts: Parts,
    judge: Judge,
    decider: Decider,
    hands: Hands,
    batching: Batching,
    deliveries: Deliveries,
    burials: Burials,
    undecided: Undecided,
    /// What was told of events that were given up, by code.
    buried: Rhythm<Code>,
    /// What was told of events that break the connection, by code.
    blamed: Rhythm<Code>,
    /// The log says that the destination is down.
    outage_told: bool,
    /// The spool's mark when it was last asked.
    seen: u64,
    /// The spool had nothing more to lease when it was last asked.
    dry: bool,
    /// It could not be read when it was last asked.
    is_blind: bool,
    /// When to ask again although nothing was appended: a parked event is due, or the spool could not be read. Not by the
    /// wall clock, which may be set back meanwhile.
    ask_at: Option<Instant>,
}

impl LaneWork {
    pub(super) fn new(context: Context, parts: Parts, judge: Judge, decider: Decider) -> Self {
        let (outbound, renderer) = (&parts.outbound, &parts.renderer);
        Self {
            deliveries: Deliveries::new(Arc::clone(outbound), Arc::clone(renderer)),
            burials: Burials::new(Arc::clone(&context.spool)),
            batching: Batching::new(parts.batch_max),
            context,
            parts,
            judge,
            decider,
            hands: Hands::default(),
            undecided: Undecided::default(),
            buried: Rhythm::default(),
            blamed: Rhythm::default(),
            outage_told: false,
            seen: 0,
            dry: false,
            is_blind: false,
            ask_at: None,
        }
    }

    /// Works until it is stopped, then waits for what is on its way, up to the grace period.
    pub(super) async fn run(mut self) {
        while !self.parts.stop.is_cancelled() {
            let mut hungry = self.fill().await;
            if self.take_back().await {
                hungry = self.fill().await;
            }
            self.start();
            self.tell();
            self.wait(hungry).await;
        }
        self.parts.status.set(LaneState::Stopped, self.now());
        self.drain().await;
    }

    async fn wait(&mut self, hungry: bool) {
        let asleep = self.sleep();
        let lingered = sleep_until(self.batching.lingers());
        let (spool, probe) = (&self.context.spool, &self.parts.probe);
        tokio::select! {
            biased;
            () = self.parts.stop.cancelled() => {}
            Some(ended) = self.deliveries.next() => self.ended(&ended),
            Some(device) = self.burials.next() => self.hands.returned(device),
            seen = spool.changed(self.seen), if self.dry => {
                self.seen = seen;
                self.dry = false;
            }
            // Attempts of before the outage must not pass for the probe.
            () = probe.notified(), if self.deliveries.is_empty() => self.probe_now(),
            () = asleep => {
                self.dry = false;
                self.ask_at = None;
            }
            () = lingered => {}
            () = tokio::task::yield_now(), if hungry => {}
        }
    }

    fn probe_now(&mut self) {
        if self.judge.probe_now(self.now()) {
            tracing::info!(
                outbound = self.parts.metrics.outbound(),
                "it is asked to try now, and need not wait"
            );
            // Events that have probed in vain wait for longer than the lane does; there may be no others.
            self.context.spool.wake(self.parts.lane);
            self.dry = false;
            self.ask_at = None;
        }
    }

    /// Until the next probe may leave or the spool is to be asked again; for ever when neither.
    fn sleep(&self) -> impl Future<Output = ()> + use<> {
        let now = self.now();
        let probe = match self.judge.permit(now) {
            Permit::Wait(until) => Some(until),
            Permit::Open | Permit::Probe => None,
        };
        // While the lane waits for its probe nothing else may wake it: what is due can wait as long.
        let probe = probe.map(|until| Instant::now() + until.since(now));
        sleep_until(probe.or(self.ask_at))
    }

    /// Takes events into the hands until there are enough, the spool is dry, or other work is due; `true` when there
    /// is more to take.
    async fn fill(&mut self) -> bool {
        let (low, most) = match self.judge.permit(self.now()) {
            Permit::Open if self.judge.is_wary() => (HANDS_MAX, 2 * HANDS_MAX),
            Permit::Open => {
                let batch = self.batching.events_max();
                (HANDS_LOW.max(batch), HANDS_MAX.max(2 * batch))
            }
            // Those that broke it may stand before all others.
            Permit::Probe if self.deliveries.is_empty() && self.judge.knows_nobody() => {
                (HANDS_MAX, HANDS_MAX)
            }
            // Those that are in doubt must not hide one that is not, nor may it wait for a pause of theirs.
            Permit::Probe | Permit::Wait(_)
                if self.deliveries.is_empty()
                    && (self.judge.is_in_doubt() || self.judge.is_comparing()) =>
            {
                (HANDS_MAX, HANDS_MAX)
            }
            Permit::Probe if self.deliveries.is_empty() => {
                // Those that have probed in vain must not hide the others.
                let behind = self.judge.wearied() + self.judge.tried();
                (1, PROBE_HANDS_MAX + behind)
            }
            Permit::Probe | Permit::Wait(_) => return false,
        };
        for _ in 0..VISITS_MAX {
            if self.dry || self.has_enough(low) || self.parts.stop.is_cancelled() {
                return false;
            }
            self.lease(most - self.hands.waiting()).await;
        }
        !self.dry && !self.has_enough(low)
    }

    const fn has_enough(&self, low: usize) -> bool {
        self.hands.waiting() >= low || self.hands.bytes() >= HANDS_BYTES_MAX
    }

    async fn lease(&mut self, most: usize) {
        let now = self.now();
        let leased = self.context.spool.lease(self.parts.lane, most, now).await;
        self.is_blind = leased.is_err();
        match leased {
            Ok(leases) if leases.is_empty() => self.found_nothing(now).await,
            Ok(leases) => self.sort(leases).await,
            Err(error) => {
                tracing::error!(outbound = self.parts.metrics.outbound(), %error, "cannot read the spool");
                self.dry = true;
                self.ask_at = Some(Instant::now() + SPOOL_PAUSE);
            }
        }
    }

    async fn found_nothing(&mut self, now: Timestamp) {
        self.dry = true;
        match self.context.spool.survey(self.parts.lane, now).await {
            Ok(survey) => {
                let due = |due: Timestamp| Instant::now() + due.since(now);
                self.ask_at = survey.next_due.map(due);
            }
            Err(_) => self.ask_at = Some(Instant::now() + SPOOL_PAUSE),
        }
    }

    /// Asks the rules about each event: what is not for this outbound is through.
    async fn sort(&mut self, leases: Vec<Lease>) {
        // Asked after the leases came, and waiting for an apply that is just changing them: what was kept after the mark of a new
        // version is not decided by an older one.
        self.decider.replace(self.parts.rules.current().await);
        let mut through = Vec::new();
        for lease in leases {
            match self.decider.decide(&lease) {
                Routed::Here => self.hands.take(lease),
                Routed::Elsewhere => {
                    through.push(Settlement {
                        seq: lease.seq,
                        outcome: Settled::Done,
                        attempt: None,
                    });
                }
            }
        }
        // Before anything of it is settled.
        self.context
            .spool
            .remember(self.parts.lane, self.decider.passed());
        self.settle(through);
    }

    /// Sends on their way as many events as may be.
    fn start(&mut self) {
        loop {
            let next = self.next();
            if next.is_empty() {
                return;
            }
            self.judge.left(&next);
            self.deliveries.begin(next);
        }
    }

    /// What leaves now, together.
    fn next(&mut self) -> Vec<Lease> {
        if self.judge.must_take_back() {
            self.batching.pause();
            return Vec::new();
        }
        match self.judge.permit(self.now()) {
            Permit::Open if self.deliveries.len() < self.parts.concurrency_max => {
                let now = Instant::now();
                self.batching.next(&mut self.hands, &self.judge, now)
            }
            Permit::Probe if self.deliveries.is_empty() => {
                self.batching.pause();
                let probe = self.hands.next_by(|lease| Some(self.judge.turn(lease)));
                probe.into_iter().collect()
            }
            Permit::Wait(_) if self.deliveries.is_empty() && self.judge.is_in_doubt() => {
                self.batching.pause();
                let turn = |lease: &Lease| Some(self.judge.turn(lease)).filter(|turn| *turn == 0);
                self.hands.next_by(turn).into_iter().collect()
            }
            Permit::Wait(_) if self.deliveries.is_empty() && self.judge.is_comparing() => {
                self.batching.pause();
                self.next_to_compare().into_iter().collect()
            }
            Permit::Open | Permit::Probe | Permit::Wait(_) => {
                self.batching.pause();
                Vec::new()
            }
        }
    }

    fn tell(&self) {
        let state = match self.judge.outage() {
            Some(outage) => LaneState::Waiting {
                until: outage.next_probe,
                since: outage.since,
            },
            None if self.deliveries.is_empty() => LaneState::Idle,
            None => LaneState::Delivering,
        };
        self.parts.status.set(state, self.now());
    }

    /// Waits for what is on its way. What does not end in time is given up: it is leased again after the next start.
    async fn drain(mut self) {
        let waiting = self.hands.give_back_all();
        self.release(waiting);
        let deadline = Instant::now() + self.context.grace;
        while let Ok(Some(ended)) = tokio::time::timeout_at(deadline, self.deliveries.next()).await
        {
            self.ended(&ended);
        }
        let waiting = self.hands.give_back_all();
        self.release(waiting);
        // Else the work after this one could send a device's next event before its burial is durable.
        while let Ok(Some(device)) = tokio::time::timeout_at(deadline, self.burials.next()).await {
            self.hands.returned(device);
        }
        // After a stop nobody knows any more that they were to be compared.
        let deadline = deadline.max(Instant::now() + TAKE_BACK_GRACE);
        let _ = tokio::time::timeout_at(deadline, self.take_all_back()).await;
        self.deliveries.give_up().await;
    }

    fn now(&self) -> Timestamp {
        self.context.clock.now()
    }
}

/// For ever when there is no such time.
async fn sleep_until(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}
