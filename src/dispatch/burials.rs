//! Burials on their way to the disk.
//!
//! A settlement is durable a moment after it was said. Of a delivered event that costs a resend after a crash, with the
//! same id. Of a buried one it would cost the order: the destination refused it, took the device's next event, and after
//! the crash is sent the refused one again and may take it now. So a device's next event waits until the burial is durable.

use std::sync::Arc;

use faceway_core::{DeviceKey, Spool};
use tokio::task::JoinSet;

/// The devices of one lane that wait for a burial.
pub(super) struct Burials {
    spool: Arc<dyn Spool>,
    waiting: JoinSet<DeviceKey>,
}

impl Burials {
    pub(super) fn new(spool: Arc<dyn Spool>) -> Self {
        Self {
            spool,
            waiting: JoinSet::new(),
        }
    }

    /// An event of this device was settled as buried.
    pub(super) fn begin(&mut self, device: DeviceKey) {
        let spool = Arc::clone(&self.spool);
        self.waiting.spawn(async move {
            if let Err(error) = spool.sync().await {
                // Waiting for a broken disk would hold up deliveries, which need none.
                tracing::warn!(%error, "a burial is not durable yet: after a crash this event is sent once more");
            }
            device
        });
    }

    /// Whether none is on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Waits for the next device that may go on; `None` when none waits.
    pub(super) async fn next(&mut self) -> Option<DeviceKey> {
        // A task that broke off is a defect of the spool; its device stays behind until the lane begins anew.
        self.waiting.join_next().await?.ok()
    }
}
