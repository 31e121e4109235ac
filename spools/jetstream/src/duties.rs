//! Duties: what one gateway at a time does, with a record each at `state.duty.<kind>.<name>` of STATE.
//!
//! A record is written by compare-and-set on the one before. A gateway takes a duty that no incarnation has, and one whose
//! owner has ended: its member record is gone, or its subscriptions are, for longer than it works without hearing itself.
//! [`decide`] says so by what was read; [`run`] reads and writes.

mod ask;
mod contract;
mod decide;
mod held;
mod pings;
mod record;
mod run;
mod site;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use faceway_core::{Duty, Owner, Question};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use crate::lock;
use crate::members::Life;

use decide::Wish;
use held::{Grant, HeldDuty};

pub(crate) use ask::hear;
pub(crate) use run::{leave, run};

/// Questions that wait for the gateway.
const QUESTIONS_MAX: usize = 64;

/// How long things last that only placement needs. Tests make them shorter.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long a gateway waits for a free duty that another one is to take.
    pub wait: Duration,
    /// How long a gateway lives, and has waited for a duty, before it asks another one for it.
    pub settle: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(5),
            settle: Duration::from_secs(30),
        }
    }
}

/// The duties that this gateway wants and has.
pub(crate) struct Duties {
    timing: Timing,
    slots: Mutex<Slots>,
    /// There is something to do before the next look.
    woken: Notify,
    questions: mpsc::Sender<Question>,
    asked: tokio::sync::Mutex<mpsc::Receiver<Question>>,
    owners: Mutex<Option<(Instant, Vec<Owner>)>>,
}

#[derive(Default)]
struct Slots {
    next: u64,
    wishes: HashMap<u64, Wished>,
    grants: HashMap<u64, Arc<Grant>>,
}

/// A duty that this gateway waits for.
struct Wished {
    duty: Duty,
    wish: Wish,
    give: oneshot::Sender<HeldDuty>,
}

impl Duties {
    pub(crate) fn new(timing: Timing) -> Self {
        let (questions, asked) = mpsc::channel(QUESTIONS_MAX);
        Self {
            timing,
            slots: Mutex::default(),
            woken: Notify::new(),
            questions,
            asked: tokio::sync::Mutex::new(asked),
            owners: Mutex::default(),
        }
    }

    /// Looks at once.
    pub(crate) fn wake(&self) {
        self.woken.notify_one();
    }

    fn grants(&self) -> Vec<Arc<Grant>> {
        lock(&self.slots).grants.values().cloned().collect()
    }

    /// This incarnation is over, and so is everything that it has.
    pub(crate) fn lose_all(&self, life: &Life) {
        life.end();
        self.lose_over();
    }

    /// Loses what is of another incarnation, or of a time before this one was cut off.
    pub(crate) fn lose_over(&self) {
        for grant in self.grants() {
            grant.lose_if_over();
        }
    }

    /// Whether this gateway has the duty.
    fn has(&self, duty: &Duty) -> bool {
        let now = Instant::now();
        let grants = self.grants();
        grants
            .iter()
            .any(|grant| grant.duty == *duty && !grant.is_lost(now))
    }
}
