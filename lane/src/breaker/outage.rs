//! A destination that did not answer, or said that it cannot: it is down, unless one of the events did that.

use std::collections::HashSet;

use faceway_core::Parked;

use crate::{Settled, Tick};

use super::sweep::Step;
use super::{
    Breaker, Code, DEVICES_FAILING_MAX, Failed, PROBES_OF_ONE_EVENT_MAX, Ruling, State, released,
};

/// A destination that is down.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outage {
    /// Since when.
    pub(crate) since: Tick,
    /// When the next probe may leave.
    pub(crate) next_probe: Tick,
    /// What the last attempt said.
    pub(crate) code: Code,
    pub(super) cause: Cause,
    pub(super) probes: u32,
    /// The event that probes, and how often it has.
    probing: Option<(u64, u32)>,
    /// Of a destination that refuses whatever comes.
    pub(super) step: Step,
    /// Events of unproven devices under which it began; none when it is not in doubt.
    pub(super) doubted: Vec<u64>,
    /// What was in flight when it began: it tells nothing new.
    pub(super) stragglers: HashSet<u64>,
}

impl Outage {
    /// Of a destination that answers, and refuses whatever comes.
    pub(super) fn refusing(
        since: Tick,
        next_probe: Tick,
        code: Code,
        probes: u32,
        step: Step,
    ) -> Self {
        Self {
            since,
            next_probe,
            code,
            cause: Cause::ManyAlone,
            probes,
            probing: None,
            step,
            doubted: Vec::new(),
            stragglers: HashSet::new(),
        }
    }

    /// Whether it is of a destination that refuses whatever comes, and a probe has failed.
    pub(crate) fn has_shown(&self) -> bool {
        self.refuses() && self.probes > 0
    }

    /// Whether the destination answers, and refuses whatever comes.
    pub(crate) fn refuses(&self) -> bool {
        self.cause == Cause::ManyAlone
    }

