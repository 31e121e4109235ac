//! The first part of an apply: everything that can fail is opened, and nothing changes by it.
//!
//! **Invariants.** Nothing changes before everything is open. A lane that was made for what does not come into force is
//! removed again: else events would wait there for ever. Opening dials nothing, so no destination and no source is waited
//! for.

mod inbounds;
mod outbounds;
mod terminals;
mod trial;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use anyhow::Context as _;
use faceway_rules::{OutboundPlan, Since};

use super::Topology;
use super::desired::Desired;
use super::diff::{Change, Diff};
use crate::dispatch::Destination;
use crate::inbound::{Endpoint, Source};

pub(super) use outbounds::destination;
pub use trial::trial;

/// Everything that a reading of the file needs, opened; nothing has changed yet.
pub(crate) struct Opened {
    pub(super) desired: Desired,
    pub(super) diff: Diff,
    /// Those that are new or another, by name, each with what is to be dialled for it.
    pub(super) inbounds: HashMap<String, (Arc<Endpoint>, Option<Source>)>,
    /// Those that are new or another, by name.
    pub(super) outbounds: HashMap<String, Destination>,
    /// Of the outbounds that are new, by name.
    pub(super) lanes: HashSet<String>,
    /// Outbounds whose lanes were made for it, just now.
    pub(super) fresh: HashSet<String>,
}

impl Opened {
    /// New outbounds that begin in the past (`since = "oldest"`): they go through it by the rules of now.
    pub(super) fn backfilled(&self) -> impl Iterator<Item = &str> {
        let plans = self.desired.outbounds.iter().map(|entry| &entry.plan);
        let oldest = plans.filter(|plan| plan.common.since == Since::Oldest);
        oldest
            .map(|plan| plan.name.as_str())
            .filter(|name| self.fresh.contains(*name))
    }
}

impl Topology {
    /// Opens what is asked for and is not at work like that. Nothing changes by that.
    ///
    /// # Errors
    /// When something cannot be had: a secret, a certificate, a lane.
    pub(crate) async fn open(&self, desired: Desired) -> anyhow::Result<Opened> {
        let diff = self.diff(&desired);
        let mut inbounds = HashMap::new();
        let changing = desired.inbounds.iter().zip(&diff.inbounds);
        for (entry, (name, _)) in changing.filter(|(_, (_, change))| change.opens()) {
            let opened = inbounds::inbound(&entry.plan, &self.intake, &self.context)?;
            inbounds.insert(name.clone(), opened);
        }
        let mut outbounds = HashMap::new();
        let changing = desired.outbounds.iter().zip(&diff.outbounds);
        for (entry, (name, _)) in changing.filter(|(_, (_, change))| change.opens()) {
            outbounds.insert(name.clone(), self.open_outbound(&entry.plan)?);
        }
        let mut opened = Opened {
            desired,
            diff,
            inbounds,
            outbounds,
            lanes: HashSet::new(),
            fresh: HashSet::new(),
        };
        // Last: a lane that has been made begins to hold events, which must not happen for a file that cannot be opened.
        match self.open_lanes(&mut opened).await {
            Ok(()) => Ok(opened),
            Err(error) => {
                self.discard(&opened).await;
                Err(error)
            }
        }
    }

    async fn open_lanes(&self, opened: &mut Opened) -> anyhow::Result<()> {
        let known = self.context.lanes.list().await?;
        let outbounds = opened.desired.outbounds.iter().zip(&opened.diff.outbounds);
        for (entry, (name, _)) in outbounds.filter(|(_, (_, change))| *change == Change::Added) {
            // Asked before the lane is opened, which makes it.
            let is_fresh = !known.contains(name) || self.made_in_vain(name).await?;
            let made = self.dispatch.open(&entry.plan).await;
            made.with_context(|| format!("cannot open the lane of {name}"))?;
            opened.lanes.insert(name.clone());
            if is_fresh {
                opened.fresh.insert(name.clone());
            }
        }
        Ok(())
    }

    /// Whether a lane was made by a gateway that was killed before it wrote down by which rules; then it is gone now. No event
    /// was ever for it.
    async fn made_in_vain(&self, name: &str) -> anyhow::Result<bool> {
        let is_known = self.stored.as_ref().is_none_or(|it| it.history.knows(name));
        // Where gateways share the log, another one may have made it a moment before its mark.
        if self.applied.is_some() || is_known || self.is_shared() {
            return Ok(false);
        }
        self.context.lanes.delete(name).await?;
        Ok(true)
    }

    /// Removes the lanes that were made for what does not come into force: else events would wait there for ever.
    pub(crate) async fn discard(&self, opened: &Opened) {
        for name in &opened.fresh {
            if let Err(error) = self.context.lanes.delete(name).await {
                tracing::error!(outbound = name, %error, "a lane that was made in vain cannot be removed");
            }
        }
    }

    fn open_outbound(&self, plan: &OutboundPlan) -> anyhow::Result<Destination> {
        let applied = self.applied.iter();
        let mut known = applied.flat_map(|desired| &desired.outbounds);
        let before = known.find(|known| known.plan.name == plan.name);
        let before = before.map(|known| known.plan.clone());
        outbounds::destination(plan, before, &self.context)
    }
}
