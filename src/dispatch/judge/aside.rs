//! A refusal that every event gets is the destination's; one that a single event gets is that event's.
//!
//! While a token is exchanged, or a service starts behind its ingress, every event hears 401 or 404. An event that alone is
//! refused hears the same, and only other events tell the two apart. So what is refused, or has used up its attempts, is
//! **set aside**: buried, so that what is behind it can be tried. When the destination takes one of those, the burial
//! stands. When it refuses them as well, or there are none, nobody is to blame: all that was set aside is **taken back**
//! before anything else leaves, and the lane waits as in any outage.
//!
//! While it waits, an event that was not tried yet is tried at once as long as few were: a single bad one must not hold up
//! a quiet site. Later, every few minutes, a probe goes past all that was tried, to the first that was not, so that the lane
//! is never stuck behind some bad events of its only device. Not more often: what is passed by in the very moment in which
//! the destination is mended stays buried.

use std::collections::VecDeque;
use std::time::Duration;

use faceway_core::{AttemptResult, Code, DeviceKey, EventId, Lease, Parked, Settled, Timestamp};

use super::outage::Cause;
use super::{DEVICES_FAILING_MAX, Failed, Judge, Judgement, Outage, released};

/// So many different events refused one after another are no coincidence.
const EVENTS_REFUSED_MAX: usize = 3;
/// After so long in vain, a probe goes past what was tried before.
const SWEEP_AFTER: Duration = Duration::from_secs(300);
/// So many events are remembered. Who is forgotten counts as not tried.
const TRIED_MAX: usize = 64;

/// What failed since the destination last took an event.
pub(super) struct Asides {
    tried: VecDeque<Tried>,
    /// Buried for now.
    aside: Vec<Aside>,
    /// They failed, and then another event got through: when one of them is refused again, it is that event's fault.
    alone: VecDeque<Tried>,
    /// So many different events refused one after another are no coincidence, as far as is known of this destination.
    tolerates: usize,
    /// So many events a sweep goes past, also where more were tried than are remembered.
    reach: usize,
    /// Events that were buried since the last success, as they were known to fail alone.
    given_up: usize,
    /// What is aside is taken back before anything else leaves.
    takes_back: bool,
    /// The probe goes past what was tried before.
    sweeps: bool,
    /// When one last did.
    swept: Option<Timestamp>,
}

/// What the lane has at hand beside an event that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::dispatch) enum Beside {
    /// Nothing but what is [tried out](Judge::is_tried_out).
    Nothing,
    /// An event that failed, and has tries left.
    Failed,
    /// An event that was not tried since the destination last took one.
    New,
}

impl Default for Asides {
    fn default() -> Self {
        Self {
            tried: VecDeque::new(),
            aside: Vec::new(),
            alone: VecDeque::new(),
            tolerates: EVENTS_REFUSED_MAX,
            reach: 0,
            given_up: 0,
            takes_back: false,
            sweeps: false,
            swept: None,
        }
    }
}

struct Tried {
    seq: u64,
    device: DeviceKey,
    /// A retry alone does not cure it: it was refused, or its attempts are used up.
    is_spent: bool,
    /// How often something had left when it failed last.
    departures: u64,
}

/// An event that is buried until it is known whether it is to blame.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::dispatch) struct Aside {
    seq: u64,
    /// Whose it is.
    pub(in crate::dispatch) device: DeviceKey,
    departures: u64,
    /// Its id.
    pub(in crate::dispatch) id: EventId,
    /// What the destination said of it.
    pub(in crate::dispatch) code: Code,
}

impl Asides {
    /// Whether this event has failed since the last success.
    pub(super) fn has_tried(&self, seq: u64) -> bool {
        self.tried.iter().any(|tried| tried.seq == seq)
    }

    pub(super) fn is_spent(&self, seq: u64) -> bool {
        let mut tried = self.tried.iter();
        tried.any(|tried| tried.seq == seq && tried.is_spent)
    }

    /// It failed; `true` when it is the first time since the last success.
    pub(super) fn note(&mut self, lease: &Lease, is_spent: bool, departures: u64) -> bool {
        if let Some(tried) = self.tried.iter_mut().find(|tried| tried.seq == lease.seq) {
            tried.is_spent |= is_spent;
            tried.departures = departures;
            return false;
        }
        self.tried.push_back(Tried {
            seq: lease.seq,
            device: lease.device,
            is_spent,
            departures,
        });
        if self.tried.len() > TRIED_MAX {
            self.tried.pop_front();
        }
        true
    }

