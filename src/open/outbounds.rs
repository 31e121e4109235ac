//! What events leave by.

mod brokers;

use std::sync::Arc;

use anyhow::Context as _;
use faceway_core::{Clock, Outbound, Private};
use faceway_outbound_webhook::{Webhook, WebhookSettings};
use faceway_rules::{OutboundPlan, Protocol, Routes, TlsPlan, WebhookPlan};
use http::{HeaderName, HeaderValue};

use crate::config::{secrets, tls};

/// Every outbound, in the order of the file. `gateway` tells this gateway from others at the same broker.
pub(crate) fn outbounds(
    routes: &Routes,
    gateway: &str,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Vec<Arc<dyn Outbound>>> {
    routes
        .outbounds
        .iter()
        .map(|plan| outbound(plan, gateway, clock))
        .collect()
}

fn outbound(
    plan: &OutboundPlan,
    gateway: &str,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Arc<dyn Outbound>> {
    let opened: anyhow::Result<Arc<dyn Outbound>> = match &plan.protocol {
        Protocol::Webhook(settings) => webhook(plan, settings, clock),
        Protocol::Mqtt(settings) => brokers::mqtt(plan, settings, gateway),
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
        tls: webhook.tls.as_ref().map(webhook_tls).transpose()?,
        proxy: webhook.proxy.clone(),
        connections_max: plan.common.concurrency_max as usize,
    };
    Ok(Arc::new(Webhook::new(settings, Arc::clone(clock))?))
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

fn webhook_tls(plan: &TlsPlan) -> anyhow::Result<faceway_outbound_webhook::TlsFiles> {
    let (ca, identity) = tls_files(plan)?;
    Ok(faceway_outbound_webhook::TlsFiles { ca, identity })
}

/// The authorities, and the client's certificate with its key.
type Pems = (Option<Vec<u8>>, Option<(Vec<u8>, Private<Vec<u8>>)>);

fn tls_files(plan: &TlsPlan) -> anyhow::Result<Pems> {
    let ca = plan.ca.as_deref().map(|path| tls::pem(path, "tls.ca"));
    let identity = match &plan.client {
        Some((cert, key)) => Some((
            tls::pem(cert, "tls.cert")?,
            Private::new(tls::pem(key, "tls.key")?),
        )),
        None => None,
    };
    Ok((ca.transpose()?, identity))
}
