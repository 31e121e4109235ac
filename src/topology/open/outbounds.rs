//! What events leave by.

mod brokers;

use std::sync::Arc;

use anyhow::Context as _;
use faceway_core::{Clock, Outbound};
use faceway_outbound_webhook::{ProxySettings, Webhook, WebhookSettings};
use faceway_rules::{OutboundPlan, Protocol, ProxyPlan, TlsPlan, WebhookPlan};
use faceway_tls::ClientTls;
use http::{HeaderName, HeaderValue};

use crate::config::{secrets, tls};

/// Opens one outbound; nothing is dialled yet. `gateway` tells this gateway from others at the same broker, `public_url` is
/// how its pictures are reached.
pub(in crate::topology) fn outbound(
    plan: &OutboundPlan,
    gateway: &str,
    public_url: &str,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Arc<dyn Outbound>> {
    let opened: anyhow::Result<Arc<dyn Outbound>> = match &plan.protocol {
        Protocol::Webhook(settings) => webhook(plan, settings, clock),
        Protocol::Mqtt(settings) => brokers::mqtt(plan, settings, gateway, public_url),
        Protocol::Amqp(settings) => brokers::amqp(plan, settings),
        Protocol::Stdout => Ok(Arc::new(faceway_outbound_stdout::Stdout::standard())),
    };
    opened.with_context(|| format!("cannot open the outbound {}", plan.name))
}

fn webhook(
    plan: &OutboundPlan,
    webhook: &WebhookPlan,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Arc<dyn Outbound>> {
    let settings = WebhookSettings {
        url: webhook.url.clone(),
        headers: webhook
            .headers
            .iter()
            .filter_map(|(name, value)| header(name, value).transpose())
            .collect::<anyhow::Result<_>>()?,
        gzip: webhook.gzip,
        sign: webhook
            .sign
            .iter()
            .map(secrets::resolve)
            .collect::<anyhow::Result<_>>()?,
        timeout: plan.common.timeout,
        tls: client_tls(webhook.tls.as_ref())?,
        proxy: webhook.proxy.as_ref().map(proxy).transpose()?,
        connections_max: plan.common.concurrency_max as usize,
    };
    Ok(Arc::new(Webhook::new(settings, Arc::clone(clock))?))
}

fn proxy(plan: &ProxyPlan) -> anyhow::Result<ProxySettings> {
    let password = plan.password.as_ref().map(secrets::resolve);
    Ok(ProxySettings {
        url: plan.url.clone(),
        username: plan.username.clone(),
        password: password.transpose().context("the proxy's password")?,
    })
}

/// A header that is the same for every event; none where rendering makes it anew for each.
fn header(
    name: &HeaderName,
    value: &faceway_rules::HeaderValue,
) -> anyhow::Result<Option<(HeaderName, HeaderValue)>> {
    let value = match value {
        faceway_rules::HeaderValue::Template(_) => return Ok(None),
        faceway_rules::HeaderValue::Text(text) => HeaderValue::from_str(text)?,
        faceway_rules::HeaderValue::Secret(secret) => {
            let text = secrets::resolve(secret).with_context(|| format!("the header {name}"))?;
            // Revealed to be sent with every request; marked so that nothing on the way prints it.
            let value = HeaderValue::from_str(text.reveal());
            let mut value = value.map_err(|_| {
                anyhow::anyhow!("the secret for the header {name} has a control character")
            })?;
            value.set_sensitive(true);
            value
        }
    };
    Ok(Some((name.clone(), value)))
}

/// Whom a secured outbound trusts, and who it is; none where `tls` is not set.
fn client_tls(plan: Option<&TlsPlan>) -> anyhow::Result<Option<ClientTls>> {
    plan.map(|plan| tls::client(Some(plan))).transpose()
}
