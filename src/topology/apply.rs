//! Making it so, in three parts: everything that can fail is opened (`src/topology/open.rs`), the rules version is written
//! down (`rules.rs`), and from there on nothing can fail.
//!
//! **Invariants.** What another reading of the file asks for is at work as a whole, or not at all; what is the same does not
//! notice. An apply waits for no destination and no source. One that has begun comes to its end: broken off while the rules
//! are written down, it would leave others on disk than those by which lanes go.

mod next;
mod rules;

use std::sync::Arc;

use super::Topology;
use super::diff::{Change, Changes};
use super::open::Opened;
use crate::dispatch;
use crate::inbound::Endpoints;

impl Topology {
    /// Becomes what was opened. It waits for no destination and no source.
    ///
    /// # Errors
    /// When the rules cannot be written down; then nothing has changed.
    pub(crate) async fn apply(&mut self, opened: Opened) -> anyhow::Result<Changes> {
        match self.activate_rules(&opened).await {
            Ok(after_seq) => Ok(self.switch(opened, after_seq).await),
            Err(error) => {
                self.discard(&opened).await;
                Err(error)
            }
        }
    }

    /// Sets to work what was opened. The rules are active already, so nothing here may fail: half of it at work would be
    /// what no file says.
    pub(super) async fn switch(&mut self, mut opened: Opened, after_seq: u64) -> Changes {
        dispatch::announce(&opened.desired.rules.set);
        // Outbounds first: an event that a new inbound takes in finds the lanes that it is for at work.
        self.switch_outbounds(&mut opened, after_seq);
        self.switch_inbounds(&mut opened);
        // After the outbounds: one that returns is at work again, and must not be taken for one that is retired.
        self.resume_retired().await;
        self.applied = Some(opened.desired);
        self.publish_snapshot().await;
        self.forget_finished().await;
        opened.diff.report()
    }

    fn switch_outbounds(&mut self, opened: &mut Opened, after_seq: u64) {
        for (name, change) in &opened.diff.outbounds {
            if *change == Change::Retired {
                self.dispatch.retire(name, after_seq);
            }
        }
        for entry in &opened.desired.outbounds {
            let plan = &entry.plan;
            // Nothing was opened for what stays as it is.
            let Some(destination) = opened.outbounds.remove(&plan.name) else {
                continue;
            };
            if opened.lanes.contains(&plan.name) || !self.dispatch.has(&plan.name) {
                self.dispatch.add(plan.clone(), destination);
            } else {
                self.dispatch.change(plan.clone(), destination);
            }
        }
    }

    fn switch_inbounds(&mut self, opened: &mut Opened) {
        let before = Arc::clone(&self.endpoints.borrow());
        let mut endpoints = Vec::with_capacity(opened.desired.inbounds.len());
        for (name, change) in &opened.diff.inbounds {
            match opened.inbounds.remove(name) {
                Some((endpoint, source)) => {
                    match source {
                        Some(source) => self.sources.start(source),
                        None => self.sources.end(name),
                    }
                    endpoints.push(endpoint);
                }
                None if *change == Change::Retired => self.sources.end(name),
                None => endpoints.extend(before.named(name).cloned()),
            }
        }
        let terminals = endpoints.iter();
        let terminals = terminals.flat_map(|endpoint| endpoint.terminals.iter().cloned());
        self.terminals.keep(terminals, &self.context);
        // As a whole: between two paths that change places no request may reach the wrong inbound.
        self.endpoints
            .send_replace(Arc::new(Endpoints::new(endpoints)));
    }
}