    /// Whether events of several devices have failed since the last success.
    pub(super) fn are_of_many_devices(&self) -> bool {
        let mut devices: Vec<DeviceKey> = Vec::new();
        for tried in &self.tried {
            if !devices.contains(&tried.device) {
                devices.push(tried.device);
            }
        }
        devices.len() >= DEVICES_FAILING_MAX
    }

    /// So few have failed that it may be chance.
    fn are_few(&self) -> bool {
        self.tried.len() < self.tolerates
    }

    /// The destination has taken these, which left with this departure: what was set aside before stays buried, and is given
    /// back; what failed before is known to fail alone. One that left earlier says nothing of an answer that came later.
    pub(super) fn compared(&mut self, events: &[Lease], departure: u64) -> Vec<Aside> {
        if self.tried.is_empty() && self.alone.is_empty() {
            return Vec::new();
        }
        let is_before = |departures: u64| departures < departure;
        let stands = self
            .aside
            .extract_if(.., |aside| is_before(aside.departures));
        let stands: Vec<Aside> = stands.collect();
        let tried = std::mem::take(&mut self.tried).into_iter();
        let (compared, rest): (VecDeque<_>, _) =
            tried.partition(|tried| is_before(tried.departures));
        self.tried = rest;
        let is_delivered = |seq: u64| events.iter().any(|lease| lease.seq == seq);
        // It took what it had refused: that was not the event's fault.
        // (A destination that refuses many is known by that, and is not taken for one that refuses all at every turn.)
        let mut failed = compared.iter().chain(&self.tried).chain(&self.alone);
        let relents = failed.any(|failed| failed.is_spent && is_delivered(failed.seq));
        if relents {
            self.tolerates = EVENTS_REFUSED_MAX;
        } else {
            self.tolerates = self.tolerates.max(2 * stands.len()).min(TRIED_MAX);
        }
        for tried in compared {
            if !self.knows(tried.seq) {
                self.alone.push_back(tried);
            }
        }
        self.tried.retain(|tried| !is_delivered(tried.seq));
        self.alone.retain(|alone| {
            !is_delivered(alone.seq) && stands.iter().all(|aside| aside.seq != alone.seq)
        });
        while self.alone.len() > TRIED_MAX {
            self.alone.pop_front();
        }
        if self.aside.is_empty() {
            self.takes_back = false;
        }
        (self.sweeps, self.swept, self.reach, self.given_up) = (false, None, 0, 0);
        stands
    }

    fn knows(&self, seq: u64) -> bool {
        self.alone.iter().any(|alone| alone.seq == seq)
    }

    /// Nothing that was tried got through.
    pub(super) fn in_vain(&mut self) {
        self.takes_back = !self.aside.is_empty();
        self.sweeps = false;
    }
}

impl Judge {
    /// Whether this event has failed since the destination last took one.
    pub(in crate::dispatch) fn has_tried(&self, lease: &Lease) -> bool {
        self.asides.has_tried(lease.seq)
    }

    /// Whether this event has used up its tries since the destination last took one.
    pub(in crate::dispatch) fn is_tried_out(&self, lease: &Lease) -> bool {
        self.asides.is_spent(lease.seq)
    }

    /// Whether an outage may be the doing of the few events that were tried: one that was not is tried at once.
    pub(in crate::dispatch) fn is_comparing(&self) -> bool {
        self.refuses() && self.asides.are_few()
    }

    /// Whether events fail one by one, and none gets through.
    pub(super) fn refuses(&self) -> bool {
        self.outage.as_ref().is_some_and(Outage::refuses)
    }

    /// How many events have failed since the last success.
    pub(in crate::dispatch) fn tried(&self) -> usize {
        self.asides.tried.len()
    }

    /// Whether an event is buried only for now.
    pub(in crate::dispatch) const fn has_set_aside(&self) -> bool {
        !self.asides.aside.is_empty()
    }

    /// Whether something is to be taken back before anything else leaves.
    pub(in crate::dispatch) const fn must_take_back(&self) -> bool {
        self.asides.takes_back
    }

    /// All that is buried only for now.
    pub(in crate::dispatch) fn set_aside(&self) -> Vec<Aside> {
        self.asides.aside.clone()
    }

