//! How a destination is asked that refuses whatever comes: in steps, and every few minutes in a sweep.
//!
//! A **step** comes after each pause. It asks with the first events of devices, one at a time, the one that was asked with
//! longest ago first; four times as many as the step before, each of them once. So a good event comes past refused ones of a
//! thousand devices within the first pauses, and nothing is buried for it: none of its device's events is passed. Of those that
//! were refused before a step asks with few, so that a long outage costs little.
//!
//! A **sweep** is a step that goes down devices, one after another: it suspends what was refused before, and asks with what
//! is behind it, until the device has nothing more. Then these come back, before the next device has its turn: when the
//! destination is mended in that very moment, no more is buried than what was passed of one device. Each sweep is twice as
//! long as the one before, up to a bound; from there on, it comes one event further down a device than the one before.

use std::time::Duration;

use faceway_core::DeviceKey;

use super::outage::Cause;
use super::suspended::Company;
use super::{Breaker, Outage};
use crate::{Queued, Tick};

/// After so long in vain, a step becomes a sweep.
const SWEEP_AFTER: Duration = Duration::from_secs(300);
/// So many events the first sweep asks with.
const SWEEP_MIN: usize = 8;
/// And so many a sweep at most, but for what is in front of the first event that was not tried.
const SWEEP_MAX: usize = 64;
/// So many events a step asks with once more.
const AGAIN_MAX: u32 = 16;
/// The step after so many grows no more: there are not so many devices.
const GROWS_MAX: u32 = 7;

/// One step of an outage.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Step {
    /// How often something had left when it was made. What failed after that has had its turn.
    began: u64,
    /// So many events it may ask with at once.
    left: u32,
    /// And so many of them once more.
    again: u32,
    /// It has asked with one.
    is_begun: bool,
}

impl Step {
    /// The one that follows the pause after so many probes.
    pub(super) fn after(probes: u32, departures: u64) -> Self {
        Self {
            began: departures,
            left: 1 << (2 * (probes.min(GROWS_MAX) + 1)),
            again: AGAIN_MAX,
            is_begun: false,
        }
    }

    /// It has asked with one: without this a step of events that are passed would never be over.
    pub(super) const fn begin(&mut self) {
        self.is_begun = true;
    }
}

/// The sweeps of an outage.
#[derive(Default)]
pub(super) struct Sweeps {
    /// One is at work.
    is_on: bool,
    /// When the last one began.
    last: Option<Tick>,
    /// How many events the last one was to ask with.
    size: usize,
    /// How many the one at work may still ask with.
    left: usize,
    /// One event that has tries left is counted in each.
    counts: bool,
}

impl Sweeps {
    /// The one at work is over.
    pub(super) const fn end(&mut self) {
        self.is_on = false;
    }

    const fn begin(&mut self) {
        let doubled = self.size * 2;
        self.size = if doubled < SWEEP_MIN {
            SWEEP_MIN
        } else if doubled < SWEEP_MAX {
            doubled
        } else {
            SWEEP_MAX
        };
        self.left = self.size;
        self.counts = true;
    }
}

impl Breaker {
    /// Which event probes when a pause is over: the one with the lowest turn. Where the destination answers and refuses
    /// whatever comes, all devices have theirs.
    pub(crate) fn turn_in_step(&self, event: &Queued) -> usize {
        if !self.refuses() {
            return self.turn(event);
        }
        let is_suspect = event.failures > 0 || self.candidates.contains(&event.seq);
        match self.suspensions.departures_of(event.seq) {
            Some(departures) => usize::try_from(departures)
                .unwrap_or(usize::MAX)
                .saturating_add(3),
            None if is_suspect => 2,
            None => usize::from(self.is_in_doubt() && !self.unproven.is_proven(event)),
        }
    }

    /// Whether a step is at work in which this event has no turn any more.
    pub(crate) fn has_had_its_turn(&self, event: &Queued) -> bool {
        let step = self.outage.as_ref().map(|outage| outage.step);
        let failed = self.suspensions.departures_of(event.seq);
        step.is_some_and(|step| step.is_begun && failed.is_some_and(|failed| failed > step.began))
    }

