//! Routing runs ahead of delivery: the lane follows the log's tail whether its destination answers or not.

use faceway_core::{Entry, ReadMax, SpoolError};
use faceway_lane::Offer;

use super::super::decide::Routed;
use super::Runner;

/// How much of the log is routed between two looks at the deliveries.
const READ_MAX: ReadMax = ReadMax {
    entries: 256,
    bytes: 4 * 1024 * 1024,
};

impl Runner {
    /// Asks the rules about the next part of the log; `true` when there is more to route.
    pub(super) async fn route(&mut self) -> bool {
        if self.is_blind() {
            return false;
        }
        let routed = if !self.lane.undecided().is_empty() {
            self.route_undecided().await
        } else if self.seen.is_none() {
            self.route_log().await
        } else {
            Ok(false)
        };
        let routed = match routed {
            Ok(false) => self.route_replay().await,
            routed => routed,
        };
        routed.unwrap_or_else(|error| {
            self.go_blind(&error);
            false
        })
    }

    async fn route_log(&mut self) -> Result<bool, SpoolError> {
        let tail = self.tools.log.tail()?;
        self.lane.set_tail(tail);
        let after = self.lane.routed_through();
        if after >= tail {
            self.seen = Some(tail);
            return Ok(false);
        }
        let stretch = self.tools.log.read(after, tail, READ_MAX).await?;
        let offers = self.decide(stretch.entries, true).await;
        let passed = self.tools.decider.passed();
        self.lane.offer(stretch.through_seq, &offers, passed);
        Ok(true)
    }

    /// Events of a former version, which did not keep whether the rules let them pass.
    async fn route_undecided(&mut self) -> Result<bool, SpoolError> {
        let undecided = self.lane.undecided();
        let count = undecided.len().min(READ_MAX.entries);
        let seqs = undecided[..count].to_vec();
        let entries = self.tools.log.fetch(seqs).await?;
        let offers = self
            .decide(entries.into_iter().flatten().collect(), false)
            .await;
        let passed = self.tools.decider.passed();
        self.lane.offer_undecided(count, &offers, passed);
        Ok(true)
    }

    async fn route_replay(&mut self) -> Result<bool, SpoolError> {
        let Some(job) = self.lane.replay_to_route() else {
            return Ok(false);
        };
        let log = &self.tools.log;
        let mut stretch = log
            .read(job.routed_through, job.through_seq, READ_MAX)
            .await?;
        let span = job.since..job.until;
        stretch
            .entries
            .retain(|entry| span.contains(&entry.received_at));
        let offers = self.decide(stretch.entries, false).await;
        // What `once` lets pass of a replay silences what is replayed, as the first time.
        let passed = self.tools.decider.passed();
        self.lane.offer_replayed(
            job.number,
            stretch.through_seq.max(job.routed_through),
            &offers,
        );
        self.lane.remember(passed);
        Ok(true)
    }

    /// Asks the rules about each; what is for this outbound is held for its delivery where `holds` says so.
    async fn decide(&mut self, entries: Vec<Entry>, holds: bool) -> Vec<Offer> {
        // Looked up after the entries came, and waiting for a reload that is just changing them: what was kept behind the mark
        // of a new rules version is not decided by an older one.
        // The version is asked for after the tail up to which they were read, so it covers all of them.
        let version = self.tools.log.rules_version();
        self.tools.decider.renew(version).await;
        let mut offers = Vec::new();
        for entry in entries {
            if self.tools.decider.decide(&entry) == Routed::Here {
                offers.push(Offer {
                    seq: entry.seq,
                    device: entry.device,
                });
                if holds {
                    self.recent.hold(entry);
                }
            }
        }
        offers
    }
}
