//! The log throttle: what happens again and again is logged at once the first time, then at most once a minute with how
//! many there were. So an operator sees it, and nothing fills the disk.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Add;
use std::time::Duration;

/// The same is logged again after this.
const PAUSE: Duration = Duration::from_secs(60);
/// So many different ones are known at a time; beyond that some are logged sooner than after the pause.
const KNOWN_MAX: usize = 256;

/// What was logged, and when, by a clock of the caller's.
#[derive(Debug)]
pub struct Throttle<Which, Moment>(HashMap<Which, Logged<Moment>>);

#[derive(Debug)]
struct Logged<Moment> {
    at: Moment,
    since: u64,
}

impl<Which, Moment> Default for Throttle<Which, Moment> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<Which, Moment> Throttle<Which, Moment>
where
    Which: Eq + Hash,
    Moment: Copy + Ord + Add<Duration, Output = Moment>,
{
    /// It has happened once more. How often since it was last logged, when it is to be logged now.
    pub fn note(&mut self, which: Which, now: Moment) -> Option<u64> {
        if self.0.len() >= KNOWN_MAX && !self.0.contains_key(&which) {
            self.0.clear();
        }
        match self.0.get_mut(&which) {
            Some(logged) if now < logged.at + PAUSE => {
                logged.since += 1;
                None
            }
            Some(logged) => {
                let times = logged.since + 1;
                *logged = Logged { at: now, since: 0 };
                Some(times)
            }
            None => {
                self.0.insert(which, Logged { at: now, since: 0 });
                Some(1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{KNOWN_MAX, PAUSE, Throttle};

    #[test]
    fn the_first_is_logged_and_then_one_a_minute_with_how_many_there_were() {
        let mut throttle = Throttle::default();
        let second = Duration::from_secs(1);
        assert_eq!(throttle.note("wrong", Duration::ZERO), Some(1));
        assert_eq!(throttle.note("wrong", second), None);
        assert_eq!(throttle.note("wrong", PAUSE - second), None);
        assert_eq!(throttle.note("other", Duration::ZERO), Some(1), "another");
        assert_eq!(throttle.note("wrong", PAUSE), Some(3));
        assert_eq!(throttle.note("wrong", PAUSE + second), None);
    }

    #[test]
    fn what_is_known_is_bounded() {
        let mut throttle = Throttle::default();
        for n in 0..10 * KNOWN_MAX {
            assert_eq!(throttle.note(n, Duration::ZERO), Some(1));
        }
        assert!(throttle.0.len() <= KNOWN_MAX);
    }
}
