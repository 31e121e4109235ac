//! `faceway run`: the gateway, until a signal ends it.

use std::sync::Arc;

use clap::Args;
use faceway::gateway::Gateway;
use faceway::notify::Manager;
use faceway::observe::{self, LogFormat};
use faceway::process;
use faceway::topology::{Refused, Reloader};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::task::AbortOnDropHandle;

use super::files::{GatewayFile, RoutesFile, Stray, settle, settle_routes, settle_together};
use super::signals::Signals;
use super::{Ended, Failure, Streams, block_on};

/// What the service manager shows of a gateway at work.
const TAKING: &str = "taking records";

/// Run the gateway.
///
/// SIGTERM and SIGINT drain it: no new records, deliveries on their way may end, the rest stays on disk. A second one ends
/// it at once; nothing that was answered is lost by that either.
///
/// A service manager that speaks sd_notify (systemd, Type=notify) is told when it is ready, stops, and is alive.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  faceway run --gateway /etc/faceway/gateway.toml --routes /etc/faceway/routes.toml"
)]
pub(crate) struct Run {
    #[command(flatten)]
    gateway: GatewayFile,
    #[command(flatten)]
    stray: Stray,
    #[command(flatten)]
    routes: RoutesFile,
    /// How log lines are written; which ones, FACEWAY_LOG says
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    log_format: LogFormat,
}

impl Run {
    pub(crate) fn run(&self, streams: &mut Streams<'_>) -> Ended {
        self.stray.refuse("run")?;
        // Both before either is given up, so that all mistakes are told at once.
        let config = settle(self.gateway.load(), streams);
        let routes = settle_routes(self.routes.load(), streams);
        self.gateway.tell_unread(&self.routes, streams);
        let (config, routes) = (config?, routes?);
        match &routes {
            Ok(routes) => settle_together(&config, routes, streams)?,
            // A first start: there are no rules of before, and no spool is made for nothing. Where the spool is a cluster, the
            // directory says nothing of that: it may be lost.
            Err(_) if config.spool.jetstream.is_none() && !config.spool.dir.exists() => {
                return Err(Failure::InputTold);
            }
            Err(_) => {}
        }
        observe::install_logs(self.log_format)
            .map_err(|error| Failure::input(error.to_string()))?;
        process::without_core_dumps();
        let metrics = observe::install_metrics()?;
        block_on(Box::pin(async {
            let mut signals = Signals::listen()?;
            let manager = Arc::new(Manager::from_environment());
            let hang_ups = signal(SignalKind::hangup())?;
            let file = Some(self.routes.path().to_owned());
            let gateway = Gateway::start(config, routes, file, metrics).await;
            let gateway = gateway.map_err(|error| match error.downcast::<Refused>() {
                // What is wrong with the file has been told.
                Ok(_) => Failure::InputTold,
                Err(error) => error.into(),
            })?;
            let reloads = reload(hang_ups, Arc::clone(&manager), gateway.reloader());
            let reloads = AbortOnDropHandle::new(tokio::spawn(reloads));
            tracing::info!(devices = %gateway.devices(), admin = %gateway.admin(), "running");
            manager.ready(TAKING);
            tokio::select! {
                () = signals.end() => {}
                () = manager.watch(async || gateway.is_alive().await) => {}
            }
            manager.stopping();
            drop(reloads);
            tokio::select! {
                () = gateway.stop() => {}
                () = signals.end() => tracing::warn!("ended at once"),
            }
            Ok(())
        }))
    }
}

/// SIGHUP reloads `routes.toml`; what came of it is in the log. The service manager is told that it is over, however it
/// ended: what was in force stays.
async fn reload(mut hang_ups: Signal, manager: Arc<Manager>, reloader: Option<Reloader>) {
    while hang_ups.recv().await.is_some() {
        manager.reloading();
        if let Some(reloader) = &reloader {
            let _ = reloader.reload().await;
        }
        manager.ready(TAKING);
    }
}
