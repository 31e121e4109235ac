//! What another reading of the file needs, opened before anything changes.

use std::sync::Arc;

use anyhow::Context as _;
use faceway_core::{Lane, Outbound};
use faceway_rules::{InboundPlan, OutboundPlan, Routes, Since};

use super::Site;
use crate::open::{self, OpenedInbound, Print};

/// Everything that a reading of the file needs, opened; nothing has changed yet.
pub(crate) struct Prepared {
    pub(super) routes: Routes,
    pub(super) inbounds: Vec<(Print, Option<OpenedInbound>)>,
    pub(super) outbounds: Vec<(Print, Change)>,
}

/// What becomes of an outbound.
pub(super) enum Change {
    /// It stays what it is.
    Stays,
    /// Its lane delivers to this.
    Delivers(Arc<dyn Outbound>),
    /// It is new; its lane, once that is open.
    Begins(Arc<dyn Outbound>, Option<Opened>),
}

/// A lane, opened.
#[derive(Clone, Copy)]
pub(super) struct Opened {
    pub(super) lane: Lane,
    /// Whether it was made just now.
    pub(super) fresh: bool,
}

impl Prepared {
    /// Outbounds whose lanes were made for it.
    pub(super) fn fresh(&self) -> impl Iterator<Item = &str> {
        self.begins(|_, opened| opened.fresh)
    }

    /// New outbounds that go through the history, which they do by the rules of now.
    pub(super) fn with_history(&self) -> impl Iterator<Item = &str> {
        let oldest = |plan: &OutboundPlan| plan.common.since == Since::Oldest;
        self.begins(move |plan, opened| opened.fresh && oldest(plan))
    }

    fn begins(&self, which: impl Fn(&OutboundPlan, &Opened) -> bool) -> impl Iterator<Item = &str> {
        let outbounds = self.routes.outbounds.iter().zip(&self.outbounds);
        outbounds.filter_map(move |(plan, (_, change))| match change {
            Change::Begins(_, Some(opened)) if which(plan, opened) => Some(plan.name.as_str()),
            _ => None,
        })
    }
}

impl Site {
    /// Opens what a reading of the file names and is not at work as it says. Nothing changes by that.
    ///
    /// # Errors
    /// When something cannot be had: a secret, a certificate, a lane.
    pub(crate) async fn prepare(&self, routes: Routes) -> anyhow::Result<Prepared> {
        let mut inbounds = Vec::with_capacity(routes.inbounds.len());
        for plan in &routes.inbounds {
            let print = Print::of_inbound(plan)?;
            let same = |(known, was, _): &(InboundPlan, Print, _)| known == plan && *was == print;
            let opened = match self.inbounds.iter().any(same) {
                true => None,
                false => Some(open::inbound(plan, &self.base)?),
            };
            inbounds.push((print, opened));
        }
        let mut outbounds = Vec::with_capacity(routes.outbounds.len());
        for plan in &routes.outbounds {
            let print = Print::of_outbound(plan)?;
            outbounds.push((print, self.prepare_outbound(plan, print)?));
        }
        let mut prepared = Prepared {
            routes,
            inbounds,
            outbounds,
        };
        // Last: a lane that has been made begins to wait for its events.
        match self.open_lanes(&mut prepared).await {
            Ok(()) => Ok(prepared),
            Err(error) => {
                self.take_back(&prepared).await;
                Err(error)
            }
        }
    }

    async fn open_lanes(&self, prepared: &mut Prepared) -> anyhow::Result<()> {
        let known = self.repair.lanes().await?;
        let outbounds = prepared.routes.outbounds.iter();
        for (plan, (_, change)) in outbounds.zip(&mut prepared.outbounds) {
            if let Change::Begins(_, opened) = change {
                let made_before = known.contains(&plan.name);
                let fresh = !made_before || self.made_in_vain(&plan.name).await?;
                let lane = self.dispatch.open(plan).await;
                let lane =
                    lane.with_context(|| format!("cannot open the lane of {}", plan.name))?;
                *opened = Some(Opened { lane, fresh });
            }
        }
        Ok(())
    }

    /// Whether a lane was made by a gateway that was killed before it knew by which rules; then it is gone now. Nothing
    /// was ever for it.
    async fn made_in_vain(&self, name: &str) -> anyhow::Result<bool> {
        if self.adopted || self.kept.as_ref().is_none_or(|kept| kept.book.knows(name)) {
            return Ok(false);
        }
        self.repair.drop_lane(name.to_owned()).await?;
        Ok(true)
    }

    /// Removes the lanes that were made for what does not come into force: else events would wait there for ever.
    pub(crate) async fn take_back(&self, prepared: &Prepared) {
        for name in prepared.fresh() {
            if let Err(error) = self.repair.drop_lane(name.to_owned()).await {
                tracing::error!(outbound = name, %error, "a lane that was made in vain cannot be removed");
            }
        }
    }

    fn prepare_outbound(&self, plan: &OutboundPlan, print: Print) -> anyhow::Result<Change> {
        let same = |(known, was): &(OutboundPlan, Print)| known == plan && *was == print;
        if self.outbounds.iter().any(same) {
            return Ok(Change::Stays);
        }
        let base = &self.base;
        let public_url = &base.config.listen.public_url;
        let mut before = self.outbounds.iter();
        let before = before.find(|(known, _)| known.name == plan.name);
        let before = before.map(|(known, _)| known);
        let outbound = open::outbound(plan, before, &base.gateway_id, public_url, &base.clock)?;
        Ok(match self.dispatch.has(&plan.name) {
            true => Change::Delivers(outbound),
            false => Change::Begins(outbound, None),
        })
    }
}
