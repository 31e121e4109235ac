//! The promises, each by a naive count.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use faceway_core::{DeviceKey, EventId, Log as _};

use crate::World;
use crate::life::Life;
use crate::receiver::Nature;
use crate::world::NAMES;

impl World {
    /// Each receiver gets the events of one device in the order in which they were kept.
    pub(crate) fn check_order(&self) -> anyhow::Result<()> {
        let seqs: BTreeMap<EventId, u64> = self
            .kept
            .iter()
            .map(|(seq, kept)| (kept.id, *seq))
            .collect();
        for (receiver, name) in NAMES.into_iter().enumerate() {
            let mut last: BTreeMap<DeviceKey, u64> = BTreeMap::new();
            for (device, id) in self.receivers[receiver].taken() {
                let seq = seqs.get(&id).copied().unwrap_or_default();
                let before = last.entry(device).or_default();
                let is_in_order = seq > *before || self.again[receiver].contains(&id);
                ensure!(
                    is_in_order,
                    "{name} gets {seq} of {device:?} behind {before}"
                );
                *before = seq.max(*before);
            }
        }
        Ok(())
    }

    /// Everything that was answered with success is delivered to all it was routed to, or buried.
    pub(crate) fn check_delivered(&self) -> anyhow::Result<()> {
        for (receiver, name) in NAMES.into_iter().enumerate() {
            let buried = self.buried(receiver);
            for (seq, kept) in &self.kept {
                let is_taken = self.receivers[receiver].has(kept.id);
                let is_for = self.is_for(*seq, receiver);
                let is_buried = buried.contains(seq);
                ensure!(
                    is_taken || is_buried || !is_for,
                    "{name} never gets {seq}: {kept:?}"
                );
                ensure!(
                    is_for || !is_taken || self.has_replayed,
                    "{name} gets {seq}, which is not for it"
                );
                let is_good = kept.nature == Nature::Good;
                ensure!(
                    !is_buried || !is_good || self.plan.is_harsh || self.has_replayed,
                    "{seq} is good, and {name} has it buried"
                );
            }
        }
        Ok(())
    }

    /// The backlog that a lane shows is the number of events that are routed to it and not acknowledged.
    pub(crate) async fn check_backlogs(&self, life: &Life) -> anyhow::Result<()> {
        // What was just acknowledged is on its way into the status.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let tail = life.log.tail();
        for (receiver, name) in NAMES.into_iter().enumerate() {
            let Some(survey) = life
                .survey(name)
                .filter(|survey| survey.routed_through == tail)
            else {
                continue;
            };
            if self.has_replayed || self.receivers[receiver].in_flight() > 0 {
                continue;
            }
            let buried = self.buried(receiver);
            let (waited, routed_through) = &self.before[receiver];
            let is_open = |seq: &&u64| {
                let is_routed = waited.contains(*seq)
                    || **seq > *routed_through && self.is_for(**seq, receiver);
                let is_taken = self.receivers[receiver].has_now(self.kept[*seq].id);
                is_routed && !is_taken && !buried.contains(*seq)
            };
            // Burials that are not written yet.
            let unwritten = survey.buried.saturating_sub(buried.len() as u64);
            let open = self.kept.keys().filter(is_open).count() as u64;
            let open = open.saturating_sub(unwritten);
            let is_true = survey.backlog == open;
            ensure!(
                is_true,
                "{name} shows a backlog of {}, and {open} are open",
                survey.backlog
            );
        }
        Ok(())
    }
}
