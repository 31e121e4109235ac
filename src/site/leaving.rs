//! Outbounds that were taken out of `routes.toml` and still have to deliver when the gateway starts: they go on leaving.

use faceway_core::Start;
use faceway_rules::OutboundPlan;

use super::Site;
use crate::config;
use crate::dispatch::RuleBook;
use crate::open;

impl Site {
    /// Sets those to work again. What cannot be opened any more, as its secret is gone, stays as a lane without an
    /// outbound.
    pub(super) async fn resume_leaving(&mut self) {
        let book = self.rules.look().await;
        let names = self.repair.lanes().await.unwrap_or_default();
        for name in names {
            if self.dispatch.has(&name) {
                continue;
            }
            match self.resume(&name, &book).await {
                Ok(()) => {}
                Err(error) => tracing::warn!(
                    outbound = name,
                    error = format!("{error:#}"),
                    "this outbound was taken out of routes.toml with events to deliver, and cannot go on with it"
                ),
            }
        }
    }

    async fn resume(&mut self, name: &str, book: &RuleBook) -> anyhow::Result<()> {
        let Some((rules, upto)) = book.last_naming(name) else {
            return Ok(());
        };
        let Some(plan) = self.plan_of(name, &rules.text)? else {
            return Ok(());
        };
        let outbound = open::outbound(&plan, &self.base.gateway_id, &self.base.clock)?;
        let lane = self.common.spool.open_lane(name, Start::Now).await?;
        self.dispatch.add(plan, outbound, lane);
        self.dispatch.leave(name, upto);
        tracing::info!(
            outbound = name,
            "it is no longer in routes.toml, and goes on delivering what it was given before"
        );
        Ok(())
    }

    /// What a text of `routes.toml` says of an outbound.
    fn plan_of(&self, name: &str, text: &str) -> anyhow::Result<Option<OutboundPlan>> {
        let loaded = config::parse_routes(text, &self.file.display().to_string());
        let routes = loaded.map_err(|errors| anyhow::anyhow!("{errors}"))?.value;
        let mut outbounds = routes.outbounds.into_iter();
        Ok(outbounds.find(|plan| plan.name == name))
    }
}
