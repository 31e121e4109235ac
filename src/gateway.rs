//! The gateway: built from two files, run, drained.
//!
//! Start: parse → plan → open spool → open outbounds → bind listeners → run lanes → accept.
//! Stop, in the order of the flow: stop accepting → finish what was read → stop leasing → wait for deliveries up to the
//! grace period → close outbounds → sync and close the spool.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use faceway_core::{AppendError, Clock, Lane, Outbound, Repair, Spool, Start, SystemClock};
use faceway_rules::Routes;
use faceway_spool_disk::DiskSpool;
use hyper::service::service_fn;
use hyper_util::service::TowerToHyperService;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Admin};
use crate::config::gateway::Limits;
use crate::config::{GatewayConfig, secrets};
use crate::dispatch::{Common, Dispatch, RuleBook};
use crate::inbound::{
    self, BodyMemory, Receiver, ServerLimits, Source, Sources, Status, Terminals,
};
use crate::open::{self, Listeners, Paths};

/// How long requests, and after them deliveries, may take to end once the gateway shuts down.
const GRACE: Duration = Duration::from_secs(10);
/// The same for requests to the admin listener.
const ADMIN_GRACE: Duration = Duration::from_secs(1);
/// Connections to the admin listener at a time, so that nobody there takes the file handles that devices need.
const ADMIN_CONNECTIONS_MAX: usize = 256;
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
    intake: Task,
    sources: Sources,
    admin_server: Task,
    upkeep: JoinHandle<()>,
    terminals: Terminals,
    /// Keeps the rules alive; a reload would send new ones.
    _rules: watch::Sender<Arc<RuleBook>>,
}

/// A server, and how to stop it.
struct Task {
    stop: CancellationToken,
    work: JoinHandle<()>,
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
        let spool = open::spool(&config.spool, &clock).await?;
        let links = Arc::new(open::links(&config, &clock)?);
        let gateway_id = open::gateway_id(&config.spool.dir)?;
        let outbounds = open::outbounds(&routes, &gateway_id, &clock)?;
        let listeners = Listeners::bind(&config.listen).await?;
        let (devices, admin_address) = listeners.addresses()?;

