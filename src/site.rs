//! What `routes.toml` names, at work: inbounds, sources, terminals, lanes. It becomes what another reading of the file
//! says as a whole, or not at all, and what has not changed does not notice.

mod book;
mod counted;
mod leaving;
mod prepare;
mod rules;
#[cfg(test)]
mod tests;
mod view;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use faceway_core::{Lane, Repair, Start, Survey};
use faceway_rules::{InboundPlan, OutboundPlan, RouteChanges, Routes};
use tokio::sync::watch;

use crate::dispatch::{self, Common, Dispatch, InForce, LaneHandle};
use crate::inbound::{Sources, Terminals};
use crate::open::{self, Base, OpenedInbound, Print};

use book::Kept;
pub(crate) use counted::Counted;
use prepare::{Change, Prepared};
pub(crate) use view::{Part, View, Way};

/// A site at work.
pub(crate) struct Site {
    base: Base,
    common: Common,
    repair: Arc<dyn Repair>,
    rules: InForce,
    /// What the file is called: beside it are its templates.
    file: PathBuf,
    view: watch::Sender<Arc<View>>,
    /// Whether anything was adopted before.
    adopted: bool,
    /// The rule book of before the start, until something is adopted.
    kept: Option<Kept>,
    /// Whether what is in force is written down.
    written: bool,
    inbounds: Vec<(InboundPlan, Print, Arc<Part>)>,
    outbounds: Vec<(OutboundPlan, Print)>,
    dispatch: Dispatch,
    sources: Sources,
    terminals: Terminals,
}

/// What another reading of the file has changed: kinds and names, such as `outbound erp`, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// What is new.
    pub added: Vec<String>,
    /// What is now something else.
    pub changed: Vec<String>,
    /// What is no longer there.
    pub removed: Vec<String>,
}

impl Changes {
    fn note(&mut self, routes: RouteChanges) {
        let named = |names: Vec<String>| names.into_iter().map(|name| format!("route {name}"));
        self.added.extend(named(routes.added));
        self.changed.extend(named(routes.changed));
        self.removed.extend(named(routes.removed));
    }
}

/// What a site is made of beside its file.
pub(crate) struct Grounds {
    pub(crate) base: Base,
    pub(crate) common: Common,
    pub(crate) repair: Arc<dyn Repair>,
    pub(crate) file: PathBuf,
}

impl Site {
    /// A site where nothing is at work yet.
    ///
    /// # Errors
    /// When the spool cannot tell by which rules what waits is to go.
    pub(crate) async fn new(grounds: Grounds) -> anyhow::Result<Self> {
        let Grounds {
            base,
            common,
            repair,
            file,
        } = grounds;
        let kept = book::load(&*common.spool, &file).await?;
        Ok(Self {
            dispatch: Dispatch::new(common.clone()),
            base,
            rules: common.rules.clone(),
            common,
            repair,
            file,
            view: watch::Sender::default(),
            adopted: false,
            kept,
            written: true,
            inbounds: Vec::new(),
            outbounds: Vec::new(),
            sources: Sources::new(),
            terminals: Terminals::new(),
        })
    }

    /// What requests and those who look see of it.
    pub(crate) fn view(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }

    /// Becomes what was prepared. It waits for no destination and no source.
    ///
    /// # Errors
    /// When the rules cannot be kept; then nothing has changed.
    pub(crate) async fn adopt(&mut self, prepared: Prepared) -> anyhow::Result<Changes> {
        let before = self.rules.look().await;
        let behind = match self.publish(&prepared).await {
            Ok(behind) => behind,
            Err(error) => {
                self.take_back(&prepared).await;
                return Err(error);
            }
        };
        let Prepared {
            routes,
            inbounds,
            outbounds,
        } = prepared;
        let mut changes = Changes::default();
        dispatch::announce(&routes.routes);
        self.adopt_outbounds(&routes, outbounds, behind, &mut changes);
        self.adopt_inbounds(&routes, inbounds, &mut changes);
        changes.note(routes.routes.changes_since(&before.newest().rules.set));
        self.resume_leaving().await;
        self.adopted = true;
        self.show().await;
        self.forget_left().await;
        Ok(changes)
    }

    fn adopt_outbounds(
        &mut self,
        routes: &Routes,
        prepared: Vec<(Print, Change)>,
        behind: u64,
        changes: &mut Changes,
    ) {
        for (before, _) in std::mem::take(&mut self.outbounds) {
            if routes.outbounds.iter().all(|plan| plan.name != before.name) {
                self.dispatch.leave(&before.name, behind);
                changes.removed.push(format!("outbound {}", before.name));
            }
        }
        for (plan, (print, change)) in routes.outbounds.iter().zip(prepared) {
            self.outbounds.push((plan.clone(), print));
            match change {
                Change::Stays => {}
                Change::Delivers(outbound) => {
                    changes.changed.push(format!("outbound {}", plan.name));
                    self.dispatch.change(plan.clone(), outbound);
                }
                Change::Begins(_, None) => {}
                Change::Begins(outbound, Some(opened)) => {
                    changes.added.push(format!("outbound {}", plan.name));
                    self.dispatch.add(plan.clone(), outbound, opened.lane);
                }
            }
        }
    }

