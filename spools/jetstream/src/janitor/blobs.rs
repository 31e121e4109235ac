//! Trimming pictures and large bodies.
//!
//! A picture stays `images` longer than its event is needed. So the time of the oldest needed event is written down hour by
//! hour (`state.low`, JSON: pairs of when and that time, in milliseconds), and pictures before the one of `images` ago leave. A
//! large body stays as long as its event is in the log.

use bytes::Bytes;
use faceway_core::Timestamp;
use tokio::time::Instant;

use crate::client::{Failure, Outgoing};
use crate::names::StreamKind;
use crate::shared::Shared;

/// Between two lines.
const HOUR: i64 = 3_600_000;
/// The servers' clock may differ from this gateway's, and a picture is published a little before its event.
const MARGIN: i64 = 120_000;

/// Removes pictures and bodies that may leave. `is_short`: space is, so pictures of delivered events leave at once.
pub(super) async fn trim(shared: &Shared, needed: u64, is_short: bool) -> Result<(), Failure> {
    let now = shared.clock.now().as_millis();
    let low = time_of(shared, needed).await?.unwrap_or(now);
    let lines = lines(shared, now, low).await?;
    let images = i64::try_from(shared.settings.images.as_millis()).unwrap_or(i64::MAX);
    let then = lines
        .iter()
        .rev()
        .find(|(at, _)| *at <= now.saturating_sub(images));
    let bound = if is_short {
        Some(low)
    } else {
        then.map(|(_, low)| *low)
    };
    let names = &shared.client.names;
    if let Some(bound) = bound {
        // One that was left out as it had just been published is older than its event by that much.
        let bound = bound - MARGIN - images / 24;
        purge_before(shared, bound, &names.pictures()).await?;
    }
    let first = shared.client.state(StreamKind::Events).await?.first_seq;
    if let Some(first) = time_of(shared, first).await? {
        let bound = first - MARGIN - images / 24;
        purge_before(shared, bound, &names.bodies()).await?;
    }
    Ok(())
}

/// When the servers got the first event from this number on.
async fn time_of(shared: &Shared, seq: u64) -> Result<Option<i64>, Failure> {
    let events = shared.client.names.events();
    let next = shared
        .client
        .next_at_leader(StreamKind::Events, seq, &events);
    Ok(next.await?.and_then(|kept| Some(kept.at?.as_millis())))
}

/// The lines, with a new one where it is due.
async fn lines(shared: &Shared, now: i64, low: i64) -> Result<Vec<(i64, i64)>, Failure> {
    let subject = shared.client.names.low();
    let kept = shared
        .client
        .last_at_leader(StreamKind::State, &subject)
        .await?;
    let before = kept.as_ref().map_or(0, |kept| kept.seq);
    let kept = kept.filter(|kept| kept.is_whole());
    let lines = kept.and_then(|kept| serde_json::from_slice(&kept.payload).ok());
    let mut lines: Vec<(i64, i64)> = lines.unwrap_or_default();
    // A clock that was set back writes no line in between.
    if lines.last().is_some_and(|(at, _)| now - at < HOUR) {
        return Ok(lines);
    }
    lines.push((now, low));
    let images = i64::try_from(shared.settings.images.as_millis()).unwrap_or(i64::MAX);
    let old = now.saturating_sub(images);
    // The newest of those that are old enough is the one that is used.
    let used = lines.iter().rposition(|(at, _)| *at <= old).unwrap_or(0);
    lines.drain(..used);
    let text = serde_json::to_vec(&lines).unwrap_or_default();
    let message = Outgoing::new(subject, Bytes::from(text))
        .with("Nats-Expected-Last-Subject-Sequence", before);
    let deadline = Instant::now() + shared.settings.append_timeout;
    match shared.client.publish(&message, deadline).await {
        Ok(_) | Err(Failure::Moved) => Ok(lines),
        Err(failure) => Err(failure),
    }
}

async fn purge_before(shared: &Shared, bound: i64, filter: &str) -> Result<(), Failure> {
    let Ok(bound) = Timestamp::from_millis(bound) else {
        return Ok(());
    };
    // Before the question, so that what comes meanwhile is not among it.
    let state = shared.client.state(StreamKind::Blobs).await?;
    let first = shared
        .client
        .first_since(StreamKind::Blobs, bound, filter)
        .await?;
    let before = first.map_or(state.last_seq + 1, |kept| kept.seq);
    if before > state.first_seq {
        shared
            .client
            .purge(StreamKind::Blobs, filter, Some(before))
            .await?;
    }
    Ok(())
}
