//! The middle of an apply: the rules version is written down, and only then it is active.
//!
//! **Invariants.** Every lane goes by the same rules about an event, also after a crash: a version is durable before any
//! lane decides by it. Rules that cannot be written down do not become active, but for the first ones after a start: a
//! gateway has to deliver. Lanes wait meanwhile, devices do not.

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::bail;

use super::super::Topology;
use super::super::open::Opened;
use super::super::rules_history::RulesHistory;
use super::super::rules_store::{self, Outcome, Stored};
use super::next::Step;
use crate::dispatch::LaneHandle;

/// How often rules are put behind those of another gateway that was first.
const CONFLICTS_MAX: usize = 5;

impl Topology {
    /// Makes the rules active for what is kept from now on. Gives the newest event that they are not for.
    ///
    /// # Errors
    /// When they cannot be written down; then nothing has changed.
    pub(super) async fn activate_rules(&mut self, opened: &Opened) -> anyhow::Result<u64> {
        let lanes: HashSet<String> = self.context.lanes.list().await?.into_iter().collect();
        // Before the lock: surveys read the disk, and every lane would wait for them. A lane that goes on meanwhile needs
        // less, not more.
        let needed_from = self.needed_from(opened, &lanes).await?;
        let rules = self.rules.clone();
        // From here until the history is written no lane decides about an event. Without the lock a lane could decide by the
        // old version about an event that comes after the mark of the new one, and after a crash by the new one.
        let mut active = rules.hold().await;
        let mut before = match &self.applied {
            Some(_) => Some(Stored::from((**active).clone())),
            None => self.stored.take(),
        };
        for _ in 0..CONFLICTS_MAX {
            let step = Step {
                rules: &opened.desired.rules,
                now: self.context.clock.now(),
                needed_from,
                backfilled: opened.backfilled().collect(),
                lanes: &lanes,
            };
            let mut history = step.next(before.as_ref());
            while self.applied.is_none()
                && let Err(error) = history.check()
            {
                tracing::error!(%error, "the oldest of these rules are dropped: their events go by the next version");
                history = history.without_oldest();
            }
            let known = before.take().map(|stored| stored.history);
            let written = self.write_and_activate(&mut active, history, known.as_ref());
            if let Some(after_seq) = written.await? {
                return Ok(after_seq);
            }
            // Built on what came first: events between the two marks go by that, at every gateway.
            before = self.load_again().await?;
        }
        bail!(
            "other gateways put rules in force at the same time, again and again: read routes.toml once more"
        )
    }

    /// What another gateway has put in force in between.
    async fn load_again(&mut self) -> anyhow::Result<Option<Stored>> {
        tracing::warn!(
            "another gateway put its rules in force a moment before: those of this one come after them"
        );
        let (store, stored) = rules_store::load(&*self.context.log, true, &self.file).await?;
        self.store = store;
        Ok(stored)
    }

    /// Writes a history down, and then makes it the one that all ask. Gives the place from which its active version counts;
    /// `None` when another gateway was first.
    async fn write_and_activate(
        &mut self,
        active: &mut Arc<RulesHistory>,
        history: RulesHistory,
        before: Option<&RulesHistory>,
    ) -> anyhow::Result<Option<u64>> {
        history.check()?;
        if !self.store.is_behind && before == Some(&history) {
            let after_seq = history.active().after_seq;
            *active = Arc::new(history);
            self.rules.knows(self.store.version);
            return Ok(Some(after_seq));
        }
        // Written before it is active: a crash between the two would let a lane decide by rules that no start knows. The log
        // gives the place: an event that was appended before the lock may already be decided by the old version, and one that
        // is appended meanwhile is before the place or behind it, in every lane.
        let outcome = self.store.write(&*self.context.log, &history).await?;
        // What is unknown is written again at the next occasion.
        self.store.is_behind = outcome == Outcome::Unknown;
        if outcome == Outcome::Conflict {
            return Ok(None);
        }
        if let Outcome::Written(after_seq) = outcome {
            *active = Arc::new(history.placed(after_seq));
            self.rules.knows(self.store.version);
            return Ok(Some(after_seq));
        }
        if self.applied.is_none() {
            tracing::error!("the rules are active without being written down; that is tried again");
            self.store.is_behind = true;
            let tail = self.context.log.tail()?;
            *active = Arc::new(history.placed(tail));
            return Ok(Some(tail));
        }
        bail!(
            "the rules cannot be written down in the spool, and so do not come into force; that is tried again"
        )
    }

    /// Writes down what is active, where that failed.
    pub(in crate::topology) async fn write_rules_down(&mut self) {
        if !self.store.is_behind {
            return;
        }
        let history = self.rules.current().await;
        // Where another gateway wrote its own meanwhile, this one goes by those.
        let outcome = self.store.write(&*self.context.log, &history).await;
        self.store.is_behind = !matches!(outcome, Ok(Outcome::Written(_)));
    }

    /// No lane has still to ask the rules about an event with a lower sequence number, but for those that were made just now.
    async fn needed_from(&self, opened: &Opened, lanes: &HashSet<String>) -> anyhow::Result<u64> {
        let mut needed = u64::MAX;
        for name in lanes.difference(&opened.fresh) {
            needed = needed.min(self.unrouted_from(name).await?);
        }
        Ok(needed)
    }

    /// The lane has asked the rules about everything before this sequence number.
    async fn unrouted_from(&self, name: &str) -> anyhow::Result<u64> {
        // What is kept of it lags behind what a lane at work has routed, which is the safe side: after a crash it asks again.
        let Some(state) = self.context.lanes.look(name).await? else {
            return Ok(u64::MAX);
        };
        let undecided = state.undecided.first().copied();
        Ok(undecided.unwrap_or(u64::MAX).min(state.routed_through + 1))
    }

    /// What is handed to an outbound once more goes by the active rules, as far as nothing older waits in its lane. What
    /// waits goes by those of when it was kept: the active rules may not know the outbound any more, and the event would
    /// reach no destination.
    ///
    /// # Errors
    /// When that cannot be written down.
    pub(crate) async fn backfill(&mut self, outbound: &str) -> anyhow::Result<()> {
        let lanes = self.dispatch.lanes();
        let named = |lane: &&LaneHandle| lane.name() == outbound && !lane.is_retired();
        let Some(lane) = lanes.iter().find(named) else {
            return Ok(());
        };
        let rules = self.rules.clone();
        let mut active = rules.hold().await;
        let newest = self.context.log.tail()?;
        let first = self.unrouted_from(lane.name()).await?;
        let known = active.backfills().get(outbound);
        if first <= known.map_or(0, |backfill| backfill.through_seq) {
            return Ok(());
        }
        let before = active.as_ref().clone();
        let through_seq = newest.min(first.saturating_sub(1));
        let history = before.clone().with_backfill(outbound, through_seq);
        let written = self.write_and_activate(&mut active, history, Some(&before));
        match written.await? {
            Some(_) => Ok(()),
            None => bail!("another gateway changes the rules at this moment: ask again"),
        }
    }
}
