//! A refusal that every event gets is the destination's; one that a single event gets is that event's.
//!
//! While a token is exchanged, or a service starts behind its ingress, every event hears 401 or 404. An event that alone is
//! refused hears the same, and only other events tell the two apart. So the lane **suspends** an event that is refused, or
//! that has used up its attempts: what is behind it passes it and is tried. When the destination takes one of those, the
//! suspended event is buried. When it refuses them as well, or there are none, the destination is to blame: the lane
//! **resumes** all suspended events before anything else leaves, and waits as in any outage.
//!
//! While it waits, an event that was not tried yet is tried at once as long as few were: a single bad one must not hold up
//! a quiet site. Later the lane asks in steps and sweeps (`breaker/sweep.rs`), so that it is never stuck behind bad events.
//! A sweep comes every few minutes and not more often: what it passes of a device in the very moment in which the
//! destination is mended is buried.

use std::collections::VecDeque;

use faceway_core::{Code, DeviceKey, Parked};

use crate::{Queued, Settled, Tick};

use super::outage::Cause;
use super::sweep::{Step, Sweeps};
use super::tried::{Tried, TriedEvents};
use super::{Breaker, DEVICES_FAILING_MAX, Failed, Outage, Ruling, released};

/// So many different events refused one after another are no coincidence.
const EVENTS_REFUSED_MAX: usize = 3;
/// So many events that are known to fail alone are remembered, and so many in a row may yet be chance.
const ALONE_MAX: usize = 64;

/// What failed since the destination last took an event.
pub(super) struct Suspensions {
    tried: TriedEvents,
    /// Their burial is in the balance.
    suspended: Vec<Suspended>,
    /// They failed, and then another event got through: when one of them is refused again, it is that event's fault.
    alone: VecDeque<Tried>,
    /// So many different events refused one after another are no coincidence, as far as is known of this destination.
    tolerates: usize,
    /// Events that were buried since the last success, as they were known to fail alone.
    given_up: usize,
    /// What is suspended is resumed before anything else leaves.
    resumes: bool,
    pub(super) sweeps: Sweeps,
}

/// What could leave beside an event that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Company {
    /// Nothing but what is [tried out](Breaker::is_tried_out).
    Nothing,
    /// An event that failed, and has tries left.
    Failed,
    /// An event that was not tried since the destination last took one.
    New,
}

impl Default for Suspensions {
    fn default() -> Self {
        Self {
            tried: TriedEvents::default(),
            suspended: Vec::new(),
            alone: VecDeque::new(),
            tolerates: EVENTS_REFUSED_MAX,
            given_up: 0,
            resumes: false,
            sweeps: Sweeps::default(),
        }
    }
}

/// An event of which it is not known yet whether it is to blame.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Suspended {
    pub(crate) seq: u64,
    /// The unit of order.
    pub(crate) device: DeviceKey,
    departures: u64,
    /// What the destination said of it.
    pub(crate) code: Code,
}

impl Suspensions {
    /// Whether this event has failed since the last success.
    pub(super) fn has_tried(&self, seq: u64) -> bool {
        self.tried.get(seq).is_some()
    }

    /// How often something had left when this event failed last, since the last success.
    pub(super) fn departures_of(&self, seq: u64) -> Option<u64> {
        self.tried.get(seq).map(|tried| tried.departures)
    }

    /// And when it failed first.
    pub(super) fn first_failure_of(&self, seq: u64) -> Option<u64> {
        self.tried.get(seq).map(|tried| tried.since)
    }

    pub(super) fn is_spent(&self, seq: u64) -> bool {
        self.tried.get(seq).is_some_and(|tried| tried.is_spent)
    }

    /// The first whose burial is in the balance.
    pub(super) fn first_suspended(&self) -> Option<&Suspended> {
        self.suspended.first()
    }

    /// It failed; `true` when it is the first time since the last success.
    pub(super) fn note(&mut self, event: &Queued, is_spent: bool, departures: u64) -> bool {
        self.tried.note(event, is_spent, departures)
    }

    /// Whether events of several devices have failed since the last success.
    pub(super) fn are_of_many_devices(&self) -> bool {
        self.tried.devices() >= DEVICES_FAILING_MAX
    }

    /// So few have failed that it may be chance.
    pub(super) fn are_few(&self) -> bool {
        self.tried.len() < self.tolerates
    }

    /// The destination has taken these, which left with this departure: what was set suspended before stays buried, and is given
    /// back; what failed before is known to fail alone. One that left earlier says nothing of an answer that came later.
    pub(super) fn compared(&mut self, events: &[Queued], departure: u64) -> Vec<Suspended> {
        if self.tried.is_empty() && self.alone.is_empty() && self.suspended.is_empty() {
            return Vec::new();
        }
        let is_before = |departures: u64| departures < departure;
        let confirmed = self
            .suspended
            .extract_if(.., |suspended| is_before(suspended.departures));
        let confirmed: Vec<Suspended> = confirmed.collect();
        let compared = self.tried.take_before(departure);
        let is_delivered = |seq: u64| events.iter().any(|event| event.seq == seq);
        // It took what it had refused: that was not the event's fault.
        // (A destination that refuses many is known by that, and is not taken for one that refuses all at every turn.)
        let relented = |failed: &Tried| failed.is_spent && is_delivered(failed.seq);
        let relents =
            compared.iter().chain(&self.alone).any(relented) || self.tried.iter().any(relented);
        if relents {
            self.tolerates = EVENTS_REFUSED_MAX;
        } else {
            self.tolerates = self.tolerates.max(2 * confirmed.len()).min(ALONE_MAX);
        }
        for tried in compared {
            if !self.knows(tried.seq) {
                self.alone.push_back(tried);
            }
        }
        events.iter().for_each(|event| self.tried.remove(event.seq));
        self.alone.retain(|alone| {
            !is_delivered(alone.seq) && confirmed.iter().all(|suspended| suspended.seq != alone.seq)
        });
        while self.alone.len() > ALONE_MAX {
            self.alone.pop_front();
        }
        if self.suspended.is_empty() {
            self.resumes = false;
        }
        self.sweeps = Sweeps::default();
        self.given_up = 0;
        confirmed
    }

