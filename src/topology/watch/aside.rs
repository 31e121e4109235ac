//! Looking at files on a thread of its own: a network disk that hangs, or something that is no file, must hold up nothing
//! else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;

/// A look that takes longer is given up.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// One look at a time.
#[derive(Debug, Default)]
pub(super) struct Aside {
    /// Whether a look is on its way, or hangs.
    busy: Arc<AtomicBool>,
}

impl Aside {
    /// What `look` gives; `None` when it takes too long, or an earlier look still does.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        if self.busy.swap(true, Ordering::SeqCst) {
            return None;
        }
        let busy = Arc::clone(&self.busy);
        let (answer, answered) = oneshot::channel();
        // Not one of the runtime's threads: the gateway's end would wait for that.
        let thread = std::thread::Builder::new().name("files".into());
        let begun = thread.spawn(move || {
            let found = look();
            // Before the answer: the next look may begin as soon as this one is answered.
            busy.store(false, Ordering::SeqCst);
            // The one that asked may have given up.
            let _ = answer.send(found);
        });
        if begun.is_err() {
            self.busy.store(false, Ordering::SeqCst);
        }
        tokio::time::timeout(PATIENCE, answered).await.ok()?.ok()
    }

    /// As if a look hung.
    #[cfg(test)]
    pub(super) fn hang(&self, hangs: bool) {
        self.busy.store(hangs, Ordering::SeqCst);
    }
}
