//! The circuit breaker of one lane: what a verdict leads to. Pure: time and chance come in as arguments.
//!
//! It tells two kinds of trouble apart. **An outage** is the destination's: the lane waits, probes with one event, and counts
//! nothing. **An event that fails alone** is parked with growing pauses, its device waits behind it, and in the end it is
//! buried. When events of several devices fail alone with no success between them, that is an outage too.
//!
//! A batch that fails says nothing of any one of its events: the lane splits it and each event gets its own verdict. Nor does
//! a connection that breaks under several events: `breaker/unproven.rs` says which of them are poison candidates then, and
//! how the breaker finds out. What the destination refuses is compared with what it does with others:
//! `breaker/suspended.rs`.

mod alone;
mod outage;
mod suspended;
mod sweep;
#[cfg(test)]
mod tests;
mod tried;
mod unproven;

use std::collections::VecDeque;
use std::time::Duration;

use faceway_core::{AttemptResult, Code, DeviceKey, Scope, Verdict};

use crate::{Policy, Queued, Settled, Tick};
use outage::Cause;
pub(crate) use outage::Outage;
use suspended::Suspensions;
pub(crate) use suspended::{Company, Suspended};
use unproven::Unproven;

/// So many devices failing one after another are no coincidence.
const DEVICES_FAILING_MAX: usize = 3;
/// So many probes with one event, then another device's event is tried.
const PROBES_OF_ONE_EVENT_MAX: u32 = 3;
/// A long outage wears out one event after another; only the last ones are remembered.
const CANDIDATES_MAX: usize = 64;

/// The memory of one lane about its destination.
pub(crate) struct Breaker {
    policy: Policy,
    outage: Option<Outage>,
    suspensions: Suspensions,
    /// Events that probed in vain three times before another one got through, or that alone were in doubt when the
    /// connection broke: when one of them brings the destination to a halt once more, it is the event that is to blame.
    candidates: VecDeque<u64>,
    /// Devices whose events were blamed for a break since the last success.
    blamed: Vec<DeviceKey>,
    unproven: Unproven,
}

/// An attempt that was not confirmed and may be, later.
struct Failed<'l> {
    event: &'l Queued,
    code: Code,
    after: Option<Duration>,
    /// It was in flight when the outage began.
    is_straggler: bool,
    now: Tick,
    chance: f64,
}

/// Whether events may leave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum State {
    /// As many as the window holds.
    Closed,
    /// One probe, and only when nothing else is in flight.
    HalfOpen,
    /// None before then.
    Open(Tick),
}

/// What a verdict leads to.
#[derive(Debug, PartialEq)]
pub(crate) struct Ruling {
    pub(crate) settled: Settled,
    pub(crate) result: AttemptResult,
    /// An outage began.
    pub(crate) outage_began: bool,
    /// An outage ended: what was parked because of it is due.
    pub(crate) outage_ended: bool,
    /// One of several events is to blame, or more: each is to go alone.
    pub(crate) split: bool,
    /// The event breaks the connection, and is not in doubt any more.
    pub(crate) blamed: bool,
    /// Burials that were in the balance, and are final now.
    pub(crate) confirmed: Vec<Suspended>,
}

