//! When the demo's receiver is down.

use std::time::Duration;

use tokio::time::Instant;

/// The first outage comes when the eye has got used to the picture.
const UP: Duration = Duration::from_secs(8);
const DOWN: Duration = Duration::from_secs(4);

/// A receiver that is up for a while, then down for a while, and so on.
pub(super) struct Outage {
    up: bool,
    next: Option<Instant>,
    end: Option<Instant>,
}

impl Outage {
    /// Begins up. No outage begins that would not be over before `end`.
    pub(super) fn new(end: Option<Instant>) -> Self {
        let mut outage = Self {
            up: true,
            next: None,
            end,
        };
        outage.next = outage.begins_at(Instant::now() + UP);
        outage
    }

    pub(super) const fn is_up(&self) -> bool {
        self.up
    }

    /// Waits until it goes down or comes back; for ever when it does not any more.
    pub(super) async fn changes(&mut self) {
        let Some(next) = self.next else {
            return std::future::pending().await;
        };
        tokio::time::sleep_until(next).await;
        self.up = !self.up;
        self.next = if self.up {
            self.begins_at(next + UP)
        } else {
            Some(next + DOWN)
        };
    }

    fn begins_at(&self, at: Instant) -> Option<Instant> {
        let fits = self.end.is_none_or(|end| at + DOWN * 2 <= end);
        fits.then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{DOWN, Outage, UP};

    #[test]
    fn no_outage_outlives_the_demo() {
        let now = Instant::now();
        let begins = |length: Option<Duration>| {
            Outage::new(length.map(|length| now + length))
                .next
                .is_some()
        };
        assert!(begins(None));
        assert!(begins(Some(Duration::from_secs(30))));
        assert!(!begins(Some(UP + DOWN)));
    }
}
