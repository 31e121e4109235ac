//! What is told about the gateway at work: metrics and logs. Labels and fields never hold a person or a device.

mod filter;
mod logs;
mod process;

use std::time::Duration;

use faceway_core::{AttemptResult, Code, Kind, Timestamp};
use metrics::{
    Counter, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    histogram,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::inbound::{Kept, Reason};

pub use logs::{LogFormat, install_logs};
pub(crate) use process::exposition as process_exposition;

/// Seconds; from a tenth of a millisecond, which a good disk needs, to the longest timeout that anybody sets.
const BUCKETS: [f64; 16] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
    30.0, 300.0,
];
/// How long an event may be on its way: days, when a destination was down.
const LONG_BUCKETS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0, 3600.0, 21_600.0, 86_400.0,
];

/// Installs the recorder for this process and describes every metric.
///
/// # Errors
/// When another recorder is installed already.
pub fn install_metrics() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .with_recommended_naming(true)
        .set_buckets_for_metric(Matcher::Full("faceway_append_seconds".into()), &BUCKETS)?
        .set_buckets_for_metric(Matcher::Full("faceway_attempt_seconds".into()), &BUCKETS)?
        .set_buckets_for_metric(
            Matcher::Full("faceway_delivery_seconds".into()),
            &LONG_BUCKETS,
        )?
        .install_recorder()?;
    describe();
    metrics::gauge!("faceway_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(handle)
}

fn describe() {
    describe_counters();
    describe_histograms();
    describe_gauges();
}

fn describe_counters() {
    let counters = [
        (
            "faceway_received_total",
            "Records that came in, by what became of them.",
        ),
        (
            "faceway_connections_refused_total",
            "Connections on which no request came, by listener and reason.",
        ),
        (
            "faceway_events_total",
            "Events that came in and are new, by what they are about.",
        ),
        (
            "faceway_attempts_total",
            "Attempts to deliver an event, by result and the protocol's code.",
        ),
        (
            "faceway_inbound_gaps_total",
            "How often a dialled source could not be read for a while.",
        ),
        (
            "faceway_inbound_gap_seconds_total",
            "How long a dialled source could not be read, together; what it had to say then may be lost.",
        ),
        (
            "faceway_routed_total",
            "New events that a route matched, counted when they are kept.",
        ),
        (
            "faceway_damaged_pictures_total",
            "Pictures that were found damaged on the disk; their events are delivered without them.",
        ),
        (
            "faceway_unrouted_total",
            "New events that no route matched, counted when they are kept.",
        ),
    ];
    counters
        .into_iter()
        .for_each(|(name, about)| describe_counter!(name, about));
}

fn describe_histograms() {
    let histograms = [
        (
            "faceway_append_seconds",
            "From a body read to its events durable.",
        ),
        ("faceway_attempt_seconds", "How long an attempt took."),
        (
            "faceway_delivery_seconds",
            "From an event received to its delivery confirmed.",
        ),
    ];
    histograms
        .into_iter()
        .for_each(|(name, about)| describe_histogram!(name, Unit::Seconds, about));
}

fn describe_gauges() {
    let gauges = [
        (
            "faceway_inbound_connected",
            "1 while a dialled source is connected.",
        ),
        (
            "faceway_inbound_last_event_timestamp_seconds",
            "When an inbound last gave an event.",
        ),
        (
            "faceway_terminals",
            "Terminals whose subscription is kept, by the state that they are in.",
        ),
        (
            "faceway_lane_backlog",
            "Events that are not through a lane.",
        ),
        (
            "faceway_lane_oldest_seconds",
            "Age of the oldest event that is not through a lane.",
        ),
        (
            "faceway_lane_state",
            "1 for the state that a lane is in, and for leaving in addition.",
        ),
        (
            "faceway_parked",
            "Events that failed and wait for their next attempt.",
        ),
        (
            "faceway_buried",
            "Events that were given up, until they are revived or dropped.",
        ),
        ("faceway_quarantine", "Bodies that could not be read."),
        (
            "faceway_ready",
            "1 while events can be kept; while it is 0, devices are told to keep their records.",
        ),
        ("faceway_spool_bytes", "Bytes that the spool occupies."),
        (
            "faceway_spool_max_bytes",
            "Bytes that the spool may occupy: bytes_max of gateway.toml. Delivered history fills it and gives way.",
        ),
        (
            "faceway_spool_free_min_bytes",
            "Bytes that the spool leaves on its disk: free_min of gateway.toml.",
        ),
        (
            "faceway_spool_free_bytes",
            "Bytes that the spool's disk has left.",
        ),
        (
            "faceway_reload_successful",
            "1 when the last reload of routes.toml, and of the certificate of listen.tls, succeeded.",
        ),
        (
            "faceway_reload_timestamp_seconds",
            "When routes.toml was last loaded.",
        ),
        ("faceway_build_info", "1, with the version as a label."),
    ];
    gauges
        .into_iter()
        .for_each(|(name, about)| describe_gauge!(name, about));
}

