//! The gateway: built from two files, run, drained.
//!
//! Start: parse → plan → open spool → open outbounds → bind listeners → run lanes → accept.
//! Stop, in the order of the flow: stop accepting → finish what was read → stop leasing → wait for deliveries up to the
//! grace period → close outbounds → sync and close the spool.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use faceway_core::{Adapter, Clock, Outbound, Private, Repair, Spool, SystemClock};
use faceway_outbound_webhook::{TlsFiles, Webhook, WebhookSettings};
use faceway_rules::{OutboundPlan, Protocol, Routes, TlsPlan, WebhookPlan};
use faceway_spool_disk::{DiskSettings, DiskSpool};
use http::{HeaderName, HeaderValue};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Admin};
use crate::api;
use crate::config::{GatewayConfig, secrets, tls};
use crate::dispatch::{Common, Dispatch};
use crate::inbound::{self, Admission, BodyMemory, Inbound, Listener, Receiver, ServerLimits};
use crate::link::Links;

/// How long requests, and after them deliveries, may take to end once the gateway shuts down.
const GRACE: Duration = Duration::from_secs(10);
/// Links to pictures live as long as pictures do, and this much longer is of no use.
const LINK_LIFETIME_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// Memory for bodies that are being read, together.
const BODY_MEMORY_BYTES: usize = 256 * 1024 * 1024;
/// Prometheus' histograms are tidied this often; nobody else does it.
const UPKEEP: Duration = Duration::from_secs(5);

/// A gateway at work.
pub struct Gateway {
    devices: SocketAddr,
    admin: SocketAddr,
    spool: Arc<DiskSpool>,
    dispatch: Dispatch,
    stop_intake: CancellationToken,
    intake: JoinHandle<()>,
    stop_admin: CancellationToken,
    admin_task: JoinHandle<()>,
    upkeep: JoinHandle<()>,
    /// Keeps the rules alive; a reload would send new ones.
    _rules: watch::Sender<Arc<faceway_rules::RouteSet>>,
}

impl Gateway {
    /// Builds a gateway and sets it to work. When it returns, devices can push.
    ///
    /// # Errors
    /// When something that the files name cannot be had: a secret, a certificate, the spool's directory, an address.
    pub async fn start(
        config: GatewayConfig,
        routes: Routes,
        metrics: PrometheusHandle,
    ) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let spool = open_spool(&config, &clock).await?;
        let links = Arc::new(links(&config, &clock)?);
        let outbounds = routes
            .outbounds
            .iter()
            .map(|plan| open_outbound(plan, &clock))
            .collect::<Result<Vec<_>, _>>()?;
        let tls = config.listen.tls.as_ref().map(tls::server).transpose()?;
        let listener = Listener::bind(config.listen.devices, tls)
            .await
            .with_context(|| {
                format!(
                    "cannot listen on {} (listen.devices of gateway.toml)",
                    config.listen.devices
                )
            })?;
        let admin_listener = TcpListener::bind(config.listen.admin)
            .await
            .with_context(|| {
                format!(
                    "cannot listen on {} (listen.admin of gateway.toml)",
                    config.listen.admin
                )
            })?;
        let (devices, admin_address) = (listener.address()?, admin_listener.local_addr()?);

        let (rules_sender, rules) = watch::channel(Arc::new(routes.routes.clone()));
        let store: Arc<dyn Spool> = Arc::clone(&spool) as _;
        let common = Common {
            spool: Arc::clone(&store),
            rules: rules.clone(),
            links: Arc::clone(&links),
            clock: Arc::clone(&clock),
            grace: GRACE,
        };
        let mut dispatch = Dispatch::new();
        for (plan, outbound) in routes.outbounds.iter().zip(outbounds) {
            dispatch.add(plan, outbound, &common).await?;
        }

