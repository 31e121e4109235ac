//! When a terminal is asked again.

use std::time::Duration;

use faceway_core::Subscribed;

use crate::inbound::converse::Lost;

/// Between two checks.
const CHECK: Duration = Duration::from_secs(5 * 60);
/// After the first failure in a row; doubles with every further one.
const FAILED_MIN: Duration = Duration::from_secs(5);
const FAILED_MAX: Duration = Duration::from_secs(5 * 60);
/// The same after a refusal of user or password. How many of them lock an account, no document says.
const DENIED_MIN: Duration = Duration::from_secs(5 * 60);
const DENIED_MAX: Duration = Duration::from_secs(30 * 60);
/// Pauses are spread over this part of themselves, so that terminals that fail together are not asked together.
const SPREAD: f64 = 0.4;

/// What has failed in a row.
#[derive(Debug, Default)]
pub(super) struct Pace {
    failures: u32,
    denials: u32,
}

impl Pace {
    /// Whether the last dialogue came to its end, or there was none.
    pub(super) const fn is_sound(&self) -> bool {
        self.failures == 0 && self.denials == 0
    }

    /// How long to wait after what was found; `chance` is 0 to 1.
    pub(super) fn after(&mut self, found: &Result<Subscribed, Lost>, chance: f64) -> Duration {
        let chance = chance.clamp(0.0, 1.0);
        let around = chance.mul_add(SPREAD, 1.0 - SPREAD / 2.0);
        match found {
            Ok(_) => {
                *self = Self::default();
                CHECK.mul_f64(around)
            }
            // Never earlier: this pause is there to be kept.
            Err(Lost::Denied(_)) => {
                let pause = doubled(DENIED_MIN, self.denials, DENIED_MAX);
                self.denials = self.denials.saturating_add(1);
                pause.mul_f64(chance.mul_add(SPREAD / 2.0, 1.0))
            }
            Err(Lost::Unreachable(_) | Lost::Untrusted(_) | Lost::Refused(_)) => {
                let pause = doubled(FAILED_MIN, self.failures, FAILED_MAX);
                self.failures = self.failures.saturating_add(1);
                pause.mul_f64(around)
            }
        }
    }
}

fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    first.saturating_mul(1 << times.min(20)).min(longest)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use faceway_core::Subscribed;

    use super::Pace;
    use crate::inbound::converse::Lost;

    fn seconds(pace: &mut Pace, found: &Result<Subscribed, Lost>, chance: f64) -> f64 {
        pace.after(found, chance).as_secs_f64()
    }

    #[test]
    fn checks_every_five_minutes_give_or_take() {
        let mut pace = Pace::default();
        for found in [Subscribed::Already, Subscribed::Now, Subscribed::Untold] {
            let found = Ok(found);
            assert_eq!(seconds(&mut pace, &found, 0.0), 240.0);
            assert_eq!(seconds(&mut pace, &found, 0.5), 300.0);
            assert_eq!(seconds(&mut pace, &found, 1.0), 360.0);
            assert!(pace.is_sound());
        }
    }

    #[test]
    fn pauses_grow_and_begin_anew() {
        let mut pace = Pace::default();
        let failed = Err(Lost::Unreachable(String::new()));
        let pauses: Vec<_> = (0..8).map(|_| seconds(&mut pace, &failed, 0.5)).collect();
        assert_eq!(pauses, [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]);
        assert!(!pace.is_sound());
        let _ = pace.after(&Ok(Subscribed::Already), 0.5);
        assert_eq!(pace.after(&failed, 0.0), Duration::from_secs(4));
    }

    #[test]
    fn who_is_denied_waits_five_minutes_at_least() {
        let mut pace = Pace::default();
        let denied = Err(Lost::Denied(String::new()));
        let pauses: Vec<_> = (0..5).map(|_| seconds(&mut pace, &denied, 0.0)).collect();
        assert_eq!(pauses, [300.0, 600.0, 1200.0, 1800.0, 1800.0]);
        assert_eq!(seconds(&mut pace, &denied, 1.0), 2160.0);
        // An outage between does not make it hurry.
        let _ = pace.after(&Err(Lost::Unreachable(String::new())), 0.0);
        assert_eq!(seconds(&mut pace, &denied, 0.0), 1800.0);
        for _ in 0..100 {
            assert!(seconds(&mut pace, &denied, 1.0) <= 2160.0);
        }
    }
}
