//! Everything that the two files name, opened: a spool, links, inbounds, outbounds, listeners.

mod link_key;
mod outbounds;
mod print;
mod terminals;
mod trial;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use faceway_core::{Adapter, Clock};
use faceway_rules::{DialPlan, InboundPlan, Secret};
use faceway_spool_disk::{DiskSettings, DiskSpool};

pub(crate) use outbounds::outbound;
pub(crate) use print::Print;
pub use trial::trial;

use crate::api;
use crate::config::gateway::{Limits, Listen, SpoolConfig};
use crate::config::{GatewayConfig, secrets, tls};
use crate::inbound::{
    Admission, Api, BodyMemory, Inbound, Intake, Listener, Source, Status, Target, Terminal,
    Timing, Unpacking,
};
use crate::link::Links;
use crate::reload::Certificate;

/// Links to pictures live as long as pictures do, but no longer than this.
const LINK_LIFETIME_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Both listeners, bound.
pub(crate) struct Listeners {
    pub(crate) devices: Listener,
    pub(crate) admin: Listener,
    /// That of devices, for whoever reads it again.
    pub(crate) certificate: Option<Certificate>,
}

impl Listeners {
    pub(crate) async fn bind(listen: &Listen) -> anyhow::Result<Self> {
        let opened = listen.tls.as_ref().map(Certificate::open).transpose()?;
        let (certificate, tls) = opened.unzip();
        let cannot =
            |address, key| format!("cannot listen on {address} (listen.{key} of gateway.toml)");
        let devices = Listener::bind("devices", listen.devices, tls).await;
        let admin = Listener::bind("admin", listen.admin, None).await;
        Ok(Self {
            devices: devices.with_context(|| cannot(listen.devices, "devices"))?,
            admin: admin.with_context(|| cannot(listen.admin, "admin"))?,
            certificate,
        })
    }

    pub(crate) fn addresses(&self) -> std::io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.devices.address()?, self.admin.address()?))
    }
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
        quarantine_bytes_max: spool.quarantine_bytes_max,
    };
    crate::observe::spool_limits(
        settings.bytes_max,
        settings.free_min,
        settings.quarantine_bytes_max,
    );
    let opened = DiskSpool::open(settings, Arc::clone(clock)).await;
    Ok(Arc::new(opened.with_context(|| {
        format!("cannot open the spool in {}", spool.dir.display())
    })?))
}

pub(crate) fn links(config: &GatewayConfig, clock: &Arc<dyn Clock>) -> anyhow::Result<Links> {
    let key = link_key::read_or_make(&config.spool.dir)?;
    let lifetime = config.spool.images.min(LINK_LIFETIME_MAX);
    Ok(Links::new(
        &config.listen.public_url,
        &key,
        lifetime,
        Arc::clone(clock),
    ))
}

/// What tells this gateway from others, always the same as long as its spool is. It is made from the key of the links
/// and tells nothing of it.
pub(crate) fn gateway_id(dir: &Path) -> anyhow::Result<String> {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let key = link_key::read_or_make(dir)?;
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key)?;
    mac.update(b"gateway id");
    let id = faceway_core::Sha256(mac.finalize().into_bytes().into()).to_string();
    Ok(id.chars().take(GATEWAY_ID_DIGITS).collect())
}

/// Enough that no two gateways at one broker meet by chance, and few enough to be read.
const GATEWAY_ID_DIGITS: usize = 8;

/// What `gateway.toml` gives to all that `routes.toml` names.
pub(crate) struct Base {
    pub(crate) config: GatewayConfig,
    /// Tells this gateway from others at the same broker.
    pub(crate) gateway_id: String,
    pub(crate) intake: Arc<dyn Intake>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) memory: BodyMemory,
}

/// An inbound, opened; nothing is dialled yet.
pub(crate) struct OpenedInbound {
    pub(crate) inbound: Arc<Inbound>,
    /// Who may push to it.
    pub(crate) admission: Arc<Admission>,
    pub(crate) source: Option<Source>,
    pub(crate) terminals: Vec<Arc<Terminal>>,
}

/// Opens one inbound.
pub(crate) fn inbound(plan: &InboundPlan, base: &Base) -> anyhow::Result<OpenedInbound> {
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
        Arc::clone(&base.intake),
        Arc::clone(&base.clock),
        Unpacking::new(base.config.limits.body_bytes_max, base.memory.clone()),
    ));
    let source = plan.dial.as_ref().map(|dial| source(dial, &inbound, base));
    let source = source.transpose();
    Ok(OpenedInbound {
        source: source
            .with_context(|| format!("cannot prepare to dial the inbound {}", plan.name))?,
        terminals: terminals::of(plan, &adapter, base)?,
        admission: Arc::new(Admission::new(plan.allow.clone(), token.as_ref())),
        inbound,
    })
}

fn source(dial: &DialPlan, inbound: &Arc<Inbound>, base: &Base) -> anyhow::Result<Source> {
    let (target, api) = dialled(dial, &base.config.limits)?;
    Ok(Source {
        target,
        api,
        memory: base.memory.clone(),
        status: Arc::new(Status::new(inbound.name(), Arc::clone(&base.clock))),
        timing: Timing::default(),
        inbound: Arc::clone(inbound),
    })
}

fn dialled(dial: &DialPlan, limits: &Limits) -> anyhow::Result<(Target, Option<Api>)> {
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

pub(crate) fn shown(plan: &InboundPlan) -> api::Inbound {
    api::Inbound {
        name: plan.name.clone(),
        adapter: plan.adapter.to_owned(),
        path: plan.path.clone(),
        token: plan.token.is_some(),
        source: None,
        terminals: Vec::new(),
        terminal_states: BTreeMap::new(),
    }
}
