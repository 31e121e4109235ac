//! The spool on a NATS cluster, as `[spool]` and `[spool.jetstream]` say.

use std::sync::Arc;

use anyhow::Context as _;
use faceway_core::Clock;
use faceway_spool_jetstream::{Credentials, Durability, JetStreamSettings, JetStreamSpool};

use crate::config::jetstream::{JetStreamConfig, Login};
use crate::config::{GatewayConfig, read_small_text, secrets, tls};

use super::Engine;

/// Where the system says what the host is called.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

pub(super) async fn open(
    config: &GatewayConfig,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Arc<dyn Engine>> {
    let settings = settings(config)?;
    let opened = JetStreamSpool::open(settings, Arc::clone(clock));
    Ok(Arc::new(opened.await?))
}

fn settings(config: &GatewayConfig) -> anyhow::Result<JetStreamSettings> {
    let spool = &config.spool;
    let cluster = spool.jetstream.as_ref();
    let cluster = cluster.context("[spool.jetstream] is missing")?;
    Ok(JetStreamSettings {
        site: config.site.clone().context("site is missing")?,
        gateway: name(cluster),
        public_url: config.listen.public_url.clone(),
        dir: spool.dir.clone(),
        servers: cluster.servers.clone(),
        credentials: credentials(&cluster.login)?,
        tls: tls::client(cluster.tls.as_ref())?,
        replicas: cluster.replicas,
        durability: if cluster.is_relaxed {
            Durability::Relaxed
        } else {
            Durability::Synced
        },
        monitor: cluster.monitor.clone(),
        system: match &cluster.system {
            Some(text) => Credentials::File(secrets::resolve(text)?),
            None => Credentials::None,
        },
        append_timeout: cluster.append_timeout,
        dedup_window: cluster.dedup_window,
        seen_max: cluster.seen_max,
        bytes_max: spool.bytes_max,
        history: spool.history,
        images: spool.images,
        quarantine: spool.quarantine,
        quarantine_bytes_max: spool.quarantine_bytes_max,
    })
}

fn credentials(login: &Login) -> anyhow::Result<Credentials> {
    Ok(match login {
        Login::None => Credentials::None,
        Login::Credentials(text) => Credentials::File(secrets::resolve(text)?),
        Login::Password(name, password) => {
            Credentials::Password(name.clone(), secrets::resolve(password)?)
        }
        Login::Token(token) => Credentials::Token(secrets::resolve(token)?),
        Login::Nkey(seed) => Credentials::Nkey(secrets::resolve(seed)?),
    })
}

fn name(cluster: &JetStreamConfig) -> String {
    let host = || read_small_text(HOST_NAME.as_ref()).ok();
    let name = cluster.gateway.clone().or_else(host);
    name.map_or("gateway".to_owned(), |name| name.trim().to_owned())
}
