//! Trimming: what every lane is through with leaves when it is old, or earlier when space is short. Undelivered events stay.
//!
//! One gateway of a site trims at a time: it is a duty.

mod blobs;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use faceway_core::Duty;
use tokio::time::{Instant, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::client::Failure;
use crate::lock;
use crate::names::StreamKind;
use crate::shared::Shared;

/// How often space is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often the log is trimmed.
const TRIM: Duration = Duration::from_secs(10);
/// Numbers that are purged at once: the stream takes nothing else meanwhile.
const AT_ONCE: u64 = 10_000;
/// Between two purges.
const PAUSE: Duration = Duration::from_millis(300);
/// Above this part of `bytes_max` delivered history gives way.
const SHORT: f64 = 0.9;

/// Trims while this gateway has the duty, until the engine is closed.
pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        let held = tokio::select! {
            () = stop.cancelled() => return,
            held = shared.take(Duty::Janitor) => held,
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = held.wanted() => {}
            () = held.lost() => {}
            () = work(&shared) => {}
        }
        held.release().await;
    }
}

/// Trims for as long as it is let.
async fn work(shared: &Shared) {
    let mut looks = interval(LOOK);
    let mut trimmed_at = Instant::now();
    loop {
        looks.tick().await;
        // While space is short every look trims a step: devices hear 503 for no longer than has to be.
        if trimmed_at.elapsed() >= TRIM || is_short(shared) {
            trimmed_at = Instant::now();
            if let Err(failure) = trim(shared).await {
                shared.warn("trim", || format!("the log cannot be trimmed: {failure}"));
            }
        }
    }
}

/// Removes what may leave.
async fn trim(shared: &Shared) -> Result<(), Failure> {
    let state = shared.client.state(StreamKind::Events).await?;
    let needed = lowest_needed(shared).await?.min(state.last_seq + 1);
    let is_short = is_short(shared);
    let end = if is_short {
        // A step at a time, so that no more leaves than has to.
        needed.min(state.first_seq + AT_ONCE)
    } else {
        needed.min(old_end(shared))
    };
    let mut first = state.first_seq.max(1);
    if first < end {
        // The newest mark stays in the log, whatever leaves.
        shared.repeat_mark(end - 1).await?;
    }
    while first < end {
        let next = end.min(first + AT_ONCE);
        let all = shared.client.names.all();
        shared
            .client
            .purge(StreamKind::Events, &all, Some(next))
            .await?;
        first = next;
        if first < end {
            sleep(PAUSE).await;
        }
    }
    blobs::trim(shared, needed, is_short).await
}

/// The lowest number that a lane needs.
async fn lowest_needed(shared: &Shared) -> Result<u64, Failure> {
    let mut needed = u64::MAX;
    for lane in shared.lane_names().await? {
        if let Some((_, record)) = shared.record(&lane).await? {
            needed = needed.min(record.needed);
        }
    }
    Ok(needed)
}

/// Whether delivered history has to give way.
fn is_short(shared: &Shared) -> bool {
    let used = shared.gauge.bytes.load(Ordering::Relaxed) as f64;
    used > shared.settings.bytes_max as f64 * SHORT
}

/// Events before this number came in longer ago than history lasts.
fn old_end(shared: &Shared) -> u64 {
    let history = shared.settings.history.as_millis();
    let history = i64::try_from(history).unwrap_or(i64::MAX);
    let bound = shared.clock.now().as_millis().saturating_sub(history);
    lock(&shared.known).end_before(bound)
}
