//! When records happen.

use std::time::Duration;

/// So many a second, so many in all.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    rate: f64,
    count: Option<u64>,
}

impl Pace {
    /// `rate` records a second, `count` in all.
    pub const fn new(rate: f64, count: Option<u64>) -> Self {
        Self { rate, count }
    }

    /// The same for batches of `size` records; the last one is filled.
    pub fn batched(self, size: u64) -> Self {
        Self {
            rate: self.rate / as_float(size),
            count: self.count.map(|count| count.div_ceil(size)),
        }
    }

    /// How many there are in all.
    pub(crate) const fn count(self) -> Option<u64> {
        self.count
    }

    /// The same without an end.
    pub(crate) const fn endless(self) -> Self {
        Self {
            rate: self.rate,
            count: None,
        }
    }

    /// When the record with this number happens, from the beginning; `None` when there is none.
    pub(crate) fn at(self, number: u64) -> Option<Duration> {
        if self.count.is_some_and(|count| number >= count) {
            return None;
        }
        Some(Duration::try_from_secs_f64(as_float(number) / self.rate).unwrap_or(Duration::MAX))
    }
}

#[expect(clippy::cast_precision_loss, reason = "no simulation has 2^53 records")]
const fn as_float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Pace;

    #[test]
    fn records_happen_one_after_another() {
        let pace = Pace::new(2.0, Some(3));
        let at: Vec<_> = (0..4).map(|number| pace.at(number)).collect();
        let expected = [Some(0), Some(500), Some(1000), None];
        assert_eq!(at, expected.map(|ms| ms.map(Duration::from_millis)));
        assert_eq!(pace.endless().at(3), Some(Duration::from_millis(1500)));
    }

    #[test]
    fn a_batch_happens_when_its_records_did() {
        let pace = Pace::new(10.0, Some(11)).batched(5);
        assert_eq!(pace.at(1), Some(Duration::from_millis(500)));
        assert_eq!((pace.count(), pace.at(3)), (Some(3), None));
    }
}