/// Tells what the spool may take, so that alerts need not know `gateway.toml`.
pub(crate) fn spool_limits(bytes_max: u64, free_min: u64) {
    metrics::gauge!("faceway_spool_max_bytes").set(as_float(bytes_max));
    metrics::gauge!("faceway_spool_free_min_bytes").set(as_float(free_min));
}

/// Counts connections that a listener turns away for this reason.
pub(crate) fn connections_refused(listener: &'static str, reason: Reason) -> Counter {
    counter!("faceway_connections_refused_total", "listener" => listener, "reason" => reason.as_str())
}

/// A count as a gauge's value.
#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus has no other numbers"
)]
pub(crate) const fn as_float(count: u64) -> f64 {
    count as f64
}

/// The metrics of one lane, their labels looked up once.
pub(crate) struct LaneMetrics {
    outbound: String,
    attempt_seconds: Histogram,
    delivery_seconds: Histogram,
    delivered: Option<(Code, Counter)>,
}

impl LaneMetrics {
    pub(crate) fn new(outbound: &str) -> Self {
        let outbound = outbound.to_owned();
        Self {
            attempt_seconds: histogram!("faceway_attempt_seconds", "outbound" => outbound.clone()),
            delivery_seconds: histogram!("faceway_delivery_seconds", "outbound" => outbound.clone()),
            delivered: None,
            outbound,
        }
    }

    pub(crate) fn outbound(&self) -> &str {
        &self.outbound
    }

    pub(crate) fn attempt(&mut self, result: AttemptResult, code: &Code, took: Duration) {
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

    pub(crate) fn delivered(&self, age: Duration) {
        self.delivery_seconds.record(age);
    }
}

/// The metrics of one inbound.
pub(crate) struct InboundMetrics {
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
    pub(crate) fn new(inbound: &str) -> Self {
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

    pub(crate) fn kept(&self, kept: &Kept, took: Duration) {
        self.stored.increment(kept.stored as u64);
        self.conflict.increment(kept.conflicts as u64);
        self.duplicate.increment(kept.duplicates as u64);
        self.quarantined.increment(kept.quarantined as u64);
        self.append_seconds.record(took);
    }

    /// An event of this kind is new.
    pub(crate) fn stored(&self, kind: Kind) {
        if let Some(counter) = self.events.get(kind as usize) {
            counter.increment(1);
        }
    }

    pub(crate) fn gave_event(&self, at: Timestamp) {
        self.last_event.set(at.as_seconds());
    }

    pub(crate) fn refused(&self) {
        self.refused.increment(1);
    }

    pub(crate) fn busy(&self) {
        self.busy.increment(1);
    }
}

/// The metrics of one dialled source.
pub(crate) struct SourceMetrics {
    connected: metrics::Gauge,
    gaps: Counter,
    gap_seconds: Counter,
    refused: Counter,
}

impl SourceMetrics {
    pub(crate) fn new(inbound: &str) -> Self {
        let inbound = inbound.to_owned();
        Self {
            connected: metrics::gauge!("faceway_inbound_connected", "inbound" => inbound.clone()),
            gaps: counter!("faceway_inbound_gaps_total", "inbound" => inbound.clone()),
            gap_seconds: counter!("faceway_inbound_gap_seconds_total", "inbound" => inbound.clone()),
            refused: counter!("faceway_received_total", "inbound" => inbound, "result" => "refused"),
        }
    }

    pub(crate) fn connected(&self, connected: bool) {
        self.connected.set(if connected { 1.0 } else { 0.0 });
    }

    /// A gap is over. A counter has whole seconds, and none is shorter than one.
    pub(crate) fn gap(&self, took: Duration) {
        self.gaps.increment(1);
        self.gap_seconds.increment(took.as_secs().max(1));
    }

    pub(crate) fn refused(&self) {
        self.refused.increment(1);
    }
}

#[cfg(test)]
mod tests {
    use faceway_core::Kind;

    #[test]
    fn the_counter_of_a_kind_is_found_by_its_number() {
        assert_eq!(Kind::ALL.map(|kind| kind as usize), [0, 1, 2, 3, 4, 5]);
    }
}