    /// How often this event has probed.
    fn tried(&self, seq: u64) -> u32 {
        self.probing
            .map_or(0, |(probing, tried)| if probing == seq { tried } else { 0 })
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cause {
    /// The destination does not answer, or says that it cannot.
    Destination,
    /// Events fail each as if alone, and none gets through.
    ManyAlone,
}

impl Breaker {
    /// The destination did not answer, or says that it cannot: it is down, unless one of the events did that.
    pub(super) fn broke(
        &mut self,
        failed: Failed<'_>,
        several: bool,
        blameable: Vec<u64>,
    ) -> Ruling {
        match &self.outage {
            None if self.is_to_blame(&failed, several) => self.blame(failed),
            None if failed.after.is_none() && !blameable.is_empty() => {
                self.suspensions.nothing_got_through();
                self.outage = Some(Outage {
                    since: failed.now,
                    next_probe: failed.now,
                    code: failed.code,
                    cause: Cause::Destination,
                    probes: 0,
                    probing: None,
                    step: Step::default(),
                    doubted: blameable,
                    stragglers: self.unproven.in_flight(),
                });
                released(false)
            }
            Some(_) | None => {
                // There is nothing to compare what was set suspended with.
                self.suspensions.nothing_got_through();
                let was_in_doubt = self.is_in_doubt();
                let is_proven = self.unproven.is_proven(failed.event);
                let ruling = self.down(failed, Cause::Destination);
                let Some(outage) = &mut self.outage else {
                    return ruling;
                };
                if is_proven {
                    // One that the destination knows does not get through either: it is down.
                    outage.doubted.clear();
                }
                // In doubt it is announced when a probe has failed as well.
                let is_told = was_in_doubt && (is_proven || outage.probes == 1);
                Ruling {
                    outage_began: ruling.outage_began || is_told,
                    ..ruling
                }
            }
        }
    }

    /// It was in flight when the outage began, and tells nothing new; but it may be the one that is in doubt.
    pub(super) fn straggled(&mut self, failed: Failed<'_>, several: bool) -> Ruling {
        let is_doubted = |outage: &mut Outage| outage.doubted == [failed.event.seq];
        if self.is_to_blame(&failed, several) && self.outage.take_if(is_doubted).is_some() {
            return Ruling {
                outage_ended: true,
                ..self.blame(failed)
            };
        }
        self.wait_as_asked(&failed);
        released(false)
    }

    /// Whether this event is known to break the connection, and not several of them one after another, which is an outage.
    fn is_to_blame(&self, failed: &Failed<'_>, several: bool) -> bool {
        let device = failed.event.device;
        let is_one_of_few =
            self.blamed.len() < DEVICES_FAILING_MAX || self.blamed.contains(&device);
        !several
            && failed.after.is_none()
            && self.candidates.contains(&failed.event.seq)
            && is_one_of_few
    }

    /// No probe leaves before the time that the destination names, whichever hears it.
    pub(super) fn wait_as_asked(&mut self, failed: &Failed<'_>) {
        if let (Some(outage), Some(after)) = (&mut self.outage, failed.after) {
            let asked = failed.now.plus(after.min(self.policy.backoff_max));
            outage.next_probe = outage.next_probe.max(asked);
        }
    }

    /// It is this event, and not the destination. What failed with it tells nothing.
    fn blame(&mut self, failed: Failed<'_>) -> Ruling {
        self.unproven.be_careful();
        if !self.blamed.contains(&failed.event.device) {
            self.blamed.push(failed.event.device);
        }
        let away = self.unproven.in_flight();
        self.unproven.excuse(away);
        Ruling {
            blamed: true,
            ..self.park_or_bury(failed)
        }
    }

    /// The destination is down: the lane waits, longer after each probe that fails.
    pub(super) fn down(&mut self, failed: Failed<'_>, cause: Cause) -> Ruling {
        let seq = failed.event.seq;
        let asks_on = cause == Cause::ManyAlone && failed.after.is_none() && !failed.is_straggler;
        if asks_on && self.goes_on(seq, failed.now) {
            return released(false);
        }
        // One that is compared leaves before the next probe is due.
        let is_comparing = self.is_comparing() && !failed.is_straggler;
        let (since, probes, tried) = match &self.outage {
            None => (failed.now, 0, 0),
            // Attempts that were in flight when the outage began tell nothing new.
            Some(_) if !is_comparing && matches!(self.state(failed.now), State::Open(_)) => {
                self.wait_as_asked(&failed);
                return released(false);
            }
            Some(outage) => (
                outage.since,
                outage.probes.saturating_add(1),
                outage.tried(seq) + 1,
            ),
        };
        let (began, doubted, stragglers) = match self.outage.take() {
            Some(outage) => (false, outage.doubted, outage.stragglers),
            None => (true, Vec::new(), self.unproven.in_flight()),
        };
        let pause = self.pause(probes, failed.after, failed.chance);
        // Where the destination refuses what comes, a probe that no retry cures is passed in another way, and parked it would
        // hide what is behind it. Where the destination is down it has its turns like any other.
        let is_passed = cause == Cause::ManyAlone && self.suspensions.is_spent(seq);
        let is_tired = tried >= PROBES_OF_ONE_EVENT_MAX && !is_passed;
        // Another device's event has its turn before this one is due again, but no sooner than the destination asked for.
        let asked = failed.after.unwrap_or_default();
        let sooner = (pause / 2).max(asked.min(self.policy.backoff_max));
        let next_probe = failed.now.plus(if is_tired { sooner } else { pause });
        let probing = (!is_tired).then_some((seq, tried));
        self.outage = Some(Outage {
            since,
            next_probe,
            code: failed.code,
            cause,
            probes,
            probing,
            step: Step::after(probes, self.unproven.departures()),
            doubted,
            stragglers,
        });
        if !is_tired {
            return released(began);
        }
        self.add_candidate(seq);
        // Its device's events wait with it, so the next probe is another device's: one poisonous event cannot pass for
        // an outage.
        let settled = Settled::Park {
            until: failed.now.plus(pause),
            why: Parked::Probe,
        };
        Ruling {
            settled,
            ..released(began)
        }
    }
}
