//! The lane machine: what one outbound still has to get, and what leaves next. Pure: no I/O, no clock, no chance of its own.
//!
//! The gateway asks the rules about every entry of the log, in the log's order and whether the destination answers or not,
//! and [offers](Lane::offer) the lane what is for its outbound. The lane says what [leaves next](Lane::next), hears
//! [what became of it](Lane::acknowledge), and gives out what is to be [kept](Lane::take_change). All policy lives here: the
//! order of each device, fairness between devices, the window, the circuit breaker, backoff, `Retry-After`, batches and
//! their splitting, poison candidates, replay jobs. A spool engine knows none of it.
//!
//! **Where an event is.** From the moment in which it is offered until it is acknowledged or buried, an event stands in one of
//! the ranges (`ranges.rs`): these are the backlog, exactly, and what is kept. Besides, it is in one of four places: it waits
//! in the queue of its device (`queues.rs`), it is in flight, it is suspended (`breaker/suspended.rs`), or it waits at the
//! front of its device's queue with a time before which it does not leave (parked).
//!
//! **Invariants.** One message with events of a device is in flight at a time, the lowest sequence number first. Behind a
//! burial or a suspension a device waits until that is durable: otherwise a crash would bring the refused event again, behind
//! later ones. A device that may leave is served after at most one message of every other such device.

mod ascending;
mod batch;
mod breaker;
mod lane;
mod queues;
mod ranges;
mod split;

use std::num::NonZeroU32;
use std::time::Duration;

use faceway_core::{Code, DeviceKey, Parked};

pub use lane::{Acknowledged, Action, Delivery, Fate, Lane, LaneView, Now, Offer, Place, Stage};

/// How an outbound delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// First pause.
    pub backoff_min: Duration,
    /// Longest pause, not shorter than the first.
    pub backoff_max: Duration,
    /// Attempts of one event that fails alone; `None` = without end.
    pub attempts_max: Option<NonZeroU32>,
    /// An older event is buried when it fails; `None` = without end.
    pub age_max: Option<Duration>,
    /// Messages in flight at a time, at least 1.
    pub concurrency_max: usize,
    /// Events in one message, at least 1.
    pub batch_max: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(5 * 60),
            attempts_max: NonZeroU32::new(10),
            age_max: None,
            concurrency_max: 4,
            batch_max: 1,
        }
    }
}

/// A moment on a monotonic clock that begins with the process. Timers are of this kind; the wall clock is data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(Duration);

impl Tick {
    /// So long after the clock began.
    pub const fn after(start: Duration) -> Self {
        Self(start)
    }

    /// So long after this one.
    #[must_use]
    pub const fn plus(self, pause: Duration) -> Self {
        Self(self.0.saturating_add(pause))
    }

    /// How long after `earlier` it is; zero when it is not.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// An event of this lane, as far as the lane has to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queued {
    /// Its sequence number.
    pub seq: u64,
    /// The unit of order.
    pub device: DeviceKey,
    /// How often it has failed alone.
    pub failures: u32,
    /// How long ago the gateway got it; asked for only when it has failed.
    pub age: Duration,
}

/// What becomes of the events of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// Acknowledged.
    Done,
    /// It comes again at `until`; later events of its device wait behind it.
    Park {
        /// When it is due.
        until: Tick,
        /// Why it waits.
        why: Parked,
    },
    /// It is given up; its device goes on.
    Bury {
        /// Why.
        code: Code,
    },
    /// It is buried or comes again, depending on what the destination does with others; its device goes on.
    Suspend {
        /// What the destination said.
        code: Code,
    },
    /// It comes again, before later ones of its device, and nothing is counted.
    Release,
}