    fn knows(&self, seq: u64) -> bool {
        self.alone.iter().any(|alone| alone.seq == seq)
    }

    /// Nothing that was tried got through.
    pub(super) fn nothing_got_through(&mut self) {
        self.resumes = !self.suspended.is_empty();
        self.sweeps.end();
    }
}

impl Breaker {
    /// Whether this event has failed since the destination last took one.
    pub(crate) fn has_tried(&self, event: &Queued) -> bool {
        self.suspensions.has_tried(event.seq)
    }

    /// Whether this event has used up its tries since the destination last took one.
    pub(crate) fn is_tried_out(&self, event: &Queued) -> bool {
        self.suspensions.is_spent(event.seq)
    }

    /// Whether an outage may be the doing of the few events that were tried: one that was not is tried at once.
    pub(crate) fn is_comparing(&self) -> bool {
        self.refuses() && self.suspensions.are_few()
    }

    /// Whether events fail one by one, and none gets through.
    pub(super) fn refuses(&self) -> bool {
        self.outage.as_ref().is_some_and(Outage::refuses)
    }

    /// How many events have failed since the last success.
    pub(crate) fn tried(&self) -> usize {
        self.suspensions.tried.len()
    }

    /// Whether an event is buried only for now.
    pub(crate) const fn has_suspended(&self) -> bool {
        !self.suspensions.suspended.is_empty()
    }

    /// Whether something is to be taken back before anything else leaves.
    pub(crate) const fn must_resume(&self) -> bool {
        self.suspensions.resumes
    }

    /// Ends all suspensions; gives them.
    pub(crate) fn resume(&mut self) -> Vec<Suspended> {
        self.suspensions.resumes = false;
        std::mem::take(&mut self.suspensions.suspended)
    }

    /// An event that was suspended before the start: whatever is delivered from now on decides.
    pub(crate) fn restore_suspended(&mut self, seq: u64, device: DeviceKey, code: Code) {
        self.suspensions.suspended.push(Suspended {
            seq,
            device,
            departures: 0,
            code,
        });
    }

    /// There is nothing more to compare with what was set suspended. `true` when an outage begins with that.
    pub(crate) fn nothing_is_left(&mut self, now: Tick, chance: f64) -> bool {
        let Some(last) = self.suspensions.suspended.last() else {
            return false;
        };
        if self.suspensions.resumes {
            return false;
        }
        let code = last.code.clone();
        self.suspensions.nothing_got_through();
        let began = self.outage.is_none();
        let (since, probes) = match &self.outage {
            None => (now, 0),
            Some(outage) => (outage.since, outage.probes.saturating_add(1)),
        };
        let next_probe = now.plus(self.pause(probes, None, chance));
        let step = Step::after(probes, self.unproven.departures());
        self.outage = Some(Outage::refusing(since, next_probe, code, probes, step));
        began
    }

    /// The destination refuses this event, or its attempts are used up. `company` is what could leave besides.
    pub(super) fn refused(&mut self, failed: Failed<'_>, company: Company) -> Ruling {
        let seq = failed.event.seq;
        let refused_all = self.refuses();
        let departures = self.unproven.departures();
        let is_known = !refused_all && self.suspensions.knows(seq);
        // A single success does not condemn all that failed before it: few are buried on its word.
        if is_known && self.suspensions.given_up + 1 < EVENTS_REFUSED_MAX && !self.has_suspended() {
            self.suspensions.given_up += 1;
            self.suspensions.alone.retain(|alone| alone.seq != seq);
            return self.incurable(failed.code);
        }
        let is_new = !is_known && self.suspensions.note(failed.event, true, departures);
        if failed.is_straggler {
            return released(false);
        }
        let goes_on = if refused_all {
            self.sweeps_past(is_new, company, failed.now)
        } else {
            is_known || self.suspensions.are_few()
        };
        if !goes_on || self.suspensions.resumes {
            return self.all_fail(failed, false);
        }
        let Failed {
            event, code, now, ..
        } = failed;
        self.suspensions.suspended.push(Suspended {
            seq,
            device: event.device,
            departures,
            code: code.clone(),
        });
        if let Some(outage) = &mut self.outage {
            // What is behind it is tried at once: it says something only beside this answer, and whether the outage is over.
            outage.next_probe = now;
            outage.step.begin();
        }
        Ruling {
            settled: Settled::Suspend { code },
            ..released(false)
        }
    }

    /// This one fails as well, and nothing got through.
    pub(super) fn all_fail(&mut self, failed: Failed<'_>, passes: bool) -> Ruling {
        self.suspensions.nothing_got_through();
        let until = failed.now;
        // Its turn is over: else one device could hide for ever, behind an event that no retry cures, what does get through.
        let counts =
            (self.suspensions.resumes || passes) && !self.suspensions.is_spent(failed.event.seq);
        let ruling = self.down(failed, Cause::ManyAlone);
        let until = self
            .outage
            .as_ref()
            .map_or(until, |outage| outage.next_probe);
        if !counts {
            return ruling;
        }
        let settled = Settled::Park {
            until,
            why: Parked::Alone,
        };
        Ruling { settled, ..ruling }
    }
}
