//! The gateway: built from two files, run, drained.
//!
//! Start: parse → plan → open spool → open inbounds and outbounds → bind listeners → run lanes → accept.
//! Stop, in the order of the flow: stop accepting → finish what was read → let lanes send nothing more → wait for deliveries
//! up to the grace period → close outbounds → sync and close the spool.

mod open;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use faceway_core::{AppendError, Capacity, Clock, SystemClock};
use faceway_rules::Routes;
use hyper::service::service_fn;
use hyper_util::service::TowerToHyperService;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::admin::{self, Admin, Ages};
use crate::config::gateway::Limits;
use crate::config::{GatewayConfig, ROUTES_FILE, secrets};
use crate::context::Context;
use crate::inbound::{self, Endpoints, Receiver, ServerLimits};
use crate::memory::BodyMemory;
use crate::process;
use crate::topology::rules_history::{ActiveRules, Rules, RulesHistory};
use crate::topology::{Desired, Refused, Reloader, Topology, Watch};
use open::{Engine, Listeners};

/// How long requests, and after them deliveries, may take to end once the gateway shuts down.
const GRACE: Duration = Duration::from_secs(10);
/// The same for requests to the admin listener.
const ADMIN_GRACE: Duration = Duration::from_secs(1);
/// Connections to the admin listener at a time, so that none there takes the file handles that devices need.
const ADMIN_CONNECTIONS_MAX: usize = 256;
/// Memory for bodies that are being read, together.
const BODY_MEMORY_BYTES: usize = 256 * 1024 * 1024;
/// Prometheus' histograms are tidied this often; nothing else does it.
const UPKEEP: Duration = Duration::from_secs(5);

/// A gateway at work.
pub struct Gateway {
    devices: SocketAddr,
    admin: SocketAddr,
    spool: Arc<dyn Engine>,
    topology: Arc<Mutex<Topology>>,
    intake: Task,
    admin_server: Task,
    upkeep: JoinHandle<()>,
    reloader: Option<Reloader>,
    watch: Option<AbortOnDropHandle<()>>,
    /// Answers what other gateways of the site ask.
    answering: AbortOnDropHandle<()>,
}

/// A server, and how to stop it.
struct Task {
    stop: CancellationToken,
    work: JoinHandle<()>,
}

