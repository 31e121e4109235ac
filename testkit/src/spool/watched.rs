//! A real spool between a test and the gateway's parts: it is full when the test says so, and tells how often it was looked
//! at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use faceway_core::{
    AppendError, Batch, BoxFuture, EventId, Lane, Lease, Newest, Passed, Private, Receipt,
    RecordId, Room, Settlement, Sha256, Spool, SpoolError, Start, Survey, Timestamp,
};
use tokio::sync::watch;

/// See the module.
pub struct Watched {
    inner: Arc<dyn Spool>,
    full: AtomicBool,
    surveys: watch::Sender<u64>,
    holds_syncs: watch::Sender<bool>,
}

impl Watched {
    /// In front of this one.
    pub fn new(inner: Arc<dyn Spool>) -> Self {
        Self {
            inner,
            full: AtomicBool::new(false),
            surveys: watch::Sender::default(),
            holds_syncs: watch::Sender::default(),
        }
    }

    /// Whether nothing that is settled becomes known as durable from now on.
    pub fn hold_syncs(&self, hold: bool) {
        self.holds_syncs.send_replace(hold);
    }

    /// Whether appends are refused from now on.
    pub fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }

    /// Waits until so many more surveys have been asked for and answered.
    pub async fn surveyed(&self, times: u64) {
        let mut surveys = self.surveys.subscribe();
        let until = *surveys.borrow() + times;
        // The sender is ours, so it is there.
        let _ = surveys.wait_for(|count| *count >= until).await;
    }
}

impl Spool for Watched {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Receipt>, AppendError>> {
        if self.full.load(Ordering::SeqCst) {
            return Box::pin(async { Err(AppendError::Full) });
        }
        self.inner.append(batch)
    }

    fn newest_of(
        &self,
        records: Vec<RecordId>,
    ) -> BoxFuture<'_, Result<Vec<Option<Newest>>, AppendError>> {
        self.inner.newest_of(records)
    }

    fn open_lane(&self, name: &str, start: Start) -> BoxFuture<'_, Result<Lane, SpoolError>> {
        self.inner.open_lane(name, start)
    }

    fn lease(
        &self,
        lane: Lane,
        max: usize,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Vec<Lease>, SpoolError>> {
        self.inner.lease(lane, max, now)
    }

    fn settle(&self, lane: Lane, settlements: Vec<Settlement>) {
        self.inner.settle(lane, settlements);
    }

    fn sync(&self) -> BoxFuture<'_, Result<(), SpoolError>> {
        Box::pin(async move {
            // The sender is ours, so it is there.
            let _ = self.holds_syncs.subscribe().wait_for(|held| !held).await;
            self.inner.sync().await
        })
    }

    fn remember(&self, lane: Lane, passed: Vec<Passed>) {
        self.inner.remember(lane, passed);
    }

    fn remembered(&self, lane: Lane) -> BoxFuture<'_, Result<Vec<Passed>, SpoolError>> {
        self.inner.remembered(lane)
    }

    fn take_back(&self, lane: Lane, events: Vec<EventId>) -> BoxFuture<'_, Result<(), SpoolError>> {
        self.inner.take_back(lane, events)
    }

    fn wake(&self, lane: Lane) {
        self.inner.wake(lane);
    }

    fn survey(&self, lane: Lane, now: Timestamp) -> BoxFuture<'_, Result<Survey, SpoolError>> {
        Box::pin(async move {
            let survey = self.inner.survey(lane, now).await;
            self.surveys.send_modify(|count| *count += 1);
            survey
        })
    }

    fn changed(&self, seen: u64) -> BoxFuture<'_, u64> {
        self.inner.changed(seen)
    }

    fn newest(&self) -> u64 {
        self.inner.newest()
    }

    fn keep_note(&self, name: &str, note: Bytes) -> BoxFuture<'_, Result<(), SpoolError>> {
        self.inner.keep_note(name, note)
    }

    fn note(&self, name: &str) -> BoxFuture<'_, Result<Option<Bytes>, SpoolError>> {
        self.inner.note(name)
    }

    fn room(&self) -> Room {
        self.inner.room()
    }

    fn picture(&self, sha256: Sha256) -> BoxFuture<'_, Result<Option<Private<Bytes>>, SpoolError>> {
        self.inner.picture(sha256)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }
}
