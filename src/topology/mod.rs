//! Everything that `routes.toml` names, at work: inbounds, sources, terminals, lanes.
//!
//! `desired.rs` is what the two files ask for, `diff.rs` compares it with what is at work, `open.rs` opens what that needs,
//! `apply.rs` makes it so, `watch.rs` decides when to read the files. The start is the first apply.

mod apply;
mod counted;
mod desired;
mod diff;
mod fingerprint;
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

use anyhow::Context as _;
use faceway_rules::Routes;
use tokio::sync::watch as channel;

use crate::config;
use crate::context::Context;
use crate::dispatch::{Dispatch, LaneTask};
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
        let (store, stored) = rules_store::load(&*context.log, &file).await?;
        Ok(Self {
            intake: Arc::new(Counted::new(Arc::clone(&context.log), rules.clone())),
            dispatch: Dispatch::new(context.clone(), rules.clone()),
            context,
            rules,
            file,
            applied: None,
            stored,
            store,
            endpoints: channel::Sender::default(),
            snapshot: channel::Sender::default(),
            sources: Sources::new(),
            terminals: Terminals::new(),
        })
    }

    /// What was in force before the start, instead of a file that is refused.
    ///
    /// # Errors
    /// The refusal, when nothing was, or when it cannot be read any more.
    pub(crate) fn routes_of_before(&self, refused: &Refused) -> anyhow::Result<Routes> {
        let stored = self.stored.as_ref();
        let stored = stored.context("there are no rules of before");
        let before = stored.and_then(|stored| {
            let text = &stored.history.active().rules.text;
            let name = self.file.display().to_string();
            let loaded = config::parse_routes(text, &name);
            loaded
                .map_err(|errors| anyhow::anyhow!("the rules of before cannot be read:\n{errors}"))
        });
        match before {
            Ok(loaded) => {
                tracing::error!(
                    "routes.toml is refused: the gateway starts with the rules that were in force before"
                );
                Ok(loaded.value)
            }
            Err(error) => {
                tracing::error!("routes.toml is refused, and {error:#}");
                Err(refused.clone().into())
            }
        }
    }

    /// Has the owner of a lane change it. Gives the number of events, or of the job.
    ///
    /// # Errors
    /// When the lane's owner does not answer, or the spool fails.
    pub(crate) async fn change_lane(&self, name: &str, task: LaneTask) -> anyhow::Result<u64> {
        Ok(self.dispatch.change_lane(name, task).await?)
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
