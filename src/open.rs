//! Everything that the two files name, opened: a spool, links, inbounds, outbounds, listeners.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use faceway_core::{Adapter, Clock, Outbound, Private, Spool};
use faceway_outbound_webhook::{TlsFiles, Webhook, WebhookSettings};
use faceway_rules::{OutboundPlan, Protocol, Routes, TlsPlan, WebhookPlan};
use faceway_spool_disk::{DiskSettings, DiskSpool};
use http::{HeaderName, HeaderValue};

use crate::api;
use crate::config::gateway::{Listen, SpoolConfig};
use crate::config::{GatewayConfig, secrets, tls};
use crate::inbound::{Admission, Inbound, Listener};
use crate::link::Links;

/// Links to pictures live as long as pictures do, but no longer than this.
const LINK_LIFETIME_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Inbounds by their path, and who may push to each.
pub(crate) type Inbounds = HashMap<String, (Arc<Inbound>, Admission)>;

/// Both listeners, bound.
pub(crate) struct Listeners {
    pub(crate) devices: Listener,
    pub(crate) admin: Listener,
}

impl Listeners {
    pub(crate) async fn bind(listen: &Listen) -> anyhow::Result<Self> {
        let tls = listen.tls.as_ref().map(tls::server).transpose()?;
        let cannot =
            |address, key| format!("cannot listen on {address} (listen.{key} of gateway.toml)");
        let devices = Listener::bind(listen.devices, tls).await;
        let admin = Listener::bind(listen.admin, None).await;
        Ok(Self {
            devices: devices.with_context(|| cannot(listen.devices, "devices"))?,
            admin: admin.with_context(|| cannot(listen.admin, "admin"))?,
        })
    }

    pub(crate) fn addresses(&self) -> std::io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.devices.address()?, self.admin.address()?))
    }
}

/// Every outbound, in the order of the file.
pub(crate) fn outbounds(
    routes: &Routes,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Vec<Arc<dyn Outbound>>> {
    routes
        .outbounds
        .iter()
        .map(|plan| outbound(plan, clock))
        .collect()
}

pub(crate) async fn spool(
    spool: &SpoolConfig,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Arc<DiskSpool>> {
    let settings = DiskSettings {
        dir: spool.dir.clone(),
        bytes_max: spool.bytes_max,
        free_min: spool.free_min,
        history: spool.history,
        images: spool.images,
        quarantine: spool.quarantine,
    };
    let opened = DiskSpool::open(settings, Arc::clone(clock)).await;
    Ok(Arc::new(opened.with_context(|| {
        format!("cannot open the spool in {}", spool.dir.display())
    })?))
}

pub(crate) fn links(config: &GatewayConfig, clock: &Arc<dyn Clock>) -> anyhow::Result<Links> {
    let key =
        link_key(&config.spool.dir).context("cannot read or make the key for picture links")?;
    let lifetime = config.spool.images.min(LINK_LIFETIME_MAX);
    Ok(Links::new(
        &config.listen.public_url,
        &key,
        lifetime,
        Arc::clone(clock),
    ))
}

/// The key is kept beside the spool, so that links outlive a restart.
fn link_key(dir: &Path) -> anyhow::Result<[u8; 32]> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = dir.join("link.key");
    if let Ok(key) = std::fs::read(&path)
        && let Ok(key) = key.try_into()
    {
        return Ok(key);
    }
    let key: [u8; 32] = rand::random();
    let new = dir.join("link.key.new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(&key)?;
    file.sync_all()?;
    std::fs::rename(new, path)?;
    Ok(key)
}

pub(crate) fn inbounds(
    routes: &Routes,
    spool: &Arc<dyn Spool>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Inbounds> {
    let adapters: HashMap<&'static str, Arc<dyn Adapter>> = faceway_adapters::all()
        .into_iter()
        .map(|adapter| (adapter.name(), Arc::from(adapter)))
        .collect();
    let mut inbounds = HashMap::new();
    for plan in &routes.inbounds {
        let adapter = adapters
            .get(plan.adapter)
            .context("an adapter of routes.toml is not registered")?;
        let token = plan.token.as_ref().map(secrets::resolve).transpose();
        let token = token.with_context(|| format!("the token of inbound {}", plan.name))?;
        let inbound = Inbound::new(
            &plan.name,
            Arc::clone(adapter),
            plan.settings.clone(),
            Arc::clone(spool),
            Arc::clone(clock),
        );
        let admission = Admission::new(plan.allow.clone(), token.as_ref());
        inbounds.insert(plan.path.clone(), (Arc::new(inbound), admission));
    }
    Ok(inbounds)
}

pub(crate) fn shown(routes: &Routes) -> Vec<api::Inbound> {
    let inbound = |plan: &faceway_rules::InboundPlan| api::Inbound {
        name: plan.name.clone(),
        adapter: plan.adapter.to_owned(),
        path: plan.path.clone(),
        token: plan.token.is_some(),
    };
    routes.inbounds.iter().map(inbound).collect()
}

fn outbound(plan: &OutboundPlan, clock: &Arc<dyn Clock>) -> anyhow::Result<Arc<dyn Outbound>> {
    let opened: anyhow::Result<Arc<dyn Outbound>> = match &plan.protocol {
        Protocol::Webhook(settings) => webhook(plan, settings, clock),
        Protocol::Mqtt(_) | Protocol::Amqp(_) => Err(anyhow::anyhow!(
            "{} is not in this version yet",
            plan.protocol.name()
        )),
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
        tls: webhook.tls.as_ref().map(tls_files).transpose()?,
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

fn tls_files(plan: &TlsPlan) -> anyhow::Result<TlsFiles> {
    let ca = plan
        .ca
        .as_deref()
        .map(|path| tls::pem(path, "tls.ca"))
        .transpose()?;
    let identity = match &plan.client {
        Some((cert, key)) => Some((
            tls::pem(cert, "tls.cert")?,
            Private::new(tls::pem(key, "tls.key")?),
        )),
        None => None,
    };
    Ok(TlsFiles { ca, identity })
}