        let (rules_sender, rules) =
            watch::channel(Arc::new(RuleBook::new(Arc::new(routes.routes.clone()))));
        let store: Arc<dyn Spool> = Arc::clone(&spool) as _;
        let common = Common {
            spool: store,
            rules,
            links,
            clock,
            grace: GRACE,
        };
        let memory = BodyMemory::new(BODY_MEMORY_BYTES, config.limits.body_bytes_max);
        let inbounds = open::inbounds(&routes, &common.spool, &common.clock)?;
        let paths = open::paths(&routes, &inbounds)?;
        let sources = open::sources(&routes, &inbounds, &common.clock, &memory, &config.limits)?;
        let terminals = open::terminals(&routes, &config.listen, &*common.clock)?;
        let token = config.listen.admin_token.as_ref();
        let token = token.map(secrets::resolve).transpose()?;
        // Last, when nothing that the files name can be missing any more: from here on events leave.
        let dispatch = run_lanes(&routes, outbounds, &common).await?;
        let repair: Arc<dyn Repair> = Arc::clone(&spool) as _;
        let admin = Admin {
            spool: Arc::clone(&common.spool),
            removed: removed_lanes(&*repair, &routes, &common).await?,
            repair,
            lanes: dispatch.lanes().to_vec(),
            inbounds: by_name(&inbounds),
            sources: statuses(&sources),
            shown_inbounds: open::shown(&routes),
            terminals: terminals.clone(),
            rules: common.rules.clone(),
            clock: Arc::clone(&common.clock),
            metrics: metrics.clone(),
            token,
            started_at: common.clock.now(),
        };
        loaded(&*common.clock);
        Ok(Self {
            devices,
            admin: admin_address,
            spool,
            dispatch,
            intake: accept(
                listeners.devices,
                receiver(paths, &common, memory, &config.limits),
                &config.limits,
            ),
            sources: Sources::run(sources),
            admin_server: serve_admin(listeners.admin, admin, &config.limits),
            upkeep: tokio::spawn(upkeep(metrics)),
            // After the listener accepts: terminals push as soon as they know where to.
            terminals: Terminals::keep(terminals.into_values().flatten(), &common.clock),
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

    /// Whether it does its work, as a watchdog wants to know: the spool's writer and its readers answer. A spool that is
    /// only full is alive: a restart would not make room.
    pub async fn is_alive(&self) -> bool {
        let answered = self.spool.buried(None, 1).await.is_ok();
        answered || self.spool.room().accepting == Err(AppendError::Full)
    }

    /// Stops in the order of the flow. What was accepted and is not delivered stays in the spool.
    pub async fn stop(self) {
        tracing::info!("stopping: no new records");
        self.terminals.stop().await;
        self.intake.stop.cancel();
        let _ = tokio::join!(self.intake.work, self.sources.stop());
        tracing::info!("stopping: waiting for deliveries that are on their way");
        self.dispatch.stop().await;
        self.admin_server.stop.cancel();
        let _ = self.admin_server.work.await;
        self.upkeep.abort();
        self.spool.close().await;
        tracing::info!("stopped; what is not delivered is on disk");
    }
}

async fn run_lanes(
    routes: &Routes,
    outbounds: Vec<Arc<dyn Outbound>>,
    common: &Common,
) -> anyhow::Result<Dispatch> {
    let mut dispatch = Dispatch::new();
    for (plan, outbound) in routes.outbounds.iter().zip(outbounds) {
        dispatch.add(plan, outbound, common).await?;
    }
    Ok(dispatch)
}

/// Lanes whose outbound is no longer in `routes.toml`. They are opened so that they can be shown; nothing leaves them.
async fn removed_lanes(
    repair: &dyn Repair,
    routes: &Routes,
    common: &Common,
) -> anyhow::Result<HashMap<String, Lane>> {
    let mut removed = HashMap::new();
    for name in repair.lanes().await? {
        if routes.outbounds.iter().any(|plan| plan.name == name) {
            continue;
        }
        let lane = common.spool.open_lane(&name, Start::Now).await?;
        let backlog = common.spool.survey(lane, common.clock.now()).await?.backlog;
        tracing::warn!(
            outbound = name,
            backlog,
            "this outbound is no longer in routes.toml; its events keep their room in the spool until it is there again, \
             or its lane is forgotten: DELETE /api/v1/lanes/{name}"
        );
        removed.insert(name, lane);
    }
    Ok(removed)
}

fn by_name(inbounds: &[Arc<inbound::Inbound>]) -> HashMap<String, Arc<inbound::Inbound>> {
    let named = |inbound: &Arc<inbound::Inbound>| (inbound.name().to_owned(), Arc::clone(inbound));
    inbounds.iter().map(named).collect()
}

fn statuses(sources: &[Source]) -> HashMap<String, Arc<Status>> {
    let named = |source: &Source| (source.inbound.name().to_owned(), Arc::clone(&source.status));
    sources.iter().map(named).collect()
}

fn receiver(paths: Paths, common: &Common, memory: BodyMemory, limits: &Limits) -> Receiver {
    Receiver {
        inbounds: paths,
        links: Arc::clone(&common.links),
        spool: Arc::clone(&common.spool),
        memory,
        body_bytes_max: limits.body_bytes_max,
        body_timeout: limits.body_timeout,
    }
}

fn accept(listener: inbound::Listener, receiver: Receiver, limits: &Limits) -> Task {
    let limits = ServerLimits {
        connections_max: limits.connections_max,
        header_timeout: limits.header_timeout,
        answer_timeout: limits.body_timeout,
        grace: GRACE,
    };
    let receiver = Arc::new(receiver);
    let service = move |peer| {
        let receiver = Arc::clone(&receiver);
        service_fn(move |request| {
            let receiver = Arc::clone(&receiver);
            async move { receiver.answer(peer, request).await }
        })
    };
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let work = tokio::spawn(async move {
        if !inbound::serve(listener, service, limits, stopped).await {
            tracing::warn!(
                "some requests did not end in time and were cut off; their senders will send again"
            );
        }
    });
    Task { stop, work }
}

fn serve_admin(listener: inbound::Listener, admin: Admin, limits: &Limits) -> Task {
    let limits = ServerLimits {
        connections_max: ADMIN_CONNECTIONS_MAX,
        header_timeout: limits.header_timeout,
        answer_timeout: limits.body_timeout,
        grace: ADMIN_GRACE,
    };
    let router = admin::router(Arc::new(admin));
    let service = move |_| TowerToHyperService::new(router.clone());
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let work = tokio::spawn(async move {
        inbound::serve(listener, service, limits, stopped).await;
    });
    Task { stop, work }
}

async fn upkeep(metrics: PrometheusHandle) {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        ticks.tick().await;
        metrics.run_upkeep();
    }
}

fn loaded(clock: &dyn Clock) {
    metrics::gauge!("faceway_reload_successful").set(1.0);
    metrics::gauge!("faceway_reload_timestamp_seconds").set(clock.now().as_seconds());
}
