//! What events leave by.

use std::sync::Arc;

use anyhow::Context as _;
use faceway_core::outbound_kind::OpenContext;
use faceway_core::{Clock, Outbound};
use faceway_rules::{Format, OutboundPlan, Protocol};
use http::{HeaderName, HeaderValue};

use crate::config::{OfThisMachine, secrets};
use crate::context::Context;
use crate::dispatch::Destination;
use crate::link;

/// Opens one outbound; nothing is dialled yet. `before` is what it was until now.
///
/// # Errors
/// When something that it names cannot be had: a secret, a certificate.
pub(in crate::topology) fn destination(
    plan: &OutboundPlan,
    before: Option<OutboundPlan>,
    context: &Context,
) -> anyhow::Result<Destination> {
    let (plan, context) = (plan.clone(), context.clone());
    Destination::open(move || {
        outbound(
            &plan,
            before.as_ref(),
            &context.gateway_id,
            &context.public_url,
            &context.clock,
        )
    })
}

/// `gateway` tells this gateway from others at the same broker, `public_url` is how its pictures are reached.
pub(super) fn outbound(
    plan: &OutboundPlan,
    before: Option<&OutboundPlan>,
    gateway: &str,
    public_url: &str,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Arc<dyn Outbound>> {
    let opened = open(plan, before, (gateway, public_url), clock);
    opened.with_context(|| format!("cannot open the outbound {}", plan.name))
}

fn open(
    plan: &OutboundPlan,
    before: Option<&OutboundPlan>,
    (gateway, public_url): (&str, &str),
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Arc<dyn Outbound>> {
    let protocol = &plan.protocol;
    let before = before.map(|before| &before.protocol);
    let before = before.filter(|before| before.name() == protocol.name());
    let headers = protocol.all_headers().iter();
    let context = OpenContext {
        name: &plan.name,
        gateway,
        no_picture: &link::no_picture(public_url),
        timeout: plan.common.timeout,
        concurrency_max: plan.common.concurrency_max as usize,
        headers: headers
            .filter_map(|(name, value)| header(name, value).transpose())
            .collect::<anyhow::Result<_>>()?,
        needs_headers: !protocol.all_headers().is_empty()
            || plan.common.format == Format::CloudEventsBinary,
        before: before.map(Protocol::values),
        clock,
        resources: &OfThisMachine,
    };
    Ok(protocol.settings().open(&context)?)
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
