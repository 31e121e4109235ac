//! The metrics that there are, and the words of PromQL.

use std::collections::BTreeSet;

/// Every metric of a gateway, with its type. Alerts and dashboards out there depend on these names.
pub(super) const METRICS: [(&str, &str); 41] = [
    ("faceway_append_seconds", "histogram"),
    ("faceway_attempt_seconds", "histogram"),
    ("faceway_attempts_total", "counter"),
    ("faceway_build_info", "gauge"),
    ("faceway_buried", "gauge"),
    ("faceway_connections_refused_total", "counter"),
    ("faceway_damaged_pictures_total", "counter"),
    ("faceway_delivery_seconds", "histogram"),
    ("faceway_events_total", "counter"),
    ("faceway_inbound_connected", "gauge"),
    ("faceway_inbound_gap_seconds_total", "counter"),
    ("faceway_inbound_gaps_total", "counter"),
    ("faceway_inbound_last_event_timestamp_seconds", "gauge"),
    ("faceway_lane_backlog", "gauge"),
    ("faceway_lane_oldest_seconds", "gauge"),
    ("faceway_lane_state", "gauge"),
    ("faceway_parked", "gauge"),
    ("faceway_quarantine", "gauge"),
    ("faceway_quarantine_bytes", "gauge"),
    ("faceway_quarantine_max_bytes", "gauge"),
    ("faceway_ready", "gauge"),
    ("faceway_received_total", "counter"),
    ("faceway_reload_successful", "gauge"),
    ("faceway_reload_timestamp_seconds", "gauge"),
    ("faceway_routed_total", "counter"),
    ("faceway_spool_bytes", "gauge"),
    ("faceway_spool_damaged_total", "counter"),
    ("faceway_spool_degraded", "gauge"),
    ("faceway_spool_failures_total", "counter"),
    ("faceway_spool_free_bytes", "gauge"),
    ("faceway_spool_free_min_bytes", "gauge"),
    ("faceway_spool_max_bytes", "gauge"),
    ("faceway_terminals", "gauge"),
    ("faceway_unrouted_total", "counter"),
    ("process_cpu_seconds_total", "counter"),
    ("process_max_fds", "gauge"),
    ("process_open_fds", "gauge"),
    ("process_resident_memory_bytes", "gauge"),
    ("process_start_time_seconds", "gauge"),
    ("process_threads", "gauge"),
    ("process_virtual_memory_bytes", "gauge"),
];
/// Those of a gateway that shares its site with others, beside these.
pub(super) const OF_A_SITE: [&str; 7] = [
    "faceway_cluster_connected",
    "faceway_cluster_members",
    "faceway_cluster_synced",
    "faceway_duty_changes_total",
    "faceway_duty_held",
    "faceway_routes_differ",
    "faceway_seen_lag_seconds",
];
/// Prometheus' own, for each gateway that it scrapes.
pub(super) const ITS_OWN: [&str; 1] = ["up"];

/// Words of PromQL that stand where a metric could.
const KEYWORDS: [&str; 7] = ["and", "or", "unless", "bool", "offset", "Inf", "NaN"];
/// Words that a list of labels follows.
const BEFORE_LABELS: [&str; 6] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
];

/// The metrics that a query names; a histogram by its own name, without the part that is asked for.
pub(super) fn metric_names(query: &str) -> BTreeSet<String> {
    let bare = without_labels(query);
    let mut names = BTreeSet::new();
    let mut rest = bare.as_str();
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphanumeric() || c == '_') {
        rest = &rest[start..];
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && !"_:".contains(c))
            .unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            continue;
        } else if BEFORE_LABELS.contains(&word) && after.trim_start().starts_with('(') {
            rest = after.split_once(')').map_or("", |(_, rest)| rest);
        } else if !KEYWORDS.contains(&word) && !is_called(after) {
            names.insert(of_histogram(word).to_owned());
        }
    }
    names
}

/// A function, or an aggregation, before its `by` or its parenthesis.
fn is_called(after: &str) -> bool {
    let after = after.trim_start();
    after.starts_with('(') || after.starts_with("by") || after.starts_with("without")
}

/// A query without texts, and without what is in braces and brackets.
fn without_labels(query: &str) -> String {
    let mut bare = String::new();
    let (mut depth, mut quoted) = (0, false);
    for c in query.chars() {
        match c {
            '"' => quoted = !quoted,
            '{' | '[' if !quoted => depth += 1,
            '}' | ']' if !quoted => depth -= 1,
            _ if quoted || depth > 0 => {}
            _ => bare.push(c),
        }
    }
    bare
}

fn of_histogram(name: &str) -> &str {
    ["_bucket", "_sum", "_count"]
        .iter()
        .find_map(|part| name.strip_suffix(part))
        .unwrap_or(name)
}

/// The shipped rules for a test that has seconds, not minutes: an alert waits for nothing, and looks back ten seconds.
pub(super) fn impatient(rules: &str) -> String {
    let mut impatient = String::new();
    for line in rules.lines() {
        let indent = line.len() - line.trim_start().len();
        let line = match line.trim_start().starts_with("for: ") {
            true => format!("{}for: 0s", " ".repeat(indent)),
            false => ["[5m]", "[15m]", "[1h]"]
                .iter()
                .fold(line.to_owned(), |line, range| line.replace(range, "[10s]")),
        };
        impatient.push_str(&line);
        impatient.push('\n');
    }
    assert!(impatient.matches("for: 0s").count() > 5 && impatient.contains("[10s]"));
    impatient
}

#[test]
fn names_are_found_in_queries() {
    let found = |query: &str| metric_names(query).into_iter().collect::<Vec<_>>();
    assert_eq!(
        found("up{job=\"faceway\"} == 0 or absent(up{job=\"a b {c}\"})"),
        ["up"]
    );
    assert_eq!(
        found(
            "histogram_quantile(0.5, sum by (le, route) (rate(a_seconds_bucket{x=~\"[y]\"}[5m]))) > 1e9"
        ),
        ["a_seconds"]
    );
    assert_eq!(
        found("a_total > 0 unless on (job) sum without (le) (b offset 5m) / c2"),
        ["a_total", "b", "c2"]
    );
    assert_eq!(
        found("time() - max_over_time(a[3d]) > 86400 and 2 * b_bytes > 0.9"),
        ["a", "b_bytes"]
    );
}
