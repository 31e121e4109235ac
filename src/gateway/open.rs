//! What `gateway.toml` names, opened: the spool, links, listeners.

mod link_key;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use faceway_core::{Clock, History, LaneStore, Log};
use faceway_spool_disk::{DiskSettings, DiskSpool};

use crate::config::GatewayConfig;
use crate::config::gateway::{Listen, SpoolConfig};
use crate::inbound::Listener;
use crate::link::Links;
use crate::topology::Certificate;

/// Links to pictures live as long as pictures do, but no longer than this.
const LINK_LIFETIME_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Both listeners, bound.
pub(super) struct Listeners {
    pub(super) devices: Listener,
    pub(super) admin: Listener,
    /// That of devices, for the watch that reads it again.
    pub(super) certificate: Option<Certificate>,
}

impl Listeners {
    pub(super) async fn bind(listen: &Listen) -> anyhow::Result<Self> {
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

    pub(super) fn addresses(&self) -> std::io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.devices.address()?, self.admin.address()?))
    }
}

/// What a spool engine is to the gateway: the three contracts, and nothing of its own.
pub(super) trait Engine: Log + LaneStore + History {}

impl<T: Log + LaneStore + History> Engine for T {}

/// The engine that `spool.engine` names.
pub(super) async fn spool(
    spool: &SpoolConfig,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Arc<dyn Engine>> {
    crate::observe::spool_limits(spool.bytes_max, spool.free_min, spool.quarantine_bytes_max);
    let opened = match spool.engine {
        "disk" => disk(spool, clock).await,
        other => bail!("spool.engine is {other}, and src/gateway/open.rs opens no such engine"),
    };
    opened.with_context(|| format!("cannot open the spool in {}", spool.dir.display()))
}

async fn disk(spool: &SpoolConfig, clock: &Arc<dyn Clock>) -> anyhow::Result<Arc<dyn Engine>> {
    let settings = DiskSettings {
        dir: spool.dir.clone(),
        bytes_max: spool.bytes_max,
        free_min: spool.free_min,
        history: spool.history,
        images: spool.images,
        quarantine: spool.quarantine,
        quarantine_bytes_max: spool.quarantine_bytes_max,
    };
    Ok(Arc::new(
        DiskSpool::open(settings, Arc::clone(clock)).await?,
    ))
}

pub(super) fn links(config: &GatewayConfig, clock: &Arc<dyn Clock>) -> anyhow::Result<Links> {
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
pub(super) fn gateway_id(dir: &Path) -> anyhow::Result<String> {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let key = link_key::read_or_make(dir)?;
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key)?;
    mac.update(b"gateway id");
    let id = faceway_core::Sha256(mac.finalize().into_bytes().into()).to_string();
    Ok(id.chars().take(GATEWAY_ID_DIGITS).collect())
}

/// Enough that no two gateways at one broker meet by chance, and few enough to be read.
const GATEWAY_ID_DIGITS: usize = 8;
