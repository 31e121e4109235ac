//! What `/metrics` counts and the API does not: records that came in, deliveries that were confirmed.

use std::collections::BTreeMap;

/// The counters of a gateway since its start, by name of inbound or outbound.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counters {
    received: BTreeMap<String, BTreeMap<String, f64>>,
    delivered: BTreeMap<String, f64>,
    last_event: BTreeMap<String, f64>,
}

impl Counters {
    /// Takes what is needed from the text that Prometheus scrapes; lines that it cannot read are none of its business.
    pub(super) fn read(text: &str) -> Self {
        let mut counters = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((series, value)) = line.rsplit_once(' ')
                && let Ok(value) = value.parse()
            {
                counters.take(series, value);
            }
        }
        counters
    }

    fn take(&mut self, series: &str, value: f64) {
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        match name {
            "faceway_received_total" => {
                if let (Some(inbound), Some(result)) =
                    (label(labels, "inbound"), label(labels, "result"))
                {
                    let results = self.received.entry(inbound).or_default();
                    *results.entry(result).or_default() += value;
                }
            }
            "faceway_attempts_total" if label(labels, "result").as_deref() == Some("delivered") => {
                if let Some(outbound) = label(labels, "outbound") {
                    *self.delivered.entry(outbound).or_default() += value;
                }
            }
            "faceway_inbound_last_event_timestamp_seconds" => {
                if let Some(inbound) = label(labels, "inbound") {
                    self.last_event.insert(inbound, value);
                }
            }
            _ => {}
        }
    }

    /// Records of an inbound that ended so: `stored`, `duplicate`, `quarantined`, `refused`, `busy`.
    pub(super) fn received(&self, inbound: &str, result: &str) -> f64 {
        let results = self.received.get(inbound);
        let count = results.and_then(|results| results.get(result));
        count.copied().unwrap_or(0.0)
    }

    /// Records of an inbound that were taken, also those that were known or cannot be read.
    pub(super) fn taken(&self, inbound: &str) -> f64 {
        ["stored", "duplicate", "quarantined"]
            .map(|result| self.received(inbound, result))
            .iter()
            .sum()
    }

    /// Records of an inbound that were sent away.
    pub(super) fn sent_away(&self, inbound: &str) -> f64 {
        self.received(inbound, "refused") + self.received(inbound, "busy")
    }

    /// Deliveries of an outbound that were confirmed.
    pub(super) fn delivered(&self, outbound: &str) -> f64 {
        self.delivered.get(outbound).copied().unwrap_or(0.0)
    }

    /// When an inbound last gave an event, in seconds since 1970.
    pub(super) fn last_event(&self, inbound: &str) -> Option<f64> {
        let at = self.last_event.get(inbound).copied();
        at.filter(|at| *at > 0.0)
    }
}

/// The value of a label. Names and words of ours have no characters that would have to be escaped.
fn label(labels: &str, name: &str) -> Option<String> {
    let labels = labels.trim_end_matches('}').split(',');
    let mut pairs = labels.filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| key.trim() == name)?;
    Some(value.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::Counters;

    #[test]
    fn counters_are_found_among_the_metrics() {
        let counters = Counters::read(
            "# HELP faceway_received_total Records that came in, by what became of them.\n\
             # TYPE faceway_received_total counter\n\
             faceway_received_total{inbound=\"lobby\",result=\"stored\"} 12\n\
             faceway_received_total{result=\"duplicate\",inbound=\"lobby\"} 3\n\
             faceway_received_total{inbound=\"lobby\",result=\"busy\"} 2\n\
             faceway_received_total{inbound=\"hall\",result=\"stored\"} 700\n\
             faceway_attempts_total{outbound=\"erp\",result=\"delivered\",code=\"200\"} 5\n\
             faceway_attempts_total{outbound=\"erp\",result=\"delivered\",code=\"204\"} 2\n\
             faceway_attempts_total{outbound=\"erp\",result=\"retry\",code=\"503\"} 9\n\
             faceway_inbound_last_event_timestamp_seconds{inbound=\"lobby\"} 1790000000.5\n\
             faceway_inbound_last_event_timestamp_seconds{inbound=\"hall\"} 0\n\
             faceway_unrouted_total 4\n\nnot a metric\n",
        );
        assert_eq!(counters.taken("lobby"), 15.0);
        assert_eq!(counters.sent_away("lobby"), 2.0);
        assert_eq!(counters.taken("hall"), 700.0);
        assert_eq!(counters.taken("none"), 0.0);
        assert_eq!(counters.delivered("erp"), 7.0);
        assert_eq!(counters.last_event("lobby"), Some(1_790_000_000.5));
        assert_eq!(counters.last_event("hall"), None, "it never gave one");
    }
}
