//! The tail: every id of the log, in its order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

use crate::client::{Failure, Followed, Follower, Kept};
use crate::lock;
use crate::names::StreamKind;
use crate::shared::Shared;

use super::{event, rules};

/// How often the tail is compared with the log's end.
const COMPARE: Duration = Duration::from_secs(1);
/// How often a long first reading is logged.
const REPORT: Duration = Duration::from_secs(10);

/// Follows the log until the engine is closed.
pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let from = shared.seen() + 1;
    let mut follower = Follower::new(shared.client.clone(), StreamKind::Events, from, true);
    let mut compare = interval(COMPARE);
    let mut ends = VecDeque::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            followed = follower.next() => match followed {
                Followed::Message(kept) => see(&shared, &kept),
                Followed::Idle => {}
                Followed::Broken => shared.warn("tail", || "the end of the log cannot be followed; the gateway tries again".into()),
            },
            _ = compare.tick() => compare_once(&shared, &mut ends),
        }
        freshen(&shared, &mut ends);
    }
    follower.close().await;
}

fn see(shared: &Shared, kept: &Kept) {
    // Both under one lock: a snapshot that has an id also says so.
    let mut known = lock(&shared.known);
    if let Some((newest, at)) = event::newest(kept) {
        known.add(newest, at);
    }
    if kept.subject == shared.client.names.mark() {
        // Before the tail moves: who reads the tail, and then the version, knows every mark up to that tail.
        rules::see(shared, rules::version(kept));
    }
    shared
        .tail
        .send_modify(|tail| tail.seen = tail.seen.max(kept.seq));
}

/// Where the log ended, and when it was asked.
type Ends = VecDeque<(Instant, Arc<std::sync::OnceLock<u64>>)>;

/// Asks for the log's end beside the tail, so that a leader that does not answer holds no message up.
fn compare_once(shared: &Arc<Shared>, ends: &mut Ends) {
    let told = Arc::new(std::sync::OnceLock::new());
    ends.push_back((Instant::now(), Arc::clone(&told)));
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        if let Ok(end) = end_of_log(&shared).await {
            let _ = told.set(end);
        }
    });
}

/// The number up to which there is something to follow.
async fn end_of_log(shared: &Shared) -> Result<u64, Failure> {
    let state = shared.client.state(StreamKind::Events).await?;
    let seen = shared.seen();
    if seen < state.last_seq {
        let all = shared.client.names.all();
        let next = shared
            .client
            .next_at_leader(StreamKind::Events, seen + 1, &all);
        if next.await?.is_none() {
            // What stood there was removed, so it never comes.
            shared
                .tail
                .send_modify(|tail| tail.seen = tail.seen.max(state.last_seq));
        }
    }
    lock(&shared.known).trim(state.first_seq);
    Ok(state.last_seq)
}

fn freshen(shared: &Shared, ends: &mut Ends) {
    let seen = shared.seen();
    while let Some((at, end)) = ends.front() {
        let is_seen = end.get().is_some_and(|end| *end <= seen);
        if is_seen {
            let at = *at;
            shared
                .tail
                .send_modify(|tail| tail.fresh_at = tail.fresh_at.max(at));
        } else if at.elapsed() < shared.settings.dedup_window {
            return;
        }
        ends.pop_front();
    }
}

/// Waits until everything that the log has now is known.
pub(crate) async fn catch_up(shared: &Shared) -> Result<(), Failure> {
    let mut report = interval(REPORT);
    report.tick().await;
    let began = Instant::now();
    let end = end_of_log(shared).await?;
    loop {
        tokio::select! {
            () = reach(shared, end) => break,
            _ = report.tick() => {
                tracing::info!("the gateway reads the ids of the log: {} of {end}", shared.seen());
                // What was removed meanwhile never comes.
                end_of_log(shared).await?;
            }
        }
    }
    shared.tail.send_modify(|tail| tail.fresh_at = began);
    shared.see_newest_mark().await
}

/// Resolves when everything up to this number is known.
pub(crate) async fn reach(shared: &Shared, seq: u64) {
    let mut tail = shared.tail.subscribe();
    // The sender lives in `shared`, so this ends by the number alone.
    let _ = tail.wait_for(|tail| tail.seen >= seq).await;
}
