//! What inbounds, dialled sources and listeners count.

use std::time::Duration;

use faceway_core::{Kind, Timestamp};
use metrics::{Counter, Histogram, counter, histogram};

use super::Kept;
use super::refusals::Reason;

/// The metrics of one inbound.
pub(super) struct InboundMetrics {
    /// In the order of [`Kind::ALL`].
    events: [Counter; Kind::ALL.len()],
    stored: Counter,
    conflict: Counter,
    duplicate: Counter,
    quarantined: Counter,
    refused: Counter,
    busy: Counter,
    append_seconds: Histogram,
    last_event: metrics::Gauge,
}

impl InboundMetrics {
    pub(super) fn new(inbound: &str) -> Self {
        let received = |result: &'static str| counter!("faceway_received_total", "inbound" => inbound.to_owned(), "result" => result);
        let events = |kind: Kind| counter!("faceway_events_total", "inbound" => inbound.to_owned(), "kind" => kind.as_str());
        Self {
            events: Kind::ALL.map(events),
            stored: received("stored"),
            conflict: received("conflict"),
            duplicate: received("duplicate"),
            quarantined: received("quarantined"),
            refused: received("refused"),
            busy: received("busy"),
            append_seconds: histogram!("faceway_append_seconds"),
            last_event: metrics::gauge!(
                "faceway_inbound_last_event_timestamp_seconds", "inbound" => inbound.to_owned()
            ),
        }
    }

    pub(super) fn kept(&self, kept: &Kept, took: Duration) {
        self.stored.increment(kept.stored as u64);
        self.conflict.increment(kept.conflicts as u64);
        self.duplicate.increment(kept.duplicates as u64);
        self.quarantined.increment(kept.quarantined as u64);
        self.append_seconds.record(took);
    }

    /// An event of this kind is new.
    pub(super) fn stored(&self, kind: Kind) {
        if let Some(counter) = self.events.get(kind as usize) {
            counter.increment(1);
        }
    }

    pub(super) fn gave_event(&self, at: Timestamp) {
        self.last_event.set(at.as_seconds());
    }

    pub(super) fn refused(&self) {
        self.refused.increment(1);
    }

    pub(super) fn busy(&self) {
        self.busy.increment(1);
    }
}

/// The metrics of one dialled source.
pub(super) struct SourceMetrics {
    connected: metrics::Gauge,
    gaps: Counter,
    gap_seconds: Counter,
    refused: Counter,
}

impl SourceMetrics {
    pub(super) fn new(inbound: &str) -> Self {
        let inbound = inbound.to_owned();
        Self {
            connected: metrics::gauge!("faceway_inbound_connected", "inbound" => inbound.clone()),
            gaps: counter!("faceway_inbound_gaps_total", "inbound" => inbound.clone()),
            gap_seconds: counter!("faceway_inbound_gap_seconds_total", "inbound" => inbound.clone()),
            refused: counter!("faceway_received_total", "inbound" => inbound, "result" => "refused"),
        }
    }

    pub(super) fn connected(&self, connected: bool) {
        self.connected.set(if connected { 1.0 } else { 0.0 });
    }

    /// A gap is over. A counter has whole seconds, and none is shorter than one.
    pub(super) fn gap(&self, took: Duration) {
        self.gaps.increment(1);
        self.gap_seconds.increment(took.as_secs().max(1));
    }

    pub(super) fn refused(&self) {
        self.refused.increment(1);
    }
}

/// Counts connections that a listener turns away for this reason.
pub(super) fn connections_refused(listener: &'static str, reason: Reason) -> Counter {
    counter!("faceway_connections_refused_total", "listener" => listener, "reason" => reason.as_str())
}

#[cfg(test)]
mod tests {
    use faceway_core::Kind;

    #[test]
    fn the_counter_of_a_kind_is_found_by_its_number() {
        assert_eq!(Kind::ALL.map(|kind| kind as usize), [0, 1, 2, 3, 4, 5]);
    }
}
