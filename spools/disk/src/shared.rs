//! What the writer, the lanes and the readers have in common.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use faceway_core::{AppendError, Clock, Room};
use tokio::sync::{Semaphore, oneshot, watch};

use crate::ages::Ages;
use crate::disk::Disk;
use crate::inbox::{Ask, Done, Inbox, Op};
use crate::lanes::Lanes;
use crate::read::Readers;
use crate::recent::Recent;
use crate::row::Published;
use crate::settings::{DiskSettings, IN_FLIGHT_BYTES_MAX};
use crate::store::Paths;
use crate::throttle::Throttle;

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
    pub(crate) ages: Ages,
    /// What was told of damaged pictures.
    pub(crate) damaged_log: Throttle,
    published: Mutex<Published>,
    /// The highest number that was given out before the spool was opened: of an event that may have left the history, or
    /// that may come back from the buried ones.
    given_out: AtomicU64,
    changed: watch::Sender<u64>,
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
            ages: Ages::default(),
            damaged_log: Throttle::default(),
            published: Mutex::default(),
            given_out: AtomicU64::new(0),
            changed: watch::Sender::new(0),
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

    /// Asks the writer and waits for its answer.
    pub(crate) async fn ask(&self, ask: Ask) -> Result<Done, AppendError> {
        let (answer, receiver) = oneshot::channel();
        if self.inbox.push(Op { ask, answer }).is_err() {
            return Err(AppendError::Failing);
        }
        receiver.await.unwrap_or(Err(AppendError::Failing))
    }
}

/// A lock whose holders leave nothing half done when they panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a scrape asks for.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    pub(crate) bytes: AtomicU64,
    pub(crate) free: AtomicU64,
    pub(crate) quarantined: AtomicU64,
    /// Groups that were lost before the spool was opened.
    pub(crate) groups_lost: AtomicU64,
    /// Pictures that were found damaged.
    pub(crate) pictures_damaged: AtomicU64,
    accepting: AtomicU8,
}

impl Gauge {
    pub(crate) fn set_accepting(&self, accepting: Result<(), AppendError>) {
        let number = match accepting {
            Ok(()) => 0,
            Err(AppendError::Full) => 1,
            Err(AppendError::Failing) => 2,
        };
        if self.accepting.swap(number, Ordering::Relaxed) != number {
            match accepting {
                Ok(()) => tracing::info!("the spool takes events"),
                Err(AppendError::Full) => {
                    tracing::warn!("the spool is full; devices are told to wait")
                }
                Err(AppendError::Failing) => {
                    tracing::error!("the spool fails; devices are told to wait")
                }
            }
        }
    }

    pub(crate) fn room(&self) -> Room {
        Room {
            bytes: self.bytes.load(Ordering::Relaxed),
            free: self.free.load(Ordering::Relaxed),
            quarantined: self.quarantined.load(Ordering::Relaxed),
            damaged_pictures: self.pictures_damaged.load(Ordering::Relaxed),
            accepting: match self.accepting.load(Ordering::Relaxed) {
                0 => Ok(()),
                1 => Err(AppendError::Full),
                _ => Err(AppendError::Failing),
            },
        }
    }
}
