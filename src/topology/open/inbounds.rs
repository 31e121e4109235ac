//! What events come in by.

use std::sync::Arc;

use anyhow::Context as _;
use faceway_core::Adapter;
use faceway_rules::{DialPlan, InboundPlan, Secret};

use super::terminals;
use crate::config::gateway::Limits;
use crate::config::{secrets, tls};
use crate::context::Context;
use crate::inbound::{Admission, Api, Endpoint, Inbound, Intake, Source, Target};

/// Opens one inbound, which appends to `intake`. Gives with it what is to be dialled for it; nothing is dialled yet.
pub(super) fn inbound(
    plan: &InboundPlan,
    intake: &Arc<dyn Intake>,
    context: &Context,
) -> anyhow::Result<(Arc<Endpoint>, Option<Source>)> {
    let adapters = faceway_adapters::all();
    let adapter = adapters
        .into_iter()
        .find(|known| known.name() == plan.adapter);
    let adapter: Arc<dyn Adapter> = adapter
        .map(Arc::from)
        .context("an adapter of routes.toml is not registered")?;
    let token = plan.token.as_ref().map(secrets::resolve).transpose();
    let token = token.with_context(|| format!("the token of inbound {}", plan.name))?;
    let inbound = Arc::new(Inbound::new(
        &plan.name,
        Arc::clone(&adapter),
        plan.settings.clone(),
        Arc::clone(intake),
        context,
    ));
    let source = plan
        .dial
        .as_ref()
        .map(|dial| source(dial, &inbound, context));
    let source = source.transpose();
    let source = source.map(|source| source.map(|source| source.of_gateways(&plan.gateways)));
    let source =
        source.with_context(|| format!("cannot prepare to dial the inbound {}", plan.name))?;
    let endpoint = Endpoint {
        path: plan.path.clone(),
        admission: Admission::new(plan.allow.clone(), token.as_ref()),
        source: source.as_ref().map(Source::status),
        terminals: terminals::of(plan, &adapter, context)?,
        inbound,
    };
    Ok((Arc::new(endpoint), source))
}

fn source(dial: &DialPlan, inbound: &Arc<Inbound>, context: &Context) -> anyhow::Result<Source> {
    let (target, api) = dialled(dial, &context.limits)?;
    Ok(Source::new(inbound, target, api, context))
}

/// Where to dial, and whom to ask for what is said then.
pub(super) fn dialled(dial: &DialPlan, limits: &Limits) -> anyhow::Result<(Target, Option<Api>)> {
    let tls = tls::client(dial.tls.as_ref())?;
    let secret = |(name, secret): &(String, Secret)| {
        let value =
            secrets::resolve(secret).with_context(|| format!("the parameter {name} of `query`"))?;
        anyhow::Ok((name.clone(), value))
    };
    let query: Vec<_> = dial
        .query
        .iter()
        .map(secret)
        .collect::<anyhow::Result<_>>()?;
    let target = Target::new(&dial.url, &query, &tls, limits.body_bytes_max)?;
    let api = dial.api_url.as_deref().map(|url| Api::new(url, &tls));
    Ok((target, api.transpose()?))
}
