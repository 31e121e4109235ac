//! What is done again and again: bytes are counted, the servers prove that they sync, known ids are written down.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

use crate::client::Failure;
use crate::lock;
use crate::log::snapshot;
use crate::names::StreamKind;
use crate::proof;
use crate::settings::Durability;
use crate::shared::Shared;

const LOOK: Duration = Duration::from_secs(1);
const PROVE: Duration = Duration::from_secs(60);
const FORGET: Duration = Duration::from_secs(10);
const SNAPSHOT: Duration = Duration::from_secs(300);

pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut ticks = interval(LOOK);
    let (mut proved_at, mut written_at) = (Instant::now(), Instant::now());
    let mut forgot_at = Instant::now();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(failure) = look(&shared).await {
            shared.warn("look", || {
                format!("the cluster does not say how much is used: {failure}")
            });
        }
        if proved_at.elapsed() >= PROVE && shared.settings.durability == Durability::Synced {
            proved_at = Instant::now();
            prove(&shared).await;
        }
        if forgot_at.elapsed() >= FORGET {
            forgot_at = Instant::now();
            if let Err(failure) = shared.forget_once().await {
                shared.warn("once", || {
                    format!("marks of once windows cannot be removed: {failure}")
                });
            }
        }
        if written_at.elapsed() >= SNAPSHOT {
            written_at = Instant::now();
            let shared = Arc::clone(&shared);
            // It writes a file.
            let written = tokio::task::spawn_blocking(move || snapshot::write(&shared));
            let _ = written.await;
        }
    }
}

/// Counts bytes. What was refused for want of space is tried again afterwards.
pub(crate) async fn look(shared: &Shared) -> Result<(), Failure> {
    let at = Instant::now();
    let states = StreamKind::ALL.map(|kind| shared.client.state(kind));
    let states = futures_util::future::try_join_all(states).await?;
    let bytes = states.iter().map(|state| state.bytes).sum();
    shared.gauge.bytes.store(bytes, Ordering::Relaxed);
    shared.gauge.is_full.store(false, Ordering::Relaxed);
    shared.count_quarantine().await?;
    *lock(&shared.gauge.counted_at) = Some(at);
    Ok(())
}

async fn prove(shared: &Shared) {
    let (servers, proved) = proof::again(&shared.settings).await;
    *lock(&shared.servers) = servers;
    let is_unproved = proved.is_err();
    let was_unproved = shared
        .gauge
        .is_unproved
        .swap(is_unproved, Ordering::Relaxed);
    match proved {
        Err(reason) => shared.warn("proof", || {
            format!("the servers no longer prove that they sync, and events are kept all the same: {reason}")
        }),
        Ok(()) if was_unproved => tracing::info!("every server proves again that it syncs"),
        Ok(()) => {}
    }
}