    fn adopt_inbounds(
        &mut self,
        routes: &Routes,
        prepared: Vec<(Print, Option<OpenedInbound>)>,
        changes: &mut Changes,
    ) {
        let before = std::mem::take(&mut self.inbounds);
        let known = |name: &str| before.iter().find(|(plan, _, _)| plan.name == name);
        for (plan, (print, opened)) in routes.inbounds.iter().zip(prepared) {
            let part = match (opened, known(&plan.name)) {
                (None, Some((_, _, part))) => Arc::clone(part),
                (None, None) => continue,
                (Some(opened), was) => {
                    let list = match was {
                        Some(_) => &mut changes.changed,
                        None => &mut changes.added,
                    };
                    list.push(format!("inbound {}", plan.name));
                    self.begin(plan, opened)
                }
            };
            self.inbounds.push((plan.clone(), print, part));
        }
        for (plan, _, _) in &before {
            if routes.inbounds.iter().all(|now| now.name != plan.name) {
                self.sources.end(&plan.name);
                changes.removed.push(format!("inbound {}", plan.name));
            }
        }
        self.keep_terminals();
    }

    /// Sets the source of an inbound to work, in place of another that it may have had.
    fn begin(&mut self, plan: &InboundPlan, opened: OpenedInbound) -> Arc<Part> {
        let status = opened
            .source
            .as_ref()
            .map(|source| Arc::clone(&source.status));
        match opened.source {
            Some(source) => self.sources.start(source),
            None => self.sources.end(&plan.name),
        }
        Arc::new(Part {
            way: Way {
                inbound: opened.inbound,
                admission: opened.admission,
            },
            source: status,
            terminals: opened.terminals,
            shown: open::shown(plan),
        })
    }

    fn keep_terminals(&mut self) {
        let parts = self.inbounds.iter().map(|(_, _, part)| part);
        let terminals = parts.flat_map(|part| part.terminals.iter().cloned());
        self.terminals.keep(terminals, &self.base.clock);
    }

    /// Lets go of lanes that have left: nothing waits in them, and nothing is buried there.
    pub(crate) async fn forget_left(&mut self) {
        let left = self.dispatch.left().await;
        for handle in &left {
            let name = handle.name();
            match self.repair.drop_lane(name.to_owned()).await {
                Ok(_) => tracing::info!(
                    outbound = name,
                    "delivered what it was given; its lane is gone"
                ),
                Err(error) => tracing::error!(
                    outbound = name,
                    %error,
                    "its lane, through with everything, cannot be removed; `faceway lanes drop {name}` does"
                ),
            }
        }
        if !left.is_empty() {
            self.show().await;
        }
    }

    /// Forgets the lane of an outbound that is no longer in the file, with everything in it, and gives how it stood last.
    /// `None` when there is none.
    ///
    /// # Errors
    /// When the spool fails.
    pub(crate) async fn forget(&mut self, name: &str) -> anyhow::Result<Option<Survey>> {
        if !self.repair.lanes().await?.iter().any(|lane| lane == name) {
            return Ok(None);
        }
        self.dispatch.give_up(name).await;
        let lane = self.common.spool.open_lane(name, Start::Now).await?;
        let now = self.base.clock.now();
        let survey = self.common.spool.survey(lane, now).await?;
        self.repair.drop_lane(name.to_owned()).await?;
        tracing::warn!(
            outbound = name,
            backlog = survey.backlog,
            buried = survey.buried,
            "its lane is dropped for good, with what waited and was buried there"
        );
        self.show().await;
        Ok(Some(survey))
    }

    /// Whether the file names this outbound.
    pub(crate) fn names_outbound(&self, name: &str) -> bool {
        self.outbounds.iter().any(|(plan, _)| plan.name == name)
    }

    /// Lets requests and those who look see what is at work now.
    async fn show(&self) {
        let lanes = self.dispatch.lanes();
        let removed = self.removed_lanes(&lanes).await.unwrap_or_else(|error| {
            tracing::error!(
                error = format!("{error:#}"),
                "cannot look for lanes without outbounds"
            );
            self.view.borrow().removed.clone()
        });
        let parts = self.inbounds.iter().map(|(_, _, part)| Arc::clone(part));
        self.view
            .send_replace(Arc::new(View::new(parts, removed, lanes)));
    }

    /// Lanes whose outbound is neither in the file nor leaving. They are opened so that they can be shown; nothing
    /// leaves them.
    async fn removed_lanes(&self, lanes: &[LaneHandle]) -> anyhow::Result<HashMap<String, Lane>> {
        let mut removed = HashMap::new();
        for name in self.repair.lanes().await? {
            if lanes.iter().any(|lane| lane.name() == name) {
                continue;
            }
            let known = self.view.borrow().removed.contains_key(&name);
            let lane = self.common.spool.open_lane(&name, Start::Now).await?;
            if !known {
                let survey = self
                    .common
                    .spool
                    .survey(lane, self.base.clock.now())
                    .await?;
                tracing::warn!(
                    outbound = name,
                    backlog = survey.backlog,
                    "this outbound is no longer in routes.toml; its events keep their room in the spool until it is there \
                     again, or its lane is forgotten: `faceway lanes drop {name}`"
                );
            }
            removed.insert(name, lane);
        }
        Ok(removed)
    }

    /// Stops telling terminals, then reading sources. The first half of the end.
    pub(crate) async fn stop_inbounds(&mut self) {
        self.terminals = Terminals::new();
        std::mem::replace(&mut self.sources, Sources::new())
            .stop()
            .await;
    }

    /// Stops leasing, and waits for deliveries that are on their way.
    pub(crate) async fn stop_outbounds(&mut self) {
        let none = Dispatch::new(self.common.clone());
        std::mem::replace(&mut self.dispatch, none).stop().await;
    }
}
