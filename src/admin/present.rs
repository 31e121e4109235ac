//! What a scrape leaves out: gauges of inbounds and outbounds that are no longer there.
//!
//! A recorder keeps a series for ever, with the last value that it had: an alert about it would go on for ever, and a sum
//! would count it. So the text is gone through once, beside the snapshot that its gauges were set from. Nothing is taken out of
//! the recorder: when an inbound of that name comes back, it is told when it last gave an event. Counters and histograms
//! stay, as they tell what this process has done.

use std::collections::HashSet;

use crate::inbound::SourceState;
use crate::topology::Snapshot;

/// Names, by what is told of them.
#[derive(Default)]
pub(super) struct Present<'a> {
    /// Outbounds that have a lane, at work or not.
    lanes: HashSet<&'a str>,
    inbounds: HashSet<&'a str>,
    /// Inbounds that are dialled.
    dialled: HashSet<&'a str>,
    /// Inbounds with terminals whose subscription is kept.
    with_terminals: HashSet<&'a str>,
    /// What a duty of this gateway may be about.
    on_duty: HashSet<&'a str>,
    /// Whether what the log takes up is told by another gateway.
    leaves_spool: bool,
}

/// What one gateway of a site tells of the log.
const OF_SPOOL: [&str; 4] = [
    "faceway_spool_bytes",
    "faceway_spool_free_bytes",
    "faceway_quarantine",
    "faceway_quarantine_bytes",
];

impl<'a> Present<'a> {
    /// `tells_spool`: whether this gateway tells what the log takes up; of several one does, so that a sum counts it once.
    pub(super) fn of(snapshot: &'a Snapshot, tells_spool: bool) -> Self {
        let mut present = Self {
            leaves_spool: !tells_spool,
            ..Self::default()
        };
        // The janitor's duty has no name.
        present.on_duty.insert("");
        present
            .on_duty
            .extend(snapshot.lanes.iter().map(|lane| lane.name()));
        let at_work = snapshot.lanes.iter();
        let at_work = at_work.filter(|lane| !lane.is_elsewhere());
        let at_work = at_work.map(|lane| lane.name());
        let removed = snapshot.removed.iter().map(String::as_str);
        present.lanes.extend(at_work.chain(removed));
        for endpoint in snapshot.endpoints.iter() {
            let name = endpoint.name();
            present.inbounds.insert(name);
            present.on_duty.insert(name);
            let source = endpoint.source.as_ref();
            if source.is_some_and(|source| source.look().state != SourceState::Elsewhere) {
                present.dialled.insert(name);
            }
            if !endpoint.terminals.is_empty() {
                present.with_terminals.insert(name);
            }
        }
        present
    }

    /// The text of a scrape, without what is no longer there.
    pub(super) fn only(&self, text: &str) -> String {
        let mut told = String::with_capacity(text.len());
        let lines = text.split_inclusive('\n');
        lines
            .filter(|line| self.has(line))
            .for_each(|line| told.push_str(line));
        told
    }

    /// Whether what a line tells of is there. Names have nothing that would be escaped in a label.
    fn has(&self, line: &str) -> bool {
        let Some((family, labels)) = line.split_once('{') else {
            let family = line.split(' ').next().unwrap_or_default();
            return !(self.leaves_spool && OF_SPOOL.contains(&family));
        };
        let (names, label) = match family {
            "faceway_lane_backlog"
            | "faceway_lane_oldest_seconds"
            | "faceway_lane_state"
            | "faceway_parked"
            | "faceway_buried" => (&self.lanes, "outbound=\""),
            "faceway_inbound_last_event_timestamp_seconds" => (&self.inbounds, "inbound=\""),
            "faceway_inbound_connected" => (&self.dialled, "inbound=\""),
            "faceway_terminals" => (&self.with_terminals, "inbound=\""),
            "faceway_duty_held" => (&self.on_duty, "name=\""),
            _ => return true,
        };
        let name = labels
            .split_once(label)
            .and_then(|(_, rest)| rest.split_once('"'));
        name.is_none_or(|(name, _)| names.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use super::Present;

    const TEXT: &str = "\
# HELP faceway_buried Events, {given} up.
# TYPE faceway_buried gauge
faceway_buried{outbound=\"erp\"} 0
faceway_buried{outbound=\"gone\"} 7
faceway_lane_state{outbound=\"gone\",state=\"waiting\"} 1
faceway_lane_state{outbound=\"old\",state=\"removed\"} 1
faceway_attempts_total{outbound=\"gone\",result=\"delivered\",code=\"200\"} 3
faceway_inbound_last_event_timestamp_seconds{inbound=\"lobby\"} 1800000000.5
faceway_inbound_last_event_timestamp_seconds{inbound=\"gone\"} 0
faceway_inbound_connected{inbound=\"lobby\"} 0
faceway_inbound_connected{inbound=\"hall\"} 1
faceway_terminals{inbound=\"lobby\",state=\"refused\"} 1
faceway_terminals{inbound=\"hall\",state=\"refused\"} 1
faceway_duty_held{duty=\"lane\",name=\"erp\"} 1
faceway_duty_held{duty=\"lane\",name=\"gone\"} 0
faceway_ready 1
faceway_spool_bytes 8192
faceway_spool_max_bytes 9000
";

    #[test]
    fn what_is_no_longer_there_is_left_out_of_the_gauges() {
        let present = Present {
            lanes: ["erp", "old"].into(),
            inbounds: ["lobby", "hall"].into(),
            dialled: ["hall"].into(),
            with_terminals: ["lobby"].into(),
            on_duty: ["erp", "hall"].into(),
            leaves_spool: true,
        };
        let left_out: Vec<&str> = TEXT
            .lines()
            .filter(|line| !present.only(TEXT).lines().any(|told| told == *line))
            .collect();
        assert_eq!(
            left_out,
            [
                "faceway_buried{outbound=\"gone\"} 7",
                "faceway_lane_state{outbound=\"gone\",state=\"waiting\"} 1",
                "faceway_inbound_last_event_timestamp_seconds{inbound=\"gone\"} 0",
                "faceway_inbound_connected{inbound=\"lobby\"} 0",
                "faceway_terminals{inbound=\"hall\",state=\"refused\"} 1",
                "faceway_duty_held{duty=\"lane\",name=\"gone\"} 0",
                "faceway_spool_bytes 8192",
            ]
        );
    }
}
