//! Bodies for what leaves, and what becomes of a message.

use std::time::Duration;

use faceway_core::{Entry, SpoolError, Verdict};
use faceway_lane::{Acknowledged, Delivery};

use super::super::deliveries::Ended;
use super::Runner;

/// Ids of failed events that are remembered for the log.
const FAILED_MAX: usize = 4096;

impl Runner {
    pub(super) async fn deliver(&mut self, delivery: Delivery) {
        let seqs: Vec<u64> = delivery.events.iter().map(|event| event.seq).collect();
        let stop = self.tools.stop.clone();
        // A log that does not answer must not hold up a stop.
        let fetched = stop.run_until_cancelled(self.fetch(&seqs)).await;
        if !matches!(fetched, Some(Ok(()))) {
            if let Some(Err(error)) = fetched {
                self.go_blind(&error);
            }
            self.lane.unsend(delivery.number);
            return;
        }
        let entries: Vec<Entry> = seqs
            .iter()
            .filter_map(|seq| self.recent.take(*seq))
            .collect();
        if entries.len() < seqs.len() {
            let is_there = |seq: &u64| entries.iter().any(|entry| entry.seq == *seq);
            let lost: Vec<u64> = seqs.iter().copied().filter(|seq| !is_there(seq)).collect();
            self.log_lost(&lost);
            if !self.lane.lose(delivery.number, &lost) {
                return;
            }
        }
        self.deliveries.begin(delivery.number, entries);
    }

    /// Makes these entries be at hand, and a few of those that leave next.
    async fn fetch(&mut self, seqs: &[u64]) -> Result<(), SpoolError> {
        if seqs.iter().all(|seq| self.recent.has(*seq)) {
            return Ok(());
        }
        let mut missing = seqs.to_vec();
        missing.extend(self.lane.upcoming(self.recent.fetch_max()));
        self.recent.keep_ahead(&missing);
        missing.retain(|seq| !self.recent.has(*seq));
        let fetched = self.tools.log.fetch(missing).await?;
        for entry in fetched.into_iter().flatten() {
            if seqs.contains(&entry.seq) {
                self.recent.insist(entry);
            } else {
                self.recent.hold_ahead(entry);
            }
        }
        Ok(())
    }

    /// Takes in a delivery that has ended, and all others that have by now: what follows from them is one change, and what
    /// leaves then leaves together.
    pub(super) fn all_ended(&mut self, first: Ended) {
        self.ended(&first);
        while let Some(ended) = self.deliveries.next_at_once() {
            self.ended(&ended);
        }
    }

    pub(super) fn ended(&mut self, ended: &Ended) {
        if ended.finished.broke_off {
            tracing::error!(
                outbound = self.tools.name,
                "a delivery ended without a verdict"
            );
        }
        let now = self.now();
        let ages = ended
            .entries
            .iter()
            .map(|entry| now.wall.since(entry.received_at));
        let ages: Vec<Duration> = ages.collect();
        let finished = &ended.finished;
        if let Verdict::Delivered { .. } = finished.verdict {
            let sent = &ages[..finished.events.min(ages.len())];
            sent.iter()
                .for_each(|age| self.tools.metrics.delivered(*age));
        } else {
            self.tools.status.failed(finished.verdict.code(), now.wall);
            self.note_failed(&ended.entries);
        }
        let acknowledged = Acknowledged {
            verdict: finished.verdict.clone(),
            took: finished.took,
            sent: finished.events,
            ages,
        };
        let chance = (self.tools.chance)();
        self.lane
            .acknowledge(ended.number, acknowledged, now, chance);
    }

    /// What is not delivered comes again soon, and is named in the log.
    fn note_failed(&mut self, entries: &[Entry]) {
        if self.failed.len() > FAILED_MAX {
            self.failed.clear();
        }
        for entry in entries {
            self.failed.insert(entry.seq, entry.id);
            self.recent.hold(entry.clone());
        }
    }
}
