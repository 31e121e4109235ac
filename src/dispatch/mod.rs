//! What goes out: a lane for each outbound, each at its own pace.
//!
//! **Invariant:** inbound and dispatch meet only at the spool; lanes meet nowhere.

mod apart;
mod batching;
mod burials;
mod decide;
mod deliveries;
mod doubt;
mod hands;
mod judge;
mod lane;
mod metrics;
mod render;
mod rulebook;
mod seat;
mod status;
mod tally;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use faceway_core::{Clock, Lane, Outbound, Spool, SpoolError, Start};
use faceway_rules::{OutboundPlan, Since};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::link::Links;
use decide::Once;
pub use rulebook::{Anew, Edition, Gone, InForce, RuleBook, Rules};
use seat::{Orders, Seat, Target};
pub use status::{LaneState, LaneStatus, LastFailure};
pub use tally::{Tally, announce};

/// What all lanes share.
#[derive(Clone)]
pub struct Common {
    /// Where events come from.
    pub spool: Arc<dyn Spool>,
    /// The rules.
    pub rules: InForce,
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
    leaving: bool,
    lane: Lane,
    status: Arc<LaneStatus>,
    probe: Arc<Notify>,
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

    /// Whether its outbound is no longer in `routes.toml`: what it was given before is still delivered.
    pub const fn leaving(&self) -> bool {
        self.leaving
    }

    /// Its lane in the spool.
    pub const fn lane(&self) -> Lane {
        self.lane
    }

    /// Lets its next probe leave at once, if it waits for one; gives what it was doing.
    pub fn try_now(&self) -> LaneState {
        let (state, _, _) = self.status.get();
        if matches!(state, LaneState::Waiting { .. }) {
            self.probe.notify_one();
        }
        state
    }

    /// How it is.
    pub fn status(&self) -> &LaneStatus {
        &self.status
    }
}

/// The lanes at work.
pub struct Dispatch {
    common: Common,
    seated: Vec<Seated>,
    stop: CancellationToken,
}

struct Seated {
    handle: LaneHandle,
    orders: watch::Sender<Orders>,
    /// Set by its lane when it has left.
    left: Arc<AtomicBool>,
    work: JoinHandle<()>,
}

impl Seated {
    /// Whether there is something to do again.
    fn look_again(&mut self) {
        self.left.store(false, Ordering::SeqCst);
        self.orders.send_modify(|_| {});
    }
}

impl Dispatch {
    /// No lanes yet.
    pub fn new(common: Common) -> Self {
        Self {
            common,
            seated: Vec::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Opens the lane of an outbound; nothing leaves by it yet.
    ///
    /// # Errors
    /// When the spool cannot open it.
    pub async fn open(&self, plan: &OutboundPlan) -> Result<Lane, SpoolError> {
        let start = match plan.common.since {
            Since::Now => Start::Now,
            Since::Oldest => Start::Oldest,
        };
        self.common.spool.open_lane(&plan.name, start).await
    }

    /// Sets a lane to work.
    pub fn add(&mut self, plan: OutboundPlan, outbound: Arc<dyn Outbound>, lane: Lane) {
        let common = self.common.clone();
        let status = Arc::new(LaneStatus::new(common.clock.now()));
        let handle = LaneHandle {
            name: plan.name.clone(),
            protocol: plan.protocol.name(),
            leaving: false,
            lane,
            status: Arc::clone(&status),
            probe: Arc::default(),
        };
        let target = Arc::new(Target { plan, outbound });
        let left = Arc::new(AtomicBool::new(false));
        let (orders, ordered) = watch::channel(Orders {
            target: Arc::clone(&target),
            leave: None,
        });
        let seat = Seat {
            name: handle.name.clone(),
            target,
            orders: ordered,
            common,
            lane,
            status,
            probe: Arc::clone(&handle.probe),
            once: Once::default(),
            left: Arc::clone(&left),
            stop: self.stop.clone(),
        };
        let work = tokio::spawn(seat.keep_working());
        self.seated.push(Seated {
            handle,
            orders,
            left,
            work,
        });
    }

    /// Whether a lane of this name is at work, or leaving.
    pub fn has(&self, name: &str) -> bool {
        self.seated.iter().any(|seated| seated.handle.name == name)
    }

    /// The lane delivers to something else from now on. What is on its way may end, up to the grace period; nobody waits
    /// for it here.
    pub fn change(&mut self, plan: OutboundPlan, outbound: Arc<dyn Outbound>) {
        let Some(seated) = self.seat(&plan.name) else {
            return;
        };
        seated.handle.protocol = plan.protocol.name();
        seated.handle.leaving = false;
        let target = Arc::new(Target { plan, outbound });
        let leave = None;
        seated.orders.send_replace(Orders { target, leave });
        seated.left.store(false, Ordering::SeqCst);
    }

    /// The lane delivers what was kept up to `upto`, a sequence number, and ends.
    pub fn leave(&mut self, name: &str, upto: u64) {
        if let Some(seated) = self.seat(name)
            && !seated.handle.leaving
        {
            seated.handle.leaving = true;
            seated
                .orders
                .send_modify(|orders| orders.leave = Some(upto));
        }
    }

    /// Lanes that have left, and are no longer here. One that has something to do again, as it was handed events of the
    /// history, goes on.
    pub async fn left(&mut self) -> Vec<LaneHandle> {
        let mut left = Vec::new();
        for mut seated in std::mem::take(&mut self.seated) {
            let upto = seated.orders.borrow().leave;
            match upto {
                Some(upto) if seated.left.load(Ordering::SeqCst) => {
                    match self.is_through(&seated, upto).await {
                        true => left.push(seated.handle),
                        false => {
                            seated.look_again();
                            self.seated.push(seated);
                        }
                    }
                }
                _ => self.seated.push(seated),
            }
        }
        left
    }

    async fn is_through(&self, seated: &Seated, upto: u64) -> bool {
        let now = self.common.clock.now();
        let survey = self.common.spool.survey(seated.handle.lane, now).await;
        survey.is_ok_and(|survey| seat::is_through(&survey, upto))
    }

    /// Ends a lane that is leaving, whatever it has still to deliver.
    pub async fn give_up(&mut self, name: &str) {
        let leaving = |seated: &mut Seated| seated.handle.leaving && seated.handle.name == name;
        let mut given_up: Vec<_> = self.seated.extract_if(.., leaving).collect();
        for seated in &mut given_up {
            seated.work.abort();
            let _ = (&mut seated.work).await;
        }
    }

    fn seat(&mut self, name: &str) -> Option<&mut Seated> {
        let named = |seated: &&mut Seated| seated.handle.name == name;
        self.seated.iter_mut().find(named)
    }

    /// The lanes, for those who look.
    pub fn lanes(&self) -> Vec<LaneHandle> {
        let handles = self.seated.iter().map(|seated| seated.handle.clone());
        handles.collect()
    }

    /// Stops leasing and waits for what is on its way.
    pub async fn stop(self) {
        self.stop.cancel();
        for seated in self.seated {
            let _ = seated.work.await;
        }
    }
}
