//! What the writer and the readers have in common.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use faceway_core::{AppendError, Capacity, Clock, SpoolError};
use tokio::sync::{Semaphore, oneshot, watch};

use crate::ages::Ages;
use crate::disk::Disk;
use crate::events::Events;
use crate::health::Gauge;
use crate::inbox::{Ask, Done, Inbox, Op};
use crate::read::Readers;
use crate::recent::Recent;
use crate::settings::{DiskSettings, IN_FLIGHT_BYTES_MAX};
use crate::store::Paths;
use crate::verify::Findings;
use crate::watchdog::Watchdog;

/// See the module.
pub(crate) struct Shared {
    pub(crate) settings: DiskSettings,
    pub(crate) paths: Paths,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) inbox: Inbox,
    /// Bytes that may still be asked to be kept.
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) events: Events,
    pub(crate) readers: Readers,
    pub(crate) recent: Mutex<Recent>,
    pub(crate) gauge: Gauge,
    pub(crate) watchdog: Watchdog,
    /// Pages in the write-ahead log, as SQLite tells them after each commit.
    pub(crate) log_pages: Arc<AtomicU64>,
    pub(crate) ages: Ages,
    /// The highest durable sequence number, also of an event that has left the log since.
    tail: watch::Sender<u64>,
    lane_lost: AtomicBool,
}

impl Shared {
    pub(crate) fn new(
        settings: DiskSettings,
        clock: Arc<dyn Clock>,
        disk: Arc<dyn Disk>,
    ) -> Arc<Self> {
        let paths = Paths::new(&settings.dir);
        let events = Events::default();
        Arc::new(Self {
            readers: Readers::new(paths.database.clone(), events.clone()),
            events,
            settings,
            paths,
            clock,
            disk,
            inbox: Inbox::default(),
            permits: Arc::new(Semaphore::new(IN_FLIGHT_BYTES_MAX as usize)),
            recent: Mutex::default(),
            gauge: Gauge::default(),
            watchdog: Watchdog::default(),
            log_pages: Arc::default(),
            ages: Ages::default(),
            tail: watch::Sender::new(0),
            lane_lost: AtomicBool::new(false),
        })
    }

    /// See [`faceway_core::Log::tail`].
    pub(crate) fn tail(&self) -> u64 {
        *self.tail.borrow()
    }

    /// The log is durable up to here.
    pub(crate) fn publish(&self, seq: u64) {
        self.tail.send_if_modified(|tail| {
            let moves = *tail < seq;
            *tail = seq.max(*tail);
            moves
        });
    }

    /// See [`faceway_core::Log::watch_tail`].
    pub(crate) async fn tail_beyond(&self, seen: u64) -> u64 {
        let mut tail = self.tail.subscribe();
        let moved = tail.wait_for(|tail| *tail > seen).await.map(|tail| *tail);
        match moved {
            Ok(tail) => tail,
            // The sender lives in `self`, so this is never reached.
            Err(_) => std::future::pending().await,
        }
    }

    /// Takes note of what was found when the spool was opened.
    pub(crate) fn found(&self, findings: Findings) {
        self.gauge
            .rows_damaged
            .store(findings.damaged, Ordering::Relaxed);
        self.gauge
            .rows_mended
            .fetch_add(findings.mended, Ordering::Relaxed);
        self.lane_lost.store(findings.lane_lost, Ordering::Relaxed);
    }

    /// Whether a lane may have been lost: then one that is new may be that one.
    pub(crate) fn lane_lost(&self) -> bool {
        self.lane_lost.load(Ordering::Relaxed)
    }

    /// Asks the writer and waits for its answer.
    pub(crate) async fn ask(&self, ask: Ask) -> Result<Done, AppendError> {
        let (answer, receiver) = oneshot::channel();
        if self.inbox.push(Op { ask, answer }).is_err() {
            return Err(AppendError::Failing);
        }
        tokio::select! {
            biased;
            answer = receiver => answer.unwrap_or(Err(AppendError::Failing)),
            // What was asked may still be done; the next call finds it done.
            () = self.gauge.until_it_hangs() => Err(AppendError::Failing),
        }
    }

    /// Waits for the writer: after a failed sync only it finds out what is durable.
    pub(crate) async fn sync(&self) -> Result<(), SpoolError> {
        match self.ask(Ask::Sync).await {
            Ok(_) => Ok(()),
            Err(error) => Err(SpoolError(error.to_string())),
        }
    }

    /// Runs something that reads files where that holds nothing up.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, SpoolError> + Send + 'static,
    ) -> Result<T, SpoolError> {
        let shared = Arc::clone(self);
        let work = tokio::task::spawn_blocking(move || work(&shared));
        work.await
            .unwrap_or_else(|_| Err(SpoolError("a reading thread has ended".into())))
    }

    /// See [`faceway_core::Log::capacity`].
    pub(crate) fn capacity(&self) -> Capacity {
        self.gauge
            .room(self.readers.damaged.load(Ordering::Relaxed))
    }
}

/// A lock whose holders leave nothing half done when they panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