impl Gateway {
    /// Builds a gateway and sets it to work. When it returns, devices can push. Where `file` says what `routes` were read
    /// from, a change of it is taken over. Where the file is refused, the gateway starts with the rules that were in force
    /// before, as if the file had changed while it ran: a gateway that does not start takes in nothing at all.
    ///
    /// # Errors
    /// When something that the files name cannot be had: a secret, a certificate, the spool's directory, an address; and
    /// [`Refused`], when the file is refused and there are no rules of before.
    pub async fn start(
        config: GatewayConfig,
        routes: Result<Routes, Refused>,
        file: Option<PathBuf>,
        metrics: PrometheusHandle,
    ) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let spool = open::spool(&config, &clock).await?;
        let token = (config.listen.admin_token.as_ref())
            .map(secrets::resolve)
            .transpose()?;
        let context = context(&config, &spool, &clock).await?;
        // Until the topology makes those of its file active.
        let nothing = RulesHistory::new(clock.now(), Rules::default());
        let rules = ActiveRules::new(nothing);
        let routes_file = file.clone().unwrap_or_else(|| ROUTES_FILE.into());
        let topology = Topology::new(context.clone(), rules.clone(), routes_file);
        let mut topology = topology.await?;
        let first = topology.first(routes)?;
        let opened = topology.open(Desired::new(first.in_force)?).await?;
        let listeners = match Listeners::bind(&config.listen).await {
            Ok(listeners) => listeners,
            Err(error) => {
                topology.discard(&opened).await;
                return Err(error);
            }
        };
        let (devices, admin_address) = listeners.addresses()?;
        // Last, when nothing that the files name can be missing any more: from here on events leave.
        topology.apply(opened).await?;
        let (endpoints, snapshots) = (topology.endpoints(), topology.snapshots());
        let answering = topology.answer_others();
        let topology = Arc::new(Mutex::new(topology));
        let watching = file.map(|file| {
            Watch::start(
                (&file, &first.file, first.refused),
                config.clone(),
                Arc::clone(&topology),
                listeners.certificate,
                &context,
            )
        });
        let (reloader, watch) = watching.unzip();
        let admin = Admin {
            context: context.clone(),
            history: Arc::clone(&spool) as _,
            topology: Arc::clone(&topology),
            snapshots,
            reloader: reloader.clone(),
            rules,
            started_at: clock.now(),
            ages: Ages::new(clock.monotonic(), context.log.tail()?),
            metrics: metrics.clone(),
            token,
        };
        Ok(Self {
            devices,
            admin: admin_address,
            spool,
            topology,
            intake: accept(listeners.devices, endpoints, &context),
            admin_server: serve_admin(listeners.admin, admin, &config.limits),
            upkeep: tokio::spawn(upkeep(metrics)),
            reloader,
            watch,
            answering,
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

    /// Takes `routes.toml` over once more, on demand. `None` where the routes were read from no file.
    pub fn reloader(&self) -> Option<Reloader> {
        self.reloader.clone()
    }

    /// Whether it does its work, as a watchdog wants to know: the spool's writer and its readers answer. A spool that is
    /// only full is alive: a restart would not make room.
    pub async fn is_alive(&self) -> bool {
        let answered = self
            .spool
            .buried(None, faceway_core::Page::first(1))
            .await
            .is_ok();
        let is_full = |capacity: Capacity| capacity.accepting == Err(AppendError::Full);
        answered || self.spool.capacity().await.is_ok_and(is_full)
    }

    /// Stops in the order of the flow. What was accepted and is not delivered stays in the spool.
    pub async fn stop(self) {
        tracing::info!("stopping: no new records");
        self.intake.stop.cancel();
        // A reload that has begun comes to its end: broken off while the rules are written down, it would leave others on
        // disk than those by which lanes go until they stop.
        // One that waits for a spool that does not answer is not waited for: what it was about is read again at the next start.
        let Ok(mut topology) = tokio::time::timeout(GRACE, self.topology.lock()).await else {
            tracing::error!(
                "a reload waits for the spool, which does not answer: stopping without waiting for deliveries; some events are sent once more"
            );
            return;
        };
        drop(self.watch);
        drop(self.answering);
        let inbounds = tokio::time::timeout(GRACE, topology.stop_inbounds());
        let _ = tokio::join!(self.intake.work, inbounds);
        tracing::info!("stopping: waiting for deliveries that are on their way");
        topology.stop_outbounds().await;
        self.admin_server.stop.cancel();
        let _ = self.admin_server.work.await;
        self.upkeep.abort();
        if tokio::time::timeout(GRACE, self.spool.close())
            .await
            .is_err()
        {
            tracing::error!(
                "the spool does not answer and could not be closed; what it kept before is on disk"
            );
        }
        tracing::info!("stopped; what is not delivered is on disk");
    }
}

/// What all components share.
async fn context(
    config: &GatewayConfig,
    spool: &Arc<dyn Engine>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Context> {
    let secret = spool.secret(open::LINK_SECRET).await?;
    Ok(Context {
        clock: Arc::clone(clock),
        log: Arc::clone(spool) as _,
        lanes: Arc::clone(spool) as _,
        duties: Arc::clone(spool) as _,
        links: Arc::new(open::links(config, &secret, clock)),
        limits: config.limits.clone(),
        // Twice, as a packed body is there in both shapes: else the largest of them would never find room.
        memory: BodyMemory::new(
            BODY_MEMORY_BYTES,
            config.limits.body_bytes_max.saturating_mul(2),
        ),
        public_url: config.listen.public_url.as_str().into(),
        gateway_id: open::gateway_id(&secret)?.into(),
        grace: GRACE,
        chance: rand::random,
    })
}

fn accept(
    listener: inbound::Listener,
    endpoints: watch::Receiver<Arc<Endpoints>>,
    context: &Context,
) -> Task {
    let limits = &context.limits;
    let limits = ServerLimits {
        connections_max: process::connections_that_fit(limits.connections_max),
        header_timeout: limits.header_timeout,
        answer_timeout: limits.body_timeout,
        grace: context.grace,
    };
    let receiver = Arc::new(Receiver::new(endpoints, context.clone()));
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
        tracing::trace!("histograms are tidied");
    }
}
