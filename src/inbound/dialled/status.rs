//! How a dialled source stands: for metrics, logs, the API and the console.

use std::sync::Arc;
use std::time::Duration;

use faceway_core::{Clock, Timestamp};
use tokio::sync::watch;

use super::stream::Exit;
use crate::inbound::metrics::SourceMetrics;

/// What a source does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceState {
    /// It is being dialled.
    Connecting,
    /// It is read.
    Connected,
    /// It is connected and not read, as the spool cannot keep.
    Blocked,
    /// It could not be reached; the next attempt is at this time.
    Waiting(Timestamp),
    /// The gateway stops.
    Stopped,
    /// Another gateway of the site dials it, or none does at this moment.
    Elsewhere,
}

/// How a source stands.
#[derive(Clone, Debug)]
pub(crate) struct SourceStatus {
    pub(crate) state: SourceState,
    /// Since when it is in this state.
    pub(crate) since: Timestamp,
    /// Why it was last lost, or could not be reached.
    pub(crate) last_error: Option<String>,
    /// How often nothing could be read for a while, since the start.
    pub(crate) gaps: u64,
    /// How long together.
    pub(crate) gap: Duration,
    /// The last of them.
    pub(crate) last_gap: Option<(Timestamp, Timestamp)>,
    /// Since when nothing can be read, after it could.
    unread_since: Option<Timestamp>,
}

/// The status of one source, told by who works for it and looked at by who shows it.
pub(crate) struct Status {
    inbound: String,
    clock: Arc<dyn Clock>,
    metrics: SourceMetrics,
    shown: watch::Sender<SourceStatus>,
}

impl Status {
    /// Of a source that was not dialled yet.
    pub(crate) fn new(inbound: &str, clock: Arc<dyn Clock>) -> Self {
        let status = SourceStatus {
            state: SourceState::Connecting,
            since: clock.now(),
            last_error: None,
            gaps: 0,
            gap: Duration::ZERO,
            last_gap: None,
            unread_since: None,
        };
        Self {
            metrics: SourceMetrics::new(inbound),
            inbound: inbound.to_owned(),
            clock,
            shown: watch::Sender::new(status),
        }
    }

    /// How it stands now.
    pub(crate) fn look(&self) -> SourceStatus {
        self.shown.borrow().clone()
    }

    pub(super) fn connects(&self) {
        self.metrics.connected(false);
        self.enter(SourceState::Connecting, |_, _| {});
    }

    pub(super) fn connected(&self) {
        self.metrics.connected(true);
        tracing::info!(inbound = self.inbound, "connected");
        self.readable();
    }

    /// The spool cannot keep the next message, of so many bytes, so nothing more is read.
    pub(super) fn blocked(&self, bytes: usize) {
        if self.look().state != SourceState::Blocked {
            tracing::warn!(
                inbound = self.inbound,
                bytes,
                "the spool cannot keep the next message, of so many bytes; the source is not read until it can, and may drop \
                 what it has to say. A spool that has room for no such message needs more spool.bytes_max"
            );
            self.enter(SourceState::Blocked, unread);
        }
    }

    pub(super) fn unblocked(&self) {
        if self.look().state == SourceState::Blocked {
            self.readable();
        }
    }

    pub(super) fn lost(&self, ended: &Exit) {
        self.metrics.connected(false);
        if *ended == Exit::TooLarge {
            self.metrics.refused();
        }
        match ended {
            Exit::Enough | Exit::Changed => {
                tracing::info!(inbound = self.inbound, "disconnected: {ended}")
            }
            ended => tracing::warn!(inbound = self.inbound, "disconnected: {ended}"),
        }
        let error = ended.to_string();
        self.enter(SourceState::Connecting, |status, now| {
            unread(status, now);
            status.last_error = Some(error);
        });
    }

    /// It could not be reached. The same reason is told once, not at every attempt.
    pub(super) fn failed(&self, reason: String) {
        self.metrics.connected(false);
        if self.look().last_error.as_ref() == Some(&reason) {
            tracing::debug!(inbound = self.inbound, reason, "cannot reach the source");
        } else {
            tracing::warn!(
                inbound = self.inbound,
                reason,
                "cannot reach the source; trying again and again"
            );
        }
        self.enter(SourceState::Connecting, |status, _| {
            status.last_error = Some(reason)
        });
    }

    pub(super) fn waits(&self, pause: Duration) {
        let next = self.clock.now().plus(pause);
        self.enter(SourceState::Waiting(next), |_, _| {});
    }

    /// What it says meanwhile is no gap: another gateway reads it.
    pub(super) fn elsewhere(&self) {
        self.metrics.connected(false);
        self.enter(SourceState::Elsewhere, |status, _| {
            status.unread_since = None;
        });
    }

    pub(super) fn stopped(&self) {
        self.enter(SourceState::Stopped, |_, _| {});
    }

    /// It can be read; if it could not for a while, that was a gap.
    fn readable(&self) {
        let before = self.look().gaps;
        self.enter(SourceState::Connected, |status, now| {
            if let Some(from) = status.unread_since.take() {
                status.gaps += 1;
                status.gap += now.since(from);
                status.last_gap = Some((from, now));
            }
        });
        let status = self.look();
        let (true, Some((from, to))) = (status.gaps > before, status.last_gap) else {
            return;
        };
        let took = to.since(from);
        self.metrics.gap(took);
        tracing::warn!(
            inbound = self.inbound,
            %from,
            %to,
            seconds = took.as_secs(),
            "nothing was read for a while; what the source had to say then may be lost"
        );
    }

    fn enter(&self, state: SourceState, change: impl FnOnce(&mut SourceStatus, Timestamp)) {
        let now = self.clock.now();
        self.shown.send_modify(|status| {
            // Between two attempts it stays unreachable since when it has been.
            if std::mem::discriminant(&status.state) != std::mem::discriminant(&state) {
                status.since = now;
            }
            change(status, now);
            status.state = state;
        });
    }
}

/// Nothing can be read from `now` on, if something could.
fn unread(status: &mut SourceStatus, now: Timestamp) {
    if status.state == SourceState::Connected {
        status.unread_since = Some(now);
    }
}
