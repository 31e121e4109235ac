//! How the spool does, as readiness, metrics and the log say it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use faceway_core::{AppendError, Capacity, Degraded};
use tokio::sync::watch;

use crate::shared::lock;
use crate::store::Trouble;
use crate::throttle::Throttle;

/// What a scrape asks for.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    pub(crate) bytes: AtomicU64,
    pub(crate) free: AtomicU64,
    pub(crate) quarantined: AtomicU64,
    pub(crate) quarantine_bytes: AtomicU64,
    /// Groups that were lost before the spool was opened.
    pub(crate) groups_lost: AtomicU64,
    /// Rows that were damaged, or were put right, when the spool was opened.
    pub(crate) rows_damaged: AtomicU64,
    pub(crate) rows_mended: AtomicU64,
    /// Pictures that were found damaged.
    pub(crate) pictures_damaged: AtomicU64,
    /// Writes behind the intake that failed.
    failures: AtomicU64,
    folding_fails: AtomicBool,
    /// The newest segment whose file is missing; 0 when there is none.
    missing: AtomicU64,
    accepting: AtomicU8,
    /// What the log says of `accepting`.
    told: AtomicU8,
    pub(crate) throttle: Throttle,
    work: Work,
}

/// Whether the writer is at a group, and since when.
#[derive(Debug, Default)]
struct Work {
    since: Mutex<Option<Instant>>,
    hangs: watch::Sender<bool>,
}

impl Gauge {
    pub(crate) fn set_accepting(&self, accepting: Result<(), AppendError>) {
        self.accepting.store(number(accepting), Ordering::Relaxed);
        self.tell();
    }

    /// Writes how things are into the log, unless it says so already. A disk that fails now and then would fill the log.
    pub(crate) fn tell(&self) {
        let state = self.accepting.load(Ordering::Relaxed);
        if self.told.load(Ordering::Relaxed) == state {
            return;
        }
        let Some(times) = self.throttle.note(match state {
            0 => "accepting",
            1 => "full",
            _ => "failing",
        }) else {
            return;
        };
        self.told.store(state, Ordering::Relaxed);
        match state {
            0 => tracing::info!(times, "the spool takes events"),
            1 => tracing::warn!(times, "the spool is full; devices are told to wait"),
            _ => tracing::error!(times, "the spool fails; devices are told to wait"),
        }
    }

    /// Folding the write-ahead log into the database went well or failed. Events are kept all the same, until the log has
    /// filled the spool.
    pub(crate) fn folded(&self, folded: &Result<(), Trouble>) {
        let was = self.folding_fails.swap(folded.is_err(), Ordering::Relaxed);
        match folded {
            Ok(()) => {
                if was && let Some(times) = self.throttle.note("folded") {
                    tracing::info!(
                        times,
                        "the write-ahead log is folded into the database again"
                    );
                }
            }
            Err(trouble) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                if let Some(times) = self.throttle.note("fold") {
                    tracing::error!(
                        ?trouble,
                        times,
                        "the write-ahead log cannot be folded into the database; events are kept, and the log grows until \
                         the spool is full: look at the disk"
                    );
                }
            }
        }
    }

    /// Another write behind the intake failed.
    pub(crate) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// The writer begins a group.
    pub(crate) fn begins(&self) {
        *lock(&self.work.since) = Some(Instant::now());
    }

    /// The writer is through with its group.
    pub(crate) fn ends(&self) {
        *lock(&self.work.since) = None;
        if self.hangs() {
            self.work.hangs.send_replace(false);
            tracing::info!("the disk answers again");
        }
    }

    /// Looks whether the writer waits for the disk longer than `patience`.
    pub(crate) fn look_at_work(&self, patience: Duration) {
        let since = *lock(&self.work.since);
        if since.is_some_and(|since| since.elapsed() >= patience) && !self.hangs() {
            self.work.hangs.send_replace(true);
            tracing::error!(
                seconds = patience.as_secs_f64(),
                "the disk does not answer; devices are told to wait, what was begun may still arrive"
            );
        }
    }

    fn hangs(&self) -> bool {
        *self.work.hangs.borrow()
    }

    /// Resolves while the disk does not answer.
    pub(crate) async fn until_it_hangs(&self) {
        let mut hangs = self.work.hangs.subscribe();
        if hangs.wait_for(|hangs| *hangs).await.is_err() {
            // The sender lives in `self`, so this is never reached.
            std::future::pending::<()>().await;
        }
    }

    /// Files of segments are missing, up to this one.
    pub(crate) fn set_missing(&self, newest: Option<u64>) {
        self.missing
            .store(newest.unwrap_or_default(), Ordering::Relaxed);
    }

    /// The oldest segment that is left has this number: what is missing below it would have left too.
    pub(crate) fn oldest_is(&self, number: u64) {
        if self.missing.load(Ordering::Relaxed) < number {
            self.set_missing(None);
        }
    }

    /// What the operator should look at first.
    fn degraded(&self) -> Option<Degraded> {
        if self.folding_fails.load(Ordering::Relaxed) {
            return Some(Degraded::Folding);
        }
        (self.missing.load(Ordering::Relaxed) > 0).then_some(Degraded::Missing)
    }

    pub(crate) fn room(&self, events_damaged: u64) -> Capacity {
        let damaged = events_damaged
            + self.rows_damaged.load(Ordering::Relaxed)
            + self.groups_lost.load(Ordering::Relaxed);
        Capacity {
            bytes: self.bytes.load(Ordering::Relaxed),
            free: self.free.load(Ordering::Relaxed),
            quarantined: self.quarantined.load(Ordering::Relaxed),
            quarantine_bytes: self.quarantine_bytes.load(Ordering::Relaxed),
            damaged,
            damaged_pictures: self.pictures_damaged.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            degraded: self.degraded(),
            accepting: match self.accepting.load(Ordering::Relaxed) {
                _ if self.hangs() => Err(AppendError::Failing),
                0 => Ok(()),
                1 => Err(AppendError::Full),
                _ => Err(AppendError::Failing),
            },
        }
    }
}

fn number(accepting: Result<(), AppendError>) -> u8 {
    match accepting {
        // That of one inbound says nothing of others.
        Ok(()) | Err(AppendError::QuarantineFull) => 0,
        Err(AppendError::Full) => 1,
        Err(AppendError::Failing) => 2,
    }
}
