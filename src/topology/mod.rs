//! Everything that `routes.toml` names, at work: inbounds, sources, terminals, lanes.
//!
//! `desired.rs` is what the two files ask for, `diff.rs` compares it with what is at work, `open.rs` opens what that needs,
//! `apply.rs` makes it so, `watch.rs` decides when to read the files. The start is the first apply.

mod apply;
mod counted;
mod desired;
mod diff;
mod fingerprint;
mod first;
mod follow;
mod open;
mod retired;
pub mod rules_history;
mod rules_store;
mod snapshot;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch as channel;
use tokio_util::task::AbortOnDropHandle;

use crate::context::Context;
use crate::dispatch::{self, Dispatch, LaneTask};
use crate::inbound::{Endpoints, Intake, Sources, Terminals};

use counted::Counted;
pub(crate) use desired::Desired;
pub use diff::Changes;
use diff::Diff;
pub use open::trial;
use rules_history::ActiveRules;
use rules_store::{RulesStore, Stored};
pub(crate) use snapshot::Snapshot;
pub(crate) use watch::{Certificate, Watch};
pub use watch::{Failed, Refused, Reloader};

/// A topology at work.
pub(crate) struct Topology {
    context: Context,
    rules: ActiveRules,
    /// The spool as inbounds get it.
    intake: Arc<dyn Intake>,
    /// What the file is called: beside it are its templates.
    file: PathBuf,
    /// What is at work; `None` before the first apply.
    applied: Option<Desired>,
    /// The history of the rules of before the start, until the first apply.
    stored: Option<Stored>,
    /// The rules in the log.
    store: RulesStore,
    /// Why this gateway cannot become what is in force at the site.
    lacks: Option<String>,
    endpoints: channel::Sender<Arc<Endpoints>>,
    snapshot: channel::Sender<Arc<Snapshot>>,
    dispatch: Dispatch,
    sources: Sources,
    terminals: Terminals,
}

impl Topology {
    /// A topology where nothing is at work yet.
    ///
    /// # Errors
    /// When the spool cannot tell by which rules what waits is to go.
    pub(crate) async fn new(
        context: Context,
        rules: ActiveRules,
        file: PathBuf,
    ) -> anyhow::Result<Self> {
        let is_shared = context.duties.health().is_some();
        let (store, stored) = rules_store::load(&*context.log, is_shared, &file).await?;
        Ok(Self {
            intake: Arc::new(Counted::new(Arc::clone(&context.log), rules.clone())),
            dispatch: Dispatch::new(context.clone(), rules.clone()),
            context,
            rules,
            file,
            applied: None,
            stored,
            store,
            lacks: None,
            endpoints: channel::Sender::default(),
            snapshot: channel::Sender::default(),
            sources: Sources::new(),
            terminals: Terminals::new(),
        })
    }

    /// The text of the rules that are in force.
    pub(crate) fn text(&self) -> Option<&str> {
        let applied = self.applied.as_ref()?;
        Some(&applied.rules.text)
    }

    /// Whether other gateways have this log too.
    pub(crate) fn is_shared(&self) -> bool {
        self.context.duties.health().is_some()
    }

    /// Has the owner of a lane change it. Gives the number of events, or of the job.
    ///
    /// # Errors
    /// When the lane's owner does not answer, or the spool fails.
    pub(crate) async fn change_lane(&self, name: &str, task: LaneTask) -> anyhow::Result<u64> {
        Ok(self.dispatch.change_lane(name, task).await?)
    }

    /// Answers what other gateways of the site ask of the lanes here, until what it gives is dropped.
    pub(crate) fn answer_others(&self) -> AbortOnDropHandle<()> {
        let snapshots = self.snapshots();
        dispatch::answer(Arc::clone(&self.context.duties), move |name| {
            let snapshot = snapshots.borrow();
            let lane = snapshot.lanes.iter().find(|lane| lane.name() == name);
            lane.cloned()
        })
    }

    /// Where devices push to.
    pub(crate) fn endpoints(&self) -> channel::Receiver<Arc<Endpoints>> {
        self.endpoints.subscribe()
    }

    /// What is at work, for the admin listener.
    pub(crate) fn snapshots(&self) -> channel::Receiver<Arc<Snapshot>> {
        self.snapshot.subscribe()
    }

    /// Whether the file names this outbound.
    pub(crate) fn names_outbound(&self, name: &str) -> bool {
        let mut applied = self.applied.iter();
        applied.any(|desired| desired.has_outbound(name))
    }

    fn diff(&self, desired: &Desired) -> Diff {
        let lanes = self.dispatch.lanes();
        let retired = lanes.iter().filter(|lane| lane.is_retired());
        let retired: HashSet<String> = retired.map(|lane| lane.name().to_owned()).collect();
        match &self.applied {
            Some(applied) => diff::diff(applied, &retired, desired),
            None => diff::diff(&Desired::default(), &retired, desired),
        }
    }

    /// Stops asking terminals, then reading sources. The first half of the end.
    pub(crate) async fn stop_inbounds(&mut self) {
        self.terminals = Terminals::new();
        std::mem::replace(&mut self.sources, Sources::new())
            .stop()
            .await;
    }

    /// Stops leasing, and waits for deliveries that are on their way.
    pub(crate) async fn stop_outbounds(&mut self) {
        let none = Dispatch::new(self.context.clone(), self.rules.clone());
        std::mem::replace(&mut self.dispatch, none).stop().await;
    }
}
