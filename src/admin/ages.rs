//! How long events have waited at least, by the time that goes by. A wall clock that is set back would make their age by their
//! stamps 0, and no alert would tell of them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Marks that are remembered: an age is known to a thirtieth of itself, or to [`STEP`].
const MARKS_MAX: usize = 64;
/// Time between two marks at least.
const STEP: Duration = Duration::from_secs(5);

/// When the log's tail was where.
#[derive(Debug)]
pub(crate) struct Ages(Mutex<Vec<Mark>>);

#[derive(Clone, Copy, Debug)]
struct Mark {
    /// By the monotonic clock.
    at: Duration,
    tail: u64,
}

impl Ages {
    /// From the start of the gateway on.
    pub(crate) fn new(at: Duration, tail: u64) -> Self {
        Self(Mutex::new(vec![Mark { at, tail }]))
    }

    /// The tail is there now.
    pub(super) fn note(&self, at: Duration, tail: u64) {
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = marks.last().map_or(Duration::ZERO, |mark| mark.at);
        if at < last + STEP {
            return;
        }
        marks.push(Mark { at, tail });
        if marks.len() > MARKS_MAX {
            // The first is the start. Of the others every second one goes, so that a long time fits.
            let mut number = 0_usize;
            marks.retain(|_| {
                number += 1;
                number == 1 || number.is_multiple_of(2) || number + 8 > MARKS_MAX
            });
        }
    }

    /// An event with this number has been there for so long at least.
    pub(super) fn at_least(&self, at: Duration, seq: u64) -> Duration {
        let marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = marks.iter().find(|mark| mark.tail >= seq);
        known.map_or(Duration::ZERO, |mark| at.saturating_sub(mark.at))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Ages, MARKS_MAX};

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_was_there_at_the_start_is_as_old_as_the_start() {
        let ages = Ages::new(seconds(100), 7);
        assert_eq!(ages.at_least(seconds(160), 7), seconds(60));
        assert_eq!(ages.at_least(seconds(160), 8), Duration::ZERO);
        ages.note(seconds(160), 9);
        ages.note(seconds(161), 10);
        assert_eq!(ages.at_least(seconds(200), 9), seconds(40));
        assert_eq!(ages.at_least(seconds(200), 10), Duration::ZERO, "too soon");
    }

    #[test]
    fn a_long_time_fits() {
        let ages = Ages::new(seconds(0), 0);
        for n in 1..100_000 {
            ages.note(seconds(n * 5), n);
        }
        assert!(ages.0.lock().unwrap().len() <= MARKS_MAX);
        for n in [1, 1000, 50_000, 90_000, 99_900] {
            let age = ages.at_least(seconds(500_000), n).as_secs();
            let real = 500_000 - n * 5;
            assert!(age <= real, "{n}: {age} of {real}");
        }
        assert!(ages.at_least(seconds(500_000), 99_990) >= seconds(5));
    }
}
