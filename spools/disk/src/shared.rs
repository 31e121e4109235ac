//! What the writer, the lanes and the readers have in common.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use faceway_core::{AppendError, Clock, Room};
use tokio::sync::{Semaphore, oneshot, watch};

use crate::ages::Ages;
use crate::disk::Disk;
use crate::health::Gauge;
use crate::inbox::{Ask, Done, Inbox, Op};
use crate::lanes::Lanes;
use crate::read::Readers;
use crate::recent::Recent;
use crate::row::Published;
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
    pub(crate) lanes: Lanes,
    pub(crate) readers: Readers,
    pub(crate) recent: Mutex<Recent>,
    pub(crate) gauge: Gauge,
    pub(crate) watchdog: Watchdog,
    /// Pages in the write-ahead log, as SQLite tells them after each commit.
    pub(crate) log_pages: Arc<AtomicU64>,
    pub(crate) ages: Ages,
    published: Mutex<Published>,
    /// The highest number that was given out before the spool was opened: of an event that may have left the history, or
    /// that may come back from the buried ones.
    given_out: AtomicU64,
    changed: watch::Sender<u64>,
    lane_lost: AtomicBool,
}

impl Shared {
    pub(crate) fn new(
        settings: DiskSettings,
        clock: Arc<dyn Clock>,
        disk: Arc<dyn Disk>,
    ) -> Arc<Self> {
        let paths = Paths::new(&settings.dir);
        Arc::new(Self {
            readers: Readers::new(paths.database.clone()),
            settings,
            paths,
            clock,
            disk,
            inbox: Inbox::default(),
            permits: Arc::new(Semaphore::new(IN_FLIGHT_BYTES_MAX as usize)),
            lanes: Lanes::default(),
            recent: Mutex::default(),
            gauge: Gauge::default(),
            watchdog: Watchdog::default(),
            log_pages: Arc::default(),
            ages: Ages::default(),
            published: Mutex::default(),
            given_out: AtomicU64::new(0),
            changed: watch::Sender::new(0),
            lane_lost: AtomicBool::new(false),
        })
    }

    /// How far the log is durable.
    pub(crate) fn published(&self) -> Published {
        *lock(&self.published)
    }

    /// See [`faceway_core::Spool::newest`].
    pub(crate) fn newest(&self) -> u64 {
        let given_out = self.given_out.load(Ordering::Relaxed);
        self.published().last.max(given_out)
    }

    /// Numbers up to here were given out before.
    pub(crate) fn set_given_out(&self, number: u64) {
        self.given_out.store(number, Ordering::Relaxed);
    }

    /// Tells how far the log is durable.
    pub(crate) fn publish(&self, published: Published) {
        *lock(&self.published) = published;
    }

    /// Something can be leased that could not before.
    pub(crate) fn bump(&self) {
        self.changed.send_modify(|mark| *mark += 1);
    }

    /// See [`faceway_core::Spool::changed`].
    pub(crate) async fn changed(&self, seen: u64) -> u64 {
        let mut receiver = self.changed.subscribe();
        let mark = receiver
            .wait_for(|mark| *mark > seen)
            .await
            .map(|mark| *mark);
        match mark {
            Ok(mark) => mark,
            // The sender lives in `self`, so this is never reached; nothing changes any more.
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
            // What was asked may still be done; whoever asks again finds it done.
            () = self.gauge.until_it_hangs() => Err(AppendError::Failing),
        }
    }

    /// See [`faceway_core::Spool::room`].
    pub(crate) fn room(&self) -> Room {
        self.gauge
            .room(self.readers.damaged.load(Ordering::Relaxed))
    }
}

/// A lock whose holders leave nothing half done when they panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
