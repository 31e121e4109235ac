//! What a lane counts.

use std::time::Duration;

use faceway_core::{AttemptResult, Code};
use metrics::{Counter, Histogram, counter, histogram};

/// The metrics of one lane, their labels looked up once.
pub(super) struct LaneMetrics {
    outbound: String,
    attempt_seconds: Histogram,
    delivery_seconds: Histogram,
    delivered: Option<(Code, Counter)>,
}

impl LaneMetrics {
    pub(super) fn new(outbound: &str) -> Self {
        let outbound = outbound.to_owned();
        Self {
            attempt_seconds: histogram!("faceway_attempt_seconds", "outbound" => outbound.clone()),
            delivery_seconds: histogram!("faceway_delivery_seconds", "outbound" => outbound.clone()),
            delivered: None,
            outbound,
        }
    }

    pub(super) fn outbound(&self) -> &str {
        &self.outbound
    }

    pub(super) fn attempt(&mut self, result: AttemptResult, code: &Code, took: Duration) {
        self.attempt_seconds.record(took);
        // Nearly all attempts end with the same word, so its counter is kept at hand.
        if let (AttemptResult::Delivered, Some((known, counter))) = (result, &self.delivered)
            && known == code
        {
            return counter.increment(1);
        }
        let labels = [
            ("outbound", self.outbound.clone()),
            ("result", result.as_str().to_owned()),
            ("code", code.to_string()),
        ];
        let counter = counter!("faceway_attempts_total", &labels);
        counter.increment(1);
        if result == AttemptResult::Delivered {
            self.delivered = Some((code.clone(), counter));
        }
    }

    pub(super) fn delivered(&self, age: Duration) {
        self.delivery_seconds.record(age);
    }
}
