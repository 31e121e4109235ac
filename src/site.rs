//! What `routes.toml` names, at work: inbounds, sources, terminals, lanes. It becomes what another reading of the file
//! says as a whole, or not at all, and what has not changed does not notice.

mod view;

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context as _;
use faceway_core::{Lane, Outbound, Repair, Start};
use faceway_rules::{InboundPlan, OutboundPlan, Routes};
use tokio::sync::watch;

use crate::dispatch::{Common, Dispatch, LaneHandle, RuleBook};
use crate::inbound::{Sources, Terminals};
use crate::observe;
use crate::open::{self, Base, OpenedInbound, Print};

pub(crate) use view::{Part, View, Way};

/// A site at work.
pub(crate) struct Site {
    base: Base,
    common: Common,
    repair: Arc<dyn Repair>,
    rules: watch::Sender<Arc<RuleBook>>,
    view: watch::Sender<Arc<View>>,
    /// Whether anything was adopted before.
    adopted: bool,
    inbounds: Vec<(InboundPlan, Print, Arc<Part>)>,
    outbounds: Vec<(OutboundPlan, Print)>,
    dispatch: Dispatch,
    sources: Sources,
    terminals: Terminals,
}

/// Everything that a reading of the file needs, opened; nothing has changed yet.
pub(crate) struct Prepared {
    routes: Routes,
    inbounds: Vec<(Print, Option<OpenedInbound>)>,
    outbounds: Vec<(Print, Change)>,
}

/// What becomes of an outbound.
enum Change {
    /// It stays what it is.
    Stays,
    /// Its lane delivers to this.
    Delivers(Arc<dyn Outbound>),
    /// It is new; its lane, once that is open.
    Begins(Arc<dyn Outbound>, Option<Lane>),
}

/// What another reading of the file has changed: names, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// What is new.
    pub added: Vec<String>,
    /// What is now something else.
    pub changed: Vec<String>,
    /// What is no longer there.
    pub removed: Vec<String>,
}

/// What a site is made of beside its file.
pub(crate) struct Grounds {
    pub(crate) base: Base,
    pub(crate) common: Common,
    pub(crate) repair: Arc<dyn Repair>,
    pub(crate) rules: watch::Sender<Arc<RuleBook>>,
}

impl Site {
    /// A site where nothing is at work yet.
    pub(crate) fn new(grounds: Grounds) -> Self {
        let Grounds {
            base,
            common,
            repair,
            rules,
        } = grounds;
        Self {
            dispatch: Dispatch::new(common.clone()),
            base,
            common,
            repair,
            rules,
            view: watch::Sender::default(),
            adopted: false,
            inbounds: Vec::new(),
            outbounds: Vec::new(),
            sources: Sources::new(),
            terminals: Terminals::new(),
        }
    }

    /// What requests and those who look see of it.
    pub(crate) fn view(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }

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
        // Last: a lane that has been made begins to wait for its events.
        for (plan, (_, change)) in routes.outbounds.iter().zip(&mut outbounds) {
            if let Change::Begins(_, lane) = change {
                let opened = self.dispatch.open(plan).await;
                let opened =
                    opened.with_context(|| format!("cannot open the lane of {}", plan.name));
                *lane = Some(opened?);
            }
        }
        Ok(Prepared {
            routes,
            inbounds,
            outbounds,
        })
    }

    fn prepare_outbound(&self, plan: &OutboundPlan, print: Print) -> anyhow::Result<Change> {
        let same = |(known, was): &(OutboundPlan, Print)| known == plan && *was == print;
        if self.outbounds.iter().any(same) {
            return Ok(Change::Stays);
        }
        let outbound = open::outbound(plan, &self.base.gateway_id, &self.base.clock)?;
        Ok(match self.dispatch.has(&plan.name) {
            true => Change::Delivers(outbound),
            false => Change::Begins(outbound, None),
        })
    }

    /// Becomes what was prepared. It waits for no destination and no source.
    pub(crate) async fn adopt(&mut self, prepared: Prepared) -> Changes {
        let Prepared {
            routes,
            inbounds,
            outbounds,
        } = prepared;
        let rules_behind = self.publish(&routes);
        self.adopted = true;
        let mut changes = Changes::default();
        self.adopt_outbounds(&routes, outbounds, rules_behind, &mut changes);
        self.adopt_inbounds(&routes, inbounds, &mut changes);
        self.show().await;
        self.forget_left().await;
        changes
    }

    /// Puts the rules in force: for what is kept from now on, and at the start for everything. Gives the newest event
    /// that they are not for.
    fn publish(&self, routes: &Routes) -> u64 {
        let rules = Arc::new(routes.routes.clone());
        let mut behind = 0;
        // The newest event is asked for while nobody can look up rules: who decides about a later one, sees these.
        self.rules.send_modify(|book| {
            *book = Arc::new(match self.adopted {
                false => RuleBook::new(rules),
                true => {
                    behind = self.common.spool.newest();
                    book.with(behind, rules)
                }
            });
        });
        behind
    }

    fn adopt_outbounds(
        &mut self,
        routes: &Routes,
        prepared: Vec<(Print, Change)>,
        rules_behind: u64,
        changes: &mut Changes,
    ) {
        for (before, _) in std::mem::take(&mut self.outbounds) {
            if routes.outbounds.iter().all(|plan| plan.name != before.name) {
                self.dispatch.leave(&before.name);
                changes.removed.push(before.name);
            }
        }
        for (plan, (print, change)) in routes.outbounds.iter().zip(prepared) {
            self.outbounds.push((plan.clone(), print));
            match change {
                Change::Stays => {}
                Change::Delivers(outbound) => {
                    changes.changed.push(plan.name.clone());
                    self.dispatch.change(plan.clone(), outbound);
                }
                Change::Begins(_, None) => {}
                Change::Begins(outbound, Some(lane)) => {
                    changes.added.push(plan.name.clone());
                    self.dispatch
                        .add(plan.clone(), outbound, lane, rules_behind);
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
                    list.push(plan.name.clone());
                    self.begin(plan, opened)
                }
            };
            self.inbounds.push((plan.clone(), print, part));
        }
        for (plan, _, _) in &before {
            if routes.inbounds.iter().all(|now| now.name != plan.name) {
                self.sources.end(&plan.name);
                observe::inbound_gone(&plan.name);
                changes.removed.push(plan.name.clone());
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
        let left = self.dispatch.left();
        for handle in &left {
            let name = handle.name();
            observe::lane_gone(name);
            match self.repair.drop_lane(name.to_owned()).await {
                Ok(_) => tracing::info!(
                    outbound = name,
                    "delivered what it was given; its lane is gone"
                ),
                Err(error) => tracing::error!(
                    outbound = name,
                    %error,
                    "its lane, through with everything, cannot be removed; DELETE /api/v1/lanes/{name} does"
                ),
            }
        }
        if !left.is_empty() {
            self.show().await;
        }
    }

    /// Forgets the lane of an outbound that is no longer in the file, with everything in it. `false` when there is none.
    ///
    /// # Errors
    /// When the spool fails.
    pub(crate) async fn forget(&mut self, name: &str) -> anyhow::Result<bool> {
        if self.dispatch.give_up(name).await {
            observe::lane_gone(name);
        }
        let dropped = self.repair.drop_lane(name.to_owned()).await?;
        self.show().await;
        Ok(dropped)
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
                     again, or its lane is forgotten: DELETE /api/v1/lanes/{name}"
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