impl Breaker {
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            policy,
            outage: None,
            suspensions: Suspensions::default(),
            candidates: VecDeque::new(),
            blamed: Vec::new(),
            unproven: Unproven::default(),
        }
    }

    pub(crate) const fn outage(&self) -> Option<&Outage> {
        self.outage.as_ref()
    }

    pub(crate) fn state(&self, now: Tick) -> State {
        let Some(Outage { next_probe, .. }) = self.outage else {
            return State::Closed;
        };
        if next_probe <= now {
            State::HalfOpen
        } else {
            State::Open(next_probe)
        }
    }

    /// Lets the next probe leave now; `false` when none is waited for. It is still one probe, and when it fails the pause
    /// after it is as long as it would have been.
    pub(crate) fn probe_now(&mut self, now: Tick) -> bool {
        match &mut self.outage {
            Some(outage) if outage.next_probe > now => {
                outage.next_probe = now;
                true
            }
            _ => false,
        }
    }

    /// These are in flight now.
    pub(crate) fn left(&mut self, events: &[Queued]) {
        self.unproven.left(events);
    }

    /// These were to leave, and were not in the message.
    pub(crate) fn stayed(&mut self, events: &[Queued]) {
        self.unproven.back(events);
        self.came_back(events);
    }

    /// Whether the first of these was in flight when the outage began. From now on none of them counts as such.
    fn came_back(&mut self, events: &[Queued]) -> bool {
        let (Some(outage), Some(first)) = (&mut self.outage, events.first()) else {
            return false;
        };
        let is_straggler = outage.stragglers.contains(&first.seq);
        for event in events {
            outage.stragglers.remove(&event.seq);
        }
        is_straggler
    }

    /// Which event probes: the one with the lowest turn. A poison candidate comes after all others, the latest one last;
    /// before them comes an event that has failed alone, perhaps before the gateway was started, and before those what has
    /// failed since the last success. While it is in doubt whether the destination is down at all, proven devices come first.
    pub(crate) fn turn(&self, event: &Queued) -> usize {
        let mut candidates = self.candidates.iter();
        match candidates.position(|candidate| *candidate == event.seq) {
            Some(place) => place + 4,
            None if event.failures > 0 => 3,
            None if self.has_tried(event) => 2,
            None => usize::from(self.is_in_doubt() && !self.unproven.is_proven(event)),
        }
    }

    /// Whether an outage may be one event's doing.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.outage
            .as_ref()
            .is_some_and(|outage| !outage.doubted.is_empty())
    }

    /// Whether this event shares no message with others: it would bring them to a halt.
    pub(crate) fn goes_alone(&self, event: &Queued) -> bool {
        self.candidates.contains(&event.seq) || self.is_careful() && !self.unproven.is_proven(event)
    }

    /// Whether the lane is careful: not every event [may leave](Breaker::may_leave) at once then.
    pub(crate) const fn is_careful(&self) -> bool {
        self.unproven.is_careful()
    }

    /// Whether this event may be in flight beside what is.
    pub(crate) fn may_leave(&self, event: &Queued) -> bool {
        self.unproven.may_leave(event)
    }

    /// Rules on one attempt with one message of these events, for each of them alike. `company` is what could leave besides.
    /// `chance` is from 0 to 1 and spreads the pauses.
    pub(crate) fn rule(
        &mut self,
        events: &[Queued],
        verdict: Verdict,
        company: Company,
        now: Tick,
        chance: f64,
    ) -> Ruling {
        let Some(event) = events.first() else {
            // There is no message without an event.
            return released(false);
        };
        let several = events.len() > 1;
        // Asked before these events are back, as they are among those that may be to blame; and only where it matters, as nearly
        // all verdicts are confirmations.
        let blameable = match &verdict {
            Verdict::Retry {
                scope: Scope::Destination,
                ..
            } => self.unproven.blameable(&self.candidates),
            _ => Vec::new(),
        };
        let departure = self.unproven.departure(events);
        let excused = self.unproven.back(events);
        let is_straggler = self.came_back(events);
        let failed = |code, after| Failed {
            event,
            code,
            after,
            is_straggler,
            now,
            chance,
        };
        match verdict {
            Verdict::Delivered { .. } => self.delivered(events, is_straggler, departure),
            Verdict::Bury { .. } if several => self.together(false),
            Verdict::Bury { code } => self.incurable(code),
            Verdict::Refused { .. }
            | Verdict::Retry {
                scope: Scope::Message,
                ..
            } if several => self.together(true),
            Verdict::Refused { code } => self.refused(failed(code, None), company),
            Verdict::Retry { scope, code, after } => {
                let failed = failed(code, after);
                match scope {
                    Scope::Destination if excused && failed.after.is_none() => released(false),
                    Scope::Destination if is_straggler => self.straggled(failed, several),
                    Scope::Destination => self.broke(failed, several, blameable),
                    Scope::Message => self.alone(failed, company),
                }
            }
        }
    }

    fn delivered(&mut self, events: &[Queued], is_straggler: bool, departure: u64) -> Ruling {
        let confirmed = self.suspensions.compared(events, departure);
        self.blamed.clear();
        self.candidates
            .retain(|seq| events.iter().all(|event| event.seq != *seq));
        let ended = self.outage.take();
        if let Some(outage) = &ended
            && !outage.doubted.is_empty()
        {
            self.unproven.be_careful();
            // One that left before the break says nothing of what is behind it.
            let compared =
                !is_straggler && events.iter().any(|event| self.unproven.is_proven(event));
            if let ([seq], true) = (&*outage.doubted, compared) {
                self.add_candidate(*seq);
            }
        }
        self.unproven.took(events);
        Ruling {
            settled: Settled::Done,
            result: AttemptResult::Delivered,
            outage_ended: ended.is_some(),
            confirmed,
            ..released(false)
        }
    }

    /// The destination answers, and says that no retry can cure it: whatever the outage was, it is over.
    fn incurable(&mut self, code: Code) -> Ruling {
        Ruling {
            settled: Settled::Bury { code },
            result: AttemptResult::Buried,
            outage_ended: self.outage.take().is_some(),
            ..released(false)
        }
    }

    /// Several events failed together, at a destination that answers. Any of them may be to blame, so nothing is counted.
    /// An outage of events that fail each as if alone is not over because several `may_pass` later.
    fn together(&mut self, may_pass: bool) -> Ruling {
        let ended = self
            .outage
            .take_if(|outage| !may_pass || outage.cause == Cause::Destination);
        Ruling {
            outage_ended: ended.is_some(),
            split: true,
            ..released(false)
        }
    }

    fn add_candidate(&mut self, seq: u64) {
        self.candidates.retain(|known| *known != seq);
        self.candidates.push_back(seq);
        if self.candidates.len() > CANDIDATES_MAX {
            self.candidates.pop_front();
        }
    }

    /// Doubles with every failure, is spread over its upper half, and is never longer than `backoff_max`.
    fn pause(&self, failures: u32, after: Option<Duration>, chance: f64) -> Duration {
        let longest = self.policy.backoff_max;
        let doubled = self
            .policy
            .backoff_min
            .saturating_mul(1 << failures.min(30))
            .min(longest);
        let spread = doubled.mul_f64(chance.clamp(0.0, 1.0).mul_add(0.5, 0.5));
        spread.max(after.unwrap_or_default()).min(longest)
    }
}

impl Ruling {
    /// Whether the burial of this event is in the balance.
    #[cfg(test)]
    fn is_suspended(&self) -> bool {
        matches!(self.settled, Settled::Suspend { .. })
    }
}

/// The event comes again, and nothing is counted.
const fn released(outage_began: bool) -> Ruling {
    Ruling {
        settled: Settled::Release,
        result: AttemptResult::Retry,
        outage_began,
        outage_ended: false,
        split: false,
        blamed: false,
        confirmed: Vec::new(),
    }
}