        let inbounds = open_inbounds(&routes, &store, &clock)?;
        let admin = Admin {
            spool: Arc::clone(&store),
            repair: Arc::clone(&spool) as Arc<dyn Repair>,
            lanes: dispatch.lanes().to_vec(),
            inbounds: inbounds
                .values()
                .map(|(inbound, _)| (inbound.name().to_owned(), Arc::clone(inbound)))
                .collect(),
            shown_inbounds: shown(&routes),
            rules,
            clock: Arc::clone(&clock),
            metrics: metrics.clone(),
            token: config
                .listen
                .admin_token
                .as_ref()
                .map(secrets::resolve)
                .transpose()?,
            started_at: clock.now(),
        };
        loaded(&clock);
        let receiver = Receiver {
            inbounds,
            links,
            spool: store,
            memory: BodyMemory::new(BODY_MEMORY_BYTES),
            body_bytes_max: config.limits.body_bytes_max,
            body_timeout: config.limits.body_timeout,
        };
        let limits = ServerLimits {
            connections_max: config.limits.connections_max,
            header_timeout: config.limits.header_timeout,
            grace: GRACE,
        };
        let (stop_intake, stop_admin) = (CancellationToken::new(), CancellationToken::new());
        Ok(Self {
            devices,
            admin: admin_address,
            spool,
            dispatch,
            intake: tokio::spawn(inbound::serve(
                listener,
                Arc::new(receiver),
                limits,
                stop_intake.clone(),
            )),
            stop_intake,
            admin_task: tokio::spawn(serve_admin(admin_listener, admin, stop_admin.clone())),
            stop_admin,
            upkeep: tokio::spawn(upkeep(metrics)),
            _rules: rules_sender,
        })
    }

    /// Where devices push.
    pub const fn devices(&self) -> SocketAddr {
        self.devices
    }

    /// Where metrics, health, API and console are.
    pub const fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Stops in the order of the flow. What was accepted and is not delivered stays in the spool.
    pub async fn stop(self) {
        tracing::info!("stopping: no new records");
        self.stop_intake.cancel();
        let _ = self.intake.await;
        tracing::info!("stopping: waiting for deliveries that are on their way");
        self.dispatch.stop().await;
        self.stop_admin.cancel();
        // A scraper that keeps its connection open must not keep the gateway.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.admin_task).await;
        self.upkeep.abort();
        self.spool.close().await;
        tracing::info!("stopped; what is not delivered is on disk");
    }
}

async fn serve_admin(listener: TcpListener, admin: Admin, stop: CancellationToken) {
    if let Err(error) = admin::serve(listener, Arc::new(admin), stop).await {
        tracing::error!(%error, "the admin listener broke off");
    }
}

async fn upkeep(metrics: PrometheusHandle) {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        ticks.tick().await;
        metrics.run_upkeep();
    }
}

fn loaded(clock: &Arc<dyn Clock>) {
    metrics::gauge!("faceway_reload_successful").set(1.0);
    #[expect(clippy::cast_precision_loss, reason = "a metric's seconds")]
    metrics::gauge!("faceway_reload_timestamp_seconds")
        .set(clock.now().as_millis() as f64 / 1000.0);
}

async fn open_spool(
    config: &GatewayConfig,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Arc<DiskSpool>> {
    let spool = &config.spool;
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

fn links(config: &GatewayConfig, clock: &Arc<dyn Clock>) -> anyhow::Result<Links> {
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

fn open_inbounds(
    routes: &Routes,
    spool: &Arc<dyn Spool>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<HashMap<String, (Arc<Inbound>, Admission)>> {
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

fn shown(routes: &Routes) -> Vec<api::Inbound> {
    let inbound = |plan: &faceway_rules::InboundPlan| api::Inbound {
        name: plan.name.clone(),
        adapter: plan.adapter.to_owned(),
        path: plan.path.clone(),
        token: plan.token.is_some(),
    };
    routes.inbounds.iter().map(inbound).collect()
}

fn open_outbound(plan: &OutboundPlan, clock: &Arc<dyn Clock>) -> anyhow::Result<Arc<dyn Outbound>> {
    let opened: anyhow::Result<Arc<dyn Outbound>> = match &plan.protocol {
        Protocol::Webhook(webhook) => open_webhook(plan, webhook, clock),
        Protocol::Stdout => Ok(Arc::new(faceway_outbound_stdout::Stdout::standard())),
    };
    opened.with_context(|| format!("cannot open the outbound {}", plan.name))
}

fn open_webhook(
    plan: &OutboundPlan,
    webhook: &WebhookPlan,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Arc<dyn Outbound>> {
    let settings = WebhookSettings {
        url: webhook.url.clone(),
        headers: webhook
            .headers
            .iter()
            .map(header)
            .collect::<anyhow::Result<_>>()?,
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

fn header(
    (name, value): &(HeaderName, faceway_rules::HeaderValue),
) -> anyhow::Result<(HeaderName, HeaderValue)> {
    let value = match value {
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
    Ok((name.clone(), value))
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
