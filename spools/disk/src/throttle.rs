//! What recurs is told in the log at a bearable rate: the first time at once, then at most once a minute with how often it
//! happened since.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::shared::lock;

/// The same is told again after this.
const PAUSE: Duration = Duration::from_secs(60);

/// See the module. One for each thing that is told.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    told: Option<Instant>,
    since: u64,
}

impl Throttle {
    /// It has happened once more. Gives how often since it was told, when it is to be told now.
    pub(crate) fn note(&self) -> Option<u64> {
        self.note_at(Instant::now())
    }

    fn note_at(&self, now: Instant) -> Option<u64> {
        let mut state = lock(&self.0);
        state.since += 1;
        if state.told.is_some_and(|told| now < told + PAUSE) {
            return None;
        }
        state.told = Some(now);
        Some(std::mem::take(&mut state.since))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Throttle;

    #[test]
    fn the_first_is_told_at_once_and_the_rest_in_one_line() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let at = |seconds| throttle.note_at(start + Duration::from_secs(seconds));
        assert_eq!(
            [0, 1, 59, 60, 61].map(at),
            [Some(1), None, None, Some(3), None]
        );
    }
}
