//! Recurring log lines at a bearable rate: the first at once, then at most one a minute with how often it was.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The same line is written again after this.
const PAUSE: Duration = Duration::from_secs(60);

/// See the module. Lines are named by a word each.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<HashMap<&'static str, Line>>);

#[derive(Debug)]
struct Line {
    at: Instant,
    since: u64,
}

impl Throttle {
    /// It has happened once more. How often since the last line, when a line is to be written now.
    pub(crate) fn note(&self, line: &'static str) -> Option<u64> {
        self.note_at(line, Instant::now())
    }

    fn note_at(&self, line: &'static str, now: Instant) -> Option<u64> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match lines.get_mut(line) {
            Some(line) if now < line.at + PAUSE => {
                line.since += 1;
                None
            }
            Some(line) => {
                let times = line.since + 1;
                *line = Line { at: now, since: 0 };
                Some(times)
            }
            None => {
                lines.insert(line, Line { at: now, since: 0 });
                Some(1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{PAUSE, Throttle};

    #[test]
    fn a_line_a_minute_with_how_often_it_was() {
        let throttle = Throttle::default();
        let now = Instant::now();
        assert_eq!(throttle.note_at("group", now), Some(1));
        for _ in 0..250 {
            assert_eq!(
                throttle.note_at("group", now + Duration::from_secs(1)),
                None
            );
        }
        assert_eq!(throttle.note_at("fold", now), Some(1));
        assert_eq!(throttle.note_at("group", now + PAUSE), Some(251));
    }
}
