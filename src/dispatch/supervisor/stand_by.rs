//! While another gateway works the lane.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use faceway_core::Duty;

use super::Supervisor;
use crate::duty::OnDuty;

/// This gateway looks so often whether the lane is still there.
const LOOK: Duration = Duration::from_secs(5);

impl Supervisor {
    /// Waits for the lane's duty. `None` when this gateway has nothing more to do with the lane.
    pub(super) async fn stand_by(&mut self) -> Option<OnDuty> {
        let duties = Arc::clone(&self.context.duties);
        let duty = Duty::Lane(self.name.as_str().into());
        let mut looks = tokio::time::interval(LOOK);
        let mut plan = Arc::clone(&self.current.plan);
        let mut taking = Box::pin(OnDuty::take(&duties, duty.clone(), &plan.common.gateways));
        loop {
            tokio::select! {
                biased;
                duty = &mut taking => return Some(duty),
                () = self.stop.cancelled() => return None,
                changed = self.orders.changed() => {
                    changed.ok()?;
                    let orders = self.orders.borrow_and_update().clone();
                    self.follow(orders).await;
                    // Other gateways may be meant now.
                    drop(taking);
                    plan = Arc::clone(&self.current.plan);
                    taking = Box::pin(OnDuty::take(&duties, duty.clone(), &plan.common.gateways));
                }
                () = self.commands.refuse() => {}
                _ = looks.tick() => {
                    self.status.elsewhere(self.context.clock.now());
                    if self.was_deleted().await {
                        return None;
                    }
                }
            }
        }
    }

    /// Whether the outbound is retired and another gateway, which was through with the lane, has deleted it. It says so then.
    pub(super) async fn was_deleted(&self) -> bool {
        let is_shared = self.context.duties.health().is_some();
        let was = is_shared && self.current.through_seq.is_some() && self.is_gone().await;
        if was {
            self.finished.store(true, Ordering::SeqCst);
        }
        was
    }

    /// Whether there is no such lane any more.
    pub(super) async fn is_gone(&self) -> bool {
        matches!(self.context.lanes.look(&self.name).await, Ok(None))
    }
}
