//! Opening: the cluster is waited for, proved, and its log is known before the first event is kept.

use std::sync::Arc;
use std::time::Duration;

use async_nats::rustls::ClientConfig;
use faceway_core::Clock;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::client::{Client, Failure};
use crate::log::{follow, snapshot};
use crate::names::StreamKind;
use crate::settings::{JetStreamSettings, OpenError};
use crate::shared::Shared;
use crate::{JetStreamSpool, proof, streams, upkeep};

/// Between two tries to connect.
const PAUSE: Duration = Duration::from_millis(500);
/// Between two log lines about a cluster that does not answer.
const QUIET: Duration = Duration::from_secs(10);

pub(crate) async fn open(
    settings: JetStreamSettings,
    clock: Arc<dyn Clock>,
) -> Result<JetStreamSpool, OpenError> {
    settings.check()?;
    std::fs::create_dir_all(&settings.dir).map_err(|reason| OpenError::Directory {
        dir: settings.dir.display().to_string(),
        reason,
    })?;
    let encrypted = settings.is_encrypted();
    let tls = settings.tls.config(encrypted)?;
    let client = connect(&settings, encrypted.then_some(&tls)).await;
    proof::at_start(&client, &settings).await?;
    if settings.replicas == 1 {
        tracing::warn!(
            "spool.jetstream.replicas is 1: what one server keeps is lost with it; write 3 for anything that matters"
        );
    }
    streams::make(&client, &settings).await?;
    let cluster = |failure: Failure| OpenError::Cluster(failure.to_string());
    let created = client.created(StreamKind::Events).await.map_err(cluster)?;
    let (known, seen) = snapshot::read(&settings, &created);
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let tracker = tasks.clone();
    let shared = Shared::new(client, settings, clock, known, seen, created, tracker);
    let shared = Arc::new(shared);
    tasks.spawn(follow::run(Arc::clone(&shared), stop.clone()));
    let spool = JetStreamSpool {
        shared: Arc::clone(&shared),
        tasks,
        stop,
    };
    follow::catch_up(&shared).await.map_err(cluster)?;
    upkeep::look(&shared).await.map_err(cluster)?;
    let upkeep = upkeep::run(shared, spool.stop.clone());
    spool.tasks.spawn(upkeep);
    Ok(spool)
}

async fn connect(settings: &JetStreamSettings, tls: Option<&ClientConfig>) -> Client {
    let mut said_at: Option<Instant> = None;
    loop {
        match Client::connect(settings, tls).await {
            Ok(client) => return client,
            Err(failure) => {
                if said_at.is_none_or(|at| at.elapsed() >= QUIET) {
                    tracing::warn!("the gateway waits for the cluster: {failure}");
                    said_at = Some(Instant::now());
                }
                sleep(PAUSE).await;
            }
        }
    }
}