    /// Whether a step is at work.
    pub(crate) fn is_in_step(&self) -> bool {
        self.refuses() && self.outage.as_ref().is_some_and(|it| it.step.is_begun)
    }

    /// Every device has had its turn: the lane waits.
    pub(crate) fn end_step(&mut self, now: Tick, chance: f64) {
        self.suspensions.sweeps.end();
        let departures = self.unproven.departures();
        let Some(outage) = &self.outage else {
            return;
        };
        let probes = outage.probes.saturating_add(1);
        let next_probe = now.plus(self.pause(probes, None, chance));
        if let Some(outage) = &mut self.outage {
            outage.probes = probes;
            outage.next_probe = next_probe;
            outage.step = Step::after(probes, departures);
        }
    }

    /// Whether the step goes on at once, behind an event that was refused.
    pub(super) fn goes_on(&mut self, seq: u64, now: Tick) -> bool {
        let first = self.suspensions.first_failure_of(seq);
        let departures = self.unproven.departures();
        let Some(outage) = &mut self.outage else {
            return false;
        };
        if !outage.refuses() {
            // It was down, and answers now: its pause was one, and another one as long would be too much.
            outage.cause = Cause::ManyAlone;
            outage.step = Step::after(outage.probes, departures);
        }
        let is_again = first.is_none_or(|first| first <= outage.step.began);
        outage.step.left = outage.step.left.saturating_sub(1);
        outage.step.again = outage.step.again.saturating_sub(u32::from(is_again));
        if outage.next_probe > now || outage.step.left == 0 || outage.step.again == 0 {
            return false;
        }
        outage.step.begin();
        outage.next_probe = now;
        true
    }

    /// The device down which a sweep goes.
    pub(crate) fn swept(&self) -> Option<DeviceKey> {
        let is_on = self.suspensions.sweeps.is_on && self.refuses();
        let first = self.suspensions.first_suspended().filter(|_| is_on);
        first.map(|suspended| suspended.device)
    }

    /// The device down which the sweep goes has nothing more to ask with.
    pub(crate) fn has_swept_a_device(&mut self) {
        let is_on = self.suspensions.sweeps.left > 0;
        self.suspensions.nothing_got_through();
        self.suspensions.sweeps.is_on = is_on;
    }

    /// Whether a sweep goes past this event, which was refused.
    pub(super) fn sweeps_past(&mut self, is_new: bool, company: Company, now: Tick) -> bool {
        if !is_new && company != Company::Nothing && self.is_sweep_due(now) {
            self.suspensions.sweeps.begin();
            self.suspensions.sweeps.is_on = true;
        }
        // Where few were tried, what is behind them is tried at once.
        self.suspensions.sweeps.is_on |=
            !is_new && company != Company::Nothing && self.suspensions.are_few();
        let is_under_way = self.has_suspended();
        let sweeps = &mut self.suspensions.sweeps;
        if !sweeps.is_on {
            return false;
        }
        sweeps.left = sweeps.left.saturating_sub(1);
        !is_new || is_under_way && sweeps.left > 0
    }

    /// Whether an event that has tries left uses up one of them: else it could hide for ever what is behind it. An outage uses
    /// up none of most.
    pub(super) fn counts_in_sweep(&mut self, now: Tick) -> bool {
        let is_due = self.is_sweep_due(now);
        let sweeps = &mut self.suspensions.sweeps;
        is_due || std::mem::take(&mut sweeps.counts) || self.suspensions.are_few()
    }

    /// Whether nothing got through for so long that what probes is passed by.
    fn is_sweep_due(&mut self, now: Tick) -> bool {
        let Some(Outage { since, .. }) = &self.outage else {
            return false;
        };
        let last = self.suspensions.sweeps.last.unwrap_or(*since);
        let is_due = now.since(last) >= SWEEP_AFTER;
        if is_due {
            self.suspensions.sweeps.last = Some(now);
        }
        is_due
    }
}
