//! Outbounds that were taken out of `routes.toml` and still have to deliver: they go on leaving after a start, and as soon
//! as what they lacked is there again.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use anyhow::bail;
use faceway_core::Start;
use faceway_rules::OutboundPlan;

use super::Site;
use crate::config;
use crate::dispatch::Gone;
use crate::open;

impl Site {
    /// Sets those to work that are not. What cannot be opened any more, as its secret is gone, stays as a lane without an
    /// outbound.
    pub(super) async fn resume_leaving(&mut self) {
        let book = self.rules.look().await;
        let lanes = self.repair.lanes().await.unwrap_or_default();
        for (name, gone) in book.gone() {
            if self.dispatch.has(name) || !lanes.contains(name) {
                continue;
            }
            if let Err(error) = self.resume(name, gone).await {
                tracing::warn!(
                    outbound = name,
                    error = format!("{error:#}"),
                    "this outbound was taken out of routes.toml with events to deliver, and cannot go on with it"
                );
            }
        }
    }

    async fn resume(&mut self, name: &str, gone: &Gone) -> anyhow::Result<()> {
        let Some(rules) = &gone.rules else {
            return Ok(());
        };
        let Some(plan) = self.plan_of(name, &rules.text)? else {
            return Ok(());
        };
        let base = &self.base;
        let public_url = &base.config.listen.public_url;
        let outbound = open::outbound(&plan, None, &base.gateway_id, public_url, &base.clock)?;
        let lane = self.common.spool.open_lane(name, Start::Now).await?;
        self.dispatch.add(plan, outbound, lane);
        self.dispatch.leave(name, gone.upto);
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
}
