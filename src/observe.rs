//! Metrics and logs: where they go, and what each metric means. Labels and fields never hold a person or a device.
//!
//! **Invariant:** this room knows no other one. A room counts what it does by the names that are described here.

mod filter;
mod logs;
mod process;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

pub use logs::{LogFormat, install_logs};
pub(crate) use process::exposition as process_exposition;

/// Seconds; from a tenth of a millisecond, which a good disk needs, to the longest timeout that is set anywhere.
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
        (
            "faceway_duty_changes_total",
            "Duties that this gateway took, handed over or lost, where several share a site.",
        ),
        (
            "faceway_spool_failures_total",
            "Writes behind the intake that failed; events were kept all the same.",
        ),
        (
            "faceway_spool_damaged_total",
            "Rows and commits of the spool that were found damaged.",
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
        .chain(spool_gauges())
        .chain(SITE_GAUGES)
        .for_each(|(name, about)| describe_gauge!(name, about));
}

/// Of a site of several gateways.
const SITE_GAUGES: [(&str, &str); 6] = [
    (
        "faceway_cluster_connected",
        "1 while the cluster answers this gateway.",
    ),
    (
        "faceway_cluster_synced",
        "1 while every server of the cluster proves that it syncs what it acknowledges.",
    ),
    (
        "faceway_cluster_members",
        "Gateways of the site that live, as this one knows.",
    ),
    (
        "faceway_duty_held",
        "1 for a duty that this gateway has, 0 for one that it would take.",
    ),
    (
        "faceway_seen_lag_seconds",
        "How long the end of the log has not been known.",
    ),
    (
        "faceway_routes_differ",
        "1 while routes.toml of this gateway is not the one that is in force at the site.",
    ),
];

fn spool_gauges() -> Vec<(&'static str, &'static str)> {
    vec![
        ("faceway_quarantine", "Bodies that could not be read."),
        (
            "faceway_quarantine_bytes",
            "Bytes that bodies which could not be read take up.",
        ),
        (
            "faceway_quarantine_max_bytes",
            "Bytes that they may take up, those of one inbound half of it.",
        ),
        (
            "faceway_ready",
            "1 while events can be kept; while it is 0, devices are told to keep their records.",
        ),
        (
            "faceway_spool_degraded",
            "1 while something of the spool does not work although events are kept.",
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
    ]
}

/// Tells what the spool may take, so that alerts need not know `gateway.toml`.
pub(crate) fn spool_limits(bytes_max: u64, free_min: u64, quarantine_bytes_max: u64) {
    metrics::gauge!("faceway_quarantine_max_bytes").set(as_float(quarantine_bytes_max));
    metrics::gauge!("faceway_spool_max_bytes").set(as_float(bytes_max));
    metrics::gauge!("faceway_spool_free_min_bytes").set(as_float(free_min));
}

/// A count as a gauge's value.
#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus has no other numbers"
)]
pub(crate) const fn as_float(count: u64) -> f64 {
    count as f64
}
