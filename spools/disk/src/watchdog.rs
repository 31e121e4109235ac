//! A thread that looks whether the writer waits for a disk that does not answer. A write that hangs has no deadline of its
//! own, and the thread that hangs in it cannot say so.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::shared::{Shared, lock};

/// How often it looks at the least.
const LOOK: Duration = Duration::from_secs(1);

/// Ends the thread.
#[derive(Debug, Default)]
pub(crate) struct Watchdog {
    stopped: Mutex<bool>,
    bell: Condvar,
}

impl Watchdog {
    /// Starts the thread for this spool.
    pub(crate) fn start(shared: &Arc<Shared>) -> std::io::Result<()> {
        let shared = Arc::clone(shared);
        let watch = move || {
            let patience = shared.disk.patience();
            while !shared.watchdog.wait(LOOK.min(patience / 4)) {
                shared.gauge.look_at_work(patience);
            }
        };
        std::thread::Builder::new()
            .name("spool-watchdog".into())
            .spawn(watch)
            .map(drop)
    }

    /// `true` when it is time to end.
    fn wait(&self, pause: Duration) -> bool {
        let stopped = lock(&self.stopped);
        let waited = self.bell.wait_timeout(stopped, pause);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// The writer has ended.
    pub(crate) fn stop(&self) {
        *lock(&self.stopped) = true;
        self.bell.notify_all();
    }
}
