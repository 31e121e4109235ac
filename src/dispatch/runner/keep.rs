//! Commits: one at a time, each with all that changed since the one before.

use std::sync::Arc;
use std::time::Duration;

use faceway_core::{Claim, CommitError, LaneChange, LaneStore};
use faceway_lane::Lane;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::{Runner, SPOOL_PAUSE, sleep_until};
use crate::throttle::Throttle;

/// The commits of one lane.
pub(super) struct Commits {
    store: Arc<dyn LaneStore>,
    claim: Claim,
    running: Option<AbortOnDropHandle<Committed>>,
    is_fenced: bool,
    paused_until: Option<Instant>,
    /// What is only routed is committed then at the latest.
    routed_until: Option<Instant>,
    failing: Throttle<()>,
}

/// What is only routed waits so long for what becomes of it: most events are delivered in less, and then one commit, which is
/// one sync of the disk, tells both.
const ROUTED_PAUSE: Duration = Duration::from_millis(100);

/// A commit that has ended.
pub(super) struct Committed {
    change: LaneChange,
    result: Result<u64, CommitError>,
}

impl Commits {
    pub(super) fn new(store: Arc<dyn LaneStore>, claim: Claim) -> Self {
        Self {
            store,
            claim,
            running: None,
            is_fenced: false,
            paused_until: None,
            routed_until: None,
            failing: Throttle::default(),
        }
    }

    /// Begins to commit what changed, unless a commit is running or has just failed.
    pub(super) fn begin(&mut self, lane: &mut Lane) {
        self.paused_until = self.paused_until.filter(|until| *until > Instant::now());
        if self.running.is_some() || self.paused_until.is_some() || self.is_fenced {
            return;
        }
        self.routed_until = None;
        if let Some(change) = lane.take_change() {
            let (store, claim) = (Arc::clone(&self.store), self.claim.clone());
            // A task of its own: dropped half way, a commit could be durable and the lane would not know.
            self.running = Some(AbortOnDropHandle::new(tokio::spawn(async move {
                let result = store.commit(&claim, change.clone()).await;
                Committed { change, result }
            })));
        }
    }

    /// The same, but what is only routed waits for what becomes of it.
    pub(super) fn begin_patiently(&mut self, lane: &mut Lane) {
        if lane.has_only_routed() {
            let now = Instant::now();
            if now < *self.routed_until.get_or_insert(now + ROUTED_PAUSE) {
                return;
            }
        }
        self.begin(lane);
    }

    /// Waits for the commit that is running, for ever when there is none.
    pub(super) async fn next(&mut self) -> Committed {
        let Some(running) = &mut self.running else {
            return std::future::pending().await;
        };
        let ended = running.await;
        self.running = None;
        match ended {
            Ok(committed) => committed,
            // A defect of the store. The lane's state cannot be told any more: the supervisor begins it anew.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// When to begin again although nothing else has happened.
    pub(super) fn paused_until(&self) -> Option<Instant> {
        // Nothing begins while a commit runs, or before the pause after a failure is over.
        let until = self.paused_until.or(self.routed_until);
        until.filter(|_| self.running.is_none())
    }

    /// Whether another one owns the lane.
    pub(super) const fn is_fenced(&self) -> bool {
        self.is_fenced
    }

    fn take_in(&mut self, lane: &mut Lane, Committed { change, result }: Committed) {
        match result {
            Ok(buried) => lane.committed(buried),
            Err(CommitError::Fenced) => self.is_fenced = true,
            Err(error @ CommitError::Unavailable) => {
                lane.not_committed(change);
                self.paused_until = Some(Instant::now() + SPOOL_PAUSE);
                if let Some(times) = self.failing.note((), Instant::now()) {
                    tracing::error!(outbound = &*self.claim.lane, %error, times, "deliveries go on; after a crash some are repeated");
                }
            }
        }
    }

    /// Commits until everything is kept, or the lane is fenced.
    pub(super) async fn finish(&mut self, lane: &mut Lane) {
        loop {
            self.begin(lane);
            if self.running.is_some() {
                let committed = self.next().await;
                self.take_in(lane, committed);
            } else if self.paused_until.is_some() && !self.is_fenced {
                sleep_until(self.paused_until).await;
            } else {
                return;
            }
        }
    }
}

impl Runner {
    pub(super) fn committed(&mut self, committed: Committed) {
        self.commits.take_in(&mut self.lane, committed);
    }

    /// Waits until everything that changed is durable; `false` when the lane is fenced, or stops before.
    pub(super) async fn keep_all(&mut self) -> bool {
        let stop = self.tools.stop.clone();
        let kept = stop.run_until_cancelled(self.commits.finish(&mut self.lane));
        kept.await.is_some() && !self.commits.is_fenced
    }
}
