//! Opening: the cluster is waited for, proved, and its log is known before the first event is kept.

use std::sync::Arc;
use std::time::Duration;

use async_nats::rustls::ClientConfig;
use faceway_core::Clock;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::client::{Client, Failure};
use crate::duties::Timing;
use crate::log::{follow, snapshot};
use crate::names::StreamKind;
use crate::settings::{JetStreamSettings, OpenError};
use crate::shared::Shared;
use crate::{JetStreamSpool, duties, janitor, lock, members, proof, streams, upkeep};

/// Between two tries to connect.
const PAUSE: Duration = Duration::from_millis(500);
/// Between two log lines about a cluster that does not answer.
const QUIET: Duration = Duration::from_secs(10);

pub(crate) async fn open(
    settings: JetStreamSettings,
    clock: Arc<dyn Clock>,
    timing: Timing,
) -> Result<JetStreamSpool, OpenError> {
    settings.check()?;
    std::fs::create_dir_all(&settings.dir).map_err(|reason| OpenError::Directory {
        dir: settings.dir.display().to_string(),
        reason,
    })?;
    let encrypted = settings.is_encrypted();
    let tls = settings.tls.config(encrypted)?;
    let client = connect(&settings, encrypted.then_some(&tls)).await;
    let servers = proof::at_start(&client, &settings).await?;
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
    let beside = (tracker, timing);
    let shared = Shared::new(client, settings, clock, known, seen, created, beside);
    *lock(&shared.servers) = servers;
    let shared = Arc::new(shared);
    tasks.spawn(follow::run(Arc::clone(&shared), stop.clone()));
    let spool = JetStreamSpool {
        shared: Arc::clone(&shared),
        tasks,
        stop,
    };
    follow::catch_up(&shared).await.map_err(cluster)?;
    upkeep::look(&shared).await.map_err(cluster)?;
    join(&shared, &spool).await?;
    let upkeep = upkeep::run(shared, spool.stop.clone());
    spool.tasks.spawn(upkeep);
    Ok(spool)
}

/// The gateway becomes a member of the site, unless another one has its name.
async fn join(shared: &Arc<Shared>, spool: &JetStreamSpool) -> Result<(), OpenError> {
    members::is_alone(shared, None).await?;
    let begun = members::try_for_a_while(shared).await;
    let (life, ears) = begun.map_err(|failure| OpenError::Cluster(failure.to_string()))?;
    let life = shared.members.begins(life);
    let (tasks, stop) = (&spool.tasks, &spool.stop);
    let live = members::run(Arc::clone(shared), Arc::clone(&life), ears, stop.clone());
    tasks.spawn(live);
    if let Err(refused) = members::is_alone(shared, Some(&life.incarnation)).await {
        duties::leave(shared).await;
        return Err(refused);
    }
    tasks.spawn(duties::run(Arc::clone(shared), stop.clone()));
    tasks.spawn(janitor::run(Arc::clone(shared), stop.clone()));
    Ok(())
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
