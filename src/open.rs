//! Everything that the two files name, opened: a spool, links, inbounds, outbounds, listeners.

mod outbounds;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use faceway_core::{Adapter, Clock, Spool};
use faceway_rules::Routes;
use faceway_spool_disk::{DiskSettings, DiskSpool};

pub(crate) use outbounds::outbounds;

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

/// What tells this gateway from others, always the same as long as its spool is. It is made from the key of the links
/// and tells nothing of it.
pub(crate) fn gateway_id(dir: &Path) -> anyhow::Result<String> {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let key = link_key(dir).context("cannot read or make the key for picture links")?;
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key)?;
    mac.update(b"gateway id");
    let id = faceway_core::Sha256(mac.finalize().into_bytes().into()).to_string();
    Ok(id.chars().take(GATEWAY_ID_DIGITS).collect())
}

/// Enough that no two gateways at one broker meet by chance, and few enough to be read.
const GATEWAY_ID_DIGITS: usize = 8;

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