    /// It is taken back.
    pub(in crate::dispatch) fn taken_back(&mut self) {
        self.asides.aside.clear();
        self.asides.takes_back = false;
    }

    /// There is nothing more to compare with what was set aside. `true` when an outage begins with that.
    pub(in crate::dispatch) fn nothing_is_left(&mut self, now: Timestamp, chance: f64) -> bool {
        let Some(last) = self.asides.aside.last() else {
            return false;
        };
        if self.asides.takes_back {
            return false;
        }
        let code = last.code.clone();
        self.asides.in_vain();
        let began = self.outage.is_none();
        let (since, probes) = match &self.outage {
            None => (now, 0),
            Some(outage) => (outage.since, outage.probes.saturating_add(1)),
        };
        let next_probe = now.plus(self.pause(probes, None, chance));
        self.outage = Some(Outage::refusing(since, next_probe, code, probes));
        began
    }

    /// The destination refuses this event, or its attempts are used up. `beside` is what is at hand.
    pub(super) fn refused(&mut self, failed: Failed<'_>, beside: Beside) -> Judgement {
        let seq = failed.lease.seq;
        let refused_all = self.refuses();
        let departures = self.doubt.departures();
        let is_known = !refused_all && self.asides.knows(seq);
        // A single success does not condemn all that failed before it: few are buried on its word.
        if is_known && self.asides.given_up + 1 < EVENTS_REFUSED_MAX && !self.has_set_aside() {
            self.asides.given_up += 1;
            self.asides.alone.retain(|alone| alone.seq != seq);
            return self.incurable(failed.code);
        }
        let is_new = !is_known && self.asides.note(failed.lease, true, departures);
        if failed.is_straggler {
            return released(false);
        }
        let goes_on = if refused_all {
            self.asides.sweeps |= !is_new && self.is_to_sweep(beside, failed.now);
            self.asides.sweeps && (!is_new || self.asides.aside.len() < self.asides.reach)
        } else {
            is_known || self.asides.are_few()
        };
        if !goes_on || self.asides.takes_back {
            return self.all_fail(failed, false);
        }
        let Failed {
            lease, code, now, ..
        } = failed;
        self.asides.aside.push(Aside {
            seq,
            device: lease.device,
            departures,
            id: lease.id,
            code: code.clone(),
        });
        if let Some(outage) = &mut self.outage {
            // What is behind it is tried at once: it says something only beside this answer, and whether the outage is over.
            outage.next_probe = now;
        }
        Judgement {
            settled: Settled::Bury { code },
            result: AttemptResult::Buried,
            set_aside: true,
            ..released(false)
        }
    }

    /// Whether this probe goes past what was tried before.
    fn is_to_sweep(&mut self, beside: Beside, now: Timestamp) -> bool {
        if beside == Beside::Nothing {
            return false;
        }
        let is_due = self.is_sweep_due(now);
        if is_due {
            self.asides.reach = self.asides.reach.max(self.asides.tried.len()) + 1;
        }
        is_due || self.asides.are_few()
    }

    /// Whether nothing got through for so long that what probes is passed by.
    pub(super) fn is_sweep_due(&mut self, now: Timestamp) -> bool {
        let Some(outage) = &self.outage else {
            return false;
        };
        let last = self.asides.swept.unwrap_or(outage.since);
        // A clock that was set back is not waited for.
        let is_due = now < last || now.since(last) >= SWEEP_AFTER;
        if is_due {
            self.asides.swept = Some(now);
        }
        is_due
    }

    /// This one fails as well, and nothing got through.
    pub(super) fn all_fail(&mut self, failed: Failed<'_>, passes: bool) -> Judgement {
        self.asides.in_vain();
        let until = failed.now;
        // Its turn is over: else one device could hide for ever, behind an event that no retry cures, what does get through.
        let counts = (self.asides.takes_back || passes) && !self.asides.is_spent(failed.lease.seq);
        let judgement = self.down(failed, Cause::ManyAlone);
        let until = self
            .outage
            .as_ref()
            .map_or(until, |outage| outage.next_probe);
        if !counts {
            return judgement;
        }
        let settled = Settled::Park {
            until,
            why: Parked::Alone,
        };
        Judgement {
            settled,
            ..judgement
        }
    }
}
