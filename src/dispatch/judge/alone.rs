//! An event that fails alone, at a destination that answers: it is parked with growing pauses, and in the end given up.

use faceway_core::{AttemptResult, Parked, Settled};

use super::{Beside, Failed, Judge, Judgement, released};

impl Judge {
    pub(super) fn alone(&mut self, failed: Failed<'_>, beside: Beside) -> Judgement {
        let is_old = self.is_old(&failed);
        let is_spent = self.asides.is_spent(failed.lease.seq) || self.is_spent(&failed);
        if is_spent && (!is_old || self.refuses()) {
            return self.refused(failed, beside);
        }
        let departures = self.doubt.departures();
        self.asides.note(failed.lease, false, departures);
        if self.refuses() && failed.is_straggler {
            self.wait_as_asked(&failed);
            return released(false);
        }
        if self.refuses() || self.asides.are_of_many_devices() || self.has_set_aside() {
            // Else three devices could hide behind their first events for ever: no outage counts an attempt.
            let passes = self.refuses() && self.is_sweep_due(failed.now);
            return self.all_fail(failed, passes);
        }
        let outage_ended = self.outage.take().is_some();
        Judgement {
            outage_ended,
            ..self.park_or_bury(failed)
        }
    }

    fn is_spent(&self, failed: &Failed<'_>) -> bool {
        let failures = failed.lease.failures.saturating_add(1);
        let most = self.retry.attempts_max;
        most.is_some_and(|most| failures >= most.get())
    }

    fn is_old(&self, failed: &Failed<'_>) -> bool {
        let age = failed.now.since(failed.lease.received_at);
        self.retry.age_max.is_some_and(|most| age >= most)
    }

    pub(super) fn park_or_bury(&self, failed: Failed<'_>) -> Judgement {
        let (settled, result) = if self.is_spent(&failed) || self.is_old(&failed) {
            (Settled::Bury { code: failed.code }, AttemptResult::Buried)
        } else {
            let until =
                failed
                    .now
                    .plus(self.pause(failed.lease.failures, failed.after, failed.chance));
            (
                Settled::Park {
                    until,
                    why: Parked::Alone,
                },
                AttemptResult::Retry,
            )
        };
        Judgement {
            settled,
            result,
            ..released(false)
        }
    }
}
