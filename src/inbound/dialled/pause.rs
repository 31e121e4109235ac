//! How long to wait before the next attempt. Pure: chance is handed in.

use std::time::Duration;

/// Pauses that double from one to the next, up to the longest; half of each is left to chance, so that many gateways do
/// not come back to a platform at the same moment.
#[derive(Debug)]
pub(super) struct Pause {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Pause {
    pub(super) const fn new((first, longest): (Duration, Duration)) -> Self {
        Self {
            first,
            longest,
            next: first,
        }
    }

    /// The next pause; `chance` is from 0 to 1.
    pub(super) fn next(&mut self, chance: f64) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        pause.mul_f64(1.0 - chance.clamp(0.0, 1.0) / 2.0)
    }

    pub(super) const fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Pause;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let seconds = Duration::from_secs;
        let mut pause = Pause::new((seconds(1), seconds(30)));
        let pauses: Vec<_> = (0..7).map(|_| pause.next(0.0).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(pause.next(1.0), seconds(15), "chance takes at most a half");
        pause.reset();
        assert_eq!(pause.next(0.5), Duration::from_millis(750));
    }
}
