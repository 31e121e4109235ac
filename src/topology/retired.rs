//! Outbounds that were taken out of `routes.toml`: they deliver what they were given, also after a restart and as soon as
//! what they lacked is there again, and then their lanes go.

use std::cell::RefCell;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::bail;
use faceway_core::LaneSurvey;
use faceway_rules::OutboundPlan;

use super::rules_history::Retired;
use super::{Snapshot, Topology, open};
use crate::config;
use crate::dispatch::LaneHandle;

impl Topology {
    /// Sets those to work that are not. What cannot be opened any more, as its secret is gone, stays as a lane without an
    /// outbound.
    pub(super) async fn resume_retired(&mut self) {
        let history = self.rules.current().await;
        let lanes = self.context.lanes.list().await.unwrap_or_default();
        for (name, retired) in history.retired() {
            if self.dispatch.has(name) || !lanes.contains(name) {
                continue;
            }
            if let Err(error) = self.resume(name, retired).await {
                tracing::warn!(
                    outbound = name,
                    error = format!("{error:#}"),
                    "this outbound was taken out of routes.toml with events to deliver, and cannot go on with it"
                );
            }
        }
    }

    async fn resume(&mut self, name: &str, retired: &Retired) -> anyhow::Result<()> {
        let Some(rules) = &retired.rules else {
            return Ok(());
        };
        let Some(plan) = self.plan_of(name, &rules.text)? else {
            return Ok(());
        };
        let destination = open::destination(&plan, None, &self.context)?;
        self.dispatch.add(plan, destination);
        self.dispatch.retire(name, retired.through_seq);
        tracing::info!(
            outbound = name,
            "it is no longer in routes.toml, and goes on delivering what it was given before"
        );
        Ok(())
    }

    /// What a text of `routes.toml` says of an outbound. Templates of others need not be there any more.
    fn plan_of(&self, name: &str, text: &str) -> anyhow::Result<Option<OutboundPlan>> {
        let missing = RefCell::new(Vec::<PathBuf>::new());
        let look = |file: &Path| {
            let read = config::template_beside(&self.file, file);
            read.or_else(|_| {
                missing.borrow_mut().push(file.to_owned());
                Ok("{}".to_owned())
            })
        };
        let shown = self.file.display().to_string();
        let routes = faceway_rules::parse_with(text, &shown, &config::grammar(), &look);
        let routes = routes.map_err(|errors| anyhow::anyhow!("{errors}"))?;
        let mut outbounds = routes.outbounds.into_iter();
        let plan = outbounds.find(|plan| plan.name == name);
        let template = plan.as_ref().and_then(|plan| plan.common.format.file());
        if let Some(template) = template
            && missing
                .borrow()
                .iter()
                .any(|file| file == Path::new(template))
        {
            bail!("its template {template} cannot be read");
        }
        Ok(plan)
    }

    /// Removes the lanes of retired outbounds that are through: nothing waits in them, and nothing is buried there.
    pub(crate) async fn forget_finished(&mut self) {
        let finished = self.dispatch.take_finished();
        if finished.is_empty() {
            return;
        }
        let mut results = Vec::new();
        for handle in &finished {
            results.push((
                handle.name(),
                self.context.lanes.delete(handle.name()).await,
            ));
        }
        // Before the log says so: an operator who reads the line does not find the lane any more.
        self.publish_snapshot().await;
        for (name, result) in results {
            match result {
                Ok(_) => tracing::info!(
                    outbound = name,
                    "it delivered what it was given; its lane is removed"
                ),
                Err(error) => tracing::error!(
                    outbound = name,
                    %error,
                    "its lane, through with everything, cannot be removed; `faceway lanes drop {name}` does"
                ),
            }
        }
    }

    /// Drops the lane of an outbound that is no longer in the file, with everything in it, and gives how it stood last.
    /// `None` when there is none.
    ///
    /// # Errors
    /// When the spool fails.
    pub(crate) async fn forget(&mut self, name: &str) -> anyhow::Result<Option<LaneSurvey>> {
        if !self
            .context
            .lanes
            .list()
            .await?
            .iter()
            .any(|lane| lane == name)
        {
            return Ok(None);
        }
        // First: a supervisor that still works would deliver from a lane that is gone.
        self.dispatch.abort(name).await;
        let state = self.context.lanes.look(name).await?;
        let survey = state.unwrap_or_default().survey();
        self.context.lanes.delete(name).await?;
        self.publish_snapshot().await;
        tracing::warn!(
            outbound = name,
            backlog = survey.backlog,
            buried = survey.buried,
            "its lane is dropped for good, with what waited and was buried there"
        );
        Ok(Some(survey))
    }

    /// Shows what is at work now.
    pub(super) async fn publish_snapshot(&self) {
        let lanes = self.dispatch.lanes();
        let removed = self.removed_lanes(&lanes).await.unwrap_or_else(|error| {
            tracing::error!(
                error = format!("{error:#}"),
                "cannot look for lanes without outbounds"
            );
            self.snapshot.borrow().removed.clone()
        });
        let snapshot = Snapshot {
            endpoints: Arc::clone(&self.endpoints.borrow()),
            lanes,
            removed,
        };
        self.snapshot.send_replace(Arc::new(snapshot));
    }

    /// Lanes whose outbound is neither in the file nor at work as a retired one. No event leaves them.
    async fn removed_lanes(&self, lanes: &[LaneHandle]) -> anyhow::Result<HashSet<String>> {
        let mut removed = HashSet::new();
        for name in self.context.lanes.list().await? {
            if lanes.iter().any(|lane| lane.name() == name) {
                continue;
            }
            let known = self.snapshot.borrow().removed.contains(&name);
            if !known {
                let state = self.context.lanes.look(&name).await?;
                let survey = state.unwrap_or_default().survey();
                tracing::warn!(
                    outbound = name,
                    backlog = survey.backlog,
                    "this outbound is no longer in routes.toml; its events keep their room in the spool until it is there \
                     again, or its lane is forgotten: `faceway lanes drop {name}`"
                );
            }
            removed.insert(name);
        }
        Ok(removed)
    }
}
