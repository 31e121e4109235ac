//! What `gateway.toml` names, opened: the spool, links, listeners.

mod jetstream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use faceway_core::{Clock, Duties, History, LaneStore, Log};
use faceway_spool_disk::{DiskSettings, DiskSpool};

use crate::config::GatewayConfig;
use crate::config::gateway::{Listen, SpoolConfig};
use crate::config::jetstream::JETSTREAM;
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

/// What a spool engine is to the gateway: the four contracts, and nothing of its own.
pub(super) trait Engine: Log + LaneStore + History + Duties {}

impl<T: Log + LaneStore + History + Duties> Engine for T {}

/// The engine that `spool.engine` names.
pub(super) async fn spool(
    config: &GatewayConfig,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Arc<dyn Engine>> {
    let spool = &config.spool;
    // The disks of a cluster are the servers' own.
    let free_min = if spool.engine == JETSTREAM {
        0
    } else {
        spool.free_min
    };
    crate::observe::spool_limits(spool.bytes_max, free_min, spool.quarantine_bytes_max);
    let opened = match spool.engine {
        "disk" => disk(spool, clock).await,
        JETSTREAM => jetstream::open(config, clock).await,
        other => bail!("spool.engine is {other}, and src/gateway/open.rs opens no such engine"),
    };
    opened.with_context(|| match spool.engine {
        JETSTREAM => "cannot open the spool on the cluster".to_owned(),
        _ => format!("cannot open the spool in {}", spool.dir.display()),
    })
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

/// The secret of the log that signs links to pictures.
pub(super) const LINK_SECRET: &str = "link";

/// Signs links to pictures with the log's secret, so that links outlive a restart.
pub(super) fn links(config: &GatewayConfig, secret: &[u8; 32], clock: &Arc<dyn Clock>) -> Links {
    let lifetime = config.spool.images.min(LINK_LIFETIME_MAX);
    Links::new(
        &config.listen.public_url,
        secret,
        lifetime,
        Arc::clone(clock),
    )
}

/// What tells this gateway from others, always the same as long as its log is. It is made from the secret of the links
/// and tells nothing of it.
pub(super) fn gateway_id(secret: &[u8; 32]) -> anyhow::Result<String> {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret)?;
    mac.update(b"gateway id");
    let id = faceway_core::Sha256(mac.finalize().into_bytes().into()).to_string();
    Ok(id.chars().take(GATEWAY_ID_DIGITS).collect())
}

/// Enough that no two gateways at one broker meet by chance, and few enough to be read.
const GATEWAY_ID_DIGITS: usize = 8;
