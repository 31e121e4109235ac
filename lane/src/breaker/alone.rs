//! An event that fails alone, at a destination that answers: it is parked with growing pauses, and in the end given up.

use faceway_core::{AttemptResult, Parked};

use crate::Settled;

use super::{Breaker, Company, Failed, Ruling, released};

impl Breaker {
    pub(super) fn alone(&mut self, failed: Failed<'_>, company: Company) -> Ruling {
        let is_old = self.is_old(&failed);
        let is_spent = self.suspensions.is_spent(failed.event.seq) || self.is_spent(&failed);
        if is_spent && (!is_old || self.refuses()) {
            return self.refused(failed, company);
        }
        let departures = self.unproven.departures();
        self.suspensions.note(failed.event, false, departures);
        if self.refuses() && failed.is_straggler {
            self.wait_as_asked(&failed);
            return released(false);
        }
        if self.refuses() || self.suspensions.are_of_many_devices() || self.has_suspended() {
            // Without this, three devices could hide behind their first events for ever: no outage counts an attempt.
            let passes = self.refuses() && self.counts_in_sweep(failed.now);
            return self.all_fail(failed, passes);
        }
        let outage_ended = self.outage.take().is_some();
        Ruling {
            outage_ended,
            ..self.park_or_bury(failed)
        }
    }

    fn is_spent(&self, failed: &Failed<'_>) -> bool {
        let failures = failed.event.failures.saturating_add(1);
        let most = self.policy.attempts_max;
        most.is_some_and(|most| failures >= most.get())
    }

    fn is_old(&self, failed: &Failed<'_>) -> bool {
        let most = self.policy.age_max;
        most.is_some_and(|most| failed.event.age >= most)
    }

    pub(super) fn park_or_bury(&self, failed: Failed<'_>) -> Ruling {
        let (settled, result) = if self.is_spent(&failed) || self.is_old(&failed) {
            (Settled::Bury { code: failed.code }, AttemptResult::Buried)
        } else {
            let until =
                failed
                    .now
                    .plus(self.pause(failed.event.failures, failed.after, failed.chance));
            (
                Settled::Park {
                    until,
                    why: Parked::Alone,
                },
                AttemptResult::Retry,
            )
        };
        Ruling {
            settled,
            result,
            ..released(false)
        }
    }
}
